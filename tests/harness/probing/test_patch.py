import pytest

from fathom.harness.probing.patch import patched_point
from fathom.harness.probing.plan import ProbeSettings, make_plan
from fathom.harness.probing.run import run_probe


@pytest.mark.turns(3)
def test_pebbles_one_hop_answer_follows_the_value_in_the_state_and_nothing_else(store):
    settings = ProbeSettings(("depo.n8k1.next1",), "2", (400, 100), 5, patch=True)
    (target,) = run_probe(store, make_plan("reference/pebble", settings)).targets
    assert patched_point(target) == ("end of the prompt", 2)
    found = target.patch
    assert found["n"] > 90
    assert found["kept"] > 0.9 * found["n"]
    assert found["followed"] > 0.7 * found["n"]
    assert found["n_directions"] < 64
    for control in ("random", "rest", "unchanged"):
        assert found[control] < 0.1 * found["n"], control

"""Gates come first, then the rule on the effects of the seeds."""

import pytest

from fathom.harness.training.token_laws.capacity import KEPT, OFFERED
from fathom.harness.training.token_laws.design import Measure
from fathom.harness.training.token_laws.judge import Trial, judge
from fathom.harness.training.token_laws.registry import find_token_law


def _trials(small, large, offered=4.2):
    return [
        Trial(
            condition, seed, 7264, "", 1.0, (Measure(KEPT, value, value, value, 9), Measure(OFFERED, offered, 0, 0, 9))
        )
        for condition, values in (("small", small), ("large", large))
        for seed, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("small", "large", "verdict"),
    [
        ([2.0, 2.1, 2.0, 1.9, 2.0], [2.2, 2.2, 2.1, 2.2, 2.3], "shown"),
        ([0.6, 0.61, 0.6, 0.59, 0.6], [1.2, 1.21, 1.2, 1.19, 1.2], "reversed"),
        ([1.0, 2.0, 1.0, 2.0, 1.0], [2.0, 1.0, 2.0, 1.0, 2.0], "undecided"),
        ([0.02, 0.02, 0.02, 0.02, 0.02], [0.02, 0.02, 0.02, 0.02, 0.02], "void"),
    ],
)
def test_capacity_is_judged_by_the_ratio_of_models_that_keep_something(small, large, verdict):
    assert judge(find_token_law("capacity"), _trials(small, large)).verdict == verdict


def test_one_seed_that_fails_a_gate_voids_the_law():
    found = judge(find_token_law("capacity"), _trials([2.0] * 4 + [0.4], [2.0] * 5))
    assert found.verdict == "void"
    assert [(one.lowest, one.passed) for one in found.gates] == [(4.2, True), (0.4, False)]


def test_ten_seeds_also_say_what_five_would_have_said():
    assert judge(find_token_law("capacity"), _trials([2.0] * 5, [2.0] * 5)).groups == ()
    assert judge(find_token_law("capacity"), _trials([2.0] * 10, [2.0] * 10)).groups == ("shown", "shown")

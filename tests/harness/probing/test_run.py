import numpy as np
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import open_database
from fathom.harness.db.probes import get_probe, list_probes
from fathom.harness.db.schema.probes import ProbePointRow
from fathom.harness.errors import NothingToProbe
from fathom.harness.probing.plan import ProbeSettings, make_plan
from fathom.harness.probing.run import probe_opened, run_probe
from fathom.harness.probing.tables import target_line

SMALL = {"n": (300, 150), "controls": 10}


def settings(*targets, **more):
    return ProbeSettings(targets, **{**SMALL, **more})


def verdicts(detail, target):
    (found,) = [one for one in detail.targets if one.facts.name == target]
    return found


def test_a_planted_variable_is_found_in_its_layer_and_nowhere_else(store, untrained, planted):
    plan = make_plan(str(untrained), settings("depo.n8k1.next1", "depo.n8k1.next2", "depo.n8k1.previous"))
    detail = probe_opened(store, plan, planted)
    found = verdicts(detail, "depo.n8k1.next1")
    where = [at for at, said in found.verdicts.items() if said == "present"]
    assert where == [("end of the prompt", 2)]
    assert found.first_layer == 2
    assert (found.best.place, found.best.layer) == ("end of the prompt", 2)
    assert found.best.value > 0.9
    assert found.best.bits > 2
    assert "present" not in verdicts(detail, "depo.n8k1.next2").verdicts.values()
    assert "present" not in verdicts(detail, "depo.n8k1.previous").verdicts.values()


def test_a_model_that_was_never_trained_holds_nothing(store, untrained):
    detail = run_probe(store, make_plan(str(untrained), settings("depo.n8k1", layers="0,1,4")))
    assert len(detail.targets) == 4
    for target in detail.targets:
        assert "present" not in target.verdicts.values(), target.facts.name


@pytest.mark.full
def test_an_untrained_model_gives_no_false_present_in_200_cells(store, untrained):
    seen = 0
    for seed in range(5):
        plan = make_plan(str(untrained), settings("depo.n8k1", n=(600, 250), controls=20, seed=str(seed)))
        for target in run_probe(store, plan).targets:
            seen += len(target.verdicts)
            assert "present" not in target.verdicts.values(), (seed, target.facts.name)
    assert seen == 200


def test_every_trained_point_stands_beside_its_controls(store, untrained):
    detail = run_probe(store, make_plan(str(untrained), settings("depo.n8k1.next1", layers="0,2")))
    (target,) = detail.targets
    assert target.layers == (0, 2)
    for place in target.places:
        assert target.at(place, -1, "surface") is not None
        for layer in target.layers:
            point = target.at(place, layer)
            assert point.null_low <= point.null_high
            assert point.control is not None
            assert {one.variant for one in target.points if (one.place, one.layer) == (place, layer)} == {
                "trained", "random", "words",
            }  # fmt: skip
            assert np.mean(point.right) == pytest.approx(point.value)
    assert target.facts.chance == 0.125
    assert (target.facts.n_fit, target.facts.n_test, target.answer_n) == (300, 150, 150)


def test_a_probe_that_was_cut_off_goes_on_and_fits_nothing_twice(store, untrained):
    plan = make_plan(str(untrained), settings("depo.n8k1.next1", "years.y8k1.year", layers="0,2"))

    def stop_at_years(line):
        if line.startswith("years.y8k1: 4 fits"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_probe(store, plan, stop_at_years)
    (cut,) = list_probes(store)
    assert cut.state == "running"
    with Session(store) as session:
        stored = session.scalars(select(ProbePointRow.id).order_by(ProbePointRow.id)).all()
    whole = run_probe(store, plan)
    with Session(store) as session:
        later = session.scalars(select(ProbePointRow.id).order_by(ProbePointRow.id)).all()
        assert session.execute(select(func.count()).select_from(ProbePointRow)).scalar_one() == 2 * (4 * 3 + 2)
    assert stored
    assert later[: len(stored)] == stored
    assert (whole.summary.id, whole.summary.state) == (cut.id, "done")
    assert run_probe(store, plan) == whole == get_probe(store, cut.id[:6])


@pytest.mark.turns(3)
def test_the_same_probe_gives_the_same_numbers(store, tmp_path, untrained):
    plan = make_plan(str(untrained), settings("depo.n8k1.next1", layers="2"))
    other = open_database(f"sqlite:///{tmp_path / 'other.db'}", create=True)
    one, two = run_probe(store, plan), run_probe(other, plan)
    assert one.targets[0].points == two.targets[0].points
    other.dispose()


def test_a_model_that_is_always_wrong_leaves_no_mistake_to_predict(store, untrained):
    with pytest.raises(NothingToProbe, match=r"'yes' on 300 of 300 readings to fit: nothing to predict"):
        run_probe(store, make_plan(str(untrained), settings("mistake.depo", layers="1")))


@pytest.mark.turns(2)
def test_what_is_known_and_not_said_is_told_of_present_variables_alone(store, untrained, planted):
    plan = make_plan(str(untrained), settings("depo.n8k1.next1", "depo.n8k1.next2", layers="2"))
    lines = {line.name: line for line in map(target_line, probe_opened(store, plan, planted).targets)}
    assert lines["depo.n8k1.next1"].knows_unsaid > 0.8
    assert lines["depo.n8k1.next2"].knows_unsaid is None

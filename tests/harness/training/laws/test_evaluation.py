"""Bits learnt are told person by person."""

from pathlib import Path

import pytest

from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.reports.frames import Store
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.harness.training.laws.base import LawQuestion
from fathom.harness.training.laws.evaluation import TrainedModel, observe_run
from fathom.tasks.people.population import CAPACITY_BITS
from fathom.tasks.registry import instance_from_id

_MODEL = Path(__file__).parents[4] / "harness" / "training" / "reference" / "pebble"
_PEOPLE, _N = 300, 900


@pytest.mark.parametrize(("kind", "share"), [("perfect", 1.0), ("chance", 0.0)])
def test_bits_have_one_value_a_person_however_often_somebody_was_asked_about(
    tmp_path: Path, kind: str, share: float
) -> None:
    question = LawQuestion("bits", "capo", f"people-{_PEOPLE}", "story", "bits", _N, unit="bits", people=_PEOPLE)
    trained = TrainedModel("tiny", "one", _MODEL, "7", (question,))
    store = Store.at(tmp_path / "runs.db")
    with store.opened(create=True) as db:
        run = evaluate(
            Plan(
                ModelSource(f"oracle/{kind}", None, kind), trained.suite, RunSettings(engine=EngineSettings("oracle"))
            ),
            db,
        ).run
    (found,) = observe_run(trained, run, store)
    asked = {instance_from_id(f"capo@1/people-{_PEOPLE}/story/7/{index}").facts["person"] for index in range(_N)}
    assert found.learned is not None
    assert found.learned.n_people == len(asked) < found.n < _N
    everything = (CAPACITY_BITS + 1) * _PEOPLE / trained.n_parameters
    assert found.estimate.value == pytest.approx(share * everything, abs=1e-9)

"""What a dry run expects, against what the run then took."""

from dataclasses import replace

import pytest

from fathom.harness.db.usage import usage_of_runs
from fathom.harness.engines.base import EngineSettings
from fathom.harness.reports.cost import Prices
from fathom.harness.reports.forecast import forecast
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.manifest import hardware
from fathom.harness.runs.plan import make_plan
from fathom.harness.runs.run_settings import RunSettings, SamplingSettings
from fathom.tasks.suites import Selection, open_suite

FREE = Prices((), None)


def planned(n, seed, families=("depo", "mano"), sampling=SamplingSettings()):
    suite = open_suite("quick", seed, Selection(families, styles=("direct", "cot"), n=n))
    return make_plan(
        "oracle/noisy", None, suite, RunSettings(sampling=sampling, engine=EngineSettings("oracle")), print
    )


def used(db, run):
    cells = usage_of_runs(db, [run])[run]
    return sum(one.prompt_tokens for one in cells), sum(one.completion_tokens for one in cells)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_tokens_are_those_of_earlier_runs_of_other_sizes_and_seeds(db):
    evaluate(planned(8, 1), db)
    expected = forecast(db, planned(40, 2), FREE, hardware(), None)
    n_in, n_out = used(db, evaluate(planned(40, 2), db).run)
    assert expected.prompt_tokens == pytest.approx(n_in, rel=0.05)
    assert expected.completion_tokens == pytest.approx(n_out, rel=0.2)
    assert not expected.is_bound
    assert expected.basis == "1 earlier run of this model on this machine"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_answers_of_repeats_count_and_another_machine_tells_no_time(db):
    evaluate(planned(4, 1), db)
    once = forecast(db, planned(4, 2), FREE, hardware(), None)
    often = forecast(db, planned(4, 2, sampling=SamplingSettings(3, 1.0)), FREE, {"processor": "abacus"}, None)
    assert (often.n_answers, often.prompt_tokens) == (3 * once.n_answers, pytest.approx(3 * once.prompt_tokens, abs=3))
    assert once.seconds is not None
    assert often.seconds is None


def test_without_any_run_prompts_are_counted_by_characters_and_answers_by_budget():
    found = forecast(None, planned(2, 1, ("depo",)), FREE, hardware(), 50.0)
    assert found.is_bound
    assert found.seconds == pytest.approx(found.completion_tokens / 50, rel=0.01)
    assert 1_000 < found.prompt_tokens < 10_000
    assert replace(found, seconds=None).to_json()["dollars"] is None

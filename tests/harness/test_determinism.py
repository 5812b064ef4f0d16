"""The same questions in other batches: what changes is counted, by style, with its interval."""

import json
from dataclasses import replace

import pytest

from harness.db import read
from harness.db.engine import open_database
from harness.determinism import Change, Reply, any_of, ask, changes, rates
from harness.engines.base import EngineSetup
from harness.engines.oracle import OracleEngine
from harness.errors import BadInput, RunChanged
from harness.model import ModelSource, find_model
from harness.probing import Extent, probe_model, probe_run
from harness.prompting import Decoding, Prompting
from harness.rendering import requests_of_run
from harness.run import Plan, evaluate
from harness.stats import wilson
from harness.suite import Selection, open_suite
from harness.waves import Stretch, Wave

PLAIN = Prompting(), Decoding()


class Moody(OracleEngine):
    """Knows every answer, but says nothing to a question that comes together with others."""

    def stream(self, requests):
        some = list(requests)
        for batch in super().stream(iter(some)):
            yield [one if len(some) == 1 else replace(one, text="") for one in batch]


def small_suite(styles=("direct", "choice"), n=3):
    return open_suite("quick", 7, Selection(levels=("n8k1", "n8k2"), styles=styles, n=n))


def told(_):
    """Say nothing of the progress."""


def test_changes_are_counted_by_style():
    before = {"a": Reply("x", True, None), "b": Reply("x", True, None), "c": Reply("p", True, (-1.0, -2.0))}
    after = {"a": Reply("y", True, None), "b": Reply("y", False, None), "c": Reply("p", True, (-1.5, -2.25))}
    found = changes({"a": "direct", "b": "direct", "c": "choice", "d": "cot"}, before, after)
    direct, choice = rates(found)
    assert (direct.style, direct.n, direct.n_texts, direct.n_verdicts, direct.gap) == ("direct", 2, 2, 1, None)
    assert (choice.style, choice.n, choice.n_texts, choice.n_verdicts, choice.gap) == ("choice", 1, 0, 0, 0.5)
    assert (direct.texts, direct.verdicts) == (wilson(2, 2), wilson(1, 2))


def test_what_changed_in_any_pass_is_counted_once():
    some = {"a": Change("cot", True, False, None), "b": Change("choice", False, False, 0.1)}
    other = {"a": Change("cot", False, True, None), "b": Change("choice", False, False, 0.3)}
    assert any_of([some, other]) == {"a": Change("cot", True, True, None), "b": Change("choice", False, False, 0.3)}


def test_an_engine_that_answers_otherwise_in_a_batch_is_found_out():
    suite = small_suite(("direct",))
    asked = requests_of_run(suite, "digest", PLAIN, Wave((Stretch(0, 0, 3), Stretch(1, 1, 3))))
    assert [(one.cell, one.index) for one in sorted(asked, key=lambda one: (one.cell, one.index))] == [
        (0, 0), (0, 1), (0, 2), (1, 1), (1, 2)
    ]  # fmt: skip
    alone, together = (ask(Moody("perfect"), asked, width) for width in (1, 2))
    assert all(reply.correct for reply in alone.values())
    (rate,) = rates(changes(dict.fromkeys(alone, "direct"), alone, together))
    assert (rate.n, rate.n_texts, rate.n_verdicts) == (5, 4, 4)  # the last one is alone again


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A run of pebble through transformers: its database, itself, its plan."""
    db = open_database(f"sqlite:///{tmp_path_factory.mktemp('probe') / 'runs.db'}", create=True)
    plan = Plan(find_model("reference/pebble"), "hf", small_suite(n=6))
    detail = read.get_run(db, evaluate(plan, db).run)
    yield db, detail, plan
    db.dispose()


def test_pebble_says_the_same_in_any_batch(stored):
    _, _, plan = stored
    found = probe_model(replace(plan, suite=small_suite(("direct", "choice"), 3)), (1, 4), told)
    assert [one.name for one in found.passes] == ["4 at a time", "4 at a time, shuffled", "any of these"]
    for one in found.passes:
        assert {(rate.style, rate.n, rate.n_verdicts) for rate in one.rates} == {("direct", 6, 0), ("choice", 6, 0)}
    assert json.loads(json.dumps(found.to_json()))["against"] == "asking one by one"


def test_a_stored_run_is_asked_again_and_nothing_is_stored(stored):
    db, detail, plan = stored
    before = read.count_samples(db, detail.summary.run)
    found = probe_run(db, detail, plan, Extent(10), told)
    assert sum(rate.n for rate in found.passes[0].rates) == 10
    assert all(rate.n_verdicts == 0 for rate in found.passes[0].rates)
    assert read.count_samples(db, detail.summary.run) == before
    assert len(read.list_runs(db)) == 1


def test_another_precision_moves_the_scores(stored):
    db, detail, plan = stored
    found = probe_run(db, detail, replace(plan, setup=EngineSetup("bfloat16")), Extent(24, (8,)), told)
    (gap,) = (rate.gap for rate in found.passes[0].rates if rate.style == "choice")
    assert 0 < gap < 5


def test_what_can_never_be_the_same_is_refused(stored):
    db, detail, plan = stored
    with pytest.raises(RunChanged, match="no longer those of run"):
        probe_run(db, detail, replace(plan, model=ModelSource("reference/pebble", None, "other")), Extent(5), told)
    free = open_suite("quick", 7, Selection(levels=("generate-f-50",), styles=("free",), n=2))
    with pytest.raises(BadInput, match="drawn at random"):
        probe_model(Plan(ModelSource("oracle/perfect", None, "oracle/perfect"), "oracle", free), (1,), told)

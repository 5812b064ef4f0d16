"""Waves over one engine: everything is asked once, a fault anywhere ends everything, nothing waits for ever."""

import threading

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fathom.harness.db import read
from fathom.harness.db.schema.runs import SampleRow
from fathom.harness.engines import factory as opening
from fathom.harness.engines.base import Completion, EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.engines.oracle import OracleEngine
from fathom.harness.errors import DiskFull, EngineFailed
from fathom.harness.runs import evaluate as pipeline
from fathom.harness.runs import waves
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.lm_eval_adapter import waves_of
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.suites import Selection, open_suite

STYLES = ("direct", "cot", "choice")


def suite_of(n=60, styles=STYLES):
    return open_suite("quick", "7", Selection(levels=("n8k1", "n8k3", "p23l2"), styles=styles, n=n))


def plan(n=60, resume=None, styles=STYLES):
    return Plan(
        ModelSource("oracle/noisy", None, "noisy"),
        suite_of(n, styles),
        RunSettings(engine=EngineSettings("oracle")),
        resume,
    )


@pytest.fixture
def small(monkeypatch):
    """Waves of 50 items, so that a small suite has many."""
    monkeypatch.setattr(waves, "WAVE", 50)


@pytest.fixture
def engine(monkeypatch):
    """Put another engine in the oracle's place: `engine(methods)`; return the class."""

    def put(**methods):
        broken = type("Broken", (OracleEngine,), methods)
        monkeypatch.setattr(opening, "OracleEngine", broken)

    return put


def n_samples(db):
    with Session(db) as session:
        return session.scalar(select(func.count()).select_from(SampleRow))


def test_waves_hold_each_item_once_and_never_mix_candidates_with_texts():
    suite = suite_of(97)
    cut = list(waves_of(suite, 50))
    held = [(one.cell, index) for wave in cut for one in wave.slices for index in range(one.start, one.stop)]
    assert sorted(held) == [(at, index) for at in range(len(suite.cells)) for index in range(97)]
    assert all(wave.n_items <= 50 for wave in cut)
    assert all(len({suite.cells[one.cell].style == "choice" for one in wave.slices}) == 1 for wave in cut)
    assert sum(wave.n_items < 50 for wave in cut) <= 2


def test_many_waves_give_the_same_samples_as_one(db, small, monkeypatch):
    many = read.get_run(db, evaluate(plan(), db).run)
    monkeypatch.undo()
    one = read.get_run(db, evaluate(plan(), db).run)
    assert [(cell.n, cell.k, cell.labels) for cell in many.cells] == [
        (cell.n, cell.k, cell.labels) for cell in one.cells
    ]
    assert many.manifest_digest == one.manifest_digest


def test_the_engine_has_the_next_wave_before_it_ends_the_last(small, engine, tmp_path):
    from fathom.harness.db.engine import open_database

    streams = []

    def stream(self, requests):
        streams.append(0)
        for request in requests:
            streams[-1] += 1
            yield [self._complete(request)]

    engine(stream=stream)
    db = open_database(str(tmp_path / "runs.db"), create=True)
    evaluate(plan(200, styles=("direct",)), db)
    assert sum(streams) == 600
    assert max(streams) > 50 * 2  # one stream goes on over waves


def test_a_fault_of_the_engine_keeps_what_came_before(small, engine, tmp_path):
    from fathom.harness.db.engine import open_database

    def stream(self, requests):
        for number, request in enumerate(requests):
            if number == 120:
                raise RuntimeError("the card fell out")
            yield [self._complete(request)]

    engine(stream=stream)
    db = open_database(str(tmp_path / "runs.db"), create=True)
    with pytest.raises(EngineFailed, match="the card fell out"):
        evaluate(plan(), db)
    assert n_samples(db) == 120
    assert not [one.name for one in threading.enumerate() if one.name.startswith("fathom-")]


@pytest.mark.parametrize("fault", ["drops", "doubles"])
def test_an_engine_that_loses_or_doubles_a_request_is_found_out(small, engine, tmp_path, fault):
    from fathom.harness.db.engine import open_database

    def stream(self, requests):
        for number, request in enumerate(requests):
            done = [self._complete(request)]
            yield done if number != 70 else done * 2 if fault == "doubles" else []

    engine(stream=stream)
    db = open_database(str(tmp_path / "runs.db"), create=True)
    with pytest.raises(EngineFailed, match="unanswered" if fault == "drops" else "twice"):
        evaluate(plan(), db)
    assert n_samples(db) >= 70


def test_a_full_disk_ends_the_run_with_its_own_error(small, engine, tmp_path, monkeypatch):
    from fathom.harness.db.engine import open_database

    store, calls = pipeline.Journal.store, []

    def full(self, answers):
        calls.append(len(answers))
        if sum(calls) > 100:
            raise DiskFull("the disk is full")
        store(self, answers)

    monkeypatch.setattr(pipeline.Journal, "store", full)
    db = open_database(str(tmp_path / "runs.db"), create=True)
    with pytest.raises(DiskFull):
        evaluate(plan(), db)
    assert n_samples(db) <= 100


def test_a_fault_in_a_wave_ends_the_run(small, tmp_path, monkeypatch):
    from fathom.harness.db.engine import open_database

    opened, built = waves.open_tasks, []

    def broken(*words):
        built.append(words[2])
        if len(built) == 3:
            raise ValueError("lm-eval lost its mind")
        return opened(*words)

    monkeypatch.setattr(waves, "open_tasks", broken)
    db = open_database(str(tmp_path / "runs.db"), create=True)
    with pytest.raises(EngineFailed, match="lost its mind"):
        evaluate(plan(2000, styles=("direct",)), db)
    assert len(built) < 60  # of 120


def test_whole_cells_are_not_built_again_on_resume(db, small, engine, monkeypatch):
    def stream(self, requests):
        for number, request in enumerate(requests):
            if number == 130:
                raise KeyboardInterrupt
            yield [self._complete(request)]

    engine(stream=stream)
    with pytest.raises(KeyboardInterrupt):
        evaluate(plan(), db)
    monkeypatch.undo()
    built = []
    opened = waves.open_tasks
    monkeypatch.setattr(waves, "open_tasks", lambda *words: built.append(words[2]) or opened(*words))
    run = read.list_runs(db)[0].run
    kept = n_samples(db)
    outcome = evaluate(plan(resume=run), db)
    assert (outcome.n_recalled, outcome.n_generated) == (kept, 540 - kept)
    assert n_samples(db) == 540
    assert sum(wave.n_items for wave in built) <= 540 - 60


def test_completions_of_a_prefix_cache_are_summed(small, engine, tmp_path):
    from fathom.harness.db.engine import open_database

    def stream(self, requests):
        for request in requests:
            yield [Completion(request.key, " x", "stop", 10, 1, 0.0, cached_tokens=4)]

    engine(stream=stream)
    outcome = evaluate(plan(styles=("direct",)), open_database(str(tmp_path / "runs.db"), create=True))
    assert (outcome.n_prompt_tokens, outcome.n_cached_tokens) == (1800, 720)


def test_a_resumed_run_makes_no_item_again_that_it_need_not(tmp_path, monkeypatch):
    from fathom.harness.db.engine import open_database
    from fathom.harness.runs import manifest as provenance
    from fathom.tasks.suites import Suite

    db = open_database(str(tmp_path / "runs.db"), create=True)
    run = evaluate(plan(), db).run
    digested = []
    digest = Suite.digest
    monkeypatch.setattr(Suite, "digest", lambda self: digested.append(self) or digest(self))
    provenance._digest_of.cache_clear()  # as in another process
    evaluate(plan(resume=run), db)
    assert not digested
    monkeypatch.setattr(provenance, "tasks_digest", lambda _packages=(): "another code")
    evaluate(plan(resume=run), db)
    assert len(digested) == 1

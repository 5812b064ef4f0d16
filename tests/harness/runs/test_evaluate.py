import datetime as dt
from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.orm import Session

from fathom.harness.db import read, write
from fathom.harness.db.schema.runs import SampleRow
from fathom.harness.engines import factory as opening
from fathom.harness.engines.base import Completion, EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.engines.oracle import OracleEngine
from fathom.harness.errors import DiskFull, EngineFailed, RunChanged, UnknownRun
from fathom.harness.records import SampleFilter
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.harness.stats.scores import FoundCounts
from fathom.tasks.base import Verdict
from fathom.tasks.suites import Selection, open_suite


def plan(kind="noisy", seed=7, resume=None, **selection):
    name = f"oracle/{kind}"
    chosen = Selection(**{"n": 10, **selection})
    return Plan(
        ModelSource(name, None, name),
        open_suite("quick", seed, chosen),
        RunSettings(engine=EngineSettings("oracle")),
        resume,
    )


def stored_samples(db):
    with Session(db) as session:
        return list(session.execute(select(SampleRow.cell_id, SampleRow.index, SampleRow.completion, SampleRow.label, SampleRow.correct).order_by(SampleRow.cell_id, SampleRow.index)))  # fmt: skip


class Interrupting(OracleEngine):
    """An oracle that breaks off after some batches, as a user or a fault would make it."""

    n_batches: int
    error: BaseException

    def stream(self, requests):
        for number, batch in enumerate(super().stream(requests)):
            if number == type(self).n_batches:
                raise type(self).error
            yield batch


def break_off(monkeypatch, error, n_batches=1):
    broken = type("Broken", (Interrupting,), {"n_batches": n_batches, "error": error})
    monkeypatch.setattr(opening, "OracleEngine", broken)


def test_every_item_becomes_one_sample_and_counts_agree(db):
    outcome = evaluate(plan(), db)
    detail = read.get_run(db, outcome.run)
    assert detail.summary.state == "done"
    assert read.count_samples(db, outcome.run) == detail.suite.n_items == outcome.n_generated
    labels = Counter(row.label for row in stored_samples(db))
    assert labels == sum((Counter(cell.labels) for cell in detail.cells), Counter())
    assert all(cell.n == 10 and cell.k == cell.labels.get("correct", 0) for cell in detail.cells)


class Curt(OracleEngine):
    """An oracle whose budget ends with its answer."""

    def stream(self, requests):
        for batch in super().stream(requests):
            yield [replace(one, finish_reason="length") if one.scores is None else one for one in batch]


def test_lm_eval_counts_answers_that_were_cut_off_as_we_do(db, monkeypatch):
    monkeypatch.setattr(opening, "OracleEngine", Curt)
    run = evaluate(plan("perfect", levels=("n8k2",), styles=("direct", "cot", "choice")), db).run
    detail = read.get_run(db, run)
    counts = {cell.style: (cell.k, cell.found) for cell in detail.cells}
    assert counts["direct"] == (0, FoundCounts(0, 0, 10))
    assert counts["choice"] == (10, FoundCounts(10, 0, 0))
    assert (detail.summary.n_asked, detail.summary.n_cut) == (10, 20)


def test_perfect_knows_all_and_chance_knows_chance(db):
    perfect = read.get_run(db, evaluate(plan("perfect"), db).run)
    assert all(cell.k == cell.n for cell in perfect.cells)
    guessing = read.get_run(db, evaluate(plan("chance", n=200, levels=("n8k3",)), db).run)
    (cell,) = guessing.cells
    assert cell.interval.low < 1 / 5 < cell.interval.high


def test_both_databases_hold_the_same_bytes(postgres, tmp_path):
    from fathom.harness.db.engine import open_database

    held = []
    for url in (str(tmp_path / "a.db"), postgres()):
        db = open_database(url, create=True)
        evaluate(plan(), db)
        held.append([tuple(row)[1:] for row in stored_samples(db)])
        db.dispose()
    assert held[0] == held[1]


@pytest.mark.slow
def test_an_interrupted_run_resumes_without_asking_again(db, monkeypatch):
    break_off(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        evaluate(plan(n=40), db)
    (stopped,) = read.list_runs(db)
    kept = read.count_samples(db, stopped.run)
    assert stopped.state == "interrupted"
    assert 0 < kept < stopped.n_items
    assert stopped.n_done == kept
    monkeypatch.undo()
    outcome = evaluate(plan(n=40, resume=stopped.run), db)
    assert (outcome.n_recalled, outcome.n_generated) == (kept, stopped.n_items - kept)
    finished = read.get_run(db, stopped.run).summary
    assert (finished.state, finished.n_generated, finished.attempts) == ("done", stopped.n_items, 2)
    assert read.count_samples(db, stopped.run) == stopped.n_items


@pytest.mark.slow
def test_resuming_gives_the_same_samples_as_one_go(tmp_path, monkeypatch):
    from fathom.harness.db.engine import open_database

    whole, parts = (open_database(str(tmp_path / name), create=True) for name in ("whole.db", "parts.db"))
    evaluate(plan(n=30), whole)
    break_off(monkeypatch, EngineFailed("lost"))
    with pytest.raises(EngineFailed):
        evaluate(plan(n=30), parts)
    monkeypatch.undo()
    evaluate(plan(n=30, resume=read.list_runs(parts)[0].run), parts)
    assert stored_samples(whole) == stored_samples(parts)


def test_a_failed_run_is_stored_with_its_log(db, monkeypatch):
    break_off(monkeypatch, RuntimeError("the card fell out"), n_batches=0)
    with pytest.raises(EngineFailed, match="the card fell out"):
        evaluate(plan(), db)
    (failed,) = read.list_runs(db)
    assert failed.state == "failed"
    assert "the card fell out" in failed.error
    assert "Traceback" in read.get_run(db, failed.run).log


def test_an_error_on_one_request_is_recorded_and_asked_again_on_resume(db, monkeypatch):
    class Stumbling(OracleEngine):
        def _complete(self, request):
            done = super()._complete(request)
            if request.item.endswith("/3"):
                return Completion(request.key, "", "error", 0, 0, 0.0, error="RuntimeError: one bad page")
            return done

    monkeypatch.setattr(opening, "OracleEngine", Stumbling)
    outcome = evaluate(plan(), db)
    detail = read.get_run(db, outcome.run)
    assert detail.summary.state == "done"
    assert all((cell.n, cell.n_errors) == (9, 1) for cell in detail.cells)
    monkeypatch.undo()
    again = evaluate(plan(resume=outcome.run), db)
    assert again.n_generated == len(detail.cells)
    assert all((cell.n, cell.n_errors) == (10, 0) for cell in read.get_run(db, outcome.run).cells)


def test_a_prompt_that_does_not_fit_is_too_long_and_wrong(db, monkeypatch):
    monkeypatch.setattr(opening, "OracleEngine", lambda kind: OracleEngine(kind, context=40))
    detail = read.get_run(db, evaluate(plan("perfect", levels=("n4k1", "n128k1"), styles=("direct", "choice")), db).run)
    for cell in detail.cells:
        fits = cell.level == "n4k1"
        assert (cell.k, cell.labels) == ((10, {"correct": 10}) if fits else (0, {"too_long": 10}))


def test_only_the_same_run_can_be_resumed(db):
    run = evaluate(plan(), db).run
    with pytest.raises(RunChanged, match="another suite"):
        evaluate(plan(seed=8, resume=run), db)
    with pytest.raises(RunChanged, match="another model"):
        evaluate(plan("perfect", resume=run), db)
    with pytest.raises(UnknownRun):
        evaluate(plan(resume="feed"), db)


@pytest.mark.slow
@pytest.mark.turns(3)
def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path):
    from fathom.harness.db.engine import open_database

    db = open_database(str(tmp_path / "small.db"), create=True)
    with db.connect() as connection:
        limit = {"pages": connection.exec_driver_sql("PRAGMA page_count").scalar_one() + 30}

    @event.listens_for(db, "checkout")
    def hold(connection, _record, _proxy):
        connection.execute(f"PRAGMA max_page_count={limit['pages']}")

    with pytest.raises(DiskFull, match="resume"):
        evaluate(plan(n=200), db)
    (stopped,) = read.list_runs(db)
    kept = read.count_samples(db, stopped.run)
    assert 0 < kept < stopped.n_items
    limit["pages"] = 1_000_000
    outcome = evaluate(plan(n=200, resume=stopped.run), db)
    assert (outcome.n_recalled, outcome.n_generated) == (kept, stopped.n_items - kept)
    assert read.count_samples(db, stopped.run) == stopped.n_items


def test_recording_a_sample_twice_changes_nothing(db):
    outcome = evaluate(plan(), db)
    before = stored_samples(db)
    detail = read.get_run(db, outcome.run)
    again = write.Sample(0, 3, 0, "k", Completion("k", "other", "stop", 1, 1, 0.0), Verdict(True, "x", "correct"))
    write.record_samples(db, outcome.run, [cell.id for cell in detail.cells], [again])
    with Session(db) as session, session.begin():
        write.recount(session, outcome.run)
    assert stored_samples(db) == before
    assert read.get_run(db, outcome.run).cells == detail.cells


def test_text_that_no_database_can_hold_is_still_kept(db):
    run = evaluate(plan(levels=("n4k1",), n=1), db).run
    cells = [cell.id for cell in read.get_run(db, run).cells]
    hostile = "a\0b\ud800c\u202ed" + "x" * 1_000_000
    sample = write.Sample(
        0, 99, 0, "k", Completion("k", hostile, "length", 1, 1, 0.0), Verdict(False, hostile[:9], "no_answer")
    )
    write.record_samples(db, run, cells, [sample])
    with Session(db) as session:
        kept = session.scalars(select(SampleRow.completion).where(SampleRow.index == 99)).one()
    assert kept.startswith("a\ufffdb?c\u202ed")
    assert len(kept) == len(hostile)


def test_runs_are_found_by_the_beginning_of_their_id(db):
    run = evaluate(plan(), db).run
    assert read.get_run(db, run[:6]).summary.run == run
    for wrong in ("", "%", "_" * 12, "zz"):
        with pytest.raises(UnknownRun):
            read.get_run(db, wrong)


def test_times_come_back_in_utc(db):
    evaluate(plan(), db)
    (one,) = read.list_runs(db)
    assert one.created_at.tzinfo == dt.UTC
    assert abs(dt.datetime.now(dt.UTC) - one.created_at) < dt.timedelta(minutes=5)


def test_pages_of_samples_are_filtered_and_counted(db):
    detail = read.get_run(db, evaluate(plan(), db).run)
    everything = read.get_samples(db, detail, SampleFilter(), limit=1000)
    assert everything.total == len(everything.samples) == detail.suite.n_items
    wrong = read.get_samples(db, detail, SampleFilter(correct=False), limit=7)
    assert wrong.total == sum(cell.n - cell.k for cell in detail.cells)
    assert all(not one.correct for one in wrong.samples)
    one_cell = read.get_samples(db, detail, SampleFilter(cell=detail.cells[2].id, correct=True))
    assert one_cell.total == detail.cells[2].k


def test_a_run_costs_a_fixed_number_of_statements_beside_its_samples(db):
    counts = []
    for n in (2, 20):
        seen = []
        listener = lambda *words, seen=seen: seen.append(words[2])  # noqa: E731
        event.listen(db, "before_cursor_execute", listener)
        evaluate(plan(n=n), db)
        event.remove(db, "before_cursor_execute", listener)
        counts.append(sum("INSERT INTO samples" not in statement for statement in seen))
    assert counts[1] - counts[0] <= 4  # one more commit of samples each for text and choices


def test_no_sample_belongs_to_two_runs(db):
    first, second = evaluate(plan(), db).run, evaluate(plan(), db).run
    assert first != second
    with db.connect() as connection:
        total = connection.execute(select(func.count()).select_from(SampleRow)).scalar()
        assert connection.execute(text("SELECT COUNT(*) FROM suites")).scalar() == 1
    assert total == 2 * read.get_run(db, first).suite.n_items

"""Completions are graded again without a model: all of a run's or none, and everything agrees afterwards."""

import sqlite3

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard import read as board
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.schema.runs import CellRow, MarkRow, RunRow, SampleRow, StandingRow, SuiteRow
from fathom.harness.db.seal import SealedRun
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import Conflict, StoreError
from fathom.harness.records import SampleFilter
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.regrade import regrade
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.suites import Selection, open_suite


@pytest.fixture
def lite(tmp_path, copy_tables):
    """A database of the quicker kind."""
    url = f"sqlite:///{tmp_path / 'lite.db'}"
    copy_tables(url)
    db = open_database(url, create=True)
    yield db
    db.dispose()


def play(db, kind="noisy", seed=7):
    suite = open_suite("quick", seed, Selection(("depo", "mano"), ("n8k2", "p23l1"), (), ("direct", "choice"), 10))
    name = f"oracle/{kind}"
    return evaluate(Plan(ModelSource(name, None, name), suite, RunSettings(engine=EngineSettings("oracle"))), db).run


def spoil(db, run, every=3, **values):
    """Store verdicts as other graders would have given them, and all that follows from these."""
    cells = select(CellRow.id).where(CellRow.run_id == run)
    with Session(db) as session, session.begin():
        spoilt = session.execute(
            update(SampleRow)
            .where(SampleRow.cell_id.in_(cells), SampleRow.id % every == 0)
            .values(correct=False, label="older", **values)
        ).rowcount
        session.execute(text("DELETE FROM marks"))
        write.recount(session, run)
    update_leaderboard(db)
    return spoilt


def everything(db, run):
    """Return all that depends on verdicts: samples, cells, marks, scores, standings."""
    detail = read.get_run(db, run)
    samples = read.get_samples(db, detail, SampleFilter(), limit=10_000).samples
    with Session(db) as session:
        standings = session.execute(select(StandingRow.style, StandingRow.value).order_by(StandingRow.style)).all()
    marks = board.marks_of(db, {run: detail.suite.n_items})[run]
    return samples, detail.cells, detail.summary.k, marks.right.tolist(), board.get_result(db, run), standings


def test_all_that_follows_from_verdicts_agrees_again(db):
    run = play(db)
    before = everything(db, run)
    spoilt = spoil(db, run)
    assert everything(db, run) != before
    found = regrade(db, run)
    assert everything(db, run) == before
    assert found.n_judged == 40
    assert found.n_changed == spoilt
    assert {shift.before for shift in found.shifts} == {"older"}
    assert found.n_right_after == before[2] > found.n_right_before
    assert regrade(db, run).n_changed == 0


def test_how_answers_were_found_is_filled_in_without_a_change_of_verdicts(db):
    run = play(db)
    before = everything(db, run)
    with Session(db) as session, session.begin():
        session.execute(update(SampleRow).values(found=None))
        write.recount(session, run)
    assert {cell.found for cell in read.get_run(db, run).cells} == {None}
    found = regrade(db, run)
    assert (found.n_changed, found.n_found) == (0, 40)
    assert everything(db, run) == before
    assert sum(cell.found.n_asked for cell in before[1]) == 40
    again = regrade(db, run)
    assert (again.n_changed, again.n_found) == (0, 0)


def test_a_dry_run_says_the_same_and_stores_nothing(lite):
    run = play(lite)
    spoil(lite, run)
    before, manifest = everything(lite, run), read.get_run(lite, run).manifest
    found = regrade(lite, run, dry=True)
    assert found.n_changed
    assert (everything(lite, run), read.get_run(lite, run).manifest) == (before, manifest)
    assert regrade(lite, run).shifts == found.shifts


def test_another_place_or_note_is_a_change_as_well(lite):
    run = play(lite, "perfect")
    with Session(lite) as session, session.begin():
        session.execute(update(SampleRow).where(SampleRow.id % 4 == 0).values(note="as it was once worded"))
    found = regrade(lite, run)
    assert {(shift.before, shift.after) for shift in found.shifts} == {("correct", "correct")}
    with Session(lite) as session:
        assert not session.scalars(select(func.count()).where(SampleRow.note != "")).one()


def test_the_manifest_says_when_and_by_which_code_and_its_digest_stays(lite):
    run = play(lite)
    digest = read.get_run(lite, run).manifest_digest
    regrade(lite, run)
    spoilt = spoil(lite, run)
    for _ in range(3):  # a note of nothing gives way to the next
        regrade(lite, run)
    detail = read.get_run(lite, run)
    other, same = detail.manifest.stored["context"]["regraded"]
    assert detail.manifest_digest == digest
    assert (same["n_changed"], same["changed"]) == (0, [])
    assert other["n_changed"] == sum(row["n"] for row in other["changed"]) == spoilt
    assert {"version", "commit"} == set(other["fathom"])


def test_a_regrade_that_is_cut_off_leaves_the_run_as_it_was(lite):
    run = play(lite)
    spoil(lite, run)
    before = everything(lite, run)
    with lite.begin() as connection:  # the last statements of the transaction fail, as on a full disk
        connection.execute(text("CREATE TRIGGER stop BEFORE UPDATE OF k ON runs BEGIN SELECT RAISE(ABORT, 'no'); END"))
    with pytest.raises((StoreError, SQLAlchemyError)):
        regrade(lite, run)
    assert everything(lite, run) == before
    with lite.begin() as connection:
        connection.execute(text("DROP TRIGGER stop"))
    assert regrade(lite, run).n_changed


def test_items_of_another_version_are_left_alone_and_said(lite):
    run = play(lite)
    spoil(lite, run)
    with Session(lite) as session, session.begin():
        suite = session.scalars(select(SuiteRow)).one()
        suite.cells = [{**cell, "version": 99} if cell["family"] == "mano" else cell for cell in suite.cells]
    found = regrade(lite, run)
    assert {shift.family for shift in found.shifts} == {"depo"}
    assert sum(found.skipped.values()) == 20
    assert "mano@99" in next(iter(found.skipped))


def test_a_run_that_is_running_or_sealed_is_refused(lite):
    run = play(lite)
    with Session(lite) as session, session.begin():
        session.execute(update(RunRow).values(state="running"))
    with pytest.raises(Conflict, match="is running"):
        regrade(lite, run)
    with Session(lite) as session, session.begin():
        session.execute(update(RunRow).values(state="done"))
        session.execute(update(SuiteRow).values(sealed=True, season="2026-winter"))
    with pytest.raises(SealedRun):
        regrade(lite, run)


def test_a_run_that_was_resumed_while_it_was_graded_is_not_touched(db):
    run = play(db)
    spoil(db, run)
    with pytest.raises(Conflict, match="was resumed meanwhile"):
        regrade(db, run, tell=lambda _: write.resume_run(db, run))
    with Session(db) as session:
        assert session.scalars(select(func.count()).where(SampleRow.label == "older")).one()
        assert not session.scalars(select(func.count()).select_from(MarkRow)).one()


def test_the_command_prints_what_changed_by_family_and_label(fathom, tmp_path):
    file = tmp_path / "runs.db"
    db = open_database(str(file), create=True)
    run, other = play(db), play(db, "perfect", 8)
    spoil(db, run)
    with Session(db) as session, session.begin():
        session.execute(update(SuiteRow).where(SuiteRow.seed == "8").values(sealed=True, season="2026-winter"))
    db.dispose()
    done = fathom("regrade", "--all", "--db", file)
    assert done.returncode == 0, done.stderr
    assert f"run {run}: 40 completions graded again" in done.stdout
    assert f"run {other} skipped" in done.stdout
    table = [line.split() for line in done.stdout.splitlines() if line.startswith(("depo", "mano"))]
    assert {row[1] for row in table} == {"older"}
    with sqlite3.connect(file) as connection:
        assert not connection.execute("SELECT count(*) FROM samples WHERE label = 'older'").fetchone()[0]
    connection.close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE samples SET found = NULL")
    connection.close()
    again = fathom("regrade", run, "--db", file).stdout
    assert "0 verdicts changed" in again
    assert "how 40 answers were found is stored now" in again
    for words in ((), (run, "--all")):
        refused = fathom("regrade", *words, "--db", file)
        assert refused.returncode == 2
        assert "give a run, or --all" in refused.stderr

"""What the board shows is worked out when a run lands, and can always be worked out again."""

import threading

import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard import read as board
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.schema.runs import MarkRow, PoolRow, ResultRow, StandingRow
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.records import SampleFilter
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import PromptSettings, RunSettings
from fathom.harness.stats.scores import scores_json
from fathom.tasks.suites import Selection, open_suite

DERIVED = (MarkRow, ResultRow, StandingRow, PoolRow)


def play(db, kind="noisy", seed=7, levels=("n4k1", "n8k2"), n=12, asked=PromptSettings()):  # frozen
    suite = open_suite("quick", seed, Selection(families=("depo",), levels=levels, styles=("direct", "cot"), n=n))
    name = f"oracle/{kind}"
    settings = RunSettings(asked, engine=EngineSettings("oracle"))
    return evaluate(Plan(ModelSource(name, None, name), suite, settings), db).run


def everything(db):
    """Return all derived rows as values, in an order of their own."""
    with db.connect() as connection:
        return {
            table.__tablename__: sorted(
                map(repr, connection.execute(select(*[c for c in table.__table__.columns if c.name not in ("landed", "ranked")])).all())
            )
            for table in DERIVED
        }  # fmt: skip


def forget(db):
    with Session(db) as session, session.begin():
        for table in DERIVED:
            session.execute(delete(table))


def test_marks_are_the_verdicts_of_the_samples(db):
    run = play(db)
    detail = read.get_run(db, run)
    marks = board.marks_of(db, {run: detail.suite.n_items})[run]
    samples = read.get_samples(db, detail, SampleFilter(), limit=1000).samples
    assert marks.right.tolist() == [one.correct for one in samples]
    assert marks.graded.all()


def test_stored_scores_are_those_of_the_cells(db):
    run = play(db)
    assert board.get_result(db, run) == scores_json(read.get_run(db, run).cells)


def test_what_was_worked_out_can_be_worked_out_again(db):
    for kind in ("noisy", "perfect"):
        play(db, kind)
    before = everything(db)
    forget(db)
    assert update_leaderboard(db) == 2
    assert everything(db) == before
    assert update_leaderboard(db) == 0
    assert everything(db) == before


def test_a_model_is_ranked_once_for_each_prompt_format(db):
    plain, chat = play(db), play(db, asked=PromptSettings(chat=True))
    newest = play(db, asked=PromptSettings(chat=True), seed=8)
    other = play(db, "perfect")
    (pool,) = board.list_pools(db)
    assert pool.n_models == 2
    found = {one.run: one for one in board.list_standings(db, board.StandingQuery(pool.id, "direct")).standings}
    assert set(found) == {plain, newest, other}
    assert (found[plain].prompt_format, found[newest].prompt_format) == ("plain/0", "chat/0")
    assert [found[run].n_prompt_formats for run in (plain, newest, other)] == [2, 2, 1]
    assert [found[run].n_runs for run in (plain, newest, other)] == [1, 2, 1]
    places = board.ranks_of_models(db, [found[plain].model.id])[found[plain].model.id]
    assert {(one.run, one.prompt_format) for one in places} == {(plain, "plain/0"), (newest, "chat/0")}
    assert chat not in found


def test_a_run_whose_process_died_before_it_landed_lands_later(db):
    play(db, "perfect")
    run = play(db)
    with Session(db) as session, session.begin():
        session.execute(delete(MarkRow).where(MarkRow.run_id == run))
        session.execute(delete(StandingRow).where(StandingRow.run_id == run))
    update_leaderboard(db)
    (pool,) = board.list_pools(db)
    standings = board.list_standings(db, board.StandingQuery(pool.id, "direct")).standings
    assert [one.model.name for one in standings] == ["oracle/perfect", "oracle/noisy"]
    assert [one.rank for one in standings] == [1, 2]


def test_a_newer_run_takes_the_place_of_an_older_one(db):
    play(db, seed=7)
    newest = play(db, seed=8)
    (pool,) = board.list_pools(db)
    (one,) = board.list_standings(db, board.StandingQuery(pool.id, "cot")).standings
    assert (one.run, one.seed, one.n_runs, pool.n_models) == (newest, "8", 2, 1)


def test_other_cells_are_another_pool(db):
    play(db)
    play(db, n=13)
    play(db, levels=("n4k1",))
    assert sorted((pool.n_cells, pool.n_items) for pool in board.list_pools(db)) == [(2, 24), (4, 48), (4, 52)]


def test_a_resumed_run_lands_anew(db):
    run = play(db)
    write.resume_run(db, run)
    assert board.marks_of(db, {run: 48}) == {}
    write.finish_run(db, run, write.Ending("done", 1.0))
    assert update_leaderboard(db) == 1


def test_a_run_that_failed_never_lands(db):
    run = play(db)
    forget(db)
    write.finish_run(db, run, write.Ending("failed", 1.0, "broken"))
    assert update_leaderboard(db) == 0
    assert board.list_pools(db) == ()


def test_runs_that_land_at_once_are_all_ranked(database):
    dbs = [open_database(database, create=True) for _ in range(3)]
    runs = [play(dbs[0], kind) for kind in ("noisy", "perfect", "chance")]
    forget(dbs[0])
    failures = []

    def land(db):
        try:
            update_leaderboard(db)
        except Exception as error:  # handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=land, args=(db,)) for db in dbs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    update_leaderboard(dbs[0])
    (pool,) = board.list_pools(dbs[0])
    standings = board.list_standings(dbs[0], board.StandingQuery(pool.id, "direct")).standings
    assert {one.run for one in standings} == set(runs)
    assert not pool.stale
    for db in dbs:
        db.dispose()


def test_counts_of_a_run_are_kept_beside_it(db):
    detail = read.get_run(db, play(db))
    assert detail.summary.n_done == sum(cell.n + cell.n_errors for cell in detail.cells) == 48
    assert detail.summary.k == sum(cell.k for cell in detail.cells)


def test_an_upgrade_ranks_the_runs_that_were_there(db, fathom, database):
    from tests.harness.db.test_database import migrate

    run = play(db)
    before = everything(db)
    migrate(db, "0002")
    with db.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM samples")).scalar() == 48
        assert connection.execute(text("SELECT count(*) FROM cells")).scalar() == 4
    done = fathom("db", "upgrade", "--db", database)
    assert done.returncode == 0, done.stderr
    assert everything(db) == before
    assert read.get_run(db, run).summary.n_done == 48


def test_deleting_a_run_deletes_what_was_worked_out_of_it(db):
    run = play(db)
    with db.begin() as connection:
        connection.execute(text("DELETE FROM runs WHERE id = :run"), {"run": run})
    with Session(db) as session:
        for table in (MarkRow, ResultRow, StandingRow):
            assert session.scalars(select(func.count()).select_from(table)).one() == 0


@pytest.mark.parametrize("style", ["direct", "cot"])
def test_a_perfect_model_stands_above_a_noisy_one_above_a_guesser(db, style):
    for kind in ("chance", "perfect", "noisy"):
        play(db, kind, n=60)
    (pool,) = board.list_pools(db)
    standings = board.list_standings(db, board.StandingQuery(pool.id, style)).standings
    assert [one.model.name for one in standings] == ["oracle/perfect", "oracle/noisy", "oracle/chance"]
    assert [(one.rank_low, one.rank_high, one.tie) for one in standings] == [(1, 1, 1), (2, 2, 2), (3, 3, 3)]

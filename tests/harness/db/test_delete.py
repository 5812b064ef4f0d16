"""A run is deleted with all that belongs to it, and the ranks follow."""

import pytest
from sqlalchemy import func, select

from fathom.harness.db import read
from fathom.harness.db.delete import delete_run, removal_of
from fathom.harness.db.leaderboard import read as board
from fathom.harness.db.schema import probes, service  # noqa: F401  # their tables belong to Table.metadata
from fathom.harness.db.schema.runs import Table
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import RunBusy, UnknownRun
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.suites import Selection, open_suite

SUITE = open_suite("quick", 7, Selection(families=("depo",), levels=("n4k1",), n=4))


def run_of(db, kind):
    source = ModelSource(f"oracle/{kind}", None, kind)
    return evaluate(Plan(source, SUITE, RunSettings(engine=EngineSettings("oracle"))), db).run


def count_rows(db):
    with db.connect() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Table.metadata.sorted_tables
            if table.name != "audit"
        }


def test_deleting_leaves_what_was_there_before(db):
    run_of(db, "noisy")
    before, standings = count_rows(db), names(db)
    perfect = run_of(db, "perfect")
    assert names(db) != standings
    removal = removal_of(db, perfect[:8])
    assert (removal.n_samples, removal.is_last_of_model, removal.n_standings > 0) == (SUITE.n_items, True, True)
    delete_run(db, perfect)
    assert (count_rows(db), names(db)) == (before, standings)
    with pytest.raises(UnknownRun):
        read.get_summary(db, perfect)


def names(db):
    (pool,) = board.list_pools(db)
    page = board.list_standings(db, board.StandingQuery(pool.id, "direct"))
    return [(one.model.name, one.rank) for one in page.standings]


def test_an_older_run_takes_the_rank_of_a_deleted_one(db):
    older, newer = run_of(db, "noisy"), run_of(db, "noisy")
    assert not removal_of(db, newer).is_last_of_model
    delete_run(db, newer)
    (pool,) = board.list_pools(db)
    page = board.list_standings(db, board.StandingQuery(pool.id, "direct"))
    assert [one.run for one in page.standings] == [older]


def test_nothing_is_left_of_the_last_run(db):
    empty = count_rows(db)
    delete_run(db, run_of(db, "noisy"))
    assert count_rows(db) == empty


def test_a_live_run_is_not_deleted(db, monkeypatch):
    from fathom.harness.engines import factory
    from fathom.harness.engines.oracle import OracleEngine

    refused = []

    class Deleting(OracleEngine):
        def stream(self, requests):
            (one,) = read.list_runs(db)
            for act in (removal_of, delete_run):
                with pytest.raises(RunBusy):
                    act(db, one.run)
                refused.append(one.run)
            yield from super().stream(requests)

    monkeypatch.setattr(factory, "OracleEngine", Deleting)
    assert set(refused) <= {run_of(db, "noisy")}
    assert refused

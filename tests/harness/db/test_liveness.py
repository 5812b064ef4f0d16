"""A run whose process is gone is shown as interrupted; one that is alive cannot be resumed."""

import dataclasses
import datetime as dt
import subprocess
import sys
import threading

import pytest
from sqlalchemy import func, select, text, update

from fathom.harness.db import read, write
from fathom.harness.db.liveness import (
    LEASE,
    Holder,
    beat,
    check_free,
    end_dead_runs,
    holding,
    is_gone,
    new_holder,
    take_over_run,
)
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.engines.base import Completion
from fathom.harness.errors import RunBusy
from fathom.tasks.base import Verdict
from fathom.tasks.suites import Selection, open_suite

SECOND = dt.timedelta(seconds=1)
SUITE = open_suite("quick", 7, Selection(families=("depo",), levels=("n4k1",), styles=("direct",), n=4))


def start(db, holder):
    origin = write.Origin(None if holder is None else str(holder))
    new = write.NewRun(
        "org/m", "oracle", SUITE, SUITE.digest(), {"decisive": {}, "context": {}}, "0" * 32, origin=origin
    )
    run = write.start_run(db, new)
    cells = [cell.id for cell in read.get_run(db, run).cells]
    done = Completion("k", "x", "stop", 1, 1, 0.0)
    write.record_samples(db, run, cells, [write.Sample(0, 0, 0, "k", done, Verdict(True, "x", "correct"))])
    return run


def age(db, run, seconds):
    """Let the last heartbeat be so old, by the database's clock."""
    with db.begin() as connection:
        now = connection.execute(select(func.now())).scalar_one()
        seen = now.replace(tzinfo=now.tzinfo or dt.UTC) - seconds * SECOND
        connection.execute(update(RunRow).where(RunRow.id == run).values(heartbeat_at=seen))


def elsewhere():
    return dataclasses.replace(new_holder(), host="node7", machine="another-boot.1", token="far")


@pytest.fixture(scope="module")
def dead():
    """A holder on this machine whose process has ended."""
    script = "from fathom.harness.db.liveness import new_holder; print(new_holder())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return Holder.read(done.stdout.strip())


def test_a_holder_is_read_as_it_was_stored():
    one = new_holder()
    assert Holder.read(str(one)) == one
    unknown = dataclasses.replace(one, machine="", started="")
    assert Holder.read(str(unknown)) == unknown
    assert Holder.read("unknown").pid == 0


def test_a_process_of_this_machine_is_gone_as_soon_as_it_does_not_exist(dead):
    mine = new_holder()
    with holding(mine):
        assert not is_gone(mine, 0 * SECOND)
    assert is_gone(mine, 0 * SECOND)  # the attempt ended, though this process lives on
    assert is_gone(dead, 0 * SECOND)
    reused = dataclasses.replace(dead, pid=1)  # another process has the number now
    assert is_gone(reused, 0 * SECOND)


def test_a_process_of_another_machine_is_gone_when_its_lease_ends():
    assert not is_gone(elsewhere(), LEASE - SECOND)
    assert is_gone(elsewhere(), LEASE + SECOND)


def test_a_killed_run_is_interrupted_with_what_it_stored(db, dead):
    run = start(db, dead)
    assert end_dead_runs(db) == 1
    one = read.get_summary(db, run)
    assert (one.state, one.n_done, one.k) == ("interrupted", 1, 1)
    assert f"fathom run --resume {run}" in one.error
    assert end_dead_runs(db) == 0


def test_live_runs_and_those_of_workers_stay_as_they_are(db):
    mine = new_holder()
    with holding(mine):
        runs = [start(db, mine), start(db, elsewhere()), start(db, None)]
        age(db, runs[1], 100)
        assert end_dead_runs(db) == 0
    assert {read.get_summary(db, run).state for run in runs} == {"running"}


def test_a_live_run_is_not_resumed(db):
    run = start(db, elsewhere())
    with pytest.raises(RunBusy, match="node7"):
        take_over_run(db, run, new_holder())
    age(db, run, 130)
    take_over_run(db, run, new_holder())
    assert read.get_summary(db, run).attempts == 2


def test_of_two_resumes_at_once_one_is_refused(db, dead):
    run = start(db, dead)
    holders, ended = [new_holder(), new_holder()], []
    together = threading.Barrier(2)

    def resume(holder):
        together.wait()
        try:
            take_over_run(db, run, holder)
            ended.append("resumed")
        except RunBusy:
            ended.append("refused")

    with holding(holders[0]), holding(holders[1]):
        threads = [threading.Thread(target=resume, args=[holder]) for holder in holders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(ended) == ["refused", "resumed"]
    assert read.get_summary(db, run).attempts == 2


def test_a_process_that_slept_goes_on_unless_another_has_the_run(db):
    first, second = elsewhere(), dataclasses.replace(elsewhere(), token="other")
    run = start(db, first)
    age(db, run, 300)
    assert end_dead_runs(db) == 1
    assert beat(db, run, first)
    assert read.get_summary(db, run).state == "running"
    age(db, run, 300)
    take_over_run(db, run, second)
    assert not beat(db, run, first)
    assert beat(db, run, second)


def test_no_heartbeat_reopens_a_run_that_is_done(db):
    holder = elsewhere()
    run = start(db, holder)
    write.finish_run(db, run, write.Ending("done", 1.0))
    assert not beat(db, run, holder)
    assert read.get_summary(db, run).state == "done"


def test_a_run_that_an_older_version_left_running_is_interrupted(database):
    from fathom.harness.db import engine

    db = engine.make_engine(engine.parse_url(database))
    with db.begin() as connection:
        engine.migrate(connection, "0007")
        connection.execute(text("INSERT INTO models (id, name) VALUES (1, 'm')"))
        suite = "(1, 'd', 'quick', '1', '7', '[]', 'p', '', false)"
        columns = "(id, digest, name, version, seed, cells, pool, season, sealed)"
        connection.execute(text(f"INSERT INTO suites {columns} VALUES {suite}"))
        connection.execute(
            text("""INSERT INTO runs (id, model_id, suite_id, state, engine, manifest, manifest_digest,
            n_items, n_generated, attempts, seconds, created_at)
            VALUES ('abc', 1, 1, 'running', 'vllm', '{}', 'x', 1, 0, 1, 1, '2026-11-23')""")
        )
    engine.upgrade(db)
    assert end_dead_runs(db) == 1
    assert read.get_summary(db, "abc").state == "interrupted"
    db.dispose()


def test_a_free_run_may_be_deleted_or_resumed(db, dead):
    from sqlalchemy.orm import Session

    with Session(db) as session:
        check_free(session, start(db, dead))
        with pytest.raises(RunBusy):
            check_free(session, start(db, elsewhere()))

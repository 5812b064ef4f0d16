"""kill -9 of PostgreSQL in mid-write: the server and the worker live on, and every submission finishes once."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import httpx
import pgserver
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from fathom.harness.db.engine import open_database
from fathom.harness.db.schema.runs import CellRow, RunRow, SampleRow, StandingRow
from fathom.harness.db.schema.service import JobRow, SubmissionRow
from fathom.harness.db.write import utc_now
from fathom.server.accounts.store import local_user
from tests.keys import printed_address

N = 3


@pytest.fixture
def own_postgres():
    """A PostgreSQL of the test's own, to be killed; its URL."""
    with tempfile.TemporaryDirectory(prefix="fathom-postgres-", ignore_cleanup_errors=True) as folder:
        server = pgserver.get_server(Path(folder), cleanup_mode="stop")
        yield server, server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


def submit(db, n):
    owner = local_user(db).id
    row = {
        "kind": "model", "owner_id": owner, "model": "oracle/noisy", "suite": "quick", "engine": "oracle", "state": "validating",
        "created_at": utc_now(), "changed_at": utc_now(),
    }  # fmt: skip
    with Session(db) as session, session.begin():
        session.add_all(SubmissionRow(id=f"s{at}", sha=f"{at:040x}", **row) for at in range(n))


def counts(db):
    """Submissions and jobs by state; samples."""
    with Session(db) as session:
        return (
            dict(session.execute(select(SubmissionRow.state, func.count()).group_by(SubmissionRow.state)).all()),
            dict(session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).all()),
            session.scalar(select(func.count()).select_from(SampleRow)),
        )


def wait_for(what, process, seconds=60):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert process.poll() is None
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    return found


def drained(process):
    """Read what a process says, so that it never waits for a reader; return the lines."""
    lines = []
    threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True).start()
    return lines


def restart(server):
    """Start PostgreSQL on the same folder again, once all processes of the one that was killed have gone."""
    from pgserver._commands import pg_ctl

    folder = server.pgdata
    words = ["-w", "-o", '-h ""', "-o", f"-k {folder}", "-l", str(server.log), "start"]
    for attempt in range(50):
        # where nobody reaps the killed process, its number looks taken
        (folder / "postmaster.pid").unlink(missing_ok=True)
        try:
            pg_ctl(words, pgdata=folder, user=server.system_user, timeout=20)
        except subprocess.CalledProcessError:
            print("not yet", attempt)  # backends of the killed one still hold its memory
            time.sleep(0.2)
        else:
            server._postmaster_info = None
            server.ensure_postgres_running()
            return
    raise AssertionError(server.log.read_text()[-2000:])


@pytest.mark.turns(3)
def test_every_submission_finishes_once_whatever_happens_to_postgresql(own_postgres, start_fathom):
    server, url = own_postgres
    db = open_database(url, create=True)
    submit(db, N)
    board = start_fathom("serve", "--db", url, "--port", 0, "--no-worker")
    address = printed_address(board)
    worker = start_fathom("worker", "--engine", "oracle", "--server", address)
    said, _ = drained(board), drained(worker)
    before = wait_for(lambda: (now := counts(db))[2] > 300 and now, board)
    os.kill(server.get_pid(), signal.SIGKILL)
    with httpx.Client(base_url=address, timeout=30) as client:
        health = wait_for(lambda: (got := client.get("/healthz")).status_code == 503 and got, board)
        down = [client.get(page).status_code for page in ("/", "/runs", "/metrics", "/about")]
        with pytest.raises(OperationalError):
            counts(db)
        restart(server)
        wait_for(lambda: client.get("/healthz").status_code == 200, board, 20)
        after = wait_for(lambda: (now := counts(db))[0] == {"finished": N} and now, board)
        assert worker.poll() is None
        assert client.get("/").status_code == 200
        wait_for(lambda: "oracle/noisy" in client.get("/").text, board)
    print(f"killed at {before}, answers meanwhile {down}, {health.json()}; then {after}")
    print(len(said), "lines of log, of them tracebacks:", sum(line.startswith("Traceback") for line in said))
    assert before[2] < after[2]
    assert set(down) <= {200, 500, 503}
    assert down[0] >= 500
    assert health.json()["reasons"] == ["the database does not answer"]
    assert set(after[1]) == {"done"}
    with Session(db) as session:
        runs = session.execute(select(RunRow.id, RunRow.state, RunRow.n_items, RunRow.n_done, RunRow.layer)).all()
        stored = dict(
            session.execute(select(CellRow.run_id, func.count()).join(SampleRow).group_by(CellRow.run_id)).all()
        )
        standing = session.scalars(select(StandingRow.name).distinct()).all()
    assert len(runs) == 2 * N  # the shared and the fresh seed of each
    for run in runs:
        assert (run.state, run.n_done, stored[run.id]) == ("done", run.n_items, run.n_items)
    assert standing == ["oracle/noisy"]
    db.dispose()

"""`fathom serve` without accounts brings a worker of its own, which ends with it however it ends."""

import datetime as dt
import os
import signal
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy.orm import Session

from fathom.harness.db.schema.service import JobRow
from fathom.harness.db.write import utc_now
from fathom.harness.errors import BadInput
from fathom.harness.service.worker.protocol import ClaimRequest
from fathom.harness.service.worker.worker import worker_name
from fathom.server.accounts.store import local_user
from fathom.server.cli.serve import own_engine
from fathom.server.jobs import leases as jobs
from fathom.server.jobs.workers import list_workers
from fathom.server.submissions.planner import plan_submissions
from fathom.server.submissions.store import NewSubmission, create
from tests.keys import printed_address
from tests.service import until

pytestmark = [pytest.mark.slow, pytest.mark.turns(3, form=2)]


def workers_of(pid):
    """Processes that a server has started as its worker."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for file in children for child in file.read_text().split()]
    return [child for child in found if b"worker.own" in Path(f"/proc/{child}/cmdline").read_bytes()]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def served(start_fathom, tmp_path):
    """Serve an empty board; return the process, its address and its worker's process id."""

    def start(*words, **extra):
        board = start_fathom("serve", "--db", tmp_path / "a.db", "--port", 0, "--engine", "hf", *words, **extra)
        address = printed_address(board)
        told = board.stdout.readline()
        return board, address, told, until(lambda: workers_of(board.pid), 60)[0]

    return start


def idle(address):
    return "transformers, idle" in httpx.get(f"{address}/worker", timeout=30).text


def test_a_worker_starts_is_told_and_is_seen(served):
    _, address, told, _ = served()
    assert told == "a worker with transformers evaluates what you submit; --no-worker declines\n"
    until(lambda: idle(address), 60)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.cases(None)
def test_the_worker_ends_with_its_server_however_that_ends(served, end):
    board, address, _, worker = served()
    until(lambda: idle(address), 60)
    board.send_signal(end)
    board.wait(timeout=30)
    until(lambda: not is_alive(worker), 10)


def test_a_worker_that_dies_is_told_in_a_line_and_started_again(served):
    board, address, _, worker = served()
    until(lambda: idle(address), 60)
    os.kill(worker, signal.SIGKILL)
    line = board.stdout.readline()
    assert line.startswith("the worker ended (exit code -9; ")
    assert line.endswith("starting it again in 1 s\n")
    assert until(lambda: workers_of(board.pid), 60)[0] != worker
    assert httpx.get(address, timeout=30).status_code == 200


def test_two_server_processes_have_one_worker(served):
    board, address, _, worker = served("--workers", 2)
    until(lambda: idle(address), 60)
    assert workers_of(board.pid) == [worker]
    board.terminate()
    board.wait(timeout=30)
    until(lambda: not is_alive(worker), 10)


def test_no_worker_starts_where_it_is_declined_or_where_there_are_accounts(start_fathom, tmp_path, free_port):
    declined = start_fathom("serve", "--db", tmp_path / "a.db", "--port", 0, "--no-worker")
    address = printed_address(declined)
    assert declined.stdout.readline().startswith("no worker evaluates what you submit")
    url = f"http://127.0.0.1:{free_port}"
    settings = {
        "FATHOM_URL": url, "FATHOM_SECRET_KEY": "k" * 40, "FATHOM_OIDC_ISSUER": "http://127.0.0.1:9",
        "FATHOM_OIDC_CLIENT_ID": "x", "FATHOM_OIDC_CLIENT_SECRET": "y",
    }  # fmt: skip
    public = start_fathom("serve", "--db", tmp_path / "b.db", "--port", free_port, **settings)
    assert public.stdout.readline() == f"the board is at {url} (stop with Ctrl-C)\n"
    for one in (address, url):
        until(lambda one=one: httpx.get(f"{one}/healthz", timeout=30).status_code == 200)
    time.sleep(1)
    assert workers_of(declined.pid) == workers_of(public.pid) == []


def test_an_engine_that_cannot_run_here_is_refused():
    assert own_engine(None) in ("vllm", "hf", "")
    for wrong in ("oracle", "openai", "x"):
        with pytest.raises(BadInput, match="--engine"):
            own_engine(wrong)


def test_the_job_of_a_worker_that_is_gone_goes_back_to_the_queue(fresh):
    db, _ = fresh
    create(db, NewSubmission("org/model", "main", "a" * 40, "quick", style="choice"), local_user(db).id, None)
    plan_submissions(db, lambda _db, _season: "7")
    mine = worker_name(8000)
    for name in (mine, "other"):
        jobs.note_worker(db, ClaimRequest(name=name, engine="vllm"))
        assert jobs.claim_job(db, ClaimRequest(name=name, engine="vllm"))
    assert jobs.release_jobs_of(db, mine) == 1
    with Session(db) as session:
        found = {job.lease_owner: (job.state, job.attempt) for job in session.query(JobRow)}
    assert found == {mine: ("queued", 0), "other": ("leased", 0)}


def test_a_worker_is_there_while_it_works_on_a_long_job(fresh):
    db, _ = fresh
    create(db, NewSubmission("org/model", "main", "a" * 40, "quick", style="choice"), local_user(db).id, None)
    plan_submissions(db, lambda _db, _season: "7")
    began = utc_now()
    jobs.note_worker(db, ClaimRequest(name="w", engine="vllm"), lambda: began)
    held = jobs.claim_job(db, ClaimRequest(name="w", engine="vllm"), lambda: began)
    for later, is_live in ((50, True), (70, False)):
        with Session(db) as session:
            (worker,) = list_workers(session, began + dt.timedelta(seconds=later))
        assert (worker.is_live, worker.model, worker.percent) == (is_live, "org/model", 0)
    jobs.extend_lease(db, held.lease, "generating", now=lambda: began + dt.timedelta(seconds=60))
    with Session(db) as session:
        assert list_workers(session, began + dt.timedelta(seconds=70))[0].is_live

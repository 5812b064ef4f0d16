"""Real servers and real workers that are killed, stopped, restarted and cancelled in the middle of a shard."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from fathom.harness.db.schema.service import JobRow, SubmissionRow, WorkerRow
from fathom.harness.db.write import utc_now
from fathom.harness.errors import BadInput
from fathom.harness.service.worker.failures import JobFailed, code_in, code_of
from fathom.harness.service.worker.processes import fetch_files
from fathom.harness.service.worker.protocol import CompletionMessage, FilesToFetch
from fathom.harness.service.worker.worker import Worker, WorkerOptions, start_worker
from fathom.server.jobs import leases as jobs
from fathom.server.jobs.outcomes import cancel_jobs

SECRET = "a-token-that-nobody-may-see"


def runner_of(worker):
    """The process id of a worker's runner, found among the processes of the machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text().split("\0")
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if "fathom.harness.service.worker.runner" in words and int(parent) == worker.pid:
            return int(folder.name)
    return None


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.turns(2)
def test_a_worker_killed_in_mid_shard_loses_nothing_and_doubles_nothing(service):
    name = service.submit()
    service.start()
    worker = service.work()
    pids = []

    def kill(_session):
        pids.append(runner_of(worker))
        worker.kill()
        worker.wait()

    killed = service.freeze(kill)
    before, attempts = service.n_samples(), [job.attempt for job in service.jobs()]
    service.until(lambda: not is_alive(pids[0]), 10)  # the runner died with its parent
    assert {job.id: job.state for job in service.jobs()}[killed] == "leased"

    def lost():  # ninety seconds later; what the worker sent last may still be written, and prolong the lease
        with Session(service.db) as session, session.begin():
            late = update(JobRow).where(JobRow.id == killed, JobRow.state == "leased")
            session.execute(late.values(lease_expires_at=utc_now()))
        jobs.expire_leases(service.db)
        return {job.id: job.state for job in service.jobs()}[killed] == "queued"

    service.until(lost, 10)
    with Session(service.db) as session, session.begin():  # ten seconds later
        session.execute(update(JobRow).values(not_before=utc_now()))
    service.work()
    service.check_whole(name)
    after = service.n_samples()
    print(
        f"kill -9 of the worker: {before} of {service.total} samples before, {after} after, attempts {attempts} -> {[job.attempt for job in service.jobs()]}"
    )
    assert 0 < before < after == service.total
    assert sum(job.attempt for job in service.jobs()) == 1


def test_a_model_is_unloaded_when_no_job_comes(service, tmp_path):
    name = service.submit()
    service.start()
    stop, here = threading.Event(), SimpleNamespace(pid=os.getpid())
    key = service.headers["Authorization"].removeprefix("Bearer ")
    options = WorkerOptions(service.address, key, "oracle", "waiting", tmp_path / "cache", unload_after=0.5)
    thread = threading.Thread(target=Worker(options, stop).run)
    thread.start()
    try:
        service.until(lambda: runner_of(here))
        service.check_whole(name)
        service.until(lambda: runner_of(here) is None, 20)
        again = service.submit(seed="9f3c")
        assert service.wait_for_end(again).state == "finished"
    finally:
        stop.set()
        thread.join(20)


@pytest.mark.turns(2)
def test_a_worker_that_is_told_to_stop_gives_its_lease_back(service):
    service.submit()
    service.start()
    worker = service.work()
    half = service.freeze(lambda _session: worker.send_signal(signal.SIGTERM))
    began = time.monotonic()
    assert worker.wait(timeout=20) == 0, worker.stdout.read()
    assert time.monotonic() - began < 10
    job = next(job for job in service.jobs() if job.id == half)
    assert (job.state, job.attempt, job.lease_token) == ("queued", 0, None)
    assert 0 < job.progress_done < job.progress_total
    assert f"released job={half}" in worker.stdout.read()


@pytest.mark.turns(2)
def test_a_server_killed_in_mid_run_costs_nothing(service):
    name = service.submit()
    service.start()
    worker = service.work()
    service.freeze(lambda _session: service.process.kill())
    service.process.wait()
    before = service.n_samples()
    service.start()
    service.check_whole(name)
    print(f"kill -9 of the server: {before} of {service.total} samples before, {service.n_samples()} after")
    assert {job.attempt for job in service.jobs()} == {0}
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0


def test_a_cancelled_submission_is_dropped_by_its_worker(service):
    name = service.submit()
    service.start()
    worker = service.work("--once")

    def cancel(session):
        session.get_one(SubmissionRow, name).state = "cancelled"
        cancel_jobs(session, name)

    half = service.freeze(cancel)
    before = service.n_samples()
    assert worker.wait(timeout=30) == 0
    assert "was cancelled with its submission" in worker.stdout.read()
    assert service.n_samples() == before
    assert service.work("--once").wait(timeout=30) == 0
    assert service.n_samples() == before
    assert {job.state for job in service.jobs()} == {"cancelled"}
    assert next(job for job in service.jobs() if job.id == half).progress_done == before


def test_the_runner_has_neither_secrets_nor_a_network(service):
    service.submit()
    service.start()
    worker = service.work("--name", "box-1", HF_TOKEN=SECRET, MY_API_KEY=SECRET, VLLM_API_KEY=SECRET)
    found = {}

    def look(_session):
        pid = runner_of(worker)
        found["environment"] = Path(f"/proc/{pid}/environ").read_text()
        found["network"] = Path(f"/proc/{pid}/ns/net").readlink()
        found["interfaces"] = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]

    service.freeze(look)
    worker.kill()
    assert "HF_HUB_OFFLINE=1" in found["environment"]
    assert SECRET not in found["environment"]
    assert not re.search(r"(FATHOM|HF_TOKEN|KEY)", found["environment"])
    assert found["network"] != Path("/proc/self/ns/net").readlink()
    assert [line.split(":")[0].strip() for line in found["interfaces"]] == ["lo"]
    with Session(service.db) as session:
        row = session.get_one(WorkerRow, "box-1")
        assert (row.engine, "cores" in row.facts) == ("oracle", True)


def test_a_process_that_left_the_network_reaches_itself_alone():
    program = """
import socket, json
from fathom.harness.service.worker.isolation import leave_network, can_leave
before = can_leave()
leave_network()
with socket.create_server(("127.0.0.1", 0)) as listener:
    with socket.create_connection(listener.getsockname(), timeout=2): mine = True
try:
    socket.create_connection(("192.0.2.1", 80), timeout=2); out = "connected"
except OSError as error:
    out = type(error).__name__ + str(error.errno)
print(json.dumps([mine, can_leave(), out]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout) == [True, False, "OSError101"], done.stderr


def test_files_are_fetched_by_commit_and_code_is_left_behind(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_opens_everything")
    repo = hub.add(f"org/{tmp_path.name[-20:]}")
    for name in ("modeling.py", "pytorch_model.bin", "evil.pkl", "sub/config.json"):
        repo.push(name, b"{}")
    pinned = repo.sha
    repo.push("config.json", b"changed afterwards")
    wanted = FilesToFetch(
        model=repo.name, sha=pinned, endpoint=hub.url, send_token=False, max_bytes=None, parent=os.getpid()
    )
    folder = fetch_files(wanted, lambda: None)
    names = {file.name for file in folder.rglob("*") if file.is_file()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not any(name.endswith((".py", ".bin", ".pkl")) for name in names)
    assert b"changed" not in (folder / "config.json").read_bytes()
    with pytest.raises(JobFailed, match="too_large"):
        fetch_files(wanted.model_copy(update={"max_bytes": 1000}), lambda: None)


@pytest.mark.parametrize(("traits", "code"), [
    ({"gated": "manual"}, "gated"), ({"private": True}, "missing"),
    pytest.param({"failures": 99, "failure": 503}, "hub_5xx", marks=pytest.mark.full),  # 20 seconds of patience
])  # fmt: skip
@pytest.mark.slow
def test_what_the_hub_refuses_has_a_code(hub, tmp_path, monkeypatch, traits, code):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    repo = hub.add(f"org/refused-{code}", **traits)
    wanted = FilesToFetch(
        model=repo.name, sha=repo.sha, endpoint=hub.url, send_token=False, max_bytes=None, parent=os.getpid()
    )
    with pytest.raises(JobFailed) as caught:
        fetch_files(wanted, lambda: None)
    assert caught.value.code == code, caught.value.tail


@pytest.mark.parametrize(("said", "code"), [
    ("CUDA out of memory. Tried to allocate 2 GiB", "out_of_memory"),
    ("ValueError: No available memory for the cache blocks.", "out_of_memory"),
    ("contains custom code which must be executed; set trust_remote_code=True", "remote_code_required"),
    ("but Transformers does not recognize this architecture", "unsupported_architecture"),
    ("Model architectures ['X'] are not supported for now", "unsupported_architecture"),
    ("cannot use chat template functions because tokenizer.chat_template is not set", "no_chat_template"),
    ("org/x has no *.safetensors file: convert the weights", "no_safetensors"),
    ("probability tensor contains either `inf`, `nan` or element < 0", "nan_logits"),
    ("model.safetensors has 5 bytes, its header promises 7", "bad_model"),
    ("something nobody has seen", "engine_failed"),
])  # fmt: skip
def test_what_engines_say_has_a_code(said, code):
    assert code_in(said) == code


def test_a_fault_is_found_in_what_caused_it():
    outer = RuntimeError("the engine could not load")
    outer.__cause__ = MemoryError()
    assert code_of(outer) == "out_of_memory"


def test_scores_that_are_no_numbers_are_a_fault():
    from fathom.harness.engines.base import Completion

    with pytest.raises(JobFailed, match="nan_logits"):
        CompletionMessage.of(Completion("0/0", " a", "stop", 1, 0, 0.0, (float("nan"), -1.0), (False, False)))
    sent = CompletionMessage.of(Completion("0/0", "\ud800", "stop", 1, 0, 0.0, (float("-inf"), -1.0), (False, False)))
    assert (sent.scores, sent.text) == ((-1e9, -1.0), "?")


@pytest.mark.parametrize(
    "wrong",
    [
        {"server": "ftp://x"},
        {"server": "nonsense"},
        {"engine": "ray", "engine_options": {"address": "127.0.0.1:9"}},
        {"engine": "vllm", "engine_options": {"quantization": "fp8"}},
        {"engine_options": {"replicas": 2}},
        {"name": "a b"},
        {"models": Path("/no/such")},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, tmp_path):
    right = {"server": "http://127.0.0.1:9", "token": "", "engine": "oracle", "name": "w", "cache": tmp_path}
    with pytest.raises(BadInput):
        start_worker(WorkerOptions(**{**right, **wrong}))


def test_a_token_that_the_server_does_not_know_ends_the_worker(service):
    service.start()
    worker = service._start("worker", "--server", service.address, "--engine", "oracle", FATHOM_TOKEN="fathom_wrong")
    assert worker.wait(timeout=30) == 2
    assert "refuses this worker" in worker.stdout.read()


def test_a_broken_model_fails_at_once_with_its_log(service, tmp_path):
    broken = tmp_path / "models" / "org" / "broken"
    broken.mkdir(parents=True)
    (broken / "config.json").write_text('{"model_type": "llama"}')
    (broken / "tokenizer.json").write_text("{}")
    (broken / "model.safetensors").write_bytes(b"\x00" * 20)
    name = service.submit(model="org/broken", engine="hf")
    service.start()
    worker = service.work("--once", "--models", tmp_path / "models", engine="hf")
    assert worker.wait(timeout=60) == 3
    row = service.submission(name)
    assert (row.state, row.error_code, row.quota_returned) == ("failed", "bad_model", False)
    assert "safetensors" in row.error_tail

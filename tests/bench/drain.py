"""Load a board with submissions and let workers finish them: submissions, heartbeats and items a second.

`python -m tests.bench.drain` serves a fresh SQLite database with two processes, submits 200 models of a hub of its own
through the API, and starts 10 workers with the oracle engine; `--postgres` uses a PostgreSQL of its own. A
trigger in that database gives every submission to the oracle. Ends with an error unless each submission
finished exactly once, with exactly its items.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import httpx
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from fathom.harness.db.engine import open_database
from fathom.harness.db.schema.runs import CellRow, RunRow, SampleRow
from fathom.harness.db.schema.service import JobRow, SubmissionRow
from fathom.harness.service.board_key import open_key
from tests.hub import Hub
from tests.keys import headers_of_board

FATHOM = Path(sys.executable).parent / "fathom"
POSTGRES = (
    """CREATE FUNCTION to_oracle() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.engine := 'oracle'; NEW.model := 'oracle/noisy'; RETURN NEW; END $$""",
    "CREATE TRIGGER oracle BEFORE INSERT ON submissions FOR EACH ROW EXECUTE FUNCTION to_oracle()",
)
SQLITE = (
    """CREATE TRIGGER oracle AFTER INSERT ON submissions
    BEGIN UPDATE submissions SET engine = 'oracle', model = 'oracle/noisy' WHERE id = NEW.id; END""",
)


def start(stack, folder, *words, **extra):
    """Start a command whose words go to a file; it is ended with the stack. Return the process and the file."""
    log = folder / f"{words[0]}-{len(list(folder.glob('*.log')))}.log"
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", **extra}
    file = stack.enter_context(log.open("w"))
    process = subprocess.Popen([str(FATHOM), *map(str, words)], stdout=file, stderr=subprocess.STDOUT, env=variables)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process, log


def address_of(process, log):
    """Wait until the board says where it is."""
    while process.poll() is None:
        if found := re.search(r"http://[\w.:]+", log.read_text()):
            return found[0]
        time.sleep(0.1)
    raise SystemExit(log.read_text())


def submit(client, model):
    """Submit a model; return the submission's id."""
    form = {"model": model, "suite": "quick", "style": "choice"}
    while (answer := client.post("/api/v1/submissions", json=form)).status_code == 429:
        time.sleep(0.2)  # a user's checks at the hub are bounded
    if answer.status_code != 201:
        raise SystemExit(f"{answer.status_code}: {answer.text[:500]}")
    return answer.json()["id"]


def visit(client, submissions, stop, times):
    """Read pages one after the other until told to stop; note status and milliseconds."""
    for id_ in cycle(submissions):
        for kind, page in (("/", "/"), ("/queue", "/queue"), ("/submissions/ID", f"/submissions/{id_}")):
            if stop.wait(0.05):
                return
            began = time.perf_counter()
            status = client.get(page).status_code
            times[kind].append((1000 * (time.perf_counter() - began), status))


def drain(db, n, workers, limit):
    """Wait until all have finished; return the seconds."""
    began = last = time.monotonic()
    while True:
        with Session(db) as session:
            states = dict(
                session.execute(select(SubmissionRow.state, func.count()).group_by(SubmissionRow.state)).all()
            )
        if states == {"finished": n}:
            return time.monotonic() - began
        if time.monotonic() - began > limit or states.get("failed") or any(one.poll() is not None for one in workers):
            raise SystemExit(f"stuck: {states}, workers {[one.poll() for one in workers]}")
        if time.monotonic() - last > 15:
            last = time.monotonic()
            print(f"    {last - began:.0f} s: {states}", flush=True)
        time.sleep(0.3)


def check(db, n):
    """Fail unless each submission has its two runs, done, with as many samples as items; return the samples."""
    with Session(db) as session:
        stored = dict(
            session.execute(select(CellRow.run_id, func.count()).join(SampleRow).group_by(CellRow.run_id)).all()
        )
        runs = session.execute(select(RunRow.id, RunRow.state, RunRow.n_items, RunRow.n_done)).all()
        jobs = dict(session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).all())
        ends = dict(
            session.execute(
                text("SELECT subject, count(*) FROM audit WHERE action LIKE '%finished' GROUP BY subject")
            ).all()
        )
    assert len(runs) == 2 * n, len(runs)
    for run in runs:
        assert (run.state, run.n_done, stored[run.id]) == ("done", run.n_items, run.n_items), run
    assert set(jobs) == {"done"}, jobs
    assert set(ends.values()) <= {1}, "a submission finished twice"
    return sum(stored.values()), jobs["done"]


def percentile(values, share):
    """Return the value below which that share lies."""
    values = sorted(values)
    return values[min(int(share * len(values)), len(values) - 1)]


def main():
    """Print what was measured."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--postgres", action="store_true", help="a PostgreSQL of its own instead of SQLite")
    words.add_argument("--submissions", type=int, default=200)
    words.add_argument("--workers", type=int, default=10)
    words.add_argument("--limit", type=float, default=600, help="seconds until jobs count as stuck")
    asked = words.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = f"sqlite:///{folder}/board.db"
        if asked.postgres:
            import pgserver

            server = pgserver.get_server(folder / "postgres", cleanup_mode="stop")
            stack.callback(server.cleanup)
            url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        measure(stack, folder, url, asked)


def measure(stack, folder, url, asked):
    """Submit, drain, check, print."""
    db = open_database(url, create=True)
    stack.callback(db.dispose)
    with db.begin() as connection:
        for statement in POSTGRES if asked.postgres else SQLITE:
            connection.execute(text(statement))
    client, log = open_board(stack, folder, url, asked.submissions)
    began = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        ids = list(pool.map(lambda at: submit(client, f"org/model{at}"), range(asked.submissions)))
    submitting = time.monotonic() - began
    stop, times = threading.Event(), defaultdict(list)
    visitor = threading.Thread(target=visit, args=(client, ids, stop, times))
    visitor.start()
    try:
        workers = [start_worker(stack, folder, client.base_url, url, at) for at in range(asked.workers)]
        draining = drain(db, asked.submissions, workers, asked.limit)
    finally:
        stop.set()
        visitor.join()
    n_samples, n_jobs = check(db, asked.submissions)
    kind = "PostgreSQL" if asked.postgres else "SQLite"
    print(f"{kind}: {asked.submissions} submissions, {asked.workers} workers, 2 processes")
    print(f"  submitted in {submitting:.1f} s, {len(ids) / submitting:.1f} a second, each checked at the hub")
    print(
        f"  drained in {draining:.1f} s: {n_jobs} jobs, {n_samples:,} completions, {n_samples / draining:,.0f} a second, "
        f"{len(ids) / draining:.1f} submissions a second"
    )
    report_answers(log, times, draining)


def open_board(stack, folder, url, n_submissions):
    """Start a hub with models and a board of two processes; return a client that has the key, and the board's log."""
    hub = Hub()
    stack.callback(hub.stop)
    for at in range(n_submissions):
        hub.add(f"org/model{at}")
    words = ("serve", "--db", url, "--port", 0, "--workers", 2, "--log", "json", "--no-worker")
    board, log = start(stack, folder, *words, FATHOM_HUB=hub.url)
    address = address_of(board, log)
    client = stack.enter_context(httpx.Client(base_url=address, headers=headers_of_board(url), timeout=120))
    while client.get("/healthz").status_code != 200:
        time.sleep(0.1)
    return client, log


def start_worker(stack, folder, address, url, number):
    """Start a worker with a cache of its own, let in by the board's key."""
    words = ("worker", "--engine", "oracle", "--server", str(address).rstrip("/"), "--name", f"w{number}")
    settings = {"XDG_CACHE_HOME": str(folder / f"w{number}"), "FATHOM_TOKEN": open_key(url)}
    return start(stack, folder, *words, **settings)[0]


def report_answers(log, times, draining):
    """Print how fast the board answered, and what it answered with an error."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    n_beats = sum(one.get("path", "").endswith("/beat") for one in lines)
    faults = Counter(f"{one['status']} {one['path']}" for one in lines if one.get("status", 0) >= 500)
    print(f"  {n_beats / draining:.1f} beats a second")
    for kind, found in times.items():
        wrong = Counter(status for _, status in found if status != 200)
        ms = [one for one, _ in found]
        middle, slow = (f"{percentile(ms, share):>6,.0f} ms" for share in (0.5, 0.95))
        print(f"  {kind:<16} p50 {middle}  p95 {slow}  {len(ms):>5} times {dict(wrong) or ''}")
    print(
        f"  answers of 500 and above: {dict(faults) or 'none'}; each submission finished once, with exactly its items"
    )


if __name__ == "__main__":
    main()

"""A server in a process of its own, its database, and workers: to be killed, stopped and started again."""

import socket
import time
from uuid import uuid4

import httpx
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import open_database, writing
from fathom.harness.db.schema.runs import CellRow, RunRow, SampleRow
from fathom.harness.db.schema.service import JobRow, SubmissionRow, UserRow
from fathom.harness.db.write import utc_now
from fathom.harness.service.seasons.commitment import PRACTICE_SEED
from fathom.server.submissions import planner as planning
from tests.keys import headers_of_board

TOTAL = 1710 + 342
"""Items of the suite quick, and of its fresh layer."""


def until(found, seconds=90, every=0.05):
    """Wait until `found()` is true, and return it."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(every)
    return value


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Service:
    """A server process that can be killed and started again at its address, and its database."""

    def __init__(self, folder, start_fathom):
        self.url = f"sqlite:///{folder / 'service.db'}"
        self.db = open_database(self.url, create=True)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.extra = {}
        self._start = start_fathom

    @property
    def headers(self):
        """What a program sends: the key of the board."""
        return headers_of_board(self.url)

    total = TOTAL
    until = staticmethod(until)

    def start(self):
        self.process = self._start("serve", "--db", self.url, "--port", self.port, "--no-worker", **self.extra)
        until(self._answers)
        return self

    def _answers(self):
        try:
            return httpx.get(f"{self.address}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def submit(self, seed=PRACTICE_SEED, **traits):
        """Accept a submission and plan it on a seed; return its id."""
        row = {
            "id": uuid4().hex[:8], "kind": "model", "model": "oracle/noisy", "sha": "a" * 40, "suite": "quick",
            "engine": "oracle", "state": "validating", "created_at": utc_now(), "changed_at": utc_now(), **traits,
        }  # fmt: skip
        with Session(self.db) as session, session.begin():
            user = session.scalars(select(UserRow)).first() or UserRow(
                subject="local", name="local", role="admin", created_at=utc_now()
            )
            session.add(user)
            session.flush()
            session.add(SubmissionRow(owner_id=user.id, **row))
        planning.plan_submissions(self.db, lambda _db, _season: seed)
        return row["id"]

    def work(self, *words, engine="oracle", **extra):
        return self._start("worker", "--server", self.address, "--engine", engine, *words, FATHOM_TOKEN="", **extra)

    def submission(self, name):
        with Session(self.db) as session:
            row = session.get_one(SubmissionRow, name)
            session.expunge(row)
            return row

    def jobs(self):
        with Session(self.db) as session:
            rows = session.scalars(select(JobRow).order_by(JobRow.id)).all()
            session.expunge_all()
            return rows

    def n_samples(self):
        with Session(self.db) as session:
            return session.scalar(select(func.count()).select_from(SampleRow))

    def freeze(self, action=None):
        """Wait for a shard that is half done, hold the server's writes, and do something meanwhile; return the job."""
        end = time.monotonic() + 90
        while time.monotonic() < end:
            with writing(self.db) as session:  # looks while it holds the writes, so that no half-done shard slips by
                for job in session.scalars(select(JobRow).where(JobRow.state == "leased")):
                    if 0 < job.progress_done < job.progress_total:
                        found = job.id
                        if action:
                            action(session)
                        return found
            time.sleep(0.005)
        raise AssertionError("no shard was half done in time")

    def wait_for_end(self, name):
        """Wait until a submission has finished or failed; return its row."""
        return until(lambda: (one := self.submission(name)).state in ("finished", "failed") and one, 300)

    def check_whole(self, name):
        """Assert that a submission is finished and has each of its samples once; return its row."""
        row = until(lambda: (one := self.submission(name)).state == "finished" and one)
        with Session(self.db) as session:
            pairs = session.execute(
                select(CellRow.run_id, CellRow.position, SampleRow.index).join(
                    SampleRow, SampleRow.cell_id == CellRow.id
                )
            ).all()
            runs = session.execute(select(RunRow.n_generated, RunRow.n_items, RunRow.n_done, RunRow.state)).all()
        assert len(pairs) == len(set(pairs)) == TOTAL
        for n_generated, n_items, n_done, state in runs:
            assert (n_generated, n_done, state) == (n_items, n_items, "done")
        return row

"""Which process runs a run, whether it is still alive, and the end of runs whose process is gone.

A run has one holder at a time: the process that writes its samples. The holder renews a heartbeat every few seconds. A
run is gone when its heartbeat is older than LEASE, or, on the machine of its holder, as soon as that process does not
exist. Runs of a board's workers have no holder: the leases of their jobs say whether they are alive.
"""

import datetime as dt
import logging
import os
import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Engine, exists, func, select, update
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from fathom.harness.db.engine import translate_errors, writing
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.db.schema.service import SubmissionRow
from fathom.harness.db.write import Ending, end_run, reopen_run
from fathom.harness.errors import RunBusy, StoreError
from fathom.harness.format import duration

log = logging.getLogger(__name__)


EVERY = 10.0
"""Seconds between two heartbeats."""
LEASE = dt.timedelta(seconds=120)
"""Age of a heartbeat from which its run is gone; the clocks of the machines do not matter, only the database's."""

_HELD: set[str] = set()
"""Tokens of the holders that are at work in this process."""


@dataclass(frozen=True, slots=True)
class Holder:
    """One attempt at a run in one process."""

    host: str
    pid: int
    machine: str
    """Boot and process namespace, within which `pid` and `started` name one process; empty where they are unknown."""
    started: str
    """Start of the process, in ticks since the boot."""
    token: str
    """Tells attempts within one process apart."""

    def __str__(self) -> str:
        """Return the text that the database stores."""
        return f"{self.host} {self.pid} {self.machine or '-'} {self.started or '-'} {self.token}"

    @classmethod
    def read(cls, text: str) -> "Holder":
        """Read a stored text; one that cannot be read is a process of which nothing is known."""
        parts = text.split(" ")
        if len(parts) != 5 or not parts[1].isdigit():
            return cls("an unknown machine", 0, "", "", text)
        host, pid, machine, started, token = parts
        return cls(host, int(pid), machine.strip("-"), started.strip("-"), token)


def new_holder() -> Holder:
    """Return a holder for an attempt in this process."""
    host = re.sub(r"[^\w.-]", "-", socket.gethostname())[:64] or "-"
    pid = os.getpid()
    return Holder(host, pid, _machine(), _start_of(pid), secrets.token_hex(8))


@cache
def _machine() -> str:
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return boot + re.sub(r"\D", ".", str(Path("/proc/self/ns/pid").readlink()))
    return ""


def _start_of(pid: int) -> str:
    """Return when a process of this machine started; empty if there is no such process."""
    with suppress(OSError, IndexError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *rest = stat.rpartition(")")[2].split()
        return "" if state in "ZX" else rest[18]  # the 22nd field; a zombie runs nothing
    return ""


def is_gone(holder: Holder, age: dt.timedelta) -> bool:
    """Say whether a holder whose last heartbeat is this old has stopped working."""
    if age > LEASE:
        return True
    if not holder.machine or holder.machine != _machine():
        return False
    if holder.pid == os.getpid():
        return holder.token not in _HELD
    return _start_of(holder.pid) != holder.started


@contextmanager
def holding(holder: Holder) -> Iterator[None]:
    """Count a holder as at work within the block, whatever the database can store of its end."""
    _HELD.add(holder.token)
    try:
        yield
    finally:
        _HELD.discard(holder.token)


def take_over_run(db: Engine, run: str, holder: Holder) -> None:
    """Reopen a run and make this process its holder, in one transaction; see `reopen_run`.

    Raises:
        RunBusy: another process is running it, or a board's workers are.
    """
    with writing(db) as session:
        check_free(session, run)
        reopen_run(session, run)
        session.execute(update(RunRow).where(RunRow.id == run).values(holder=str(holder), heartbeat_at=func.now()))


def check_free(session: Session, run: str) -> None:
    """Lock a run for the caller's transaction; raise RunBusy if it is being run."""
    columns = (RunRow.state, RunRow.holder, RunRow.heartbeat_at, func.now())
    # the row lock makes a second process wait on PostgreSQL; on SQLite the transaction has the whole file
    state, text, seen, now = session.execute(select(*columns).where(RunRow.id == run).with_for_update(of=RunRow)).one()
    if state != "running":
        return
    if seen is None:
        _check_unsent(session, run)
        return
    holder, age = Holder.read(text or ""), _age(seen, now)
    if not is_gone(holder, age):
        raise RunBusy(
            f"run {run} is being run by process {holder.pid} on {holder.host}, seen {duration(age.total_seconds())} "
            "ago: wait until it ends, or stop it first"
        )


def _check_unsent(session: Session, run: str) -> None:
    sent = (SubmissionRow.run_id == run) | (SubmissionRow.fresh_run_id == run)
    if session.execute(select(exists().where(sent))).scalar_one():
        raise RunBusy(f"run {run} belongs to a submission, and the board's workers run it: cancel the submission first")


def _age(seen: dt.datetime, now: dt.datetime) -> dt.timedelta:
    return max(dt.timedelta(0), now.replace(tzinfo=now.tzinfo or dt.UTC) - seen)


def beat(db: Engine, run: str, holder: Holder) -> bool:
    """Renew a run's heartbeat; False where another process holds the run now, or it was deleted.

    A run that was taken for gone, as its machine slept, runs again.
    """
    own = (RunRow.id == run, RunRow.holder == str(holder), RunRow.state.in_(("running", "interrupted")))
    alive = {"heartbeat_at": func.now(), "state": "running", "error": None, "log": None, "finished_at": None}
    with writing(db) as session:
        return bool(session.execute(update(RunRow).where(*own).values(**alive)).rowcount)  # type: ignore[attr-defined]  # a CursorResult


def end_dead_runs(db: Engine) -> int:
    """Store the runs whose process is gone as interrupted, with counts of what they stored; return how many.

    A database that may only be read stays as it is.
    """
    with suppress(StoreError):
        return sum(_end_if_dead(db, run) for run in _dead_runs(db))
    return 0


def _dead_runs(db: Engine) -> list[str]:
    held = select(RunRow.id, RunRow.holder, RunRow.heartbeat_at, func.now())
    with translate_errors(), Session(db) as session:
        found = session.execute(held.where(RunRow.state == "running", RunRow.heartbeat_at.is_not(None))).all()
    return [run for run, holder, seen, now in found if seen and is_gone(Holder.read(holder or ""), _age(seen, now))]


def _end_if_dead(db: Engine, run: str) -> bool:
    with writing(db) as session:
        row = session.get(RunRow, run, with_for_update=True)
        if row is None or row.state != "running" or row.heartbeat_at is None:
            return False
        now, holder, seen = session.execute(select(func.now())).scalar_one(), row.holder, row.heartbeat_at
        if not is_gone(Holder.read(holder or ""), _age(seen, now)):
            return False
        end_run(session, run, Ending("interrupted", 0, _said(run, seen)), lambda: seen)
        # with its holder, a process that only slept can go on
        session.execute(update(RunRow).where(RunRow.id == run).values(holder=holder, heartbeat_at=seen))
        return True


def _said(run: str, seen: dt.datetime) -> str:
    return (
        f"its process ended without a word, last seen {seen:%Y-%m-%d %H:%M} UTC: "
        f"`fathom run --resume {run}` goes on with what is stored"
    )


class HeartbeatThread:
    """Renews a run's heartbeat while its block runs; use as a context manager."""

    def __init__(self, db: Database, run: str, holder: Holder, every: float = EVERY) -> None:
        """Start nothing yet."""
        self._db, self._run, self._holder, self._every = db, run, holder, every
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="fathom-heartbeat", daemon=True)
        self.on_loss: Callable[[BaseException], None] = lambda _: None
        """Called with an error once another process has the run."""

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End the thread."""
        self.stop()

    def stop(self) -> None:
        """End the thread, so that no heartbeat follows the end of the run; a second call changes nothing."""
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stopped.wait(self._every):
            try:
                is_ours = beat(self._db, self._run, self._holder)
            except StoreError as error:  # the run's own writes will say so, or the next heartbeat gets through
                log.warning("run %s: no heartbeat: %s", self._run, error)
                continue
            if not is_ours:
                self.on_loss(
                    RunBusy(f"run {self._run} was deleted, or is being run by another process: this one stops")
                )
                return

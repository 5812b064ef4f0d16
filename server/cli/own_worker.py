"""The worker of `fathom serve`: a child process that is started again when it ends, and stops with the server."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from signal import SIGKILL

from sqlalchemy import Engine

from fathom.harness.errors import FathomError
from fathom.harness.format import shorten, visible
from fathom.harness.service.worker.own import OwnWorker
from fathom.harness.service.worker.worker import worker_name
from fathom.harness.settings import read_worker_settings
from fathom.server.jobs.leases import release_jobs_of

_log = logging.getLogger("fathom.serve")

_FIRST, _LONGEST = 1.0, 60.0
"""Seconds before the worker is started again, and at most; they double in between."""
_STEADY = 60.0
"""Seconds after which a worker counts as having worked, so that the pauses begin anew."""
_TAIL = 20


@dataclass(frozen=True, slots=True)
class OwnWorkerSettings:
    """The board's address and port, the worker's token and engine."""

    address: str
    port: int
    token: str = field(repr=False)
    engine: str


class WorkerKeeper:
    """Keeps one worker process running, from a thread that lives as long as the server (see `die_with_parent`)."""

    def __init__(self, db: Engine, settings: OwnWorkerSettings) -> None:
        """Start nothing yet."""
        self._db, self._settings = db, settings
        self._name = worker_name(settings.port)  # an earlier server on this port has ended, and its worker too
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._keep, name="own worker", daemon=True)

    def start(self) -> None:
        """Start the thread, which starts the worker."""
        self._thread.start()

    def stop(self) -> None:
        """End the worker, and give its job back to the queue."""
        with self._lock:
            self._stopped.set()
            if self._process is not None:
                _kill(self._process)
        self._thread.join(timeout=10)
        with suppress(FathomError):  # the server ends in any case; the lease then runs out
            release_jobs_of(self._db, self._name)

    def _keep(self) -> None:
        pause = _FIRST
        while not self._stopped.is_set():
            began = time.monotonic()
            reason = self._run()
            if self._stopped.is_set():
                return
            pause = _FIRST if time.monotonic() - began > _STEADY else pause
            _log.warning("the worker ended (%s): starting it again in %.0f s", reason, pause)
            self._stopped.wait(pause)
            pause = min(2 * pause, _LONGEST)

    def _run(self) -> str:
        """Run a worker to its end; return why it ended."""
        try:
            release_jobs_of(self._db, self._name)  # of a worker that was killed
            with self._lock:
                if self._stopped.is_set():
                    return "the server stops"
                self._process = process = _start()
        except (FathomError, OSError) as error:
            return visible(shorten(str(error), 200))
        found = read_worker_settings()
        wanted = OwnWorker(
            server=self._settings.address, token=self._settings.token, engine=self._settings.engine, name=self._name,
            cache=found.cache, hub=found.hub, parent=os.getpid(),
        )  # fmt: skip
        with suppress(BrokenPipeError):  # it has ended: its last words say why
            process.stdin.write(wanted.model_dump_json() + "\n")  # type: ignore[union-attr]  # a pipe
            process.stdin.close()  # type: ignore[union-attr]
        last = deque((line.strip() for line in process.stderr or () if line.strip()), maxlen=_TAIL)
        code = process.wait()
        return f"exit code {code}; {visible(shorten(last[-1], 200)) if last else 'no log'}"


def _start() -> subprocess.Popen[str]:
    """Start the process in a session of its own, so that Ctrl-C reaches the server alone."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "fathom.harness.service.worker.own"], stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace",
        start_new_session=True,
    )  # fmt: skip


def _kill(process: subprocess.Popen[str]) -> None:
    """End a worker at once: its runner dies with it, and the server that it would report to is gone."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, SIGKILL)

"""Background tasks of the server: plan submissions, expire leases, rank finished runs.

Each task is idempotent and guarded in the database: any number of server processes may run it at once, and if one is
killed, the next round completes its work.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from fathom.harness.errors import FathomError

log = logging.getLogger(__name__)

EVERY = 15.0
"""Seconds between rounds; `BackgroundThread.wake` starts one at once."""


@dataclass(frozen=True, slots=True)
class BackgroundTask:
    """A named task; `run` returns how many things it did."""

    name: str
    run: Callable[[Engine], int]


class BackgroundThread:
    """A thread that runs tasks in rounds until it is closed."""

    def __init__(self, db: Engine, tasks: Sequence[BackgroundTask], every: float = EVERY) -> None:
        """Start nothing yet."""
        self._db, self._tasks, self._every = db, tasks, every
        self._woken, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="background tasks", daemon=True)
        self._ended: float | None = None

    def start(self) -> None:
        """Start the thread, which begins with a round."""
        self._ended = time.monotonic()
        self._thread.start()

    def age(self) -> float:
        """Return the seconds since the last round ended, or since the start; 0 where the thread never started."""
        return 0.0 if self._ended is None else time.monotonic() - self._ended

    def wake(self) -> None:
        """Start a round now."""
        self._woken.set()

    def close(self) -> None:
        """Stop after the current task."""
        self._closed.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=60)

    def round(self) -> None:
        """Run all tasks once; one that fails is logged, and runs again in the next round."""
        for task in self._tasks:
            if self._closed.is_set():
                return
            try:
                done = task.run(self._db)
                if done:
                    log.info("%s: %d", task.name, done)
            except FathomError as error:
                log.error("%s: %s", task.name, error)
            except Exception:
                log.exception("%s failed", task.name)

    def _work(self) -> None:
        while not self._closed.is_set():
            self._woken.clear()
            self.round()
            self._ended = time.monotonic()
            self._woken.wait(self._every)

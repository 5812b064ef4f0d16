"""Do in the background what no visitor should wait for: plan submissions, take back leases, land runs.

Each chore is idempotent and guarded in the database, so any number of server processes may do them at once, and one
that is killed leaves nothing that the next round does not make good.
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
"""Seconds between rounds; `Housekeeper.wake` starts one at once."""


@dataclass(frozen=True, slots=True)
class Chore:
    """One thing to do, whole; it returns how much it did."""

    name: str
    do: Callable[[Engine], int]


class Housekeeper:
    """A thread that does chores until it is closed."""

    def __init__(self, db: Engine, chores: Sequence[Chore], every: float = EVERY) -> None:
        """Start nothing yet."""
        self._db, self._chores, self._every = db, chores, every
        self._woken, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="housekeeper", daemon=True)
        self._ended: float | None = None

    def start(self) -> None:
        """Begin with a round."""
        self._ended = time.monotonic()
        self._thread.start()

    def age(self) -> float:
        """Return the seconds since the last round ended, or the first began; 0 where it was never started."""
        return 0.0 if self._ended is None else time.monotonic() - self._ended

    def wake(self) -> None:
        """Ask for a round now."""
        self._woken.set()

    def close(self) -> None:
        """Stop after the chore in hand."""
        self._closed.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=60)

    def round(self) -> None:
        """Do all chores once; one that fails is logged, and tried again in the next round."""
        for chore in self._chores:
            if self._closed.is_set():
                return
            try:
                done = chore.do(self._db)
                if done:
                    log.info("%s: %d", chore.name, done)
            except FathomError as error:
                log.error("%s: %s", chore.name, error)
            except Exception:
                log.exception("%s failed", chore.name)

    def _work(self) -> None:
        while not self._closed.is_set():
            self._woken.clear()
            self.round()
            self._ended = time.monotonic()
            self._woken.wait(self._every)

"""The heartbeat of a run: a thread that tells the database that this process is alive."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sqlalchemy import Engine as Database

from fathom.harness.db.liveness import EVERY, Holder, beat
from fathom.harness.errors import RunBusy, StoreError

log = logging.getLogger(__name__)


class Heartbeat:
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

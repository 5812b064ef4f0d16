"""Store how an attempt at a run ends, whatever ends it, and name the run in what is raised."""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from harness.db.write import Ending
from harness.errors import EngineFailed, FathomError, Interrupted, RunChanged, StoreError
from harness.provenance import Manifest

LOG_TAIL = 20_000
"""Characters of a failed run's log that are kept."""


@contextmanager
def recorded(run: str, end: Callable[[Ending], None]) -> Iterator[None]:
    """Let `end` store an attempt that fails or is stopped; one that succeeds stores its end itself.

    Raises:
        Interrupted: the user stopped it.
        FathomError: as it came; anything else is an EngineFailed. Each knows the run.
    """
    began = time.monotonic()

    def store(state: str, said: str) -> None:
        with suppress(StoreError):  # a full disk may refuse this as well; the samples are safe either way
            end(Ending(state, time.monotonic() - began, said, traceback.format_exc()[-LOG_TAIL:]))

    try:
        yield
    except KeyboardInterrupt as stop:
        store("interrupted", "stopped by the user")
        raise Interrupted(run) from stop
    except FathomError as error:
        store("failed", str(error))
        error.run = run
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        store("failed", said)
        failed = EngineFailed(f"the run stopped: {said}")
        failed.run = run
        raise failed from error


class Stored(Protocol):
    """A stored run of either kind."""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """JSON of a Manifest."""

    @property
    def manifest_digest(self) -> str:
        """Its digest."""


def check_unchanged(run: str, stored: Stored, now: Manifest) -> None:
    """Raise RunChanged unless a stored run was started with what decides the numbers now."""
    if stored.manifest_digest == now.digest():
        return
    before = stored.manifest["decisive"]
    changed = ", ".join(name for name, value in now.decisive.items() if before.get(name) != value)
    raise RunChanged(
        f"run {run} was started with another {changed}: its samples would not fit together; "
        "start a new run, or go back to what it was started with"
    )

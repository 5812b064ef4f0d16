"""The worker process that `fathom serve` starts for its own board: it ends with the server, however that ends.

It reads `OwnWorker` from standard input.
"""

import os
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from fathom.harness.errors import EngineFailed
from fathom.harness.service.worker import isolation
from fathom.harness.service.worker.worker import WorkerOptions, start_worker


class OwnWorker(BaseModel):
    """Server to its worker: where the server is, and how to be let in. `parent` is the server's process id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    server: str
    token: str = Field(repr=False)
    engine: str
    name: str
    cache: Path
    hub: str
    parent: int


def _can_isolate() -> bool:
    """Say whether the kernel gives a process a network of its own; tried in a process that ends at once."""
    child = os.fork()
    if child == 0:
        try:
            isolation.leave_network()
        except (EngineFailed, OSError):
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _main() -> int:
    wanted = OwnWorker.model_validate_json(sys.stdin.readline())
    isolation.die_with_parent(wanted.parent)
    options = WorkerOptions(
        wanted.server, wanted.token, wanted.engine, wanted.name, wanted.cache, hub=wanted.hub, folders=True,
        # without a network of its own a model runs here as `fathom run` runs it
        isolate=_can_isolate(),
    )  # fmt: skip
    return start_worker(options)


if __name__ == "__main__":
    sys.exit(_main())

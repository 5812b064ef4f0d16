"""Turn a Ray cluster, found or started here, into places where replicas live. The only file that imports Ray."""

import logging
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fathom.harness.engines.ray.replica import Replica
from fathom.harness.errors import EngineFailed
from fathom.harness.settings import quiet_ray, ray_address

quiet_ray()  # Ray reads these when it is imported

import ray  # noqa: E402
from ray._private.services import find_bootstrap_address  # noqa: E402
from ray.exceptions import RayError, RayTaskError  # noqa: E402

log = logging.getLogger(__name__)

_CALLS = 4
"""Calls that an actor answers at once: one waits for completions while others come in."""
_POLL = 0.5
_PATIENCE = 5.0
_STORE = 200 << 20
"""Bytes for objects on their way in a cluster that is started here; requests and completions are small."""


@dataclass(frozen=True, slots=True)
class ReplicaResources:
    """What a replica takes of a node; `cores` as in replica.Wanted."""

    cpus: float
    gpus: float
    cores: tuple[int, int] | None = None

    def __str__(self) -> str:
        """Write both as people do."""
        return f"{self.cpus:g} CPU" + (f", {self.gpus:g} GPU" if self.gpus else "")


class Cluster:
    """A connection to a Ray cluster; one a process."""

    def __init__(self, address: str | None) -> None:
        """Use the connection that there is; else connect as `_address_of` says, where `local` starts a cluster here.

        Raises:
            EngineFailed: no cluster at the address, or none could be started.
        """
        self._mine = not ray.is_initialized()
        logging.getLogger("ray").setLevel(logging.ERROR)
        if not self._mine:
            return
        try:
            _connect(_address_of(address))
        except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
            raise EngineFailed(
                f"no Ray cluster: {str(error).strip()[:500]}; leave out the address to start one on this machine"
            ) from error

    @property
    def version(self) -> str:
        """Return Ray's version."""
        return str(ray.__version__)

    def n_nodes(self) -> int:
        """Return how many nodes are up."""
        return sum(node["Alive"] for node in ray.nodes())

    def n_gpus(self) -> int:
        """Return how many GPUs the cluster has, free or not."""
        return int(ray.cluster_resources().get("GPU", 0))

    def n_cpus(self) -> float:
        """Return how many cores the cluster has, free or not."""
        return float(ray.cluster_resources().get("CPU", 1))

    def fits(self, place: ReplicaResources) -> bool:
        """Say whether any node is large enough, free or not."""
        sizes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return any(one.get("CPU", 0) >= place.cpus and one.get("GPU", 0) >= place.gpus for one in sizes)

    def start(self, place: ReplicaResources) -> Any:  # an actor handle: Ray makes its methods at run time
        """Ask for an actor with a Replica; it waits for room by itself."""
        options = {"num_cpus": place.cpus, "num_gpus": place.gpus, "max_concurrency": _CALLS, "max_restarts": 0}
        return ray.remote(Replica).options(scheduling_strategy="SPREAD", **options).remote()

    def end(self, actor: Any) -> None:
        """End an actor at once."""
        if ray.is_initialized():
            ray.kill(actor)

    def ready(self, calls: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
        """Yield (what a call stands for, call) for calls that are answered; wait a moment for the first."""
        if not calls:
            return
        refs = list(calls)
        some, rest = ray.wait(refs, timeout=_POLL)
        more = ray.wait(rest, num_returns=len(rest), timeout=0)[0] if some and rest else []
        yield from ((calls[ref], ref) for ref in [*some, *more])

    def get(self, call: Any) -> Any:
        """Return the answer to a call, or the exception that is its answer."""
        try:
            return ray.get(call)
        except RayTaskError as error:
            return error.cause if isinstance(error.cause, Exception) else error
        except RayError as error:
            return error

    def close(self) -> None:
        """End the cluster if it was started here, else leave it."""
        if self._mine and ray.is_initialized():
            ray.shutdown()


def _address_of(wanted: str | None) -> str:
    """Return where to connect: what was asked for, else RAY_ADDRESS, else where `ray start` was called, else `local`.

    Raises:
        ConnectionError: nobody listens there. Ray itself would try for minutes, and then end the process.
    """
    found = wanted if wanted not in (None, "auto") else ray_address()
    if found == "local":
        return found
    if found:
        if not _is_up(found):
            raise ConnectionError(f"nobody listens at {found}")
        return found
    here = str(find_bootstrap_address(None) or "")
    if here and _is_up(here):
        return here
    if wanted == "auto":
        raise ConnectionError("none is up on this machine, and RAY_ADDRESS names none")
    return "local"


def _is_up(address: str) -> bool:
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_PATIENCE):
            return True
    except (OSError, ValueError):
        return False


def _connect(address: str) -> None:
    mine: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _STORE} if address == "local" else {}
    _hush()
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, namespace="fathom", **mine)


def _hush() -> None:
    """Let Ray write to our log what it prints, whatever it is told, whenever an actor dies."""
    from ray._private import worker

    def write(data: Any, ignore_prefix: bool) -> None:  # noqa: ARG001  # the names are Ray's
        log.info("%s", " ".join(str(line) for line in data.get("lines", ())))

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = write

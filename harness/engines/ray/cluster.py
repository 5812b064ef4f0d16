"""A Ray cluster, found or started here, that runs replicas. The only file that imports Ray."""

import logging
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fathom.harness.engines.ray.replica import Replica
from fathom.harness.errors import EngineFailed
from fathom.harness.settings import quiet_ray, ray_address

quiet_ray()  # before the import, when Ray reads its environment

import ray  # noqa: E402
from ray._private.services import find_bootstrap_address  # noqa: E402
from ray.exceptions import RayError, RayTaskError  # noqa: E402

log = logging.getLogger(__name__)

_ACTOR_CALLS = 4
"""Concurrent calls of an actor: one waits for completions while others add requests."""
_POLL = 0.5
"""Seconds to wait for an answer."""
_CONNECT_TIMEOUT = 5.0
_STORE_BYTES = 200 << 20
"""Of the object store of a cluster that is started here; requests and completions are small."""


@dataclass(frozen=True, slots=True)
class ReplicaResources:
    """Resources of a replica; `cores` as in ReplicaSpec."""

    cpus: float
    gpus: float
    cores: tuple[int, int] | None = None

    def __str__(self) -> str:
        """Return both in words."""
        return f"{self.cpus:g} CPU" + (f", {self.gpus:g} GPU" if self.gpus else "")


class Cluster:
    """The connection to a Ray cluster, one a process."""

    def __init__(self, address: str | None) -> None:
        """Use an open connection, or connect to the address that `_address_of` returns; `local` starts a cluster here.

        Raises:
            EngineFailed: there is no cluster at the address, or none could be started.
        """
        self._is_ours = not ray.is_initialized()
        logging.getLogger("ray").setLevel(logging.ERROR)
        if not self._is_ours:
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

    def fits(self, needed: ReplicaResources) -> bool:
        """Return whether any node is large enough, free or not."""
        sizes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return any(one.get("CPU", 0) >= needed.cpus and one.get("GPU", 0) >= needed.gpus for one in sizes)

    def start(self, needed: ReplicaResources) -> Any:  # an actor handle: Ray makes its methods at run time
        """Request an actor with a Replica; Ray starts it when there is room."""
        options = {"num_cpus": needed.cpus, "num_gpus": needed.gpus, "max_concurrency": _ACTOR_CALLS, "max_restarts": 0}
        return ray.remote(Replica).options(scheduling_strategy="SPREAD", **options).remote()

    def end(self, actor: Any) -> None:
        """Kill an actor."""
        if ray.is_initialized():
            ray.kill(actor)

    def ready(self, calls: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
        """Yield (value, call) for answered calls, given values by call; wait briefly for the first."""
        if not calls:
            return
        refs = list(calls)
        some, rest = ray.wait(refs, timeout=_POLL)
        more = ray.wait(rest, num_returns=len(rest), timeout=0)[0] if some and rest else []
        yield from ((calls[ref], ref) for ref in [*some, *more])

    def get(self, call: Any) -> Any:
        """Return the answer to a call, or the exception that it raised."""
        try:
            return ray.get(call)
        except RayTaskError as error:
            return error.cause if isinstance(error.cause, Exception) else error
        except RayError as error:
            return error

    def close(self) -> None:
        """Stop the cluster if it was started here."""
        if self._is_ours and ray.is_initialized():
            ray.shutdown()


def _address_of(wanted: str | None) -> str:
    """Return the address to connect to: `wanted`, else RAY_ADDRESS, else that of `ray start` here, else `local`.

    Raises:
        ConnectionError: nothing listens there. Ray itself would retry for minutes and then end the process.
    """
    found = wanted if wanted not in (None, "auto") else ray_address()
    if found == "local":
        return found
    if found:
        if not _is_up(found):
            raise ConnectionError(f"nothing listens at {found}")
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
        with socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT):
            return True
    except (OSError, ValueError):
        return False


def _connect(address: str) -> None:
    ours: dict[str, Any] = (
        {"include_dashboard": False, "object_store_memory": _STORE_BYTES} if address == "local" else {}
    )
    _redirect_output()
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, namespace="fathom", **ours)


def _redirect_output() -> None:
    """Write to our log what Ray prints when an actor dies, which its settings cannot turn off."""
    from ray._private import worker

    def write(data: Any, ignore_prefix: bool) -> None:  # noqa: ARG001  # the names are Ray's
        log.info("%s", " ".join(str(line) for line in data.get("lines", ())))

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = write

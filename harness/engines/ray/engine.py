"""The engine ray: replicas of another engine on a Ray cluster get requests, die, and are replaced.

scheduler.py decides which replica gets which requests; replica.py runs in the actors.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from math import prod
from typing import Any

from fathom.harness.engines.base import Completion, EngineSettings, RenderedPrompt, Request
from fathom.harness.engines.model import ModelSource, commit_of, folder_outline
from fathom.harness.engines.options import inner_settings
from fathom.harness.engines.ray.cluster import Cluster, ReplicaResources
from fathom.harness.engines.ray.replica import OpenEngine, ReplicaFacts, ReplicaOutput, ReplicaSpec
from fathom.harness.engines.ray.scheduler import Scheduler
from fathom.harness.errors import EngineFailed, FathomError
from fathom.harness.settings import replica_environment

log = logging.getLogger(__name__)

_MAX_FRUITLESS_DEATHS = 6
"""Deaths without a completion in between that end the run; those while loading count twice."""
_ROOM_TIMEOUT = 60.0
"""Seconds to wait for a node that is large enough."""
_STEP_TIMEOUT = 900.0
"""Seconds without a step after which a replica with requests counts as dead."""
_CHECK_INTERVAL = 1.0
"""Seconds between checks of the cluster."""
_MAX_BACKOFF = 60.0
"""Longest pause in seconds before a replica is replaced; it doubles with each death without a completion."""


@dataclass(slots=True)
class _Member:
    """A replica from its start to its end; `call` is the one that it answers next."""

    name: str
    slot: int
    actor: Any
    call: Any
    loaded: ReplicaFacts | None = None
    is_leaving: bool = False
    pulse: int = 0
    last_step: float = field(default_factory=time.monotonic)


class RayEngine:
    """Replicas of an engine on the GPUs or nodes of a cluster."""

    def __init__(self, model: ModelSource, engine: EngineSettings, load: OpenEngine) -> None:
        """Connect to a cluster, or start one on this machine, and load the first replica; others join later.

        `load` opens an engine in each replica; it must be importable there by its name.

        Raises:
            EngineFailed: there is no cluster or no room in it, or no replica could load the model.
        """
        inner = inner_settings(engine)
        options = dict(inner.options)
        self._inner = inner.name
        self._replicas: int | None = engine.options.get("replicas")
        self._group = prod(int(options.get(name, 1)) for name in ("tensor_parallel_size", "pipeline_parallel_size"))
        if self._group > 1:  # within a replica, vLLM itself uses several GPUs of a node
            options.setdefault("distributed_executor_backend", "mp")
        outline = "" if model.path is None else folder_outline(model.path)
        self._spec = ReplicaSpec(
            model,
            outline,
            commit_of(model.path),
            replace(inner, options=options),
            replica_environment(),
            load,
        )
        self._members: dict[str, _Member] = {}
        self._numbers = count(1)
        self._fruitless_deaths = 0
        self._checked = self._not_before = 0.0
        self._last_error: Exception | None = None
        self._cluster = Cluster(engine.options.get("address"))
        try:
            self._first = self._wait_for_first()
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """Return "ray"."""
        return "ray"

    @property
    def context(self) -> int:
        """Return the context of the engine inside a replica."""
        return self._first.context

    @property
    def n_ready(self) -> int:
        """Return how many replicas have loaded the model and are not leaving."""
        return sum(one.loaded is not None and not one.is_leaving for one in self._members.values())

    def facts(self) -> Mapping[str, str]:
        """Return Ray's version, the numbers of replicas and nodes, the inner engine and its facts."""
        return {
            **self._first.facts,
            "ray": self._cluster.version,
            "replicas": str(self._desired()),
            "nodes": str(self._cluster.n_nodes()),
            "inner": self._inner,
        }

    def render(self, request: Request) -> RenderedPrompt:
        """Return a request as the model reads it; only the prompt if the inner engine cannot tell."""
        for one in self._members.values():
            if one.loaded is not None:
                seen = self._cluster.get(one.actor.render.remote(request))
                if isinstance(seen, RenderedPrompt):
                    return seen
        return RenderedPrompt(request.prompt, ())

    def scale(self, replicas: int | None) -> None:
        """Change the number of replicas; None for one a GPU or group of GPUs."""
        self._replicas, self._checked = replicas, 0.0

    def stream(self, requests: Iterator[Request]) -> Iterator[list[Completion]]:
        """Complete requests on all replicas; each gets more when it has room."""
        scheduler = Scheduler(requests, self._first.width)
        for one in self._members.values():
            one.last_step = time.monotonic()
            if one.loaded is not None:
                scheduler.join(one.name)
        while not scheduler.done:
            self._adjust(scheduler)
            for one in self._members.values():
                self._hand_out(one, scheduler)
            for one, call in self._cluster.ready({one.call: one for one in self._members.values()}):
                if done := self._take_answer(one, call, scheduler):
                    yield done
            self._remove_leaving(scheduler)

    def close(self) -> None:
        """Stop the replicas, and the cluster if it was started here."""
        for one in self._members.values():
            self._cluster.end(one.actor)
        self._members.clear()
        self._cluster.close()

    def _wait_for_first(self) -> ReplicaFacts:
        """Return the facts of the first replica that has loaded the model."""
        nothing, began = Scheduler(iter(()), 1), time.monotonic()
        while True:
            self._adjust(nothing)
            for one, call in self._cluster.ready({one.call: one for one in self._members.values()}):
                self._take_answer(one, call, nothing)
                first: ReplicaFacts | None = one.loaded
                if first is not None:
                    return first
            if not self._members and isinstance(self._last_error, FathomError):
                raise self._last_error  # all replicas failed with an error of ours: a retry would not help
            if time.monotonic() - began > _ROOM_TIMEOUT and not self._cluster.fits(self._resources(0)):
                raise EngineFailed(
                    f"no node of the cluster is large enough for a replica ({self._resources(0)}): add one that is"
                )

    def _adjust(self, scheduler: Scheduler) -> None:
        """Start missing replicas and let surplus ones leave.

        Raises:
            EngineFailed: replicas die before they complete anything.
        """
        now = time.monotonic()
        if now - self._checked < _CHECK_INTERVAL:
            return
        self._checked = now
        if self._fruitless_deaths >= _MAX_FRUITLESS_DEATHS and not self.n_ready:
            raise EngineFailed(f"replicas die before they complete anything; the last error: {self._last_error}")
        staying = [one for one in self._members.values() if not one.is_leaving]
        desired = self._desired()
        for _ in range(desired - len(staying) if now >= self._not_before else 0):
            self._start()
        by_use = sorted(staying, key=lambda one: (one.loaded is not None, scheduler.n_held(one.name)))
        for one in by_use[: max(0, len(staying) - desired)]:
            one.is_leaving = True
            if one.loaded is None:
                self._remove(one, scheduler)

    def _desired(self) -> int:
        if self._replicas is not None:
            return self._replicas
        return max(1, self._cluster.n_gpus() // self._group) if self._wants_gpu() else 1

    def _wants_gpu(self) -> bool:
        return self._inner != "oracle" and self._cluster.n_gpus() > 0

    def _resources(self, slot: int) -> ReplicaResources:
        if self._wants_gpu():
            return ReplicaResources(1.0, float(self._group))
        share = self._cluster.n_cpus() / self._desired()
        if share < 1 or self._inner == "oracle":
            return ReplicaResources(min(1.0, share), 0.0)
        alone = self._cluster.n_nodes() == 1
        return ReplicaResources(float(int(share)), 0.0, (slot, int(share)) if alone else None)

    def _start(self) -> None:
        taken = {one.slot for one in self._members.values()}
        slot = next(at for at in count() if at not in taken)
        resources = self._resources(slot)
        name = f"replica-{next(self._numbers)}"
        actor = self._cluster.start(resources)
        log.info("%s starts with %s", name, resources)
        call = actor.load.remote(replace(self._spec, cores=resources.cores))
        self._members[name] = _Member(name, slot, actor, call)

    def _hand_out(self, one: _Member, scheduler: Scheduler) -> None:
        if one.loaded is None or one.is_leaving:
            return
        if not scheduler.n_held(one.name):
            one.last_step = time.monotonic()
        while some := scheduler.give(one.name):
            one.actor.give.remote(some)

    def _take_answer(self, one: _Member, call: Any, scheduler: Scheduler) -> list[Completion]:
        """Take a replica's answer; remove the replica if it is dead."""
        answer = self._cluster.get(call)
        if isinstance(answer, Exception):
            return self._remove_dead(one, answer, scheduler)
        if isinstance(answer, ReplicaFacts):
            log.info("%s has loaded the model", one.name)
            one.loaded, one.last_step = answer, time.monotonic()
            scheduler.join(one.name)
            done: list[Completion] = []
        else:
            done = self._count(one, answer, scheduler)
            if scheduler.n_held(one.name) and time.monotonic() - one.last_step > _STEP_TIMEOUT:
                return self._remove_dead(one, EngineFailed(f"no step in {_STEP_TIMEOUT:.0f} s"), scheduler)
        one.call = one.actor.take.remote(1.0)
        return done

    def _count(self, one: _Member, output: ReplicaOutput, scheduler: Scheduler) -> list[Completion]:
        if output.pulse != one.pulse:
            one.pulse, one.last_step = output.pulse, time.monotonic()
        done = scheduler.take(output.completions)
        if done:
            self._fruitless_deaths = 0
        return done

    def _remove_dead(self, one: _Member, error: Exception, scheduler: Scheduler) -> list[Completion]:
        n_held = scheduler.n_held(one.name)
        lost = f"died with {n_held} requests, which are given to others" if one.loaded else "did not start"
        log.warning("%s %s: %s", one.name, lost, str(error).partition("\n")[0][:300])
        self._last_error = error
        self._fruitless_deaths += 1 if one.loaded else 2
        self._not_before = time.monotonic() + min(_MAX_BACKOFF, 2.0**self._fruitless_deaths - 2)
        return self._remove(one, scheduler)

    def _remove_leaving(self, scheduler: Scheduler) -> None:
        """Remove leaving replicas that have no requests left."""
        for one in list(self._members.values()):
            if one.is_leaving and not scheduler.n_held(one.name):
                self._remove(one, scheduler)

    def _remove(self, one: _Member, scheduler: Scheduler) -> list[Completion]:
        self._members.pop(one.name, None)
        self._cluster.end(one.actor)
        return scheduler.lose(one.name)

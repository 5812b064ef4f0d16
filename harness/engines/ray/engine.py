"""Turn prompts into completions on a Ray cluster: replicas of another engine pull batches, die, and are replaced.

See scheduler.py for who works on what, and replica.py for what runs in an actor.
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

_BARREN = 6
"""Deaths, those while loading counted twice, without a completion in between, that end the run."""
_ROOM = 60.0
"""Seconds after which a cluster without a node that is large enough is given up."""
_SILENCE = 900.0
"""Seconds without a step after which a replica that has work is taken for dead."""
_TEND = 1.0
_LONGEST = 60.0
"""Seconds before a replica is replaced, at most; after each death without a completion they double."""


@dataclass(slots=True)
class _Member:
    """A replica from its birth to its death; `waits` is the call that it answers next."""

    name: str
    slot: int
    actor: Any
    waits: Any
    loaded: ReplicaFacts | None = None
    leaving: bool = False
    pulse: int = 0
    moved: float = field(default_factory=time.monotonic)


class RayEngine:
    """Replicas of an engine on the GPUs or nodes of a cluster."""

    def __init__(self, model: ModelSource, engine: EngineSettings, load: OpenEngine) -> None:
        """Connect to a cluster, or start one on this machine, and load the first replica; others join later.

        `load` opens an engine in each replica; it is sent there by its name.

        Raises:
            EngineFailed: no cluster, no room in it, or no replica could load the model.
        """
        inner = inner_settings(engine)
        options = dict(inner.options)
        self._inner = inner.name
        self._replicas: int | None = engine.options.get("replicas")
        self._group = prod(int(options.get(name, 1)) for name in ("tensor_parallel_size", "pipeline_parallel_size"))
        if self._group > 1:  # within a replica vLLM spreads over the GPUs of one node by itself
            options.setdefault("distributed_executor_backend", "mp")
        outline = "" if model.path is None else folder_outline(model.path)
        self._wanted = ReplicaSpec(
            model,
            outline,
            commit_of(model.path),
            replace(inner, options=options),
            replica_environment(),
            load,
        )
        self._members: dict[str, _Member] = {}
        self._numbers = count(1)
        self._barren = 0
        self._tended = self._not_before = 0.0
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
        """Return how many replicas have loaded the model and stay."""
        return sum(one.loaded is not None and not one.leaving for one in self._members.values())

    def facts(self) -> Mapping[str, str]:
        """Return Ray's version, replicas wanted, nodes, the engine inside and its own facts."""
        return {
            **self._first.facts,
            "ray": self._cluster.version,
            "replicas": str(self._desired()),
            "nodes": str(self._cluster.n_nodes()),
            "inner": self._inner,
        }

    def render(self, request: Request) -> RenderedPrompt:
        """Return what the model reads for a request; the prompt alone where the engine inside does not know."""
        for one in self._members.values():
            if one.loaded is not None:
                seen = self._cluster.get(one.actor.render.remote(request))
                if isinstance(seen, RenderedPrompt):
                    return seen
        return RenderedPrompt(request.prompt, ())

    def scale(self, replicas: int | None) -> None:
        """Want so many replicas from now on; None: one a GPU, or one a group of them."""
        self._replicas, self._tended = replicas, 0.0

    def pids(self) -> list[int]:
        """Return the process ids of the replicas that have loaded the model."""
        return [one.loaded.pid for one in self._members.values() if one.loaded]

    def stream(self, requests: Iterator[Request]) -> Iterator[list[Completion]]:
        """Complete requests on all replicas; whoever has room gets more."""
        plan = Scheduler(requests, self._first.width)
        for one in self._members.values():
            one.moved = time.monotonic()
            if one.loaded is not None:
                plan.join(one.name)
        while not plan.done:
            self._tend(plan)
            for one in self._members.values():
                self._hand_out(one, plan)
            for one, waited in self._cluster.ready({one.waits: one for one in self._members.values()}):
                if done := self._hear(one, waited, plan):
                    yield done
            self._part(plan)

    def close(self) -> None:
        """End the replicas, and the cluster if it was started here."""
        for one in self._members.values():
            self._cluster.end(one.actor)
        self._members.clear()
        self._cluster.close()

    def _wait_for_first(self) -> ReplicaFacts:
        """Return what the first replica says that has loaded the model."""
        nothing, began = Scheduler(iter(()), 1), time.monotonic()
        while True:
            self._tend(nothing)
            for one, waited in self._cluster.ready({one.waits: one for one in self._members.values()}):
                self._hear(one, waited, nothing)
                first: ReplicaFacts | None = one.loaded
                if first is not None:
                    return first
            if not self._members and isinstance(self._last_error, FathomError):
                raise self._last_error  # all that were begun say so: no use in trying again
            if time.monotonic() - began > _ROOM and not self._cluster.fits(self._place(0)):
                raise EngineFailed(
                    f"no node of the cluster is large enough for a replica ({self._place(0)}): add one that is"
                )

    def _tend(self, plan: Scheduler) -> None:
        """Follow the cluster: bury who is silent, begin what is missing, let go who is too many.

        Raises:
            EngineFailed: replicas die faster than they work.
        """
        now = time.monotonic()
        if now - self._tended < _TEND:
            return
        self._tended = now
        if self._barren >= _BARREN and not self.n_ready:
            raise EngineFailed(f"replicas die before they complete anything, the last one so: {self._last_error}")
        staying = [one for one in self._members.values() if not one.leaving]
        desired = self._desired()
        for _ in range(desired - len(staying) if now >= self._not_before else 0):
            self._begin()
        by_use = sorted(staying, key=lambda one: (one.loaded is not None, plan.n_held(one.name)))
        for one in by_use[: max(0, len(staying) - desired)]:
            one.leaving = True
            if one.loaded is None:
                self._let_go(one, plan)

    def _desired(self) -> int:
        if self._replicas is not None:
            return self._replicas
        return max(1, self._cluster.n_gpus() // self._group) if self._wants_gpu() else 1

    def _wants_gpu(self) -> bool:
        return self._inner != "oracle" and self._cluster.n_gpus() > 0

    def _place(self, slot: int) -> ReplicaResources:
        if self._wants_gpu():
            return ReplicaResources(1.0, float(self._group))
        share = self._cluster.n_cpus() / self._desired()
        if share < 1 or self._inner == "oracle":
            return ReplicaResources(min(1.0, share), 0.0)
        alone = self._cluster.n_nodes() == 1
        return ReplicaResources(float(int(share)), 0.0, (slot, int(share)) if alone else None)

    def _begin(self) -> None:
        taken = {one.slot for one in self._members.values()}
        slot = next(at for at in count() if at not in taken)
        place = self._place(slot)
        name = f"replica-{next(self._numbers)}"
        actor = self._cluster.start(place)
        log.info("%s begins, %s", name, place)
        waits = actor.load.remote(replace(self._wanted, cores=place.cores))
        self._members[name] = _Member(name, slot, actor, waits)

    def _hand_out(self, one: _Member, plan: Scheduler) -> None:
        if one.loaded is None or one.leaving:
            return
        if not plan.n_held(one.name):
            one.moved = time.monotonic()
        while some := plan.give(one.name):
            one.actor.give.remote(some)

    def _hear(self, one: _Member, waited: Any, plan: Scheduler) -> list[Completion]:
        """Take what a replica answered, or bury it."""
        said = self._cluster.get(waited)
        if isinstance(said, Exception):
            return self._bury(one, said, plan)
        if isinstance(said, ReplicaFacts):
            log.info("%s has loaded the model", one.name)
            one.loaded, one.moved = said, time.monotonic()
            plan.join(one.name)
            done: list[Completion] = []
        else:
            done = self._count(one, said, plan)
            if plan.n_held(one.name) and time.monotonic() - one.moved > _SILENCE:
                return self._bury(one, EngineFailed(f"no step in {_SILENCE:.0f} s"), plan)
        one.waits = one.actor.take.remote(1.0)
        return done

    def _count(self, one: _Member, said: ReplicaOutput, plan: Scheduler) -> list[Completion]:
        if said.pulse != one.pulse:
            one.pulse, one.moved = said.pulse, time.monotonic()
        done = plan.take(said.completions)
        if done:
            self._barren = 0
        return done

    def _bury(self, one: _Member, error: Exception, plan: Scheduler) -> list[Completion]:
        n_held = plan.n_held(one.name)
        lost = f"died with {n_held} requests, which go to others" if one.loaded else "did not come up"
        log.warning("%s %s: %s", one.name, lost, str(error).partition("\n")[0][:300])
        self._last_error = error
        self._barren += 1 if one.loaded else 2
        self._not_before = time.monotonic() + min(_LONGEST, 2.0**self._barren - 2)
        return self._let_go(one, plan)

    def _part(self, plan: Scheduler) -> None:
        """Let go those that are too many and have nothing left to do."""
        for one in list(self._members.values()):
            if one.leaving and not plan.n_held(one.name):
                self._let_go(one, plan)

    def _let_go(self, one: _Member, plan: Scheduler) -> list[Completion]:
        self._members.pop(one.name, None)
        self._cluster.end(one.actor)
        return plan.lose(one.name)

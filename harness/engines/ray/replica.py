"""Hold an engine in a process of its own: requests are given and completions taken by calls that never wait for it."""

import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from fathom.harness.engines.adapter import bare_name
from fathom.harness.engines.base import Completion, Engine, EngineSettings, RenderedPrompt, Request, RendersPrompts
from fathom.harness.engines.model import ModelSource, check_folder, folder_outline, locate_model
from fathom.harness.errors import EngineFailed
from fathom.harness.settings import adopt_environment

_WIDTH = 256
"""Requests at once of an engine that does not say."""


OpenEngine = Callable[[ModelSource, EngineSettings], Engine]
"""Opens an engine by its name; see engines/factory.py."""


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """What a replica is to hold."""

    model: ModelSource
    outline: str
    """Of the model's folder, so that another node's folder of that name is known for another."""
    commit: str
    """Of the hub, for nodes that do not have the folder; or empty."""
    engine: EngineSettings
    environment: Mapping[str, str]
    load: OpenEngine
    cores: tuple[int, int] | None = None
    """Which share of the processor's cores to keep to, and of how many cores each share is."""
    fathom: str = version("fathom")


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """What a replica says of itself; `width` is how many requests it works on at once."""

    context: int
    width: int
    facts: Mapping[str, str]
    pid: int


@dataclass(frozen=True, slots=True)
class ReplicaOutput:
    """Completions, and a count that grows with every step of the engine."""

    completions: list[Completion]
    pulse: int


class _Stepper(Protocol):
    """An engine that is driven step by step, with new requests in between."""

    @property
    def busy(self) -> bool:
        """Say whether anything is to be done."""

    def add(self, batch: list[Request]) -> list[Completion]:
        """Take requests in; return those that are refused."""

    def step(self) -> list[Completion]:
        """Work for a moment; return what is done."""


class _Streamed:
    """Drive an engine that only streams: what has come meanwhile makes its next stream."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[Request] = []
        self._stream: Iterator[list[Completion]] | None = None

    @property
    def busy(self) -> bool:
        return bool(self._waiting) or self._stream is not None

    def add(self, batch: list[Request]) -> list[Completion]:
        self._waiting += batch
        return []

    def step(self) -> list[Completion]:
        if self._stream is None:
            some, self._waiting = self._waiting, []
            self._stream = self._engine.stream(iter(some))
        done = next(self._stream, None)
        if done is None:
            self._stream = None
        return done or []


class Replica:
    """An engine and the thread that drives it; all methods may be called from several threads."""

    def __init__(self) -> None:
        """Load nothing yet."""
        self._changed = threading.Condition()
        self._given: list[Request] = []
        self._done: list[Completion] = []
        self._pulse = 0
        self._error = ""
        self._engine: Engine | None = None

    def load(self, wanted: ReplicaSpec) -> ReplicaFacts:
        """Load a model and begin to work.

        Raises:
            FathomError: what `open_engine` raises; EngineFailed where this node holds another model or Fathom.
        """
        if wanted.fathom != version("fathom"):
            raise EngineFailed(
                f"a node has Fathom {version('fathom')}, not {wanted.fathom}: install the same everywhere"
            )
        adopt_environment(wanted.environment)
        _keep_to(wanted.cores)
        self._engine = engine = wanted.load(_found(wanted), wanted.engine)
        stepper: Any = engine if hasattr(engine, "step") else _Streamed(engine)
        threading.Thread(target=self._work, args=(stepper,), name="fathom-engine", daemon=True).start()
        return ReplicaFacts(engine.context, getattr(engine, "width", _WIDTH), dict(engine.facts()), os.getpid())

    def render(self, request: Request) -> RenderedPrompt | None:
        """Return what the model reads for a request; nothing where the engine does not know."""
        return self._engine.render(request) if isinstance(self._engine, RendersPrompts) else None

    def give(self, requests: list[Request]) -> None:
        """Hand in requests."""
        with self._changed:
            self._given += requests
            self._changed.notify_all()

    def take(self, patience: float) -> ReplicaOutput:
        """Return what is done; wait so many seconds for something.

        Raises:
            EngineFailed: the engine broke; what was done before was returned.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._done or self._error, patience)
            if self._error and not self._done:
                raise EngineFailed(self._error)
            done, self._done = self._done, []
            return ReplicaOutput(done, self._pulse)

    def _work(self, stepper: _Stepper) -> None:
        try:
            while True:
                with self._changed:
                    while not (self._given or stepper.busy):
                        self._changed.wait()
                    some, self._given = self._given, []
                self._keep(stepper.add(some))
                self._keep(stepper.step())
        except BaseException as error:  # whatever it is, whoever takes must hear of it
            with self._changed:
                self._error = f"{type(error).__name__}: {error}\n{traceback.format_exc()[-4000:]}"
                self._changed.notify_all()

    def _keep(self, done: list[Completion]) -> None:
        with self._changed:
            self._pulse += 1
            if done:
                self._done += done
                self._changed.notify_all()


def _found(wanted: ReplicaSpec) -> ModelSource:
    """Return the model as it lies on this node."""
    model = wanted.model
    if model.path is None:
        return model
    path = model.path
    if not path.exists():
        if not wanted.commit:
            raise EngineFailed(f"a node has no folder {path}: put the model at the same place on every node")
        path = locate_model(bare_name(model.name) if "lora" in wanted.engine.options else model.name, wanted.commit)
    check_folder(path)
    if folder_outline(path) != wanted.outline:
        raise EngineFailed(f"a node holds another model in {path}: put the same files on every node")
    return ModelSource(model.name, Path(path), model.digest)


def _keep_to(cores: tuple[int, int] | None) -> None:
    """Keep to a share of the cores, so that replicas beside each other do not wait for one another's threads."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        return
    at, each = cores
    mine = sorted(os.sched_getaffinity(0))[at * each : (at + 1) * each]
    if mine:
        os.sched_setaffinity(0, mine)

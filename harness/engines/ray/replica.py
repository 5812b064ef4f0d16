"""A replica: an engine in a process of its own, with calls to add requests and to take completions."""

import os
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from fathom.harness.engines.adapter import bare_name
from fathom.harness.engines.base import Completion, Engine, EngineSettings, RenderedPrompt, RendersPrompts, Request
from fathom.harness.engines.model import ModelSource, check_folder, folder_outline, locate_model
from fathom.harness.engines.stepper import Stepper, stepper_of
from fathom.harness.errors import EngineFailed
from fathom.harness.settings import adopt_environment

_WIDTH = 256
"""Concurrent requests of an engine without a width of its own."""

OpenEngine = Callable[[ModelSource, EngineSettings], Engine]
"""Opens an engine by its name, as `fathom.harness.engines.factory.load_engine`."""


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """The engine and model of a replica."""

    model: ModelSource
    outline: str
    """Of the model's folder, to detect a different folder of the same name on another node."""
    commit: str
    """Commit on the hub, for nodes without the folder; may be empty."""
    engine: EngineSettings
    environment: Mapping[str, str]
    load: OpenEngine
    cores: tuple[int, int] | None = None
    """(number of the share, cores a share): the processor's cores that the replica may use."""
    fathom: str = version("fathom")


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """Facts about a loaded replica; `width` is how many requests it works on at once."""

    context: int
    width: int
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReplicaOutput:
    """Completions, and a counter that grows with every step of the engine."""

    completions: list[Completion]
    pulse: int


class Replica:
    """An engine and the thread that runs it; all methods are thread-safe."""

    def __init__(self) -> None:
        """Load nothing yet."""
        self._changed = threading.Condition()
        self._given: list[Request] = []
        self._done: list[Completion] = []
        self._pulse = 0
        self._error = ""
        self._engine: Engine | None = None

    def load(self, spec: ReplicaSpec) -> ReplicaFacts:
        """Load the model and start working.

        Raises:
            EngineFailed: this node has another model or another version of Fathom.
            FathomError: the engine could not be opened.
        """
        if spec.fathom != version("fathom"):
            raise EngineFailed(
                f"a node has Fathom {version('fathom')}, not {spec.fathom}: install the same version on all nodes"
            )
        adopt_environment(spec.environment)
        _pin_to(spec.cores)
        self._engine = engine = spec.load(_local_model(spec), spec.engine)
        threading.Thread(target=self._work, args=(stepper_of(engine),), name="fathom-engine", daemon=True).start()
        return ReplicaFacts(engine.context, getattr(engine, "width", _WIDTH), dict(engine.facts()))

    def render(self, request: Request) -> RenderedPrompt | None:
        """Return a request as the model reads it; None if the engine cannot tell."""
        return self._engine.render(request) if isinstance(self._engine, RendersPrompts) else None

    def give(self, requests: list[Request]) -> None:
        """Add requests."""
        with self._changed:
            self._given += requests
            self._changed.notify_all()

    def take(self, patience: float) -> ReplicaOutput:
        """Return finished completions, waiting up to `patience` seconds for the first.

        Raises:
            EngineFailed: the engine broke; earlier completions were returned.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._done or self._error, patience)
            if self._error and not self._done:
                raise EngineFailed(self._error)
            done, self._done = self._done, []
            return ReplicaOutput(done, self._pulse)

    def _work(self, stepper: Stepper) -> None:
        try:
            while True:
                with self._changed:
                    while not (self._given or stepper.is_busy):
                        self._changed.wait()
                    some, self._given = self._given, []
                self._keep(stepper.add(some))
                self._keep(stepper.step())
        except BaseException as error:  # any error must reach the caller of `take`
            with self._changed:
                self._error = f"{type(error).__name__}: {error}\n{traceback.format_exc()[-4000:]}"
                self._changed.notify_all()

    def _keep(self, done: list[Completion]) -> None:
        with self._changed:
            self._pulse += 1
            if done:
                self._done += done
                self._changed.notify_all()


def _local_model(spec: ReplicaSpec) -> ModelSource:
    """Return the model's folder on this node."""
    model = spec.model
    if model.path is None:
        return model
    path = model.path
    if not path.exists():
        if not spec.commit:
            raise EngineFailed(f"a node has no folder {path}: put the model at the same place on every node")
        path = locate_model(bare_name(model.name) if "lora" in spec.engine.options else model.name, spec.commit)
    check_folder(path)
    if folder_outline(path) != spec.outline:
        raise EngineFailed(f"a node has a different model in {path}: put the same files on every node")
    return ModelSource(model.name, Path(path), model.digest)


def _pin_to(cores: tuple[int, int] | None) -> None:
    """Pin this process to a share of the cores, so that replicas on one node do not compete for them."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        return
    at, each = cores
    share = sorted(os.sched_getaffinity(0))[at * each : (at + 1) * each]
    if share:
        os.sched_setaffinity(0, share)

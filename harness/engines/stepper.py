"""Any engine, run step by step with new requests in between; vLLM does so by itself."""

from collections.abc import Iterator
from typing import Any, Protocol

from fathom.harness.engines.base import Completion, Engine, Request


class Stepper(Protocol):
    """An engine that runs step by step."""

    @property
    def is_busy(self) -> bool:
        """Return whether requests are unfinished."""

    def add(self, batch: list[Request]) -> list[Completion]:
        """Add requests; return the completions of those that are refused."""

    def step(self) -> list[Completion]:
        """Run one step; return finished completions."""


class _StreamStepper:
    """Steps of an engine that can only stream: requests that came meanwhile are its next stream."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[Request] = []
        self._stream: Iterator[list[Completion]] | None = None

    @property
    def is_busy(self) -> bool:
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


def stepper_of(engine: Engine) -> Stepper:
    """Return an engine as a stepper."""
    itself: Any = engine
    return itself if hasattr(engine, "step") else _StreamStepper(engine)

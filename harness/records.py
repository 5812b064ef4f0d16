"""TODO."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fathom.harness.stats.counts import CellCounts
from fathom.tasks.suites import Suite


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of `fathom runs`."""

    run: str
    model: str
    model_id: int
    suite: str
    seed: str
    engine: str
    state: str
    n_items: int
    n_done: int
    """Samples."""
    k: int
    n_generated: int
    attempts: int
    seconds: int
    created_at: dt.datetime
    error: str | None
    tier: int
    """1: sent by a user; 2: sent, and replayed by a worker; 3: run by the operators or their workers."""
    layer: str
    """main; fresh: on a submission's own seed; sampled: not decoded plainly, so that it is not ranked."""
    season: str
    """Season whose seed it is, or empty."""
    sealed: bool
    """Whether the seed is secret as yet: no question, completion or gold may be shown."""
    hidden_at: dt.datetime | None
    """When it was taken off the board."""
    n_repeats: int = 1
    """Answers to each item."""

    @property
    def n_samples(self) -> int:
        """Samples that a whole run has."""
        return self.n_items * self.n_repeats


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run with all that decides its numbers."""

    summary: RunSummary
    suite: Suite
    suite_digest: str
    pool: str
    manifest: Mapping[str, Any]  # JSON of provenance.Manifest
    manifest_digest: str
    log: str | None
    cells: tuple[CellCounts, ...]


@dataclass(frozen=True, slots=True)
class SampleView:
    """A stored sample and the id of its item."""

    id: int
    item: str
    style: str
    index: int
    completion: str
    finish_reason: str
    scores: tuple[float, ...] | None
    parsed: str | None
    label: str
    fault_at: int | None
    note: str
    correct: bool
    prompt_tokens: int
    completion_tokens: int
    milliseconds: int
    error: str | None
    repeat: int = 0
    """How many answers to the same item came before."""


@dataclass(frozen=True, slots=True)
class SamplePage:
    """Some samples of a run and how many there are."""

    samples: tuple[SampleView, ...]
    total: int


@dataclass(frozen=True, slots=True)
class SampleFilter:
    """Which samples of a run to show; None leaves an axis open."""

    cell: int | None = None
    label: str | None = None
    correct: bool | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Progress: samples that are now stored, of how many, and tokens that came with the newest."""

    n_done: int
    n_items: int
    tokens: int
    cells: Mapping[int, int]
    """Samples stored by position of their cell, in the newest commit."""


Report = Callable[[str, Tick | None], None]
"""Called with a phase ("loading", "generating", "scoring") and, while generating, with progress."""

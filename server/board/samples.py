"""Turn stored samples and a query into what the page of samples shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import Engine

from fathom.harness.db.read import get_run, get_summary
from fathom.harness.errors import BadInput, UnknownRun
from fathom.harness.records import RunDetail, RunSummary, SampleFilter, SampleView
from fathom.harness.reports.measures import measure_run
from fathom.harness.reports.questions import SHOWN, Excerpt, excerpt, make_question
from fathom.harness.stats.counts import CellCounts
from fathom.harness.stats.measures import Measure
from fathom.server.web.addresses import HEX
from fathom.server.web.render import Site
from fathom.tasks.base import Instance
from fathom.tasks.registry import all_families

PAGE = 20
"""Samples on a page."""


_WHOLE = 200_000
"""Characters of a question or a completion that a page of its own shows."""


LONGEST_LABEL = 100
"""Characters of a label that can be filtered by."""


_HARNESS_LABELS = ("correct", "truncated", "too_long", "unsure", "engine_error")


_ENDINGS = {
    "stop": "ended by itself",
    "length": "cut off: its token budget ran out",
    "too_long": "not asked: the prompt does not fit the context",
    "error": "the engine failed on it",
}


class NoSuchSample(BadInput):
    """The address names a sample, cell or label that the run does not have."""

    status = 404


@dataclass(frozen=True, slots=True)
class Query:
    """What a visitor asked for; None leaves an axis open."""

    cell: int | None = None
    label: str | None = None
    correct: bool | None = None
    page: int = 1

    @property
    def wanted(self) -> SampleFilter:
        """The filter alone."""
        return SampleFilter(self.cell, self.label, self.correct)

    def link(self, page: int) -> str:
        """Write the query of another page under the same filter."""
        correct = None if self.correct is None else str(self.correct).lower()
        values = {"cell": self.cell, "label": self.label, "correct": correct, "page": page if page > 1 else None}
        return "?" + urlencode({key: value for key, value in values.items() if value is not None})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A choice that was shown to the model, and how likely it found it."""

    text: str
    score: float
    chosen: bool
    right: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample with its question; `question` and `gold` are None where the item cannot be made again."""

    sample: SampleView
    question: Excerpt | None
    gold: str | None
    completion: Excerpt
    ending: str
    candidates: tuple[Candidate, ...]
    command: str
    """Prints the question again."""


def check_query(detail: RunDetail, query: Query) -> None:
    """Raise NoSuchSample unless cell and label can occur in this run."""
    if query.cell is not None and query.cell not in {cell.id for cell in detail.cells}:
        raise NoSuchSample(f"run {detail.summary.run} has no cell {query.cell}: choose one on its page of samples")
    known = labels_of(detail.cells)
    if query.label is not None and query.label not in known:
        raise NoSuchSample(f"run {detail.summary.run} has no label {query.label[:40]!r}; known: {', '.join(known)}")


def labels_of(cells: Sequence[CellCounts]) -> tuple[str, ...]:
    """Return every plain label that a sample of these cells can have: the families', stored ones, the harness's."""
    families = all_families()
    stored = [label for cell in cells for label in cell.labels if label.isprintable() and len(label) <= LONGEST_LABEL]
    own = [label for cell in cells if cell.family in families for label in families[cell.family].labels]
    return tuple(dict.fromkeys([_HARNESS_LABELS[0], *own, *stored, *_HARNESS_LABELS[1:]]))


def show(sample: SampleView, *, whole: bool = False) -> Shown:
    """Lay a sample out with its question, `whole` or cut to what a list shows."""
    limit = _WHOLE if whole else SHOWN
    completion = excerpt(sample.completion, limit)
    ending = _ENDINGS.get(sample.finish_reason, sample.finish_reason)
    made = make_question(sample)
    if made is None:
        return Shown(sample, None, None, completion, ending, (), "")
    item = made.item
    command = (
        f"fathom sample {item.family} --level {item.level} --channel {item.channel} --style {sample.style}"
        f" --seed {item.seed} --start {item.index}"
    )
    candidates = _candidates(item, sample)
    return Shown(sample, excerpt(made.text, limit), item.gold, completion, ending, candidates, command)


def _candidates(item: Instance, sample: SampleView) -> tuple[Candidate, ...]:
    if sample.scores is None or len(sample.scores) != len(item.choices):
        return ()
    chosen = sample.completion.strip()
    scored = zip(item.choices, sample.scores, strict=True)
    return tuple(Candidate(text, score, text == chosen, text == item.gold) for text, score in scored)


def find_run(db: Engine, run: str) -> RunDetail:
    """Return a run by what stands in an address; what cannot be an id never reaches the database.

    Raises:
        UnknownRun: there is no such run.
    """
    return get_run(db, _checked(run))


def find_summary(db: Engine, run: str) -> RunSummary:
    """Return a run in short, as find_run does."""
    return get_summary(db, _checked(run))


def _checked(run: str) -> str:
    if not HEX.fullmatch(run):
        raise UnknownRun(f"no run {run[:40]!r}: the page of runs lists them")
    return run


def measures_of(site: Site, detail: RunDetail) -> tuple[Measure, ...]:
    """Return a run's measures, worked out once; none while it is running, since they would change with each sample."""
    if detail.summary.state == "running":
        return ()
    return site.measures.get(detail.summary, lambda: measure_run(site.db, detail))


def n_shots(detail: RunDetail) -> int:
    """Return how many demonstrations stood before each question."""
    sampling = detail.manifest.get("decisive", {}).get("sampling", {})
    return int(sampling.get("shots", 0))

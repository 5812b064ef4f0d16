"""The page of samples: its query, its filters, and each sample with its question."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import Engine

from fathom.harness.db.read import get_run, get_summary
from fathom.harness.db.usage import usage_of_runs
from fathom.harness.errors import BadInput, UnknownRun
from fathom.harness.records import CellUsage, Reading, RunDetail, RunSummary, SampleFilter, SampleView
from fathom.harness.reports.cost import RunCost, cost_of, page_prices
from fathom.harness.reports.measures import measure_run
from fathom.harness.reports.questions import MOST_SHOWN, Excerpt, excerpt, make_sample_question
from fathom.harness.runs.run_settings import PromptSettings, settings_of
from fathom.harness.stats.cell_measures import CellMeasure
from fathom.harness.stats.scores import CellCounts
from fathom.server.web.addresses import HEX
from fathom.server.web.render import Site
from fathom.tasks.base import Instance
from fathom.tasks.registry import get_family

SAMPLES_A_PAGE = 20
_WHOLE = 200_000
"""Most characters of a question or completion on the page of one sample."""
_MAX_LABEL = 100
"""Most characters of a label in the filter."""
_HARNESS_LABELS = ("correct", "cut_off", "too_long", "unsure", "engine_error")
_ENDINGS = {
    "stop": "ended by itself",
    "length": "cut off: its token budget ran out",
    "looped": "ended early: the text repeated itself",
    "too_long": "not asked: the prompt does not fit the context",
    "error": "the engine failed on it",
}


class NoSuchSample(BadInput):
    """The run has no such sample, cell or label."""

    status = 404


@dataclass(frozen=True, slots=True)
class SampleQuery:
    """Filters and page of a list of samples; None means no filter."""

    cell: int | None = None
    label: str | None = None
    correct: bool | None = None
    reading: Reading | None = None
    page: int = 1

    @property
    def wanted(self) -> SampleFilter:
        """The filters without the page."""
        return SampleFilter(self.cell, self.label, self.correct, (self.reading,) if self.reading else ())

    def link(self, page: int) -> str:
        """Return the address's query for another page with the same filters."""
        correct = None if self.correct is None else str(self.correct).lower()
        values = {
            "cell": self.cell, "label": self.label, "correct": correct, "reading": self.reading,
            "page": page if page > 1 else None,
        }  # fmt: skip
        return "?" + urlencode({key: value for key, value in values.items() if value is not None})


@dataclass(frozen=True, slots=True)
class ScoredCandidate:
    """A candidate answer, and its log-likelihood under the model."""

    text: str
    score: float
    chosen: bool
    right: bool


@dataclass(frozen=True, slots=True)
class ShownSample:
    """A sample with its question; `question` and `gold` are None where the item cannot be generated again."""

    sample: SampleView
    question: Excerpt | None
    gold: str | None
    completion: Excerpt
    ending: str
    candidates: tuple[ScoredCandidate, ...]
    command: str
    """The command that prints the question."""


def check_query(detail: RunDetail, query: SampleQuery) -> None:
    """Raise NoSuchSample unless cell and label can occur in this run."""
    if query.cell is not None and query.cell not in {cell.id for cell in detail.cells}:
        raise NoSuchSample(f"run {detail.summary.run} has no cell {query.cell}: the list of its samples names them")
    known = labels_of(detail.cells)
    if query.label is not None and query.label not in known:
        raise NoSuchSample(f"run {detail.summary.run} has no label {query.label[:40]!r}; known: {', '.join(known)}")


def labels_of(cells: Sequence[CellCounts]) -> tuple[str, ...]:
    """Return every printable label that a sample of these cells can have: of families, stored, and of the harness."""
    stored = [label for cell in cells for label in cell.labels if label.isprintable() and len(label) <= _MAX_LABEL]
    known = [family for cell in cells if (family := get_family(cell.family))]
    own = [label for family in known for label in family.labels]
    return tuple(dict.fromkeys([_HARNESS_LABELS[0], *own, *stored, *_HARNESS_LABELS[1:]]))


def show_sample(sample: SampleView, asked: PromptSettings, *, whole: bool = False) -> ShownSample:
    """Return a sample with its question as it was asked, in full with `whole`, else shortened for a list."""
    limit = _WHOLE if whole else MOST_SHOWN
    completion = excerpt(sample.completion, limit)
    ending = _ENDINGS.get(sample.finish_reason, sample.finish_reason)
    made = make_sample_question(sample, asked)
    if made is None:
        return ShownSample(sample, None, None, completion, ending, (), "")
    item = made.item
    command = (
        f"fathom sample {item.family} --level {item.level} --channel {item.channel} --style {sample.style}"
        f" --seed {item.seed} --start {item.index}"
    )
    candidates = _candidates(item, sample)
    return ShownSample(sample, excerpt(made.text, limit), item.gold, completion, ending, candidates, command)


def _candidates(item: Instance, sample: SampleView) -> tuple[ScoredCandidate, ...]:
    if sample.scores is None or len(sample.scores) != len(item.choices):
        return ()
    chosen = sample.completion.strip()
    scored = zip(item.choices, sample.scores, strict=True)
    return tuple(ScoredCandidate(text, score, text == chosen, text == item.gold) for text, score in scored)


def run_at(db: Engine, run: str) -> RunDetail:
    """Return the run that an address names; a text that cannot be an id never reaches the database.

    Raises:
        UnknownRun: there is no such run.
    """
    return get_run(db, _checked(run))


def summary_at(db: Engine, run: str) -> RunSummary:
    """Return the summary of the run that an address names; raises as `run_at`."""
    return get_summary(db, _checked(run))


def _checked(run: str) -> str:
    if not HEX.fullmatch(run):
        raise UnknownRun(f"no run {run[:40]!r}: /runs lists them")
    return run


def measures_of(site: Site, detail: RunDetail) -> tuple[CellMeasure, ...]:
    """Return a run's measures, computed once; empty while it is running, since each sample changes them."""
    if detail.summary.is_going:
        return ()
    return site.measures.get(detail.summary, lambda: measure_run(site.db, detail))


def cost_on_page(site: Site, detail: RunDetail) -> RunCost:
    """Return what a run used and cost; its samples are summed up once, but for a run that goes on."""
    run = detail.summary.run

    def used() -> tuple[CellUsage, ...]:
        return usage_of_runs(site.db, [run])[run]

    cells = used() if detail.summary.is_going else site.usage.get(detail.summary, used)
    return cost_of(cells, detail, page_prices())


def n_shots(detail: RunDetail) -> int:
    """Return the number of demonstrations before each question."""
    settings = settings_of(detail.manifest)
    return 0 if settings is None else settings.prompt.n_shots

"""Columns of a report: each run with its label, facts and scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from fathom.harness.db.leaderboard import read as board
from fathom.harness.errors import BadInput
from fathom.harness.format import count, ratio
from fathom.harness.records import RunDetail
from fathom.harness.reports.cost import cost_facts, cost_of_run, page_prices
from fathom.harness.reports.describe import FactTable, RunFact, manifest_tables, run_facts
from fathom.harness.reports.figures.picture import one_line
from fathom.harness.reports.reproduce import reproduce
from fathom.harness.stats.scores import depths_alone, scores_json

_LABEL = 60
"""Characters of a model's name in the head of a column."""


@dataclass(frozen=True, slots=True)
class ReportColumn:
    """A run in a report."""

    number: int
    label: str
    """The model's name; with the run's id if the report has several runs of the model."""
    detail: RunDetail
    scores: dict[str, Any]  # JSON of the run's scores
    facts: tuple[RunFact, ...]
    manifest: tuple[FactTable, ...]
    command: str
    note: str
    """What is missing or sealed; empty if nothing is."""

    @property
    def run(self) -> str:
        """The run's id."""
        return self.detail.summary.run


def make_report_columns(db: Engine, details: Sequence[RunDetail]) -> tuple[ReportColumn, ...]:
    """Return the columns of runs in the given order.

    Raises:
        BadInput: a run has no graded item.
    """
    names = [one.summary.model for one in details]
    return tuple(_column(db, at, one, names.count(one.summary.model) > 1) for at, one in enumerate(details, 1))


def _column(db: Engine, number: int, detail: RunDetail, doubled: bool) -> ReportColumn:
    one = detail.summary
    if not any(cell.n for cell in detail.cells):
        raise BadInput(
            f"nothing of run {one.run} is graded yet ({one.state}): `fathom run --resume {one.run}` goes on with it"
        )
    label = one_line(one.model, _LABEL) + (f" ({one.run[:6]})" if doubled else "")
    scores = board.get_result(db, one.run) or scores_json(detail.cells)
    if one.layer == "adaptive":
        scores = depths_alone(scores)
    return ReportColumn(
        number, label, detail, dict(scores), (*run_facts(detail), *_cost_facts(db, detail)),
        manifest_tables(detail.manifest), reproduce(detail), _note(detail),
    )  # fmt: skip


def _cost_facts(db: Engine, detail: RunDetail) -> list[RunFact]:
    return [RunFact(term.lower(), value) for term, value in cost_facts(cost_of_run(db, detail, page_prices()))]


def _note(detail: RunDetail) -> str:
    one = detail.summary
    said = []
    if one.sealed:
        said.append(f"Questions and answers of this run are sealed until the season {one_line(one.season)} ends.")
    if one.state != "done":
        n = sum(cell.n for cell in detail.cells)
        said.append(f"This run is {one.state}: {ratio(n, one.n_samples)} answers are counted.")
    if errors := sum(cell.n_errors for cell in detail.cells):
        said.append(f"On {count(errors)} of its items the engine failed; they are not graded.")
    return " ".join(said)

"""Turn runs and their cells into one line a model: its score in each family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from harness.db.read import CellCounts, RunSummary
from harness.scores import FamilyScore, family_scores, ladder_scores, overall
from harness.stats import Estimate
from tasks import Cell

STYLES = ("direct", "cot")
"""Styles that the overview shows: in the head, and on paper."""


@dataclass(frozen=True, slots=True)
class Line:
    """A model's run; scores by style, then by family, None where the run did not ask."""

    run: RunSummary
    overall: Mapping[str, Estimate | None]
    families: tuple[Mapping[str, Estimate | None], ...]

    @property
    def order(self) -> tuple[bool, float, str]:
        """Finished runs first, then the highest mean in the style in which the model is better, then by name."""
        best = max((one.value for one in self.overall.values() if one), default=-inf)
        return self.run.state != "done", -best, self.run.model


@dataclass(frozen=True, slots=True)
class Overview:
    """All models that were asked the same cells; a suite that was narrowed is not comparable to the whole one."""

    suite: str
    n_cells: int
    families: tuple[str, ...]
    lines: tuple[Line, ...]


def make_overviews(runs: Sequence[RunSummary], cells: Mapping[str, Sequence[CellCounts]]) -> tuple[Overview, ...]:
    """Score runs, a table for each set of cells, the largest set first; the best model first."""
    asked: dict[tuple[str, frozenset[Cell]], list[RunSummary]] = {}
    for run in runs:
        key = run.suite, frozenset(Cell(one.family, one.level, one.channel, one.style) for one in cells[run.run])
        asked.setdefault(key, []).append(run)
    tables = [_overview(suite, len(these), members, cells) for (suite, these), members in asked.items()]
    return tuple(sorted((table for table in tables if table.lines), key=lambda table: -table.n_cells))


def _overview(
    suite: str, n_cells: int, runs: Sequence[RunSummary], cells: Mapping[str, Sequence[CellCounts]]
) -> Overview:
    scored = [(run, family_scores(ladder_scores(cells[run.run]))) for run in runs]
    families = tuple(sorted({one.family for _, scores in scored for one in scores}))
    lines = [_line(run, scores, families) for run, scores in scored if scores]
    return Overview(suite, n_cells, families, tuple(sorted(lines, key=lambda line: line.order)))


def _line(run: RunSummary, scores: tuple[FamilyScore, ...], families: tuple[str, ...]) -> Line:
    by_key = {(one.family, one.style): one.mean for one in scores}
    means = overall(scores)
    return Line(
        run,
        {style: means.get(style) for style in STYLES},
        tuple({style: by_key.get((family, style)) for style in STYLES} for family in families),
    )

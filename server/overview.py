"""Turn runs and their cells into one line a model: its score in each family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.db.read import CellCounts, RunSummary
from harness.scores import FamilyScore, family_scores, ladder_scores, overall
from harness.stats import Estimate

STYLES = ("direct", "cot")
"""Styles that the overview shows: in the head, and on paper."""


@dataclass(frozen=True, slots=True)
class Line:
    """A model's run; scores by style, then by family, None where the run did not ask."""

    run: RunSummary
    overall: Mapping[str, Estimate | None]
    families: tuple[Mapping[str, Estimate | None], ...]

    @property
    def best(self) -> float:
        """Mean over families in the style in which the model is better, for sorting."""
        return max((one.value for one in self.overall.values() if one), default=-1.0)


@dataclass(frozen=True, slots=True)
class Overview:
    """All models that ran the same suite; scores of other suites are not comparable."""

    suite: str
    families: tuple[str, ...]
    lines: tuple[Line, ...]


def make_overviews(runs: Sequence[RunSummary], cells: Mapping[str, Sequence[CellCounts]]) -> tuple[Overview, ...]:
    """Score runs, a table a suite; the best model first."""
    scored = {run.run: family_scores(ladder_scores(cells[run.run])) for run in runs}
    suites = dict.fromkeys(run.suite for run in runs if scored[run.run])
    return tuple(_overview(suite, [run for run in runs if run.suite == suite], scored) for suite in suites)


def _overview(suite: str, runs: Sequence[RunSummary], scored: Mapping[str, tuple[FamilyScore, ...]]) -> Overview:
    families = tuple(sorted({one.family for run in runs for one in scored[run.run]}))
    lines = [_line(run, scored[run.run], families) for run in runs if scored[run.run]]
    return Overview(suite, families, tuple(sorted(lines, key=lambda line: (-line.best, line.run.model))))


def _line(run: RunSummary, scores: tuple[FamilyScore, ...], families: tuple[str, ...]) -> Line:
    by_key = {(one.family, one.style): one.mean for one in scores}
    means = overall(scores)
    return Line(
        run,
        {style: means.get(style) for style in STYLES},
        tuple({style: by_key.get((family, style)) for style in STYLES} for family in families),
    )

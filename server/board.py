"""Turn runs and their cells into the tables of the board."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.db.read import CellCounts, RunSummary
from server.scores import Group, Score, group_of, level_order, score_of
from tasks import all_families


@dataclass(frozen=True, slots=True)
class Column:
    """A level and its chance; `chance` is None where this code no longer makes the items."""

    level: str
    chance: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """A model's run: one score a column, None where the run did not ask."""

    run: RunSummary
    scores: tuple[Score | None, ...]

    @property
    def mean(self) -> float:
        """Mean accuracy over all columns; one that was not asked counts as 0."""
        return sum((score.accuracy or 0.0) for score in self.scores if score) / len(self.scores)


@dataclass(frozen=True, slots=True)
class Table:
    """Models by levels, for one family, version, channel and style."""

    group: Group
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """All tables of one family."""

    family: str
    summary: str
    reference: str
    tables: tuple[Table, ...]


Scores = dict[str, dict[str, Score]]
"""Scores by run and level."""


def make_board(runs: Sequence[RunSummary], cells: Mapping[str, Sequence[CellCounts]]) -> tuple[Section, ...]:
    """Lay out one run a model as one table a group of cells, tables of a family together."""
    found: dict[Group, Scores] = {}
    for run in runs:
        for counts in cells[run.run]:
            found.setdefault(group_of(counts), {}).setdefault(run.run, {})[counts.level] = score_of(counts)
    by_id = {run.run: run for run in runs}
    tables = [_table(group, found[group], by_id) for group in sorted(found, key=lambda group: group.order)]
    return tuple(_section(family, tuple(members)) for family, members in groupby(tables, lambda one: one.group.family))


def _table(group: Group, scores: Scores, runs: Mapping[str, RunSummary]) -> Table:
    chances = {level: score.chance for members in scores.values() for level, score in members.items()}
    levels = level_order(group, chances)
    rows = [Row(runs[run], tuple(members.get(level) for level in levels)) for run, members in scores.items()]
    rows.sort(key=lambda row: (-row.mean, row.run.model))
    return Table(group, tuple(Column(level, chances[level]) for level in levels), tuple(rows))


def _section(name: str, tables: tuple[Table, ...]) -> Section:
    family = all_families().get(name)
    return Section(name, family.summary if family else "", family.reference if family else "", tables)

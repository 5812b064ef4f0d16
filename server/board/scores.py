"""Scores of cells as pages show them: accuracy, interval, chance, and the tables they belong to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from fathom.harness.reports.figures.picture import DataTable
from fathom.harness.reports.repeats import repeats_table
from fathom.harness.stats.intervals import Interval
from fathom.harness.stats.scores import CellCounts
from fathom.tasks.base import CHANNELS, STYLES, Family
from fathom.tasks.registry import get_family

ChanceRelation = Literal["above", "level", "below", "unknown"]
"""Whether a cell's interval is above chance, holds it, is below it, or chance is unknown."""

_SHADES = 10


@dataclass(frozen=True, slots=True)
class CellGroup:
    """The cells of one table, whose numbers can be compared."""

    family: str
    version: int
    channel: str
    style: str
    ladder: str = "main"

    @property
    def order(self) -> tuple[str, int, int, int, int]:
        """Sort key: family, newest version first, then ladder, channel and style in their own order."""
        places = _place(self.ladder, _ladders(self.family)), _place(self.channel, CHANNELS), _place(self.style, STYLES)
        return self.family, -self.version, *places


@dataclass(frozen=True, slots=True)
class Mistake:
    """How often a kind of wrong answer occurred."""

    label: str
    n: int


@dataclass(frozen=True, slots=True)
class CellScore:
    """A cell and its chance level; `chance` is None for items that this code no longer generates."""

    counts: CellCounts
    chance: float | None

    @property
    def accuracy(self) -> float | None:
        """Share of right answers; None before the first one is graded."""
        return self.counts.k / self.counts.n if self.counts.n else None

    @property
    def interval(self) -> Interval:
        """Wilson's 95% interval."""
        return self.counts.interval

    @property
    def standing(self) -> ChanceRelation:
        """The interval compared with chance."""
        if self.chance is None or not self.counts.n:
            return "unknown"
        if self.interval.high < self.chance:
            return "below"
        return "above" if self.interval.low > self.chance else "level"

    @property
    def shade(self) -> int:
        """Step of the colour scale, 0..10."""
        return round((self.accuracy or 0.0) * _SHADES)

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """Kinds of wrong answers, most frequent first."""
        wrong = [Mistake(label, n) for label, n in self.counts.labels.items() if label != "correct"]
        return tuple(sorted(wrong, key=lambda one: (-one.n, one.label)))


def score_of(counts: CellCounts) -> CellScore:
    """Add the chance level to a cell."""
    family = known_family(group_of(counts))
    level = None if family is None else family.levels.get(counts.level)
    return CellScore(counts, None if family is None or level is None else family.chance(level, counts.style))


def group_of(counts: CellCounts) -> CellGroup:
    """Return the table that a cell belongs to."""
    family = get_family(counts.family)
    level = None if family is None else family.levels.get(counts.level)
    ladder = "main" if level is None else level.ladder
    return CellGroup(counts.family, counts.version, counts.channel, counts.style, ladder)


@cache
def _ladders(family: str) -> tuple[str, ...]:
    known = get_family(family)
    return tuple(dict.fromkeys(level.ladder for level in known.levels.values())) if known else ()


def known_family(group: CellGroup) -> Family | None:
    """Return the family; None where this code does not generate such items."""
    family = get_family(group.family)
    if family is None or family.version != group.version:
        return None
    return family if group.channel in family.channels and group.style in family.styles else None


def grouped(cells: Iterable[CellCounts]) -> Mapping[CellGroup, tuple[CellScore, ...]]:
    """Return scores by table, sorted by `CellGroup.order`."""
    found: dict[CellGroup, list[CellScore]] = {}
    for counts in cells:
        found.setdefault(group_of(counts), []).append(score_of(counts))
    return {group: tuple(found[group]) for group in sorted(found, key=lambda group: group.order)}


def repeated(cells: Iterable[CellCounts]) -> Mapping[CellGroup, DataTable]:
    """Return tables of repeated answers, for those tables of `grouped` whose items were asked several times."""
    tables = {group: repeats_table([one.counts for one in scores]) for group, scores in grouped(cells).items()}
    return {group: table for group, table in tables.items() if table is not None}


def level_order(group: CellGroup, levels: Iterable[str]) -> tuple[str, ...]:
    """Sort levels as the family does; unknown ones come last."""
    family = known_family(group)
    known = tuple(family.levels) if family else ()
    return tuple(sorted(dict.fromkeys(levels), key=lambda level: (_place(level, known), level)))


def hardness_of(group: CellGroup) -> Mapping[str, float]:
    """Return the hardness of each level that the family has."""
    family = known_family(group)
    return {name: level.hardness for name, level in family.levels.items()} if family else {}


def _place(value: str, order: tuple[str, ...]) -> int:
    return order.index(value) if value in order else len(order)

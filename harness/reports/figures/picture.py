"""Descriptions of pictures: frozen values with a digest, and a data table for readers who cannot see them."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from unicodedata import east_asian_width

from fathom.harness.format import count, interval_text, percent, ratio, shorten, visible
from fathom.harness.stats.intervals import Interval, wilson
from fathom.harness.stats.scores import CellCounts, known_level
from fathom.tasks.base import Family, Level
from fathom.tasks.published import PublishedCurve
from fathom.tasks.registry import find_family

MOST_SERIES = 6
"""Series of a picture of curves."""

MOST_MISTAKES = 6
"""Kinds of mistakes with a colour of their own; the rest are counted as `OTHER`."""

N_LABEL_COLOURS = 9
"""Colours for mistakes; no family has more labels of its own."""

CORRECT, OTHER = "correct", "other"
NOTHING = "–"
"""Stands in a table for a missing value."""

_EDITION = 5  # part of every digest: raise it when the same picture is drawn in another way


@dataclass(frozen=True, slots=True)
class Point:
    """A level in a curve: k of n right at a hardness; `chance` is None where it is not known."""

    level: str
    hardness: float
    k: int
    n: int
    chance: float | None
    effect: float = 1.0
    """Design effect, where items were asked several times."""

    def __post_init__(self) -> None:
        wilson(self.k, self.n)  # raises for what is no share
        if not isfinite(self.hardness) or not 0 <= (self.chance or 0) <= 1:
            raise ValueError(f"hardness {self.hardness} with chance {self.chance} has no place in a picture")

    @property
    def share(self) -> float | None:
        """Accuracy, 0..1; None where nothing was graded."""
        return self.k / self.n if self.n else None

    @property
    def interval(self) -> Interval:
        """Wilson's 95% interval of k of n, or of as many as they are worth."""
        return wilson(self.k / self.effect, self.n / self.effect)


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a picture: a style, or a model that is compared with others."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """Accuracy against difficulty, at most MOST_SERIES lines; `unit` says what hardness counts.

    `published` are curves of others, drawn dotted as far as the levels reach.
    """

    title: str
    description: str
    unit: str
    series: tuple[Series, ...]
    published: tuple[PublishedCurve, ...] = ()

    def __post_init__(self) -> None:
        if len(self.series) > MOST_SERIES or not any(one.points for one in self.series):
            raise ValueError(f"curves need a point and at most {MOST_SERIES} series")

    @property
    def levels(self) -> dict[str, float]:
        """Hardness by level, easiest first; of levels as hard as each other, the first one named."""
        found: dict[str, float] = {}
        for point in _points(self.series):
            found.setdefault(point.level, point.hardness)
        return dict(sorted(found.items(), key=lambda item: item[1]))


def _points(series: Iterable[Series]) -> Iterator[Point]:
    return (point for one in series for point in one.points)


@dataclass(frozen=True, slots=True)
class LabelCount:
    """How many answers were judged so."""

    label: str
    n: int


@dataclass(frozen=True, slots=True)
class Bar:
    """All graded answers at one level, by label."""

    level: str
    hardness: float
    counts: tuple[LabelCount, ...]

    def __post_init__(self) -> None:
        if not isfinite(self.hardness) or any(one.n < 0 for one in self.counts):
            raise ValueError(f"bar {self.level[:40]!r} has no place in a picture")

    @property
    def n(self) -> int:
        """Number of graded answers."""
        return sum(one.n for one in self.counts)


@dataclass(frozen=True, slots=True)
class Anatomy:
    """How answers are right and wrong: one stacked bar a level, or of whatever else `axis` names.

    `labels` are all that the family has, in its own order, so that a label has one colour in every picture.
    """

    title: str
    description: str
    bars: tuple[Bar, ...]
    axis: str = ""
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.bars:
            raise ValueError("an anatomy needs a bar")

    @property
    def in_order(self) -> tuple[Bar, ...]:
        """Bars, easiest first."""
        return tuple(sorted(self.bars, key=lambda bar: bar.hardness))

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is told apart: CORRECT, then the MOST_MISTAKES commonest mistakes, then OTHER if need be."""
        total: Counter[str] = Counter()
        for bar in self.bars:
            for one in bar.counts:
                total[one.label] += one.n
        wrong = {label: n for label, n in total.items() if n and label not in (CORRECT, OTHER)}
        ranked = sorted(wrong, key=lambda label: (-wrong[label], label))
        rest = len(ranked) > MOST_MISTAKES or total[OTHER] > 0
        return (CORRECT, *ranked[:MOST_MISTAKES], *([OTHER] if rest else []))

    @property
    def colours(self) -> tuple[int, ...]:
        """Number of the colour of each of `kinds`: 0 is CORRECT, N_LABEL_COLOURS + 1 is OTHER.

        A mistake has the colour of its place among the family's labels; where two would share one, the later label
        takes the next free colour.
        """
        places = {label: place for place, label in enumerate(self.labels)}
        mistakes = [kind for kind in self.kinds if kind not in (CORRECT, OTHER)]
        found = {CORRECT: 0, OTHER: N_LABEL_COLOURS + 1}
        for at, kind in enumerate(sorted(mistakes, key=lambda kind: places.get(kind, len(places)))):
            wanted = places.get(kind, at) % N_LABEL_COLOURS
            free = (1 + (wanted + step) % N_LABEL_COLOURS for step in range(N_LABEL_COLOURS))
            found[kind] = next(colour for colour in free if colour not in found.values())
        return tuple(found[kind] for kind in self.kinds)

    def counts_of(self, bar: Bar) -> tuple[int, ...]:
        """Count a bar's answers, kind by kind."""
        found = dict.fromkeys(self.kinds, 0)
        for one in bar.counts:
            if one.n:
                found[one.label if one.label in found else OTHER] += one.n
        return tuple(found.values())


Picture = Curves | Anatomy


def digest(picture: Picture) -> str:
    """Return the picture's content address in hex, the same in every process."""
    content = json.dumps([_EDITION, type(picture).__name__, asdict(picture)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class DataTable:
    """What a picture shows, as texts: one row a point of a curve or a bar."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def table_of(picture: Picture) -> DataTable:
    """Write down every number of a picture, for people who do not see it."""
    return _curves_table(picture) if isinstance(picture, Curves) else _anatomy_table(picture)


def _curves_table(picture: Curves) -> DataTable:
    order = {level: place for place, level in enumerate(picture.levels)}
    points = [(one.name, point) for one in picture.series for point in one.points]
    points.sort(key=lambda row: order[row[1].level])
    rows = tuple(
        (
            one_line(point.level), one_line(name), NOTHING if point.share is None else percent(point.share),
            interval_text(point.interval) if point.n else NOTHING, ratio(point.k, point.n),
            NOTHING if point.chance is None else percent(point.chance),
        )
        for name, point in points
    )  # fmt: skip
    return DataTable(("level", "series", "accuracy", "95% interval", "right", "chance"), rows)


def _anatomy_table(picture: Anatomy) -> DataTable:
    rows = tuple(
        (one_line(bar.level), count(bar.n), *(_part(n, bar.n) for n in picture.counts_of(bar)))
        for bar in picture.in_order
    )
    return DataTable(("level", "graded", *map(one_line, picture.kinds)), rows)


def _part(n: int, total: int) -> str:
    return f"{percent(n / total)} ({count(n)})" if total else NOTHING


def one_line(foreign: str, limit: int = 120) -> str:
    """Write a foreign text on one line: cut to size, nothing hidden in it."""
    return " ".join(visible(shorten(foreign, limit)).split())


def short(foreign: str, limit: float) -> str:
    """Write a foreign text in the room of `limit` letters: its beginning and its end, nothing hidden in it."""
    ends = foreign if len(foreign) <= 2 * limit else f"{foreign[: int(limit)]}…{foreign[-int(limit) :]}"
    return _cut(" ".join(visible(ends).split()), limit)


def _cut(text: str, limit: float) -> str:
    if room(text) <= limit:
        return text
    kept = list(text)
    while room(kept) > limit - 1:  # the ellipsis takes one
        del kept[len(kept) // 2]
    return f"{''.join(kept[: len(kept) // 2])}…{''.join(kept[len(kept) // 2 :])}"


def room(text: Iterable[str]) -> float:
    """Count the middling letters that a text takes the room of."""
    return sum(2 if east_asian_width(char) in "WF" else 1.6 if char in "mwMW@%" else 1 for char in text)


def curves_of(
    title: str, cells_by_series: Mapping[str, Sequence[CellCounts]], published: Iterable[PublishedCurve] = ()
) -> Curves | None:
    """Describe one ladder and channel in several styles or of several models.

    Cells that this code no longer knows are left out; None where nothing is graded then.
    """
    known = {name: [(cell, *found) for cell in cells if (found := known_level(cell))]
             for name, cells in cells_by_series.items()}  # fmt: skip
    series = tuple(Series(name, tuple(_point(*row) for row in rows)) for name, rows in known.items() if rows)
    if not any(point.n for point in _points(series)):
        return None
    unit = next(family.unit for rows in known.values() for _, family, _ in rows)
    kind = "Wilson" if all(point.effect == 1 for point in _points(series)) else "clustered"
    said = f"Accuracy against {unit}, with 95% {kind} intervals. {' '.join(map(_sentence, series))}"
    others = tuple(published)
    said += f" Dotted: {', '.join(one.model for one in others)}, published elsewhere." if others else ""
    return Curves(title, said, unit, series, others)


def _point(cell: CellCounts, family: Family, level: Level) -> Point:
    effect = 1.0 if cell.spread is None else cell.spread.effect
    return Point(cell.level, level.hardness, cell.k, cell.n, family.chance(level, cell.style), effect)


def _sentence(series: Series) -> str:
    asked = sorted((point for point in series.points if point.n), key=lambda point: point.hardness)
    ends = [f"{percent(point.k / point.n)} at {point.level}" for point in (*asked[:1], *asked[1:][-1:])]
    return f"{one_line(series.name, 60)}: {', '.join(ends) or 'nothing graded'}."


def anatomy_of(title: str, cells: Sequence[CellCounts]) -> Anatomy | None:
    """Describe how the answers of one ladder, channel and style are right and wrong.

    Cells that this code no longer knows are left out; None where nothing is graded then.
    """
    known = [(cell, found[1].hardness) for cell in cells if (found := known_level(cell))]
    bars = tuple(
        Bar(cell.level, hardness, tuple(LabelCount(label, n) for label, n in sorted(cell.labels.items())))
        for cell, hardness in known
    )
    if not any(bar.n for bar in bars):
        return None
    picture = Anatomy(title, "", bars, labels=tuple(find_family(cells[0].family).labels))
    mistakes = ", ".join(one_line(kind, 60) for kind in picture.kinds[1:]) or "none"
    said = f"Shares of correct answers and of kinds of mistakes by level. Mistakes: {mistakes}."
    return replace(picture, description=said)

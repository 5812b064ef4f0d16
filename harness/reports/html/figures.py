"""Figures of a report: accuracy against difficulty, and kinds of mistakes."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from fathom.harness.reports.figures.picture import (
    CORRECT,
    MOST_SERIES,
    Anatomy,
    Bar,
    LabelCount,
    Picture,
    anatomy_of,
    curves_of,
    one_line,
)
from fathom.harness.reports.figures.svg import draw_svg
from fathom.harness.reports.html.columns import ReportColumn
from fathom.harness.stats.scores import CellCounts, known_level
from fathom.tasks.published import PUBLISHED, PublishedCurve

_Key = tuple[str, ...]
_Grouped = dict[_Key, dict[str, list[CellCounts]]]
"""Cells by picture, then by series."""


@dataclass(frozen=True, slots=True)
class Figure:
    """An SVG for a light background, with its title and description inside."""

    title: str
    svg: str


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one family."""

    family: str
    curves: tuple[Figure, ...]
    mistakes: tuple[Figure, ...]


def draw_figures(columns: Sequence[ReportColumn]) -> tuple[Figures, ...]:
    """Draw the figures of a report: one run has a series for each style, several runs have a series each.

    Cells of levels that this version of Fathom does not know are left out.
    """
    if len(columns) == 1:
        curves, mistakes = _of_one(columns[0])
    else:
        curves, mistakes = _of_many(columns)
    families = dict.fromkeys(family for family, _ in (*curves, *mistakes))
    return tuple(Figures(name, _drawn(name, curves), _drawn(name, mistakes)) for name in families)


_Pictures = list[tuple[str, Picture]]
"""Pictures with their families."""


def _drawn(family: str, pictures: _Pictures) -> tuple[Figure, ...]:
    return tuple(Figure(one.title, draw_svg(one, "light")) for name, one in pictures if name == family)


def _of_one(column: ReportColumn) -> tuple[_Pictures, _Pictures]:
    curves: _Pictures = []
    mistakes: _Pictures = []
    ladders = _grouped((cell.style, (cell.family, ladder, cell.channel), cell) for cell, ladder in _known(column))
    for (family, ladder, channel), styles in ladders.items():
        title = _title(family, ladder, channel)
        if picture := curves_of(title, styles, _published(family, ladder, styles)):
            curves.append((family, picture))
        for style, cells in styles.items():
            anatomy = anatomy_of(f"{title}, {style}: how answers go wrong", cells) if _wrong(cells) else None
            if anatomy:
                mistakes.append((family, anatomy))
    return curves, mistakes


def _of_many(columns: Sequence[ReportColumn]) -> tuple[_Pictures, _Pictures]:
    curves: _Pictures = []
    mistakes: _Pictures = []
    cells = [(one.label, cell, ladder) for one in columns for cell, ladder in _known(one)]
    ladders = _grouped((name, (cell.family, ladder, cell.channel, cell.style), cell) for name, cell, ladder in cells)
    for (family, ladder, channel, style), series in ladders.items():
        for names, part in _parts(list(series)):
            title = f"{_title(family, ladder, channel)}, {style}{part}"
            published = _published(family, ladder, [style])
            if picture := curves_of(title, {name: series[name] for name in names}, published):
                curves.append((family, picture))
    for (family, style), series in _grouped((name, (cell.family, cell.style), cell) for name, cell, _ in cells).items():
        if anatomy := _anatomy(f"{one_line(family)}, {style}: how answers go wrong, all levels together", series):
            mistakes.append((family, anatomy))
    return curves, mistakes


def _published(family: str, ladder: str, styles: Iterable[str]) -> list[PublishedCurve]:
    """Return the curves of others that belong into a picture of these styles."""
    tables = [one for one in PUBLISHED.get(family, ()) if ladder == "main" and one.style in styles]
    return [curve for one in tables for curve in one.curves]


def _known(column: ReportColumn) -> Iterator[tuple[CellCounts, str]]:
    for cell in column.detail.cells:
        if found := known_level(cell):
            yield cell, found[1].ladder


def _grouped(rows: Iterable[tuple[str, _Key, CellCounts]]) -> _Grouped:
    found: _Grouped = {}
    for series, key, cell in rows:
        found.setdefault(key, {}).setdefault(series, []).append(cell)
    return found


def _title(family: str, ladder: str, channel: str) -> str:
    return one_line(f"{family}, {ladder} ladder, {channel} channel")


def _wrong(cells: Iterable[CellCounts]) -> bool:
    return any(cell.k < cell.n for cell in cells)


def _parts(names: Sequence[str]) -> Iterator[tuple[Sequence[str], str]]:
    """Split names into parts of nearly equal size, each with at most MOST_SERIES."""
    n_parts = ceil(len(names) / MOST_SERIES)
    size = ceil(len(names) / n_parts)
    for at in range(n_parts):
        said = f" ({at + 1} of {n_parts})" if n_parts > 1 else ""
        yield names[at * size : (at + 1) * size], said


def _anatomy(title: str, series: Mapping[str, Sequence[CellCounts]]) -> Anatomy | None:
    """Return one bar for each run, with its answers of all levels."""
    if not any(_wrong(cells) for cells in series.values()):
        return None
    bars = tuple(_bar(name, at, cells) for at, (name, cells) in enumerate(series.items(), 1))
    picture = Anatomy(title, "", bars, "Run")
    mistakes = ", ".join(one_line(kind, 60) for kind in picture.kinds if kind != CORRECT)
    return Anatomy(
        title, f"Shares of correct answers and of kinds of mistakes by run. Mistakes: {mistakes}.", bars, "Run"
    )


def _bar(name: str, place: int, cells: Iterable[CellCounts]) -> Bar:
    total: Counter[str] = Counter()
    for cell in cells:
        total.update(cell.labels)
    return Bar(name, float(place), tuple(LabelCount(label, n) for label, n in sorted(total.items())))

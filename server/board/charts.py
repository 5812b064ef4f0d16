"""Small charts of accuracy against difficulty, drawn by templates as inline SVG."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import floor, log2

from sqlalchemy import Engine

from fathom.harness.db import read
from fathom.harness.db.leaderboard.read import Standing
from fathom.harness.format import interval_text, percent, ratio
from fathom.harness.stats.scores import CellCounts, known_level
from fathom.server.board.scores import group_of, score_of
from fathom.server.web.render import in_units
from fathom.tasks.published import PublishedCurve
from fathom.tasks.registry import find_family

CHART_WIDTH, CHART_HEIGHT = 132, 74
"""Size of the plot in units of its own; a template scales it to its container."""

MOST_LINES = 6
"""Lines that a chart can tell apart: as many as the stylesheet has colours for."""

_MARGIN_X, _MARGIN_Y = 7, 6
_WIDEST = 8.0  # ratio of hardness above which the axis is logarithmic


@dataclass(frozen=True, slots=True)
class ChartSource:
    """One line to draw: a name, the run that its samples are read from, and its cells in one style."""

    name: str
    run: str
    cells: Sequence[CellCounts]
    is_sealed: bool = False
    """Whether the run's samples are secret, so that no point leads to them."""


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """A level: its position in the chart, what a tooltip says, and the address of its samples."""

    x: float
    y: float
    words: str
    link: str


@dataclass(frozen=True, slots=True)
class ChartLine:
    """A line from the easiest to the hardest level; `hue` 0 .. MOST_LINES - 1 chooses its colour.

    `aside` holds levels as hard as another level but with a second axis of their own, such as another ring size.
    """

    hue: int
    name: str
    points: tuple[ChartPoint, ...]
    aside: tuple[ChartPoint, ...]

    @property
    def path(self) -> str:
        """The line as an SVG path; empty for a single point."""
        return _path((point.x, point.y) for point in self.points) if len(self.points) > 1 else ""


@dataclass(frozen=True, slots=True)
class Tick:
    """A difficulty with a mark on the axis."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class PublishedLine:
    """A model in a figure that others published: a dashed line, or a dashed mark for a single point."""

    path: str
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Accuracy of several lines on one family's main ladder, in one channel and style."""

    family: str
    title: str
    unit: str
    lines: tuple[ChartLine, ...]
    chance: str
    """Path of the accuracy by chance; empty where it is not known."""
    ticks: tuple[Tick, ...]
    is_log: bool
    published: tuple[PublishedLine, ...] = ()

    @property
    def description(self) -> str:
        """The chart in words, for those who do not see it."""
        return " ".join(f"{line.name}: {'; '.join(point.words for point in line.points)}." for line in self.lines)


def family_charts(
    sources: Sequence[ChartSource], families: Iterable[str], published: Sequence[PublishedCurve] = ()
) -> tuple[Chart, ...]:
    """Return a chart for each family that a source was asked, at most MOST_LINES lines each.

    Curves that others published are drawn beside them as far as the levels reach.
    """
    found = []
    for family in families:
        members = [
            (hue, source, [cell for cell in source.cells if cell.family == family])
            for hue, source in enumerate(sources[:MOST_LINES])
        ]
        if (chart := _chart(family, members, published)) is not None:
            found.append(chart)
    return tuple(found)


def draw_standings(
    db: Engine,
    standings: Sequence[Standing],
    style: str,
    families: Iterable[str],
    published: Sequence[PublishedCurve] = (),
) -> tuple[Chart, ...]:
    """Return the charts of some models of the board, in two statements."""
    runs = [one.run for one in standings]
    cells = read.cells_of_runs(db, runs, style=style)
    sealed = {one.run: one.sealed for one in read.summaries_of(db, runs)}
    sources = [ChartSource(one.model.name, one.run, cells[one.run], sealed[one.run]) for one in standings]
    return family_charts(sources, families, published)


def main_cells(cells: Sequence[CellCounts]) -> tuple[list[CellCounts], list[CellCounts]]:
    """Split the cells of one family and style into a line, easiest first, and the levels beside it.

    The line follows the family's first ladder in its first channel. Where levels differ only in the fraction of
    their hardness, which holds a second axis, the line keeps the value of that axis that most levels have.
    """
    placed = [(cell, group_of(cell)) for cell in cells if cell.n and known_level(cell)]
    if not placed:
        return [], []
    first = min(placed, key=lambda one: (one[1].order[2], one[1].order[3]))[1]
    ladder = [cell for cell, group in placed if (group.ladder, group.channel) == (first.ladder, first.channel)]
    commonest = Counter(_second_axis(cell) for cell in ladder)
    line: dict[int, CellCounts] = {}
    for cell in sorted(ladder, key=lambda one: (commonest[_second_axis(one)], _second_axis(one))):
        line[floor(_hardness(cell))] = cell
    kept = [line[step] for step in sorted(line)]
    return kept, [cell for cell in ladder if cell not in kept]


def _chart(
    family: str,
    members: Sequence[tuple[int, ChartSource, Sequence[CellCounts]]],
    published: Sequence[PublishedCurve],
) -> Chart | None:
    split = [(hue, source, *main_cells(cells)) for hue, source, cells in members]
    drawn = [one for one in split if one[2]]
    if not drawn:
        return None
    steps = {_hardness(cell): cell for _, _, line, aside in drawn for cell in (*aside, *line)}
    axis = _Axis(min(steps), max(steps))
    known = find_family(family)
    lines = tuple(
        ChartLine(
            hue, source.name, tuple(_point(source, cell, axis) for cell in line),
            tuple(_point(source, cell, axis) for cell in aside),
        )
        for hue, source, line, aside in drawn
    )  # fmt: skip
    style = drawn[0][2][0].style
    whole = dict.fromkeys(floor(step) for step in sorted(steps))
    ticks = tuple(Tick(axis.x(max(step, axis.low)), str(step)) for step in whole)
    return Chart(
        family, known.title, known.unit, lines, _chance([line for _, _, line, _ in drawn], style, axis),
        ticks, axis.is_log, tuple(_published(published, axis, known.unit)),
    )  # fmt: skip


def _published(curves: Iterable[PublishedCurve], axis: "_Axis", unit: str) -> Iterator[PublishedLine]:
    """Yield the curves that the axis reaches; a point stands where our levels of the same hardness stand."""
    for curve in curves:
        inside = curve.within(axis.low, axis.high)
        if not inside:
            continue
        places = [(axis.x(max(at, axis.low)), _height_of(share)) for at, share in inside]
        (x, y), *more = places
        said = ", ".join(f"{percent(share, 0)} at {in_units(f'{at:g}', unit)}" for at, share in inside)
        yield PublishedLine(_path(places) if more else f"M{x:g} {y - 5:g}v10", f"{curve.model}: {said}")


@dataclass(frozen=True, slots=True)
class _Axis:
    """The horizontal axis: from the easiest to the hardest level."""

    low: float
    high: float

    @property
    def is_log(self) -> bool:
        return self.low > 0 and self.high > _WIDEST * self.low

    def x(self, hardness: float) -> float:
        if self.high == self.low:
            return CHART_WIDTH / 2
        at, low, high = (log2(one) if self.is_log else one for one in (hardness, self.low, self.high))
        return round(_MARGIN_X + (CHART_WIDTH - 2 * _MARGIN_X) * (at - low) / (high - low), 1)


def _height_of(share: float) -> float:
    """Return the vertical position of an accuracy of 0..1."""
    return round(CHART_HEIGHT - _MARGIN_Y - (CHART_HEIGHT - 2 * _MARGIN_Y) * share, 1)


def _point(source: ChartSource, cell: CellCounts, axis: _Axis) -> ChartPoint:
    family = find_family(cell.family)
    words = (
        f"{percent(cell.k / cell.n, 0)} at {in_units(str(floor(_hardness(cell))), family.unit)} ({cell.level}), "
        f"{ratio(cell.k, cell.n)}, 95% interval {interval_text(cell.interval)}"
    )
    link = "" if source.is_sealed else f"/runs/{source.run}/samples?cell={cell.id}"
    return ChartPoint(axis.x(_hardness(cell)), _height_of(cell.k / cell.n), words, link)


def _chance(lines: Iterable[Sequence[CellCounts]], style: str, axis: _Axis) -> str:
    """Return the path of chance in one style, over the levels of all lines."""
    found: dict[float, float] = {}
    for cell in (cell for line in lines for cell in line):
        chance = score_of(cell).chance
        if chance is not None and cell.style == style:
            found.setdefault(_hardness(cell), chance)
    ends = [(axis.x(step), _height_of(found[step])) for step in sorted(found)]
    if len(ends) == 1:
        return f"M{_MARGIN_X} {ends[0][1]:g}H{CHART_WIDTH - _MARGIN_X}"
    return _path(ends)


def _path(places: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places) if places else ""


def _hardness(cell: CellCounts) -> float:
    return find_family(cell.family).levels[cell.level].hardness


def _second_axis(cell: CellCounts) -> float:
    hardness = _hardness(cell)
    return round(hardness - floor(hardness), 6)

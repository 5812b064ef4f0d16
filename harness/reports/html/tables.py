"""Turn the columns of a report into its tables: texts, row by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from fathom.harness.format import interval_text, percent, ratio, score
from fathom.harness.reports.figures.picture import NOTHING, DataTable, one_line
from fathom.harness.reports.html.columns import Column
from fathom.harness.reports.measures import measure_run, measures_table
from fathom.harness.reports.repeats import repeats_table
from fathom.harness.reports.terminal import wrong_labels
from fathom.harness.stats.counts import CellCounts
from fathom.harness.stats.intervals import Estimate, Interval
from fathom.harness.stats.scores import known_level, rung_of

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A family in one style, or all families (named ""): a score with half of its interval, run by run."""

    family: str
    style: str
    scores: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LadderRow:
    """A ladder in one channel and style: score and depth50, run by run."""

    family: str
    ladder: str
    channel: str
    style: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FactRow:
    """What the runs were asked, in one respect; `same` where it is the same in all."""

    term: str
    values: tuple[str, ...]
    same: bool


@dataclass(frozen=True, slots=True)
class CellText:
    """What a run made of a cell."""

    accuracy: str
    interval: str
    right: str
    wrong: str


@dataclass(frozen=True, slots=True)
class CellLine:
    """A cell, run by run."""

    level: str
    channel: str
    style: str
    chance: str
    runs: tuple[CellText, ...]


_NO_CELL = CellText(NOTHING, NOTHING, NOTHING, NOTHING)


def fact_rows(columns: Sequence[Column]) -> tuple[FactRow, ...]:
    """Set what the runs were asked side by side."""
    told = [{fact.term: fact.value for fact in one.facts} for one in columns]
    terms = dict.fromkeys(fact.term for one in columns for fact in one.facts)
    rows = [(term, tuple(one.get(term, NOTHING) for one in told)) for term in terms]
    return tuple(FactRow(term, values, len(set(values)) == 1) for term, values in rows)


def score_rows(columns: Sequence[Column]) -> tuple[ScoreRow, ...]:
    """Set the scores of all families together, then of each, side by side."""
    found: dict[tuple[str, str], list[str]] = {}
    for at, column in enumerate(columns):
        for style, one in column.scores["overall"].items():
            _row(found, ("", style), len(columns))[at] = _score(one)
        for one in column.scores["families"]:
            _row(found, (one["family"], one["style"]), len(columns))[at] = _score(one)
    return tuple(
        ScoreRow(*key, tuple(values)) for key, values in sorted(found.items(), key=lambda item: bool(item[0][0]))
    )


def _row(found: dict[tuple[str, str], list[str]], key: tuple[str, str], n: int) -> list[str]:
    return found.setdefault(key, [NOTHING] * n)


def _score(one: Json) -> str:
    return score(Estimate(one["score"], Interval(one["low"], one["high"])))


def ladder_rows(columns: Sequence[Column]) -> tuple[LadderRow, ...]:
    """Set scores and depths of each ladder side by side."""
    found: dict[tuple[str, str, str, str], list[tuple[str, str]]] = {}
    for at, column in enumerate(columns):
        for one in column.scores["ladders"]:
            key = (one["family"], one["ladder"], one["channel"], one["style"])
            limit = one["depth50"]
            depth = f"{limit['text']} {limit['unit']}" if limit else NOTHING
            found.setdefault(key, [(NOTHING, NOTHING)] * len(columns))[at] = (_score(one), depth)
    return tuple(LadderRow(*key, tuple(values)) for key, values in found.items())


@dataclass(frozen=True, slots=True)
class RepeatTable:
    """What repeated answers of a ladder, channel and style come to."""

    title: str
    numbers: DataTable


def repeat_tables(columns: Sequence[Column]) -> tuple[RepeatTable, ...]:
    """Write pass@k, majority@r and the like of the runs that were asked several times, ladder by ladder."""
    found: dict[tuple[str, ...], list[CellCounts]] = {}
    for column in columns:
        for cell in column.detail.cells:
            ladder = known[1].ladder if (known := known_level(cell)) else ""
            found.setdefault((column.label, cell.family, ladder, cell.channel, cell.style), []).append(cell)
    made = ((one_line(" · ".join(key)), repeats_table(cells)) for key, cells in found.items())
    return tuple(RepeatTable(title, table) for title, table in made if table is not None)


def measure_tables(db: Engine, columns: Sequence[Column]) -> tuple[RepeatTable, ...]:
    """Write what is measured of runs of models that were trained on our text, run by run."""
    made = ((column.label, measures_table(measure_run(db, column.detail))) for column in columns)
    return tuple(RepeatTable(title, table) for title, table in made if table is not None)


def cell_lines(columns: Sequence[Column]) -> dict[str, tuple[CellLine, ...]]:
    """Set the cells side by side, family by family, and within it a channel and style at a time."""
    found: dict[tuple[str, int, str, str, str], list[CellCounts | None]] = {}
    for at, column in enumerate(columns):
        for cell in column.detail.cells:
            key = (cell.family, cell.version, cell.level, cell.channel, cell.style)
            found.setdefault(key, [None] * len(columns))[at] = cell
    lines: dict[str, list[CellLine]] = {}
    for (family, _version, *_), cells in found.items():
        lines.setdefault(family, []).append(_line(cells))
    return {family: tuple(_in_order(members)) for family, members in lines.items()}


def _in_order(lines: Sequence[CellLine]) -> Sequence[CellLine]:
    """Put what may be compared together; levels stay in the suite's order."""
    tables = list(dict.fromkeys((one.channel, one.style) for one in lines))
    return sorted(lines, key=lambda one: tables.index((one.channel, one.style)))


def _line(cells: Sequence[CellCounts | None]) -> CellLine:
    first = next(cell for cell in cells if cell is not None)
    rung = next((found for cell in cells if cell is not None and (found := rung_of(cell))), None)
    chance = NOTHING if rung is None else percent(rung.chance)
    return CellLine(first.level, first.channel, first.style, chance, tuple(map(_cell, cells)))


def _cell(cell: CellCounts | None) -> CellText:
    if cell is None or not cell.n:
        return _NO_CELL
    return CellText(
        percent(cell.k / cell.n), interval_text(cell.interval), ratio(cell.k, cell.n), wrong_labels(cell) or NOTHING
    )

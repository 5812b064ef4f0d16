"""Tables of a report: scores, depths, settings and cells of all runs side by side, as texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from fathom.harness.format import interval_text, percent, ratio, score
from fathom.harness.reports.figures.picture import NOTHING, DataTable, one_line
from fathom.harness.reports.found import FoundRow, found_rows, share_texts
from fathom.harness.reports.html.columns import ReportColumn
from fathom.harness.reports.measures import measure_run, measures_table
from fathom.harness.reports.repeats import repeats_table
from fathom.harness.reports.terminal import wrong_labels
from fathom.harness.stats.intervals import Estimate, Interval
from fathom.harness.stats.scores import CellCounts, known_level, rung_of

_Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A family, or all families (named ""), in one style: the score of each run with half of its interval."""

    family: str
    style: str
    scores: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LadderRow:
    """A ladder in one channel and style: score and depth50 of each run."""

    family: str
    ladder: str
    channel: str
    style: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FactRow:
    """One setting of the runs; `same` if all runs have the same value."""

    term: str
    values: tuple[str, ...]
    same: bool


@dataclass(frozen=True, slots=True)
class CellText:
    """The results of a run in a cell."""

    accuracy: str
    interval: str
    right: str
    wrong: str


@dataclass(frozen=True, slots=True)
class CellRowText:
    """A cell with the results of each run."""

    level: str
    channel: str
    style: str
    chance: str
    runs: tuple[CellText, ...]


_NO_CELL = CellText(NOTHING, NOTHING, NOTHING, NOTHING)


def make_fact_rows(columns: Sequence[ReportColumn]) -> tuple[FactRow, ...]:
    """Return the settings of the runs side by side."""
    told = [{fact.term: fact.value for fact in one.facts} for one in columns]
    terms = dict.fromkeys(fact.term for one in columns for fact in one.facts)
    rows = [(term, tuple(one.get(term, NOTHING) for one in told)) for term in terms]
    return tuple(FactRow(term, values, len(set(values)) == 1) for term, values in rows)


def make_score_rows(columns: Sequence[ReportColumn]) -> tuple[ScoreRow, ...]:
    """Return the scores of all families together, then of each family, side by side."""
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


def _score(one: _Json) -> str:
    return NOTHING if one["score"] is None else score(Estimate(one["score"], Interval(one["low"], one["high"])))


def make_ladder_rows(columns: Sequence[ReportColumn]) -> tuple[LadderRow, ...]:
    """Return scores and depths of each ladder side by side."""
    found: dict[tuple[str, str, str, str], list[tuple[str, str]]] = {}
    for at, column in enumerate(columns):
        for one in column.scores["ladders"]:
            key = (one["family"], one["ladder"], one["channel"], one["style"])
            limit = one["depth50"]
            depth = f"{limit['text']} {limit['unit']}" if limit else NOTHING
            found.setdefault(key, [(NOTHING, NOTHING)] * len(columns))[at] = (_score(one), depth)
    return tuple(LadderRow(*key, tuple(values)) for key, values in found.items())


@dataclass(frozen=True, slots=True)
class TitledTable:
    """A titled table: of repeated answers, or of measures."""

    title: str
    numbers: DataTable


def make_repeat_tables(columns: Sequence[ReportColumn]) -> tuple[TitledTable, ...]:
    """Return pass@k and majority@r, for each run with repeated answers and each of its ladders."""
    found: dict[tuple[str, ...], list[CellCounts]] = {}
    for column in columns:
        for cell in column.detail.cells:
            ladder = known[1].ladder if (known := known_level(cell)) else ""
            found.setdefault((column.label, cell.family, ladder, cell.channel, cell.style), []).append(cell)
    made = ((one_line(" · ".join(key)), repeats_table(cells)) for key, cells in found.items())
    return tuple(TitledTable(title, table) for title, table in made if table is not None)


def make_measure_tables(db: Engine, columns: Sequence[ReportColumn]) -> tuple[TitledTable, ...]:
    """Return the measures beyond accuracy, for each run that has any."""
    made = ((column.label, measures_table(measure_run(db, column.detail))) for column in columns)
    return tuple(TitledTable(title, table) for title, table in made if table is not None)


@dataclass(frozen=True, slots=True)
class FoundRowText:
    """How the answers of a family, or of all (named ""), in one style were found: the shares of each run."""

    family: str
    style: str
    runs: tuple[tuple[str, ...], ...]


def make_found_rows(columns: Sequence[ReportColumn]) -> tuple[FoundRowText, ...]:
    """Return how the answers of the runs were found, side by side; empty where no run knows."""
    found: dict[tuple[str, str], list[FoundRow | None]] = {}
    for at, column in enumerate(columns):
        for row in found_rows(column.detail.cells):
            found.setdefault((row.style, row.family), [None] * len(columns))[at] = row
    if not any(row and row.counts for rows in found.values() for row in rows):
        return ()
    in_order = sorted(found.items(), key=lambda one: list(dict.fromkeys(style for style, _ in found)).index(one[0][0]))
    return tuple(FoundRowText(family, style, tuple(map(share_texts, rows))) for (style, family), rows in in_order)


def make_cell_rows(columns: Sequence[ReportColumn]) -> dict[str, tuple[CellRowText, ...]]:
    """Return the cells of all runs side by side, by family, and in it sorted by channel and style."""
    found: dict[tuple[str, int, str, str, str], list[CellCounts | None]] = {}
    for at, column in enumerate(columns):
        for cell in column.detail.cells:
            key = (cell.family, cell.version, cell.level, cell.channel, cell.style)
            found.setdefault(key, [None] * len(columns))[at] = cell
    lines: dict[str, list[CellRowText]] = {}
    for (family, _version, *_), cells in found.items():
        lines.setdefault(family, []).append(_line(cells))
    return {family: tuple(_in_order(members)) for family, members in lines.items()}


def _in_order(lines: Sequence[CellRowText]) -> Sequence[CellRowText]:
    """Group rows by channel and style; levels stay in the suite's order."""
    tables = list(dict.fromkeys((one.channel, one.style) for one in lines))
    return sorted(lines, key=lambda one: tables.index((one.channel, one.style)))


def _line(cells: Sequence[CellCounts | None]) -> CellRowText:
    first = next(cell for cell in cells if cell is not None)
    rung = next((found for cell in cells if cell is not None and (found := rung_of(cell))), None)
    chance = NOTHING if rung is None else percent(rung.chance)
    return CellRowText(first.level, first.channel, first.style, chance, tuple(map(_cell, cells)))


def _cell(cell: CellCounts | None) -> CellText:
    if cell is None or not cell.n:
        return _NO_CELL
    return CellText(
        percent(cell.k / cell.n), interval_text(cell.interval), ratio(cell.k, cell.n), wrong_labels(cell) or NOTHING
    )

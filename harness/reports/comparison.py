"""Turn two runs into what a test says of them, style by style, and into what would settle the ties."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, isfinite
from typing import Any

import numpy as np
from sqlalchemy import Engine

from fathom.harness.db.leaderboard import read as board
from fathom.harness.db.leaderboard.landing import land_runs
from fathom.harness.errors import NotComparable
from fathom.harness.records import RunDetail
from fathom.harness.reports.describe import mapping
from fathom.harness.stats.counts import CellCounts
from fathom.harness.stats.intervals import Z95, Estimate
from fathom.harness.stats.paired import CellPair, Comparison, Marks, compare
from fathom.harness.stats.power import POWER, Odds, discordant_odds, factor_to_separate, n_to_separate
from fathom.harness.stats.ranking import ALPHA, Array


@dataclass(frozen=True, slots=True)
class Outlook:
    """How many items would tell two runs apart, if the difference is as seen."""

    level: float
    """Of the test: 5%, by Holm divided among the families that are not told apart yet."""
    n_more: int
    """Shared items; items of each run where none is shared."""
    n_a_cell: int
    """What to give as --n."""


@dataclass(frozen=True, slots=True)
class Line:
    """Two runs on one family, or on all of them (named ""), in one style."""

    result: Comparison
    odds: Odds | None
    """That it is the first where only one is right; None where no item tells them apart."""
    outlook: Outlook | None
    """None where they are told apart, and where nothing suggests a difference."""

    @property
    def at_odds(self) -> bool:
        """Whether the test finds a difference, but the scores point the other way or nowhere."""
        return not self.result.ahead and self.result.p_holm <= ALPHA


@dataclass(frozen=True, slots=True)
class Contest:
    """All that is said of two runs."""

    first: RunDetail
    second: RunDetail
    paired: bool
    """Whether they were asked the same items; else a z test compares their scores."""
    notes: tuple[str, ...]
    """What else differs between them, in words."""
    lines: tuple[Line, ...]


def shared_cells(db: Engine, first: RunDetail, second: RunDetail) -> tuple[CellPair, ...]:
    """Return the cells that two runs share, in all styles; none where they were never asked alike."""
    n_items = {one.summary.run: one.suite.n_items for one in (first, second)}
    return pair_cells(first, second, board.marks_of(db, n_items))


def contest(db: Engine, first: RunDetail, second: RunDetail, style: str | None = None) -> Contest:
    """Compare two finished runs, in one style or in all that both were asked in.

    Raises:
        NotComparable: they share no cell, or none in that style.
    """
    land_runs(db)  # what a killed process left undone
    pairs = shared_cells(db, first, second)
    if not pairs:
        raise NotComparable(
            f"runs {first.summary.run} and {second.summary.run} share no cell: run both models on one suite"
        )
    styles = tuple(dict.fromkeys(pair.first.style for pair in pairs))
    if style is not None and style not in styles:
        raise NotComparable(f"these runs have no style {style!r} in common; they share: {', '.join(styles)}")
    chosen = [pair for pair in pairs if style in (None, pair.first.style)]
    results = compare(chosen)
    lines = tuple(_line(one, results, chosen) for one in results)
    return Contest(first, second, any(pair.n for pair in chosen), _notes(first, second, chosen), lines)


def _line(one: Comparison, results: Sequence[Comparison], pairs: Sequence[CellPair]) -> Line:
    odds = discordant_odds(one.only_first, one.only_second) if one.n else None
    if one.ahead or one.p_holm <= ALPHA:
        return Line(one, odds, None)
    mine = [pair for pair in pairs if pair.first.style == one.style and one.name in ("", pair.first.family)]
    return Line(one, odds, _outlook(one, _level(one, results), mine))


def _level(one: Comparison, results: Sequence[Comparison]) -> float:
    """Return the level of the next test of Holm's procedure: whoever is told apart already takes no share of it."""
    if not one.name:
        return ALPHA
    open_ones = [other for other in results if other.name and other.style == one.style and other.p_holm > ALPHA]
    return ALPHA / len(open_ones)


def _outlook(one: Comparison, level: float, pairs: Sequence[CellPair]) -> Outlook | None:
    if one.n:
        needed = n_to_separate(one.only_first, one.only_second, one.n, level)
        return None if needed is None else Outlook(level, max(1, needed - one.n), ceil(needed / len(pairs)))
    error = (one.difference.interval.high - one.difference.interval.low) / 2 / Z95
    factor = factor_to_separate(one.difference.value / error, level) if error else None
    if factor is None:
        return None
    n = sum(min(pair.first.n, pair.second.n) for pair in pairs)
    needed = ceil(factor * n)
    return Outlook(level, max(1, needed - n), ceil(needed / len(pairs)))


def _notes(first: RunDetail, second: RunDetail, pairs: Sequence[CellPair]) -> tuple[str, ...]:
    notes = []
    before, now = (mapping(one.manifest, "decisive") for one in (first, second))
    models = [mapping(one, "model").get("digest") for one in (before, now)]
    if models[0] is not None and models[0] == models[1]:
        notes.append("both are runs of one model")
    engines = [mapping(one, "engine") for one in (before, now)]
    if engines[0].get("name") != engines[1].get("name"):
        engines = [{"engine": one.get("name", "unknown")} for one in engines]
    for here, there in (engines, [mapping(one, "sampling") for one in (before, now)]):
        notes += [f"{text} of A, {other} of B" for text, other in _apart(here, there)]
    lost = sum(min(pair.first.n_planned, pair.second.n_planned) - pair.n for pair in pairs if pair.n)
    if lost:
        notes.append(f"left out: {lost} items on which an engine failed")
    return tuple(notes)


def _apart(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, str]]:  # JSON values
    """Yield what two settings say otherwise, each as "name value" and as the other value."""
    for key in dict.fromkeys((*first, *second)):
        here, there = first.get(key, "none"), second.get(key, "none")
        if isinstance(here, Mapping) or isinstance(there, Mapping):
            yield from _apart(*(one if isinstance(one, Mapping) else {} for one in (here, there)))
        elif here != there:
            yield f"{key.replace('_', ' ')} {here}", str(there)


def contest_json(one: Contest) -> dict[str, Any]:
    """Return a contest as JSON values; odds beyond all bounds are null."""
    return {
        "first": _run_json(one.first),
        "second": _run_json(one.second),
        "test": "mcnemar-exact" if one.paired else "z",
        "alpha": ALPHA,
        "power": POWER,
        "notes": list(one.notes),
        "comparisons": [_line_json(line) for line in one.lines],
    }


def _run_json(one: RunDetail) -> dict[str, str]:
    short = one.summary
    return {"run": short.run, "model": short.model, "engine": short.engine, "suite": short.suite, "seed": short.seed}


def _line_json(line: Line) -> dict[str, Any]:
    one = line.result
    return {
        "style": one.style, "family": one.name or None, "first": estimate_json(one.first),
        "second": estimate_json(one.second), "difference": estimate_json(one.difference), "n": one.n,
        "only_first": one.only_first,
        "only_second": one.only_second, "odds_ratio": _odds(line.odds), "p": one.p, "p_holm": one.p_holm,
        "verdict": ("tie", "first", "second")[one.ahead],
        "to_separate": None if line.outlook is None else asdict(line.outlook),
    }  # fmt: skip


def estimate_json(one: Estimate) -> dict[str, float]:
    """Return a value with its 95% interval as JSON values."""
    return {"value": one.value, "low": one.interval.low, "high": one.interval.high}


def _odds(one: Odds | None) -> dict[str, float | None] | None:
    if one is None:
        return None
    numbers = {"value": one.value, "low": one.interval.low, "high": one.interval.high}
    return {name: number if isfinite(number) else None for name, number in numbers.items()}


def pair_cells(first: RunDetail, second: RunDetail, marks: Mapping[str, Marks]) -> tuple[CellPair, ...]:
    """Pair the cells that both runs were asked; `marks` is by run, and may lack one that has not landed."""
    same_seed = first.suite.seed == second.suite.seed and {first.summary.run, second.summary.run} <= set(marks)
    theirs = dict(_placed(second))
    pairs = []
    for key, (cell, start) in _placed(first):
        if key not in theirs:
            continue
        other, other_start = theirs[key]
        n = min(cell.n_planned, other.n_planned) if same_seed else 0
        pairs.append(_pair(cell, other, *_cut(marks, first, start, n), *_cut(marks, second, other_start, n)))
    return tuple(pairs)


_Key = tuple[str, int, str, str, str]


def _placed(detail: RunDetail) -> Iterable[tuple[_Key, tuple[CellCounts, int]]]:
    start = 0
    for cell in detail.cells:
        yield (cell.family, cell.version, cell.level, cell.channel, cell.style), (cell, start)
        start += cell.n_planned


def _cut(marks: Mapping[str, Marks], detail: RunDetail, start: int, n: int) -> tuple[Array, Array]:
    if not n:
        return np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
    found = marks[detail.summary.run]
    return found.right[start : start + n], found.graded[start : start + n]


def _pair(
    first: CellCounts, second: CellCounts, right: Array, graded: Array, right2: Array, graded2: Array
) -> CellPair:
    shared = np.flatnonzero(graded & graded2)
    return CellPair(first, second, shared, right[shared], right2[shared])

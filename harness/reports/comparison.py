"""Statistical comparison of two runs, style by style, with the number of items that would separate ties."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, isfinite
from typing import Any

import numpy as np
from sqlalchemy import Engine

from fathom.harness.db.leaderboard import read as board
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.errors import BadInput, NotComparable
from fathom.harness.format import count, plural
from fathom.harness.records import RunDetail
from fathom.harness.reports.found import FoundRow, found_json, found_rows
from fathom.harness.stats.intervals import Z95, Estimate
from fathom.harness.stats.paired import CellPair, Comparison, RunVerdicts, compare
from fathom.harness.stats.power import POWER, Odds, discordant_odds, factor_to_separate, n_to_separate
from fathom.harness.stats.ranks import ALPHA, Array
from fathom.harness.stats.scores import CellCounts
from fathom.tasks.base import STYLES

_MOST_NAMED = 3  # items that a note lists


@dataclass(frozen=True, slots=True)
class SampleSizeNeed:
    """Number of items that would separate two runs if the true difference is the observed one."""

    level: float
    """Level of the test: 5%, which Holm's correction divides among the families that are not separated yet."""
    n_more: int
    """More shared items; more items of each run if they share none."""
    n_a_cell: int
    """Value for --n."""


@dataclass(frozen=True, slots=True)
class FamilyComparison:
    """Two runs on one family, or on all of them (named ""), in one style."""

    result: Comparison
    odds: Odds | None
    """Odds that the right run is the first, on items that only one got right; None if there are none."""
    needed: SampleSizeNeed | None
    """None if they are separated, or if nothing suggests a difference."""

    @property
    def at_odds(self) -> bool:
        """Whether the test finds a difference, but the scores show none or the opposite."""
        return not self.result.ahead and self.result.p_holm <= ALPHA


@dataclass(frozen=True, slots=True)
class FoundPair:
    """How the answers of two runs were found, on one family or on all (named ""), in one style."""

    family: str
    style: str
    first: FoundRow
    second: FoundRow

    @property
    def is_notable(self) -> bool:
        """Whether a reader of the comparison should see it."""
        return self.first.is_notable or self.second.is_notable


@dataclass(frozen=True, slots=True)
class RunComparison:
    """The comparison of two runs."""

    first: RunDetail
    second: RunDetail
    paired: bool
    """Whether they share items; if not, a z test compares their scores."""
    notes: tuple[str, ...]
    """Other differences between them, in words."""
    lines: tuple[FamilyComparison, ...]
    found: tuple[FoundPair, ...]


def pair_found(pairs: Sequence[CellPair]) -> tuple[FoundPair, ...]:
    """Count how the answers of two runs were found in the cells that they share."""
    first, second = (found_rows([(pair.first, pair.second)[side] for pair in pairs]) for side in (0, 1))
    theirs = {(row.style, row.family): row for row in second}
    return tuple(
        FoundPair(row.family, row.style, row, theirs[row.style, row.family])
        for row in first
        if (row.style, row.family) in theirs
    )


def shared_cells(db: Engine, first: RunDetail, second: RunDetail) -> tuple[CellPair, ...]:
    """Return the cells that both runs have, in all styles."""
    n_items = {one.summary.run: one.suite.n_items for one in (first, second)}
    return pair_cells(first, second, board.marks_of(db, n_items))


def compare_run_pair(db: Engine, first: RunDetail, second: RunDetail, style: str | None = None) -> RunComparison:
    """Compare two finished runs, in one style or in all styles that both have.

    Raises:
        BadInput: no such style.
        NotComparable: they share no cell, or none in that style.
    """
    if style is not None and style not in STYLES:
        raise BadInput(f"no style {style!r}; known: {', '.join(STYLES)}")
    update_leaderboard(db)  # finishes what a killed process left
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
    paired, notes = any(pair.n for pair in chosen), _differences_between(first, second, chosen)
    return RunComparison(first, second, paired, notes, lines, pair_found(chosen))


def _line(one: Comparison, results: Sequence[Comparison], pairs: Sequence[CellPair]) -> FamilyComparison:
    odds = discordant_odds(one.only_first, one.only_second) if one.n else None
    if one.ahead or one.p_holm <= ALPHA:
        return FamilyComparison(one, odds, None)
    mine = [pair for pair in pairs if pair.first.style == one.style and one.name in ("", pair.first.family)]
    return FamilyComparison(one, odds, _sample_size_need(one, _level(one, results), mine))


def _level(one: Comparison, results: Sequence[Comparison]) -> float:
    """Return the level of the next test in Holm's procedure; families that are separated take no share of it."""
    if not one.name:
        return ALPHA
    open_ones = [other for other in results if other.name and other.style == one.style and other.p_holm > ALPHA]
    return ALPHA / len(open_ones)


def _sample_size_need(one: Comparison, level: float, pairs: Sequence[CellPair]) -> SampleSizeNeed | None:
    if one.n:
        needed = n_to_separate(one.only_first, one.only_second, one.n, level)
        return None if needed is None else SampleSizeNeed(level, max(1, needed - one.n), ceil(needed / len(pairs)))
    error = (one.difference.interval.high - one.difference.interval.low) / 2 / Z95
    factor = factor_to_separate(one.difference.value / error, level) if error else None
    if factor is None:
        return None
    n = sum(min(pair.first.n, pair.second.n) for pair in pairs)
    needed = ceil(factor * n)
    return SampleSizeNeed(level, max(1, needed - n), ceil(needed / len(pairs)))


def _differences_between(first: RunDetail, second: RunDetail, pairs: Sequence[CellPair]) -> tuple[str, ...]:
    notes = []
    before, now = (one.manifest.decisive for one in (first, second))
    models = [one.model.digest for one in (before, now)]
    if models[0] is not None and models[0] == models[1]:
        notes.append("both are runs of one model")
        notes += _changed_verdicts(differing_items(first, pairs), sum(pair.n for pair in pairs))
    engines = [one.engine.model_dump() for one in (before, now)]
    if before.engine.name != now.engine.name:
        engines = [{"engine": one.engine.name or "unknown"} for one in (before, now)]
    for here, there in (engines, [one.sampling for one in (before, now)]):
        notes += [f"{text} of A, {other} of B" for text, other in _apart(here, there)]
    lost = sum(min(pair.first.n_planned, pair.second.n_planned) - pair.n for pair in pairs if pair.n)
    if lost:
        notes.append(f"left out: {lost} items on which an engine failed")
    return tuple(notes)


def differing_items(first: RunDetail, pairs: Iterable[CellPair]) -> tuple[str, ...]:
    """Return the shared items that one run got right and the other wrong: ids, each with its style in brackets."""
    found = []
    for pair in pairs:
        cell = pair.first
        place = f"{cell.family}@{cell.version}/{cell.level}/{cell.channel}/{first.suite.seed}"
        changed = pair.indices[pair.first_right != pair.second_right].tolist()
        found += [f"{place}/{index} ({cell.style})" for index in changed]
    return tuple(found)


def _changed_verdicts(items: Sequence[str], n: int) -> Iterator[str]:
    if n:
        named = f": {', '.join(items[:_MOST_NAMED])}" if items else ""
        more = ", ..." if len(items) > _MOST_NAMED else ""
        yield f"verdicts differ on {count(len(items))} of {plural(n, 'item')}{named}{more}"


def _apart(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, str]]:  # JSON values
    """Yield the differences of two settings, each as "name value" and the other value."""
    for key in dict.fromkeys((*first, *second)):
        here, there = first.get(key, "none"), second.get(key, "none")
        if isinstance(here, Mapping) or isinstance(there, Mapping):
            yield from _apart(*(one if isinstance(one, Mapping) else {} for one in (here, there)))
        elif here != there:
            yield f"{key.replace('_', ' ')} {here}", str(there)


def comparison_json(one: RunComparison) -> dict[str, Any]:
    """Return a comparison as JSON values; infinite odds are null."""
    return {
        "first": _run_json(one.first),
        "second": _run_json(one.second),
        "test": "mcnemar-exact" if one.paired else "z",
        "alpha": ALPHA,
        "power": POWER,
        "notes": list(one.notes),
        "comparisons": [_line_json(line) for line in one.lines],
        "answers": [_found_json(pair) for pair in one.found],
    }


def _found_json(pair: FoundPair) -> dict[str, Any]:
    first, second = ({"n": row.n, "k": row.k, **found_json(row.counts)} for row in (pair.first, pair.second))
    return {"style": pair.style, "family": pair.family or None, "first": first, "second": second}


def _run_json(one: RunDetail) -> dict[str, str]:
    short = one.summary
    return {"run": short.run, "model": short.model, "engine": short.engine, "suite": short.suite, "seed": short.seed}


def _line_json(line: FamilyComparison) -> dict[str, Any]:
    one = line.result
    return {
        "style": one.style, "family": one.name or None, "first": estimate_json(one.first),
        "second": estimate_json(one.second), "difference": estimate_json(one.difference), "n": one.n,
        "only_first": one.only_first,
        "only_second": one.only_second, "odds_ratio": _odds(line.odds), "p": one.p, "p_holm": one.p_holm,
        "verdict": ("tie", "first", "second")[one.ahead],
        "to_separate": None if line.needed is None else asdict(line.needed),
    }  # fmt: skip


def estimate_json(one: Estimate) -> dict[str, float]:
    """Return an estimate with its 95% interval as JSON values."""
    return {"value": one.value, "low": one.interval.low, "high": one.interval.high}


def _odds(one: Odds | None) -> dict[str, float | None] | None:
    if one is None:
        return None
    numbers = {"value": one.value, "low": one.interval.low, "high": one.interval.high}
    return {name: number if isfinite(number) else None for name, number in numbers.items()}


def pair_cells(first: RunDetail, second: RunDetail, marks: Mapping[str, RunVerdicts]) -> tuple[CellPair, ...]:
    """Pair the cells that both runs have; `marks` holds verdicts by run, and lacks a run that is not indexed yet."""
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


def _cut(marks: Mapping[str, RunVerdicts], detail: RunDetail, start: int, n: int) -> tuple[Array, Array]:
    if not n:
        return np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
    found = marks[detail.summary.run]
    return found.right[start : start + n], found.graded[start : start + n]


def _pair(
    first: CellCounts, second: CellCounts, right: Array, graded: Array, right2: Array, graded2: Array
) -> CellPair:
    shared = np.flatnonzero(graded & graded2)
    return CellPair(first, second, shared, right[shared], right2[shared])

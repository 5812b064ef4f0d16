"""Comparisons of two runs: score differences, and exact tests on the items that both were asked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, erfc, sqrt

from fathom.harness.stats.intervals import Z95, Estimate, Interval, ladder_mean, mean_of
from fathom.harness.stats.ranks import ALPHA, Array
from fathom.harness.stats.scores import CellCounts, known_level, rung_of


@dataclass(frozen=True, slots=True)
class RunVerdicts:
    """Verdicts of a run: booleans, one an item, in the order of cells and indices."""

    right: Array
    graded: Array


@dataclass(frozen=True, slots=True)
class CellPair:
    """One cell of two runs; the booleans cover the items that both were asked and that were graded in both."""

    first: CellCounts
    second: CellCounts
    indices: Array
    """Index of each shared item; empty where the seeds differ."""
    first_right: Array
    second_right: Array

    @property
    def n(self) -> int:
        """Shared items."""
        return len(self.indices)

    @property
    def only_first(self) -> int:
        """Items that only the first got right."""
        return int((self.first_right & ~self.second_right).sum())

    @property
    def only_second(self) -> int:
        """Items that only the second got right."""
        return int((self.second_right & ~self.first_right).sum())


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs on some cells in one style: the difference of their scores, and the test of it."""

    name: str
    style: str
    first: Estimate
    second: Estimate
    difference: Estimate
    """First less second."""
    n: int
    """Shared items. 0 where the seeds differ: then the test is a z test of the scores."""
    only_first: int
    only_second: int
    p: float
    p_holm: float
    """Corrected over all families of the style."""

    @property
    def ahead(self) -> int:
        """Return 1 or 2 where the first or second run is significantly ahead, else 0.

        Score and test must agree in direction, as they must for ranks.
        """
        if self.p_holm > ALPHA or (self.n and (self.only_first - self.only_second) * self.difference.value <= 0):
            return 0
        return 1 if self.difference.value > 0 else 2


def mcnemar(b: int, c: int) -> float:
    """Return the two-sided p of McNemar's exact test for b and c discordant pairs; 1 without any.

    Source: McNemar, Psychometrika 12 (1947); the binomial form, without mid-p.
    """
    n, low = b + c, min(b, c)
    tail = sum(comb(n, k) for k in range(low + 1))
    return min(1.0, 2 * tail / (1 << n))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected by Holm's step-down procedure, in the order given."""
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    corrected, highest = [0.0] * len(p_values), 0.0
    for place, at in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[at]))
        corrected[at] = highest
    return corrected


def compare(pairs: Sequence[CellPair]) -> tuple[Comparison, ...]:
    """Compare two runs style by style: all families together (named ""), then each, Holm-corrected over these."""
    found = []
    for style in dict.fromkeys(pair.first.style for pair in pairs):
        mine = [pair for pair in pairs if pair.first.style == style and _scored(pair)]
        families = {name: [pair for pair in mine if pair.first.family == name] for name in _families(mine)}
        tested = {name: _compare(name, style, {name: members}) for name, members in families.items()}
        corrected = holm([one.p for one in tested.values()])
        if len(families) > 1:
            found.append(_compare("", style, families))
        found += [_corrected(one, p) for one, p in zip(tested.values(), corrected, strict=True)]
    return tuple(found)


def _families(pairs: Iterable[CellPair]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(pair.first.family for pair in pairs))


def _scored(pair: CellPair) -> bool:
    return rung_of(pair.first) is not None and rung_of(pair.second) is not None


def _corrected(one: Comparison, p: float) -> Comparison:
    values = (one.first, one.second, one.difference, one.n, one.only_first, one.only_second)
    return Comparison(one.name, one.style, *values, one.p, p)


def _compare(name: str, style: str, families: Mapping[str, Sequence[CellPair]]) -> Comparison:
    pairs = [pair for members in families.values() for pair in members]
    first = mean_of([_family_score(members, 0) for members in families.values()])
    second = mean_of([_family_score(members, 1) for members in families.values()])
    n = sum(pair.n for pair in pairs)
    b, c = sum(pair.only_first for pair in pairs), sum(pair.only_second for pair in pairs)
    if not n:
        difference = _unpaired(first, second)
        error = (difference.interval.high - difference.interval.low) / 2 / Z95
        p = erfc(abs(difference.value) / error / sqrt(2)) if error else 1.0
        return Comparison(name, style, first, second, difference, 0, 0, 0, p, p)
    difference = mean_of([_paired(members) for members in families.values()])
    p = mcnemar(b, c)
    return Comparison(name, style, first, second, difference, n, b, c, p, p)


def _ladders(pairs: Iterable[CellPair]) -> Iterable[list[CellPair]]:
    found: dict[tuple[str, str], list[CellPair]] = {}
    for pair in pairs:
        known = known_level(pair.first)
        if known is not None:
            found.setdefault((known[1].ladder, pair.first.channel), []).append(pair)
    return found.values()


def _family_score(pairs: Sequence[CellPair], which: int) -> Estimate:
    ladders = ([rung_of((pair.first, pair.second)[which]) for pair in ladder] for ladder in _ladders(pairs))
    return mean_of([ladder_mean([rung for rung in ladder if rung]) for ladder in ladders])


def _unpaired(first: Estimate, second: Estimate) -> Estimate:
    half = sqrt(sum(((one.interval.high - one.interval.low) / 2) ** 2 for one in (first, second)))
    value = first.value - second.value
    return Estimate(value, Interval(value - half, value + half))


def _paired(pairs: Sequence[CellPair]) -> Estimate:
    """Return the difference of two family scores on shared items.

    The interval is Wald's for matched pairs with half a count added to each of the four kinds of
    pairs (Agresti and Min, Statistics in Medicine 24, 2005), a cell at a time.
    """
    return mean_of([_paired_ladder(ladder) for ladder in _ladders(pairs)])


def _paired_ladder(pairs: Sequence[CellPair]) -> Estimate:
    values, variances = [], []
    for pair in pairs:
        rung = rung_of(pair.first)
        if rung is None or not pair.n:
            continue
        b, c, n = pair.only_first, pair.only_second, pair.n
        values.append((b - c) / n / (1 - rung.chance))
        spread = (b + c + 1) / (n + 2) - ((b - c) / (n + 2)) ** 2
        variances.append(spread / (n + 2) / (1 - rung.chance) ** 2)
    if not values:
        return Estimate(0.0, Interval(-1.0, 1.0))
    value, half = sum(values) / len(values), Z95 * sqrt(sum(variances)) / len(values)
    return Estimate(value, Interval(value - half, value + half))

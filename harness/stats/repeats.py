"""Turn the answers to items that were asked several times into shares with intervals, clustered by item.

Answers to one item are alike, so that n items asked r times are worth less than n * r items. Standard errors are
those of Miller, Adding Error Bars to Evals (arXiv 2411.00640), clustered by item, times m / (m - 1) for m items.
An interval is Wilson's for as many independent samples as have that standard error: at 0% and 100%, where no spread
is seen, it is that of the items. With Student's t in place of the normal quantile it holds for few items as well.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb, sqrt
from typing import Any

from fathom.harness.stats.intervals import Z95, Estimate, t95, wilson

_DOUBT = 1.0
"""Samples' worth of belief that an item's answers are all alike, against which the spread that is seen must count."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One answer to an item; only what was parsed votes."""

    correct: bool
    parsed: str | None


@dataclass(frozen=True, slots=True)
class Variance:
    """Where right and wrong come from, in shares squared; all are unbiased, but `items` is never below 0."""

    items: float
    """Of the items' own chances: some are harder than others."""
    answers: float
    """Of the answers to one item: chance alone."""
    repeats: float
    """Of the accuracy from repeat to repeat; chance alone makes it `answers` by the number of items."""

    @property
    def sd_repeats(self) -> float:
        """Standard deviation of the accuracy from repeat to repeat."""
        return sqrt(self.repeats)


@dataclass(frozen=True, slots=True)
class Spread:
    """Counts of the items of a cell that have all their answers: all that shares and intervals need."""

    repeats: int
    hits: tuple[int, ...]
    """Items with 0, 1 ... `repeats` right answers."""
    by_repeat: tuple[int, ...]
    """Right answers in each repeat."""
    majority: int
    """Items whose commonest answer is right."""

    @property
    def n_items(self) -> int:
        """Items that have all their answers."""
        return sum(self.hits)

    @property
    def effect(self) -> float:
        """Design effect: how many samples are worth as much as one item that was asked once; 1 before any is whole."""
        return self.n_items * self.repeats / self._worth(1) if self.n_items else 1.0

    @property
    def mean(self) -> Estimate:
        """Share of right answers, mean@r."""
        return self.pass_at(1)

    def pass_at(self, k: int) -> Estimate:
        """Return the chance that one of k answers is right, pass@k: the unbiased estimate, averaged over items.

        Source: Chen et al., Evaluating Large Language Models Trained on Code (arXiv 2107.03374), eq. 1.
        """
        value, worth = self._value(k), self._worth(k)
        return Estimate(value, wilson(value * worth, worth))

    @property
    def passes(self) -> Mapping[int, Estimate]:
        """pass@k for k = 1, 2, 4 ... and for all answers."""
        doubled = [1 << power for power in range(self.repeats.bit_length()) if 1 << power < self.repeats]
        return {k: self.pass_at(k) for k in (*doubled, self.repeats)}

    @property
    def voted(self) -> Estimate:
        """Share of items whose commonest answer is right, majority@r, with Wilson's interval over items."""
        n = self.n_items
        return Estimate(self.majority / n if n else 0.0, wilson(self.majority, n))

    @property
    def variance(self) -> Variance:
        """Split the variance of right and wrong into that of items, of answers, and of repeats."""
        r, n = self.repeats, self.n_items
        if n < 2:
            return Variance(0.0, 0.0, 0.0)
        answers = sum(number * c * (r - c) for c, number in enumerate(self.hits)) / (n * r * (r - 1))
        middle = sum(self.by_repeat) / r
        repeats = sum((k - middle) ** 2 for k in self.by_repeat) / (r - 1) / n**2
        return Variance(max(0.0, self._spread_of(1) - answers / r), answers, repeats)

    def _value(self, k: int) -> float:
        passed = sum(number * pass_at_k(self.repeats, c, k) for c, number in enumerate(self.hits) if number)
        return min(1.0, passed / self.n_items) if self.n_items else 0.0

    def _spread_of(self, k: int) -> float:
        """Return the variance of the items' own pass@k."""
        mean = self._value(k)
        apart = (number * (pass_at_k(self.repeats, c, k) - mean) ** 2 for c, number in enumerate(self.hits) if number)
        return sum(apart) / (self.n_items - 1)

    def _worth(self, k: int) -> float:
        """Return how many independent samples have the standard error of pass@k."""
        n, mean = self.n_items, self._value(k)
        if n < 2:
            return float(n)
        parts = self.repeats / k  # an item's answers make that many sets of k
        seen = n * parts * min(mean, 1 - mean)  # right ones or wrong ones, whichever are fewer
        alike = 1.0  # 1 where an item's answers are all alike, 1 / parts where they have nothing in common
        if seen > 0:
            alike = min(1.0, max(1 / parts, self._spread_of(k) / (mean * (1 - mean))))
        alike = (seen * alike + _DOUBT) / (seen + _DOUBT)
        return max(1.0, n / alike * (Z95 / t95(n - 1)) ** 2)

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return {
            "repeats": self.repeats, "hits": list(self.hits), "by_repeat": list(self.by_repeat),
            "majority": self.majority,
        }  # fmt: skip


def read_spread(stored: Mapping[str, Any] | None) -> Spread | None:
    """Read what `Spread.to_json` wrote; None where items were asked once."""
    if stored is None:
        return None
    return Spread(
        int(stored["repeats"]), tuple(stored["hits"]), tuple(stored["by_repeat"]), int(stored["majority"])
    )  # fmt: skip


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the chance that k answers, drawn from n of which c are right, hold a right one."""
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"k = {k} of n = {n} answers with c = {c} right cannot be")
    return 1.0 - comb(n - c, k) / comb(n, k)


def majority_is_right(votes: Sequence[Vote]) -> bool:
    """Say whether the commonest parsed answer is right; of equally common ones the first given counts."""
    parsed = Counter(vote.parsed for vote in votes if vote.parsed is not None)
    if not parsed:
        return False
    chosen = parsed.most_common(1)[0][0]  # the first seen of equals
    return next(vote.correct for vote in votes if vote.parsed == chosen)


@dataclass(slots=True)
class Tally:
    """Counts items as they come; `spread` is what they add up to."""

    repeats: int
    hits: list[int] = field(init=False)
    by_repeat: list[int] = field(init=False)
    majority: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Begin at nothing."""
        self.hits, self.by_repeat = [0] * (self.repeats + 1), [0] * self.repeats

    def add(self, votes: Iterable[Vote]) -> None:
        """Count an item by its graded answers in the order of repeats; one that lacks any is left out."""
        item = list(votes)
        if len(item) != self.repeats:
            return
        self.hits[sum(vote.correct for vote in item)] += 1
        for at, vote in enumerate(item):
            self.by_repeat[at] += vote.correct
        self.majority += majority_is_right(item)

    @property
    def spread(self) -> Spread:
        """What was counted so far."""
        return Spread(self.repeats, tuple(self.hits), tuple(self.by_repeat), self.majority)

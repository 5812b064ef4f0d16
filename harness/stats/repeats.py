"""Accuracy, pass@k and majority vote of items that were asked several times, with intervals clustered by item.

Answers to one item are correlated, so that n items asked r times carry less information than n * r items. Standard
errors are those of Miller, Adding Error Bars to Evals (arXiv 2411.00640), clustered by item, times m / (m - 1) for m
items. An interval is Wilson's for the number of independent samples with that standard error; at 0% and 100%, where
the observed variance is 0, for the number of items. Student's t in place of the normal quantile makes it valid for few
items as well.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb, sqrt
from typing import Any

from fathom.harness.stats.intervals import Z95, Estimate, t95, wilson

_DOUBT = 1.0
"""Weight, in samples, of the prior assumption that all answers to an item are alike."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One graded answer to an item; without a parsed answer it does not count in a majority vote."""

    correct: bool
    parsed: str | None


@dataclass(frozen=True, slots=True)
class Variance:
    """Components of the variance of right and wrong; unbiased, except that `items` is not below 0."""

    items: float
    """Between items: some are harder than others."""
    answers: float
    """Between the answers to one item."""
    repeats: float
    """Of the accuracy from repeat to repeat; about `answers` divided by the number of items."""

    @property
    def sd_repeats(self) -> float:
        """Standard deviation of the accuracy from repeat to repeat."""
        return sqrt(self.repeats)


@dataclass(frozen=True, slots=True)
class Spread:
    """Counts of a cell's items that have all their answers, from which shares and intervals are computed."""

    repeats: int
    hits: tuple[int, ...]
    """Items with 0, 1 ... `repeats` right answers."""
    by_repeat: tuple[int, ...]
    """Right answers in each repeat."""
    majority: int
    """Items whose most frequent answer is right."""

    @property
    def n_items(self) -> int:
        """Items that have all their answers."""
        return sum(self.hits)

    @property
    def effect(self) -> float:
        """Design effect: samples for each independent one; 1 while no item has all its answers."""
        return self.n_items * self.repeats / self._worth(1) if self.n_items else 1.0

    @property
    def mean(self) -> Estimate:
        """Share of right answers, mean@r."""
        return self.pass_at(1)

    def pass_at(self, k: int) -> Estimate:
        """Return pass@k, the probability that one of k answers is right: the unbiased estimate, averaged over items.

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
        """majority@r: share of items whose most frequent answer is right, with Wilson's interval over items."""
        n = self.n_items
        return Estimate(self.majority / n if n else 0.0, wilson(self.majority, n))

    @property
    def variance(self) -> Variance:
        """Split the variance of right and wrong into components."""
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
        """Return the number of independent samples with the standard error of pass@k."""
        n, mean = self.n_items, self._value(k)
        if n < 2:
            return float(n)
        parts = self.repeats / k  # disjoint sets of k answers of an item
        seen = n * parts * min(mean, 1 - mean)  # right or wrong ones, the fewer
        alike = 1.0  # 1 for identical answers to an item, 1 / parts for independent ones
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
    """Return the probability that k answers, drawn from n of which c are right, include a right one."""
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"k = {k} of n = {n} answers with c = {c} right: c must be at most n, and k between 1 and n")
    return 1.0 - comb(n - c, k) / comb(n, k)


def majority_is_right(votes: Sequence[Vote]) -> bool:
    """Return whether the most frequent parsed answer is right; of equally frequent ones the first given counts."""
    parsed = Counter(vote.parsed for vote in votes if vote.parsed is not None)
    if not parsed:
        return False
    chosen = parsed.most_common(1)[0][0]  # the first seen of equals
    return next(vote.correct for vote in votes if vote.parsed == chosen)


@dataclass(slots=True)
class Tally:
    """Counter of items; `spread` is the current total."""

    repeats: int
    hits: list[int] = field(init=False)
    by_repeat: list[int] = field(init=False)
    majority: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Start at zero."""
        self.hits, self.by_repeat = [0] * (self.repeats + 1), [0] * self.repeats

    def add(self, votes: Iterable[Vote]) -> None:
        """Count an item by its graded answers in the order of repeats; an item that lacks any is skipped."""
        item = list(votes)
        if len(item) != self.repeats:
            return
        self.hits[sum(vote.correct for vote in item)] += 1
        for at, vote in enumerate(item):
            self.by_repeat[at] += vote.correct
        self.majority += majority_is_right(item)

    @property
    def spread(self) -> Spread:
        """Counts so far."""
        return Spread(self.repeats, tuple(self.hits), tuple(self.by_repeat), self.majority)

"""Confidence intervals of shares, mean scores and threshold depths, computed from counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, log2, pi, sqrt, tan
from typing import Any

from numpy.typing import NDArray

Floats = NDArray[Any]  # floating-point numbers of any width

Z95 = 1.959963984540054
"""97.5% quantile of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed range."""

    low: float
    high: float


def wilson(k: float, n: float, z: float = Z95) -> Interval:
    """Return Wilson's score interval of a share k of n; (0, 1) for n = 0.

    k and n need not be whole: clustered samples count as fewer independent ones.

    Source: Wilson, Probable inference, JASA 22 (1927), without continuity correction.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k = {k} of n = {n}: k must lie between 0 and n")
    if n == 0:
        return Interval(0.0, 1.0)
    share, spread = k / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return Interval(max(0.0, middle - half) if k else 0.0, min(1.0, middle + half) if k < n else 1.0)


def t95(df: int) -> float:
    """Return the 97.5% quantile of Student's t distribution.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5: within 0.004 from 3 degrees of freedom
    on; the first two have closed forms.
    """
    if df < 1:
        raise ValueError(f"{df} degrees of freedom: at least 1 is needed")
    if df == 1:
        return tan(pi * 0.475)
    if df == 2:
        return 0.95 * sqrt(2 / (1 - 0.95**2))
    z = Z95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(df) ** power for power, term in enumerate(terms, 1))


@dataclass(frozen=True, slots=True)
class Rung:
    """A level as a point of a curve: k of n right at a hardness above 0, with the accuracy of a guesser, `chance`."""

    hardness: float
    k: int
    n: int
    chance: float
    effect: float = 1.0
    """Design effect: n divided by the number of independent samples; above 1 where items were asked several times."""

    @property
    def n_independent(self) -> int:
        """Equivalent number of independent samples, rounded."""
        return max(1, round(self.n / self.effect)) if self.n else 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95% interval."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Threshold:
    """The hardness at which accuracy falls half-way between 1 and chance, with its 95% interval.

    `inf` means above the hardest level asked, `-inf` below the easiest one; `bottom` and `top` are these levels.
    """

    value: float
    interval: Interval
    bottom: float
    top: float

    @property
    def share(self) -> float:
        """Place of the value between the easiest level, 0, and the hardest, 1, on the logarithmic scale."""
        return self.place(self.value)

    def place(self, hardness: float) -> float:
        """Return where a hardness lies between the easiest level, 0, and the hardest, 1; infinite ones at an end."""
        if not isfinite(hardness):
            return 1.0 if hardness > 0 else 0.0
        return log2(hardness / self.bottom) / log2(self.top / self.bottom)


def corrected_accuracy(k: int, n: int, chance: float) -> float:
    """Return accuracy corrected for chance, (k/n - c) / (1 - c): 0 for a guesser, 1 for a perfect model."""
    if not 0 <= chance < 1 or n < 1:
        raise ValueError(f"chance {chance} with n = {n}: chance must be below 1, and n at least 1")
    return (k / n - chance) / (1 - chance)


def ladder_mean(rungs: Sequence[Rung]) -> Estimate:
    """Return the mean of the corrected accuracies over the rungs.

    The interval is normal, from the binomial variance of each rung with Agresti and Coull's two
    added successes and failures, so that it is not empty at 0% and 100%.
    """
    asked = _asked(rungs)
    mean = sum(corrected_accuracy(rung.k, rung.n, rung.chance) for rung in asked) / len(asked)
    half = Z95 * sqrt(sum(_variance(rung) for rung in asked)) / len(asked)
    return Estimate(mean, Interval(mean - half, mean + half))


def _asked(rungs: Sequence[Rung]) -> list[Rung]:
    found = [rung for rung in rungs if rung.n]
    if not found:
        raise ValueError("no level has graded samples")
    return found


def _variance(rung: Rung) -> float:
    k, n = rung.k / rung.effect, rung.n / rung.effect
    share = (k + 2) / (n + 4)
    return share * (1 - share) / (n + 4) / (1 - rung.chance) ** 2


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of independent estimates."""
    mean = sum(one.value for one in estimates) / len(estimates)
    half = sqrt(sum(((one.interval.high - one.interval.low) / 2) ** 2 for one in estimates)) / len(estimates)
    return Estimate(mean, Interval(mean - half, mean + half))


def style_gap(before: Sequence[Rung], after: Sequence[Rung]) -> Estimate:
    """Return the ladder's mean in one style less that in another, on the same levels.

    The interval takes the styles as independent, which on shared items makes it wider than needed.
    """
    low, high = ladder_mean(before), ladder_mean(after)
    half = sqrt(sum(((one.interval.high - one.interval.low) / 2) ** 2 for one in (low, high)))
    rise = high.value - low.value
    return Estimate(rise, Interval(rise - half, rise + half))


def label_shares(labels: Mapping[str, int]) -> dict[str, float]:
    """Return each kind of mistake as a share of all wrong answers, most frequent first."""
    wrong = {label: n for label, n in labels.items() if label != "correct" and n}
    total = sum(wrong.values())
    return {label: wrong[label] / total for label in sorted(wrong, key=lambda label: (-wrong[label], label))}


def depth_text(threshold: Threshold) -> str:
    """Format a threshold as 3.5 (3.1 to 3.9), > 8 or < 1; bounds beyond the levels asked are written alike."""
    value = _hardness_text(threshold.value, threshold)
    low, high = (_hardness_text(bound, threshold) for bound in (threshold.interval.low, threshold.interval.high))
    return value if low == high == value else f"{value} ({low} to {high})"


def _hardness_text(value: float, threshold: Threshold) -> str:
    if value == inf:
        return f"> {_short(threshold.top)}"
    return f"< {_short(threshold.bottom)}" if value == -inf else _short(value)


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 99.5 else f"{number:.2g}"

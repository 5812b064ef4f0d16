"""Confidence intervals of shares, mean scores and threshold depths, computed from counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, pi, prod, sqrt, tan
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[Any]  # floating-point numbers of any width

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


_N_BOOTSTRAP = 1000

_SLOPES = np.geomspace(0.25, 512, 25)  # the steepest falls to chance between any two neighbouring levels

_FINE_SLOPES = np.geomspace(0.25, 512, 97)


_N_MIDDLES, _N_FINE_MIDDLES = 161, 481
"""The fit uses the fine grid, its resamplings the coarse one."""

_NEAR = 0.01
"""Middles whose log-likelihood differs less than this from the best count as equally good."""


def depth50(rungs: Sequence[Rung], seed: int = 0) -> Threshold | None:
    """Return the hardness at which accuracy falls half-way between 1 and chance; None below two levels.

    Fits p = c + (1 - c) / (1 + (h / depth)^s) with s > 0, a psychometric function that never rises
    with the hardness h and has the chance level c as its floor (Wichmann and Hill, Perception &
    Psychophysics 63, 2001), by maximum likelihood over a grid. Where data leave a range of depths
    equally likely, as between a perfect rung and one at chance, the value is its middle on the
    logarithmic scale. The interval holds the middle 95% of such ranges over _N_BOOTSTRAP resamplings
    of each rung's independent samples.
    """
    asked = [rung for rung in rungs if rung.n]
    places = tuple(float(place) for place in np.log2([rung.hardness for rung in asked]))
    if len(set(places)) < 2:
        return None
    low, high = min(places), max(places)
    chances = tuple(rung.chance for rung in asked)
    total = np.array([rung.n_independent for rung in asked])
    shares = np.array([rung.k / rung.n for rung in asked])
    draws = np.random.default_rng(seed).binomial(total, shares, size=(_N_BOOTSTRAP, len(asked)))
    coarse, fine = _grid(places, chances, fine=False), _grid(places, chances, fine=True)
    first, last = _best_range_of_many(draws, total, coarse)
    step = coarse.middles[1] - coarse.middles[0]  # the grid's own error is added to the interval
    bounds = Interval(
        _hardness(float(np.quantile(coarse.middles[first], 0.025) - step), low, high),
        _hardness(float(np.quantile(coarse.middles[last], 0.975) + step), low, high),
    )
    right = np.array([rung.k * (rung.n_independent / rung.n) for rung in asked])
    (left,), (end,) = _best_range(right[None, :], total, fine)
    value = float(fine.middles[left] + fine.middles[end]) / 2
    return Threshold(_hardness(value, low, high), bounds, 2**low, 2**high)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Log-probabilities of all curves of the grid search, of shape (slopes, rungs, middles)."""

    middles: _Floats
    log_odds: _Floats
    """Of a right answer."""
    log_wrong: _Floats
    """Log of the probability of a wrong answer."""


@lru_cache(maxsize=64)  # the ladders of a suite, some 100 MB at most: runs of one suite land one after the other
def _grid(places: tuple[float, ...], chances: tuple[float, ...], *, fine: bool) -> _Grid:
    low, high = min(places), max(places)
    margin = (high - low) / 2
    middles = np.linspace(low - margin, high + margin, _N_FINE_MIDDLES if fine else _N_MIDDLES)
    slopes = _FINE_SLOPES if fine else _SLOPES
    steps = slopes[:, None, None] * (np.array(places)[None, :, None] - middles[None, None, :])
    falls = 1 / (1 + 2 ** steps.clip(-60, 60))
    floor = np.array(chances)[None, :, None]
    safe = np.clip(floor + (1 - floor) * falls, 1e-9, 1 - 1e-9)
    log_wrong = np.log1p(-safe)
    return _Grid(middles, np.log(safe) - log_wrong, log_wrong)


def _best_range_of_many(right: _Floats, total: _Floats, grid: _Grid) -> tuple[_Floats, _Floats]:
    """Return what `_best_range` returns, computed once for equal rows: near 0% or 100% most draws are equal."""
    sizes = [int(n) + 1 for n in total]
    if prod(sizes) >= 1 << 62:
        return _best_range(right.astype(float), total, grid)
    numbers = np.ravel_multi_index(tuple(right.T), sizes)
    _, places, rows = np.unique(numbers, return_index=True, return_inverse=True)
    first, last = _best_range(right[places].astype(float), total, grid)
    return first[rows], last[rows]


def _best_range(right: _Floats, total: _Floats, grid: _Grid) -> tuple[_Floats, _Floats]:
    """Return for each row of `right` the indices of the first and last middle that are as likely as the best."""
    base = np.einsum("srm,r->sm", grid.log_wrong, total)  # right * log p + (total - right) * log (1 - p)
    by_middle = np.full((len(right), len(grid.middles)), -inf)
    for log_odds, rest in zip(grid.log_odds, base, strict=True):
        np.maximum(by_middle, right @ log_odds + rest, out=by_middle)
    good = by_middle >= by_middle.max(axis=1, keepdims=True) - _NEAR
    return good.argmax(axis=1), good.shape[1] - 1 - good[:, ::-1].argmax(axis=1)


def _hardness(place: float, low: float, high: float) -> float:
    return inf if place > high else -inf if place < low else 2**place


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
    return f"{number:.0f}" if number >= 100 else f"{number:.2g}"

"""Turn counts of pairs that differ into an effect size, and into how many items would tell two models apart."""

from dataclasses import dataclass
from math import ceil, inf, sqrt

from fathom.harness.stats.intervals import Interval

POWER = 0.8
"""Chance that a difference as seen would be found, for which numbers of items are given."""

_EXACT = 20_000
"""Items up to which the power is worked out exactly; beyond, the normal approximation is as good."""


@dataclass(frozen=True, slots=True)
class Odds:
    """Odds that it is the first model that is right where only one is, with their exact 95% interval."""

    value: float
    interval: Interval


def discordant_odds(b: int, c: int, level: float = 0.05) -> Odds | None:
    """Return b / c, the odds ratio of matched pairs; `inf` where c is 0, None where both are.

    The interval is Clopper and Pearson's of b in b + c, as odds (Biometrika 26, 1934): it holds 1 where McNemar's
    exact test does not reject.
    """
    from scipy.stats import beta  # slow to import, as all of scipy.stats

    if not b + c:
        return None
    low = float(beta.ppf(level / 2, b, c + 1)) if b else 0.0
    high = float(beta.ppf(1 - level / 2, b + 1, c)) if c else 1.0
    return Odds(_odds(b / (b + c)), Interval(_odds(low), _odds(high)))


def _odds(share: float) -> float:
    return share / (1 - share) if share < 1 else inf


def n_to_separate(b: int, c: int, n: int, level: float, power: float = POWER) -> int | None:
    """Return how many shared items McNemar's exact test needs to tell two models apart; None where b equals c.

    Of n items b were right in the first model alone and c in the second alone; the truth is taken to be as seen. The
    normal approximation (Miettinen, Biometrics 24, 1968; Connor, Biometrics 43, 1987) is where the search begins; the
    power of the exact test, which asks for a few more, decides.
    """
    if b == c:
        return None
    first, second = b / n, c / n
    near = ceil(_connor(first, second, level, power))
    if near > _EXACT:
        return near
    low, high = max(1, near // 2), near
    while exact_power(high, first, second, level) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if exact_power(middle, first, second, level) < power:
            low = middle
        else:
            high = middle
    return high


def _connor(first: float, second: float, level: float, power: float) -> float:
    from scipy.stats import norm

    either, apart = first + second, abs(first - second)
    spread = float(norm.isf(level / 2)) * sqrt(either) + float(norm.ppf(power)) * sqrt(either - apart**2)
    return (spread / apart) ** 2


def exact_power(n: int, first: float, second: float, level: float) -> float:
    """Return the chance that McNemar's exact test rejects at `level` on n items.

    `first` and `second` are the shares of items that one model alone, or the other alone, gets right.
    """
    import numpy as np
    from scipy.stats import binom

    either = first + second
    middle, reach = n * either, 8 * sqrt(n * either * (1 - either)) + 1
    differ = np.arange(max(0, int(middle - reach)), min(n, int(middle + reach)) + 1)
    last = binom.ppf(level / 2, differ, 0.5)
    last -= binom.cdf(last, differ, 0.5) > level / 2  # greatest count of the rarer side that is rejected, or -1
    share = first / either
    rejected = binom.cdf(last, differ, share) + binom.sf(differ - last - 1, differ, share)
    return float((binom.pmf(differ, n, either) * rejected).sum())


def factor_to_separate(z: float, level: float, power: float = POWER) -> float | None:
    """Return how many times as many items a z test needs that now gives z; None where z is 0."""
    from scipy.stats import norm

    return ((float(norm.isf(level / 2)) + float(norm.ppf(power))) / z) ** 2 if z else None

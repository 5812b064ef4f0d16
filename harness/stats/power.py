"""Effect size of a paired comparison, and the number of items needed to separate two models."""

from dataclasses import dataclass
from math import ceil, inf, sqrt

from fathom.harness.stats.intervals import Interval

POWER = 0.8
"""Power for which numbers of items are given: the chance to find a difference as large as the observed one."""

_EXACT = 20_000
"""Items up to which the power is computed exactly; beyond, the normal approximation is as good."""


@dataclass(frozen=True, slots=True)
class Odds:
    """Odds that the first model is the right one where only one is right, with an exact 95% interval."""

    value: float
    interval: Interval


def discordant_odds(b: int, c: int, level: float = 0.05) -> Odds | None:
    """Return b / c, the odds ratio of matched pairs; `inf` where c is 0, None where both are.

    The interval is Clopper and Pearson's of b in b + c, as odds (Biometrika 26, 1934): it contains 1 where McNemar's
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
    """Return how many shared items McNemar's exact test needs to separate two models; None where b equals c.

    Of n items, b were right only in the first model and c only in the second; these shares are taken as the true
    ones. The search starts from the normal approximation (Miettinen, Biometrics 24, 1968; Connor, Biometrics 43,
    1987) and ends where the power of the exact test, which needs a few more items, reaches `power`.
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

    `first` and `second` are the shares of items that only the first or only the second model gets right.
    """
    import numpy as np
    from scipy.stats import binom

    either = first + second
    middle, reach = n * either, 8 * sqrt(n * either * (1 - either)) + 1
    differ = np.arange(max(0, int(middle - reach)), min(n, int(middle + reach)) + 1)
    last = binom.ppf(level / 2, differ, 0.5)
    last -= (
        binom.cdf(last, differ, 0.5) > level / 2
    )  # greatest count of the rarer side at which the test rejects, or -1
    share = first / either
    rejected = binom.cdf(last, differ, share) + binom.sf(differ - last - 1, differ, share)
    return float((binom.pmf(differ, n, either) * rejected).sum())


def factor_to_separate(z: float, level: float, power: float = POWER) -> float | None:
    """Return the factor by which a z test with the observed z needs more items; None where z is 0."""
    from scipy.stats import norm

    return ((float(norm.isf(level / 2)) + float(norm.ppf(power))) / z) ** 2 if z else None

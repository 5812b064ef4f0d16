"""Turn counts into intervals: pure functions of numbers."""

from dataclasses import dataclass
from math import sqrt

Z95 = 1.959963984540054
"""97.5% quantile of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed range."""

    low: float
    high: float


def wilson(k: int, n: int, z: float = Z95) -> Interval:
    """Return Wilson's score interval of a share k of n; (0, 1) for n = 0.

    Source: Wilson, Probable inference, JASA 22 (1927), without continuity correction.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k = {k} of n = {n} is no share")
    if n == 0:
        return Interval(0.0, 1.0)
    share, spread = k / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return Interval(max(0.0, middle - half) if k else 0.0, min(1.0, middle + half) if k < n else 1.0)

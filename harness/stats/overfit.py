"""Turn counts on a season's items and on a submission's own fresh items into a test of knowing them by heart."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

ALPHA = 0.001
"""Chance of a false alarm a submission."""

LEAST = 0.05
"""Difference in accuracy that is flagged at least: a smaller one is no cheating worth the name."""

FLAG = "seed-overfit"


@dataclass(frozen=True, slots=True)
class Stratum:
    """One cell in both layers: k of n right."""

    k_shared: int
    n_shared: int
    k_fresh: int
    n_fresh: int


@dataclass(frozen=True, slots=True)
class Overfit:
    """How much better a model is on shared items than on fresh ones of the same cells, and how surprising that is."""

    difference: float
    """Mantel-Haenszel risk difference, shared less fresh."""
    p: float
    """One-sided, of the Cochran-Mantel-Haenszel test."""

    @property
    def flagged(self) -> bool:
        """Whether both the test and the size of the difference say so."""
        return self.p < ALPHA and self.difference > LEAST

    def to_json(self) -> dict[str, Any]:
        """Return the numbers of a flag."""
        return {"difference": round(self.difference, 4), "p": self.p, "alpha": ALPHA, "least": LEAST}


def check_overfit(strata: Sequence[Stratum]) -> Overfit:
    """Test, over all cells at once, whether shared items are answered better than fresh ones.

    Cochran-Mantel-Haenszel, one-sided, with continuity correction (Mantel & Haenszel 1959; Agresti, Categorical Data
    Analysis, 6.3.2): within a cell the right answers fall on the two layers by chance, whatever the cell's hardness.
    Cells that are all right, all wrong, or empty in one layer say nothing.
    """
    excess = variance = weighted = weights = 0.0
    for one in strata:
        n = one.n_shared + one.n_fresh
        if not one.n_shared or not one.n_fresh:
            continue
        weight = one.n_shared * one.n_fresh / n
        weighted += weight * (one.k_shared / one.n_shared - one.k_fresh / one.n_fresh)
        weights += weight
        k = one.k_shared + one.k_fresh
        excess += one.k_shared - one.n_shared * k / n
        variance += one.n_shared * one.n_fresh * k * (n - k) / (n * n * (n - 1))
    if not variance:
        return Overfit(weighted / weights if weights else 0.0, 1.0)
    z = (excess - 0.5) / sqrt(variance)
    return Overfit(weighted / weights, NormalDist().cdf(-z))

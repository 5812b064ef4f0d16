"""Test whether a submission is better on a season's shared items than on fresh items of its own: memorisation."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

OVERFIT_ALPHA = 0.001
"""Chance of a false alarm a submission."""

LEAST_DIFFERENCE = 0.05
"""Smallest difference in accuracy that is flagged; smaller ones do not matter, however significant."""

OVERFIT_FLAG = "seed-overfit"


@dataclass(frozen=True, slots=True)
class Stratum:
    """Counts of one cell: k of n right on shared and on fresh items."""

    k_shared: int
    n_shared: int
    k_fresh: int
    n_fresh: int


@dataclass(frozen=True, slots=True)
class Overfit:
    """The difference in accuracy between shared and fresh items of the same cells, with its p value."""

    difference: float
    """Mantel-Haenszel risk difference, shared less fresh."""
    p: float
    """One-sided, of the Cochran-Mantel-Haenszel test."""

    @property
    def flagged(self) -> bool:
        """Whether the difference is both significant and large enough."""
        return self.p < OVERFIT_ALPHA and self.difference > LEAST_DIFFERENCE

    def to_json(self) -> dict[str, Any]:
        """Return the numbers that are stored with a flag."""
        return {"difference": round(self.difference, 4), "p": self.p, "alpha": OVERFIT_ALPHA, "least": LEAST_DIFFERENCE}


def check_overfit(strata: Sequence[Stratum]) -> Overfit:
    """Test, over all cells at once, whether shared items are answered better than fresh ones.

    Cochran-Mantel-Haenszel, one-sided, with continuity correction (Mantel & Haenszel 1959; Agresti, Categorical Data
    Analysis, 6.3.2): under the null hypothesis the right answers of a cell are spread over shared and fresh items
    by chance. Cells that are all right, all wrong, or without items of one kind carry no information.
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

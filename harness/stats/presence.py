"""Is a variable there: verdicts on probes from tests against their controls, corrected over layers and places.

A point is one layer at one place. *Present* means: better than every control by more than MARGIN; that all controls are
beaten is an intersection-union test, so its p value is the largest of theirs. *Absent* means: less than MARGIN above
chance. Both are corrected by Holm over the points of a variable; anything else is *unclear*.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fathom.harness.stats.intervals import Interval, wilson
from fathom.harness.stats.paired import holm

Presence = Literal["present", "absent", "unclear"]

MARGIN = 0.05
"""How much better than its controls a probe must be, in accuracy or AUC."""
LEVEL = 0.05
"""Probability of a false *present* among all points of a variable, and of a false *absent*."""
N_DRAWS = 400
"""Draws of the bootstrap over items."""

_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bar:
    """The controls of a point: the strongest one, and p values of the hypotheses that are to be rejected."""

    control: str
    """Name of the control that is hardest to beat."""
    value: float
    p_above: float
    """Of: the probe is at most MARGIN better than its strongest control."""
    p_below: float
    """Of: the probe is at least MARGIN better than chance."""


class Resampling:
    """Draws of the test items with replacement; readings of one group come together, as they depend on each other."""

    def __init__(self, groups: NDArray[np.int64], seed: int = 0) -> None:
        """Take the number of the group of each reading, counted from 0."""
        self.n_groups = int(groups.max()) + 1
        self._groups = groups
        even = np.full(self.n_groups, 1 / self.n_groups)
        drawn = np.random.default_rng(seed).multinomial(self.n_groups, even, N_DRAWS)
        self._weights = drawn.astype(np.float64)  # [draw, group]
        self._sizes = np.bincount(groups, minlength=self.n_groups).astype(np.float64)

    def shares(self, hits: NDArray[np.bool_]) -> _Values:
        """Return the share of hits in each draw."""
        counted = np.bincount(self._groups, weights=hits.astype(np.float64), minlength=self.n_groups)
        return np.asarray(self._weights @ counted / (self._weights @ self._sizes))

    def aucs(self, scores: NDArray[np.float32], is_yes: NDArray[np.bool_]) -> _Values:
        """Return the AUC in each draw; 0.5 where a draw has one class only."""
        _, place = np.unique(scores, return_inverse=True)
        order = np.argsort(place, kind="stable")
        starts = np.flatnonzero(np.diff(place[order], prepend=-1))
        each = self._weights[:, self._groups[order]]
        yes = np.add.reduceat(each * is_yes[order], starts, axis=1)
        no = np.add.reduceat(each * ~is_yes[order], starts, axis=1)
        below = np.cumsum(no, axis=1) - no / 2
        pairs = yes.sum(1) * no.sum(1)
        return np.where(pairs > 0, (yes * below).sum(1) / np.maximum(pairs, 1), 0.5)

    def interval(self, value: float, draws: _Values, *, is_share: bool) -> Interval:
        """Return a 95% interval: Wilson's for a share, of as many readings as are independent; else of the draws."""
        if not is_share:
            low, high = np.quantile(draws, (0.025, 0.975))
            return Interval(float(low), float(high))
        n = float(self._sizes.sum())
        spread = float(draws.var())
        n_independent = value * (1 - value) / spread if spread > 0 else float(self.n_groups)
        n_independent = min(max(n_independent, 1.0), n)
        return wilson(value * n_independent, n_independent)

    @property
    def least_error(self) -> float:
        """A bound below any standard error, for draws that do not differ."""
        return 0.5 / self.n_groups


def weigh(
    value: float,
    draws: _Values,
    constants: Mapping[str, float],
    paired: Mapping[str, tuple[float, _Values]],
    least_error: float,
) -> Bar:
    """Test a point against its controls.

    Args:
        value: the probe's measure.
        draws: the measure in each draw of the items.
        constants: controls with a known value, `chance` among them.
        paired: controls that were measured on the same items, each with its value and draws.
        least_error: see `Resampling.least_error`.
    """
    zs = {name: ((value - one - MARGIN) / max(float(draws.std()), least_error), one) for name, one in constants.items()}
    for name, (one, others) in paired.items():
        zs[name] = ((value - one - MARGIN) / max(float((draws - others).std()), least_error), one)
    control = min(zs, key=lambda name: zs[name][0])
    below = (constants["chance"] + MARGIN - value) / max(float(draws.std()), least_error)
    return Bar(control, zs[control][1], _upper_tail(zs[control][0]), _upper_tail(below))


def _upper_tail(z: float) -> float:
    return 0.5 * erfc(z / sqrt(2))


def presences(bars: Sequence[tuple[float, float]]) -> list[Presence]:
    """Return the verdict on each point of a variable from its (p_above, p_below), corrected over all of them."""
    above, below = holm([one for one, _ in bars]), holm([one for _, one in bars])
    return [
        "present" if a <= LEVEL else "absent" if b <= LEVEL else "unclear" for a, b in zip(above, below, strict=True)
    ]


def presence_of_all(points: Sequence[Presence]) -> Presence:
    """Return the verdict on a variable: present somewhere, absent everywhere, or unclear."""
    if "present" in points:
        return "present"
    return "absent" if points and all(one == "absent" for one in points) else "unclear"

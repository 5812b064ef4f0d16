"""Counts of graded samples, from which all scores and intervals are computed."""

from collections.abc import Mapping
from dataclasses import dataclass

from fathom.harness.stats.intervals import Interval, wilson
from fathom.harness.stats.repeats import Spread


@dataclass(frozen=True, slots=True)
class CellCounts:
    """Counts of one cell of a run."""

    id: int
    family: str
    version: int
    level: str
    channel: str
    style: str
    n_planned: int
    """Items of the cell."""
    n: int
    """Graded samples: one an item and repeat."""
    k: int
    """Right answers among them."""
    n_errors: int
    """Samples on which the engine failed; they are not graded."""
    labels: Mapping[str, int]
    """Samples by label: correct, or the kind of mistake."""
    spread: Spread | None = None
    """Set where each item was asked several times."""

    @property
    def interval(self) -> Interval:
        """Wilson's 95% interval of k of n, clustered by item where items were asked several times."""
        effect = 1.0 if self.spread is None else self.spread.effect
        return wilson(self.k / effect, self.n / effect)

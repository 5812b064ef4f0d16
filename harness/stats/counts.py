"""TODO."""

from collections.abc import Mapping
from dataclasses import dataclass

from fathom.harness.stats.intervals import Interval, wilson
from fathom.harness.stats.repeats import Spread


@dataclass(frozen=True, slots=True)
class CellCounts:
    """Counts of one cell of a run; `counts_of` makes one."""

    id: int
    family: str
    version: int
    level: str
    channel: str
    style: str
    n_planned: int
    """Items."""
    n: int
    """Graded samples: items, times the repeats."""
    k: int
    n_errors: int
    labels: Mapping[str, int]
    spread: Spread | None = None
    """Where items were asked several times."""

    @property
    def interval(self) -> Interval:
        """Wilson's 95% interval of k of n; clustered by item where these were asked several times."""
        effect = 1.0 if self.spread is None else self.spread.effect
        return wilson(self.k / effect, self.n / effect)

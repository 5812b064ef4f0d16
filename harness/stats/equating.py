"""Turn two seasons' items into what differs between them beyond the seed.

A season's ranks compare with the last one's only where its questions are as long, as deep and answered by the same
values. Generators promise it; this tests it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from scipy.stats import chi2_contingency, ks_2samp

from fathom.tasks.base import Instance, pose
from fathom.tasks.registry import find_family
from fathom.tasks.suites import Suite, SuiteCell, instances

ALPHA = 0.05
"""Chance that a pair of like seasons fails, over all cells and covariates (Holm)."""

_SHOWN = 50
"""Differences that are stored at most."""

_FEW = 24
"""Values up to which answers are compared as categories, by a chi-square test."""


_HANDFUL = 10
"""Items of a cell on which numbers are compared at least."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One covariate of one cell, compared between two seasons."""

    cell: str
    covariate: str
    test: str
    p: float
    p_adjusted: float
    """After Holm's correction over all that was compared."""


@dataclass(frozen=True, slots=True)
class Equating:
    """What was compared, and what differs beyond chance."""

    n_compared: int
    least_p: float
    """Smallest adjusted p."""
    differences: tuple[Difference, ...]

    @property
    def alike(self) -> bool:
        """Whether nothing differs beyond chance."""
        return not self.differences

    def to_json(self, against: str) -> dict[str, Any]:
        """Return what a season's page shows."""
        return {
            "against": against, "n_compared": self.n_compared, "least_p": self.least_p, "alpha": ALPHA,
            "alike": self.alike,
            "differences": [asdict(one) for one in self.differences[:_SHOWN]],
        }  # fmt: skip


def equate(old: Suite, new: Suite) -> Equating:
    """Compare the cells that two suites have in common, covariate by covariate, Holm-corrected over all.

    Prompt and answer lengths and sizes by the Kolmogorov-Smirnov test, few answers by the chi-square test. Channels
    and styles that pose the same items are compared once.
    """
    before = {_name(cell): cell for cell in old.cells}
    after = {_name(cell): cell for cell in new.cells}
    found = [
        (name, covariate, *_test(first, second))
        for name, cell in after.items() if name in before
        for covariate, (first, second) in _both(instances(before[name], old.seed), instances(cell, new.seed)).items()
    ]  # fmt: skip
    return _corrected(found)


def compare_items(name: str, old: Sequence[Instance], new: Sequence[Instance]) -> Equating:
    """Compare two lists of items of one cell."""
    return _corrected([(name, covariate, *_test(*pair)) for covariate, pair in _both(old, new).items()])


def _name(cell: SuiteCell) -> str:
    return f"{cell.family}/{cell.level}/{cell.channel}"


Values = list[float] | list[str]


def _both(old: Iterable[Instance], new: Iterable[Instance]) -> dict[str, tuple[Values, Values]]:
    first, second = list(old), list(new)
    return {name: (list(map(read, first)), list(map(read, second))) for name, read in _covariates(first[0])}


def _covariates(item: Instance) -> Iterator[tuple[str, Callable[[Instance], Any]]]:
    family = find_family(item.family)
    yield "prompt length", lambda one: float(len(pose(family, one, "direct")))
    yield "answer length", lambda one: float(len(one.gold))
    yield "answer", lambda one: one.gold
    for name, value in item.facts.items():
        if not isinstance(value, str):
            yield name, partial(_size, name=name)


def _size(item: Instance, name: str) -> float:
    """Say how large a fact is: a number as it stands, else its number of elements; -1 where there is none."""
    value = item.facts.get(name)
    if isinstance(value, int | float):
        return float(value)
    return float(len(value)) if isinstance(value, Sequence | Mapping) else -1.0


def _test(first: Values, second: Values) -> tuple[str, float]:
    if isinstance(first[0], str):
        return _chi_square(Counter(map(str, first)), Counter(map(str, second)))
    if len({*first, *second}) == 1:
        return "constant", 1.0
    if min(len(first), len(second)) < _HANDFUL:  # SciPy's asymptotic p is 0 for two or three items a side
        return "too few to tell", 1.0
    return "Kolmogorov-Smirnov", float(ks_2samp(first, second, method="asymp").pvalue)


def _chi_square(first: Counter[str], second: Counter[str]) -> tuple[str, float]:
    names = sorted({*first, *second})
    if not 1 < len(names) <= _FEW:
        return "all answers differ" if len(names) > 1 else "constant", 1.0
    return "chi-square", float(chi2_contingency([[side[name] for name in names] for side in (first, second)]).pvalue)


def _corrected(found: Sequence[tuple[str, str, str, float]]) -> Equating:
    """Adjust by Holm's step-down (Holm 1979)."""
    ordered = sorted(found, key=lambda one: one[3])
    differences, worst = [], 0.0
    for rank, (cell, covariate, test, p) in enumerate(ordered):
        worst = max(worst, min(1.0, p * (len(ordered) - rank)))
        if worst < ALPHA:
            differences.append(Difference(cell, covariate, test, p, worst))
    least = min(1.0, ordered[0][3] * len(ordered)) if ordered else 1.0
    return Equating(len(ordered), least, tuple(differences))

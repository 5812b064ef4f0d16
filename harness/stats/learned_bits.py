"""Bits that a model learned of people's attributes, from the log-likelihoods of single facts.

Source: Physics of Language Models 3.3 (arXiv 2404.05405), section 2.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fathom.tasks.families.capo import DOMAINS

Floats = NDArray[np.float64]


class FactScore(NamedTuple):
    """Score of one fact that was asked for: a person's attribute, in nats above a uniform guess."""

    person: int
    attribute: str
    nats: float


@dataclass(frozen=True, slots=True)
class LearnedBits:
    """Sums of fact scores and numbers of facts, of shape (people, attributes)."""

    names: tuple[str, ...]
    """Of the attributes."""
    sums: Floats
    counts: Floats

    @property
    def n_people(self) -> int:
        """Return how many people were asked about."""
        return len(self.sums)

    @property
    def has_all_attributes(self) -> bool:
        """Return whether every attribute was asked for."""
        return len(self.names) == len(DOMAINS)

    def per_attribute(self, rows: NDArray[np.int64] | None = None) -> Floats:
        """Return the bits learned of each attribute, not below 0: of all people, or of these rows."""
        sums, counts = (self.sums, self.counts) if rows is None else (self.sums[rows], self.counts[rows])
        bits: Floats = np.maximum(sums.sum(axis=0) / np.maximum(counts.sum(axis=0), 1.0), 0.0) / log(2)
        return bits

    def resample(self, n_draws: int, seed: int = 0) -> Floats:
        """Return the bits of bootstrap resamplings of people, of shape (n_draws, attributes)."""
        random = np.random.default_rng(seed)
        drawn = [self.per_attribute(random.integers(self.n_people, size=self.n_people)) for _ in range(n_draws)]
        return np.array(drawn).reshape(n_draws, len(self.names))


def sum_fact_scores(scores: Iterable[FactScore]) -> LearnedBits:
    """Sum fact scores by person and attribute; attributes come in the order of DOMAINS."""
    found = list(scores)
    people = {person: row for row, person in enumerate(dict.fromkeys(one.person for one in found))}
    seen = {one.attribute for one in found}
    names = tuple(name for name in DOMAINS if name in seen)
    sums, counts = np.zeros((len(people), len(names))), np.zeros((len(people), len(names)))
    for one in found:
        at = people[one.person], names.index(one.attribute)
        sums[at] += one.nats
        counts[at] += 1
    return LearnedBits(names, sums, counts)

"""Turn log-likelihoods of facts into the bits that a model learnt of people.

Source: Physics of Language Models 3.3 (arXiv 2404.05405), section 2: of each attribute log2 of the number of values
less the mean cross-entropy, but never less than nothing. Whatever a model knows of one person hangs together, so
that resamplings draw people.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.families.capo import DOMAINS

Floats = NDArray[np.float64]


class Gain(NamedTuple):
    """A fact that was asked for: whose, of which attribute, its log-likelihood less that of a uniform guesser."""

    person: int
    attribute: str
    nats: float


@dataclass(frozen=True, slots=True)
class Gains:
    """Sums of gains and numbers of facts asked for, of shape (people, attributes)."""

    names: tuple[str, ...]
    sums: Floats
    counts: Floats

    @property
    def n_people(self) -> int:
        """Return how many people were asked about."""
        return len(self.sums)

    @property
    def complete(self) -> bool:
        """Say whether every attribute was asked for."""
        return len(self.names) == len(DOMAINS)

    def bits(self, chosen: NDArray[np.int64] | None = None) -> Floats:
        """Return the bits learnt, of shape (attributes,), of all people or of the chosen rows."""
        sums, counts = (self.sums, self.counts) if chosen is None else (self.sums[chosen], self.counts[chosen])
        bits: Floats = np.maximum(sums.sum(axis=0) / np.maximum(counts.sum(axis=0), 1.0), 0.0) / log(2)
        return bits

    def resampled(self, n_draws: int, seed: int = 0) -> Floats:
        """Return the bits of resamplings of people, of shape (n_draws, attributes)."""
        random = np.random.default_rng(seed)
        drawn = [self.bits(random.integers(self.n_people, size=self.n_people)) for _ in range(n_draws)]
        return np.array(drawn).reshape(n_draws, len(self.names))


def gather(gains: Iterable[Gain]) -> Gains:
    """Sum gains up by person and attribute; attributes come in the order of DOMAINS."""
    found = list(gains)
    people = {person: row for row, person in enumerate(dict.fromkeys(one.person for one in found))}
    asked = {one.attribute for one in found}
    names = tuple(name for name in DOMAINS if name in asked)
    sums, counts = np.zeros((len(people), len(names))), np.zeros((len(people), len(names)))
    for one in found:
        at = people[one.person], names.index(one.attribute)
        sums[at] += one.nats
        counts[at] += 1
    return Gains(names, sums, counts)

"""Results of an experiment: observed shares and bits with their intervals, and differences between conditions."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from fathom.harness.stats.intervals import Estimate, Interval, wilson
from fathom.harness.stats.learned_bits import Floats, LearnedBits

_N_DRAWS = 2000
"""Resamplings of the bootstrap."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Answers of one condition's model to one question: k of n items right, or bits learned."""

    condition: str
    question: str
    k: int
    n: int
    chance: float | None = None
    learned: LearnedBits | None = None
    """Bits learned of people's attributes, for questions with the unit bits."""
    scale: float = 1.0
    """Factor from the bits of a person to bits a parameter: people divided by parameters."""

    @property
    def estimate(self) -> Estimate:
        """Return the share with Wilson's interval, or the bits with an interval bootstrapped over people."""
        if self.learned is not None:
            bits = float(self.learned.per_attribute().sum()) * self.scale
            return Estimate(bits, _middle95(self.bootstrap(0)))
        return Estimate(self.k / self.n if self.n else 0.0, wilson(self.k, self.n))

    def bootstrap(self, seed: int) -> Floats:
        """Return the bits of resamplings of people, of shape (draws,).

        Raises:
            ValueError: the question does not measure bits.
        """
        if self.learned is None:
            raise ValueError(f"{self.question} has no bits")
        bits: Floats = self.learned.resample(_N_DRAWS, seed).sum(axis=1) * self.scale
        return bits


@dataclass(frozen=True, slots=True)
class ExperimentResults:
    """All observations of an experiment."""

    observations: tuple[Observation, ...]

    def find(self, condition: str, question: str) -> Observation:
        """Return one observation, or raise KeyError."""
        for one in self.observations:
            if (one.condition, one.question) == (condition, question):
                return one
        raise KeyError(f"{question} was not asked of {condition}")


def newcombe(first: Observation, second: Observation) -> Estimate:
    """Return the first share less the second, with a 95% interval for independent samples of items.

    Source: Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine
    17 (1998), method 10: the root of the summed squares of Wilson's half-intervals.
    """
    one, two = first.estimate, second.estimate
    value = one.value - two.value
    below = sqrt((one.value - one.interval.low) ** 2 + (two.interval.high - two.value) ** 2)
    above = sqrt((one.interval.high - one.value) ** 2 + (two.value - two.interval.low) ** 2)
    return Estimate(value, Interval(max(-1.0, value - below), min(1.0, value + above)))


def bootstrap_ratio(first: Observation, second: Observation) -> Estimate | None:
    """Return the ratio of the bits of two models, with a 95% interval bootstrapped over people.

    None where the second model, or one of its resamplings, learned nothing.
    """
    denominators = second.bootstrap(2)
    if not second.estimate.value or not denominators.all():
        return None
    return Estimate(first.estimate.value / second.estimate.value, _middle95(first.bootstrap(1) / denominators))


def _middle95(drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(float(low), float(high))

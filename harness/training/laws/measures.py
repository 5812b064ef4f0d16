"""Turn graded items into measures: shares and bits with intervals, and how far one is ahead of another."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from fathom.harness.stats.intervals import Estimate, Interval, wilson
from fathom.harness.stats.measures import Floats, Gains

N_DRAWS = 2000
"""Resamplings of the bootstrap."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What a condition's model got of one question: k of n items right, or bits learnt."""

    condition: str
    question: str
    k: int
    n: int
    chance: float | None = None
    gains: Gains | None = None
    """What the model gained of people's facts, where bits are measured."""
    scale: float = 1.0
    """What the bits of a person are multiplied by: people a parameter."""

    @property
    def estimate(self) -> Estimate:
        """Return the share with Wilson's interval, or the bits with that of the bootstrap over people."""
        if self.gains is not None:
            return Estimate(float(self.gains.bits().sum()) * self.scale, _middle(self.bits(0)))
        return Estimate(self.k / self.n if self.n else 0.0, wilson(self.k, self.n))

    def bits(self, seed: int) -> Floats:
        """Return the bits of N_DRAWS resamplings of people; only where bits are measured."""
        if self.gains is None:
            raise ValueError(f"{self.question} has no bits")
        bits: Floats = self.gains.resampled(N_DRAWS, seed).sum(axis=1) * self.scale
        return bits


@dataclass(frozen=True, slots=True)
class Results:
    """All measures of an experiment."""

    measures: tuple[Measure, ...]

    def of(self, condition: str, question: str) -> Measure:
        """Return one measure, or raise KeyError."""
        for one in self.measures:
            if (one.condition, one.question) == (condition, question):
                return one
        raise KeyError(f"{question} was not asked of {condition}")


def newcombe(first: Measure, second: Measure) -> Estimate:
    """Return by how much the first share is above the second, with a 95% interval for independent samples of items.

    Source: Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine
    17 (1998), method 10: Wilson's intervals, joined in squares.
    """
    one, two = first.estimate, second.estimate
    value = one.value - two.value
    below = sqrt((one.value - one.interval.low) ** 2 + (two.interval.high - two.value) ** 2)
    above = sqrt((one.interval.high - one.value) ** 2 + (two.value - two.interval.low) ** 2)
    return Estimate(value, Interval(max(-1.0, value - below), min(1.0, value + above)))


def bootstrap_ratio(first: Measure, second: Measure) -> Estimate | None:
    """Return the ratio of the bits of two models with the middle 95% of those of resamplings of people.

    None where the second, or one of its resamplings, learnt nothing: there is no ratio then.
    """
    bottoms = second.bits(2)
    if not second.estimate.value or not bottoms.all():
        return None
    return Estimate(first.estimate.value / second.estimate.value, _middle(first.bits(1) / bottoms))


def _middle(drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(float(low), float(high))

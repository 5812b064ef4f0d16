"""Turn graded items into measures: shares and bits with intervals, and how far one is ahead of another."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from harness.stats import Estimate, Interval, wilson

N_DRAWS = 2000
"""Resamplings of the bootstrap."""

_LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class Measure:
    """What a condition's model got of one question: k of n items right, or bits by person."""

    condition: str
    question: str
    k: int
    n: int
    chance: float | None = None
    bits: tuple[float, ...] = ()
    """Mean bits learnt of a fact of each person asked about, times the facts there are, a parameter of the model."""

    @property
    def estimate(self) -> Estimate:
        """Return the share with Wilson's interval, or the mean of the bits with that of the bootstrap over people."""
        if self.bits:
            return bootstrap_mean(self.bits)
        return Estimate(self.k / self.n if self.n else 0.0, wilson(self.k, self.n))


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


def bootstrap_mean(values: Sequence[float]) -> Estimate:
    """Return a mean with the middle 95% of the means of resamplings of the values."""
    drawn = _means(values, 0)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(float(np.mean(values)), Interval(float(low), float(high)))


def bootstrap_ratio(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Return the ratio of two means with the middle 95% of those of resamplings; both means are above 0."""
    low, high = np.quantile(_means(first, 1) / np.maximum(_means(second, 2), _LEAST), (0.025, 0.975))
    return Estimate(float(np.mean(first)) / max(float(np.mean(second)), _LEAST), Interval(float(low), float(high)))


def _means(values: Sequence[float], seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    array = np.array(values, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(len(array), size=(N_DRAWS, len(array)))
    means: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = array[drawn].mean(axis=1)
    return means

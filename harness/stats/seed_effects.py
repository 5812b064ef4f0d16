"""Effects over training seeds: their mean with a t interval, a sign-flip test, and the verdict of a rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean, stdev
from typing import Literal

import numpy as np

from fathom.harness.stats.intervals import Interval, t95

SeedVerdict = Literal["shown", "absent", "reversed", "undecided", "void"]
"""absent: the effect lies within the margin. undecided: too few seeds to tell. void: a gate was not passed."""

LEVEL = 0.05
"""Of the one-sided sign-flip test."""
_EXACT = 12
"""Up to so many seeds all signs are tried; above, DRAWS random ones."""
_DRAWS = 20_000


@dataclass(frozen=True, slots=True)
class SeedEffect:
    """Effects of the seeds, with what they say together."""

    values: tuple[float, ...]
    mean: float
    interval: Interval
    """95% t interval of the mean over seeds."""
    sd: float
    """Standard deviation between seeds."""


def average(values: Sequence[float]) -> SeedEffect:
    """Return the mean effect of two or more seeds.

    Raises:
        ValueError: fewer than two seeds, whose spread is not known.
    """
    if len(values) < 2:
        raise ValueError("one seed says nothing about the next one: give two or more")
    mean, sd = fmean(values), stdev(values)
    half = t95(len(values) - 1) * sd / len(values) ** 0.5
    return SeedEffect(tuple(values), mean, Interval(mean - half, mean + half), sd)


def sign_flip_p(values: Sequence[float], bound: float) -> float:
    """Return the one-sided p-value of a mean above a bound, if effects scatter evenly around the bound.

    The share of all choices of signs of (value - bound) whose sum is at least the one that was seen. With n seeds it is
    1 / 2^n at best.

    Source: Fisher's randomization test for paired differences, The Design of Experiments (1935), section 21.
    """
    gaps = np.array(values, dtype=float) - bound
    seen = gaps.sum()
    if len(gaps) <= _EXACT:
        signs = np.array(list(product((-1, 1), repeat=len(gaps))))
        return float((signs @ gaps >= seen - 1e-12).mean())
    signs = np.random.default_rng(0).choice((-1, 1), (_DRAWS, len(gaps)))
    return float((1 + (signs @ gaps >= seen - 1e-12).sum()) / (_DRAWS + 1))


def _is_above(effect: SeedEffect, bound: float) -> bool:
    return effect.interval.low > bound and sign_flip_p(effect.values, bound) <= LEVEL


def _is_below(effect: SeedEffect, bound: float) -> bool:
    return effect.interval.high < bound and sign_flip_p([-one for one in effect.values], -bound) <= LEVEL


def weigh(effect: SeedEffect, margin: float, *, alike: bool) -> SeedVerdict:
    """Return the verdict on an effect; each bound must be cleared by the t interval and by the sign-flip test.

    Shown if the effect is above the margin, reversed if below minus the margin, absent if between the two. With
    `alike`, shown if it is between the two, reversed if beyond one of them. With a margin of 0 and no effect, a verdict
    of shown or reversed has a probability of 5% at most if effects are normal.
    """
    above, below = _is_above(effect, margin), _is_below(effect, -margin)
    between = _is_below(effect, margin) and _is_above(effect, -margin)
    if alike:
        return "shown" if between else "reversed" if above or below else "undecided"
    return "shown" if above else "reversed" if below else "absent" if between else "undecided"


def verdicts_of_groups(values: Sequence[float], size: int, margin: float, *, alike: bool) -> list[SeedVerdict]:
    """Return what each `size` seeds in turn would have said alone; a group that is not full is left out."""
    starts = range(0, len(values) - size + 1, size)
    return [weigh(average(values[at : at + size]), margin, alike=alike) for at in starts]

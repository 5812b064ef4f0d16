"""Turn what several models got right on the same cells into ranks that say how sure they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fathom.harness.stats.intervals import Z95, Estimate

Array = NDArray[Any]  # of booleans, numbers or indices

ALPHA = 0.05
"""Chance, a model, that any of its comparisons is called beyond doubt where there is no difference."""

_BLOCK = 256
"""Models compared with all others at a time; bounds memory."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A model's results on a pool's items in one style; runs of the same seed were asked the same items.

    `right` and `graded` are booleans, one an item, in the same order for all of a pool.
    """

    seed: str
    score: Estimate
    right: Array
    graded: Array


@dataclass(frozen=True, slots=True)
class Place:
    """A rank (1 is best; equal scores share it), its interval, and the number of the tie group."""

    rank: int
    low: int
    high: int
    tie: int


def rank_all(contenders: Sequence[Contender]) -> tuple[Place, ...]:
    """Rank by score, and say for each how far chance may have moved it.

    Two models are told apart where the score and an exact test agree: McNemar's on the items that
    both were asked, or, where the seeds differ, a z test of the scores. The tests are two-sided and
    Holm-corrected over all comparisons of a model, so that with probability 1 - ALPHA a model's
    interval [1 + number above it, number - number below it] holds its true rank (Mohamad, Goeman and
    van Zwet, Simultaneous confidence intervals for ranks, 2018, there over all pairs). A tie group
    reaches from its first model to the last before one that the first is above of.
    """
    if not contenders:
        return ()
    scores = np.array([one.score.value for one in contenders])
    n = len(contenders)
    low, high = np.ones(n, dtype=int), np.full(n, n)
    below = np.zeros((n, n), dtype=bool)
    for rows, apart in _apart(contenders, scores):
        low[rows] += (apart & (scores[None, :] > scores[rows, None])).sum(axis=1)
        below[rows] = apart & (scores[None, :] < scores[rows, None])
        high[rows] -= below[rows].sum(axis=1)
    ranks = n + 1 - np.searchsorted(np.sort(scores), scores, side="right")
    ties = _tie_groups(np.lexsort((np.arange(n), -scores)), below)
    return tuple(Place(*map(int, values)) for values in zip(ranks, low, high, ties, strict=True))


def _tie_groups(order: Array, below: Array) -> Array:
    groups = np.zeros(len(order), dtype=int)
    first, group = order[0], 1
    for at in order:
        if below[first, at]:
            first, group = at, group + 1
        groups[at] = group
    return groups


def _apart(contenders: Sequence[Contender], scores: Array) -> Iterator[tuple[slice, Array]]:
    """Yield, for a block of models, which of all others each is told apart from."""
    right = np.array([one.right for one in contenders], dtype=np.float32)
    graded = np.array([one.graded for one in contenders], dtype=np.float32)
    seeds = np.unique([one.seed for one in contenders], return_inverse=True)[1]
    errors = np.array([_standard_error(one.score) for one in contenders])
    for start in range(0, len(contenders), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(contenders)))
        both = right[rows] @ right.T
        mine = np.rint(right[rows] @ graded.T - both).astype(int)  # I am right, the other is not
        theirs = np.rint(graded[rows] @ right.T - both).astype(int)
        leads = np.sign(scores[rows, None] - scores[None, :])
        p = np.where(
            seeds[rows, None] == seeds[None, :],
            np.where(np.sign(mine - theirs) == leads, exact_p(mine, theirs), 1.0),
            _z_test(scores[rows, None] - scores[None, :], np.hypot(errors[rows, None], errors[None, :])),
        )
        own = np.arange(rows.start, rows.stop)
        p[own - rows.start, own] = 2.0  # no comparison at all: it never counts, and sorts last
        yield rows, _holm(p)


def _standard_error(score: Estimate) -> float:
    return (score.interval.high - score.interval.low) / 2 / Z95


def _z_test(difference: Array, error: Array) -> Array:
    from scipy.special import erfc  # slow to import, needed where runs are ranked only

    return np.asarray(erfc(np.abs(difference) / np.maximum(error, 1e-12) / np.sqrt(2)))


def _holm(p: Array) -> Array:
    """Say, row by row, which comparisons Holm's step-down procedure rejects at ALPHA; one of each row is no test."""
    n_tests = p.shape[1] - 1
    if n_tests < 1:
        return np.zeros(p.shape, dtype=bool)
    order = np.argsort(p, axis=1)
    bars = ALPHA / np.maximum(n_tests - np.arange(p.shape[1]), 1)
    passed = np.logical_and.accumulate(np.take_along_axis(p, order, axis=1) <= bars, axis=1)
    rejected = np.zeros(p.shape, dtype=bool)
    np.put_along_axis(rejected, order, passed, axis=1)
    return rejected


_SURE, _NEVER = 8.0, 1.9
"""Standard errors beyond which p is below 1e-13 (Hoeffding), and below which it is above ALPHA."""


def exact_p(b: Array, c: Array) -> Array:
    """Return the two-sided p of McNemar's exact test for each pair of counts (b, c).

    b and c count items that one model alone, or the other alone, got right. Far from the threshold, where only the
    side of it matters, p is given as 0 or 1.
    """
    from scipy.special import bdtr

    total = b + c
    z = np.abs(b - c) / np.sqrt(np.maximum(total, 1))
    p = np.where(z > _SURE, 0.0, 1.0)
    close = (z >= _NEVER) & (z <= _SURE)
    p[close] = np.minimum(1.0, 2 * bdtr(np.minimum(b, c)[close], total[close], 0.5))
    return p

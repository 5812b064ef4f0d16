"""Ranks of models on the same cells, with simultaneous confidence intervals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fathom.harness.stats.intervals import Z95, Estimate

Array = NDArray[Any]  # of booleans, numbers or indices

ALPHA = 0.05
"""Family-wise error rate of a model's comparisons with all others."""

_BLOCK = 256
"""Models that are compared with all others at a time; limits memory."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A model's results on the items of a pool in one style; runs with the same seed were asked the same items.

    `right` and `graded` are booleans, one an item, in the same order for all of a pool.
    """

    seed: str
    score: Estimate
    right: Array
    graded: Array


@dataclass(frozen=True, slots=True)
class RankEstimate:
    """A rank (1 is best; equal scores share one), its confidence interval, and the number of its tie group."""

    rank: int
    low: int
    high: int
    tie: int


def rank_all(contenders: Sequence[Contender]) -> tuple[RankEstimate, ...]:
    """Rank models by score, each with a confidence interval of its rank.

    Two models are separated where the score and a test agree: McNemar's exact test on the items that
    both were asked, or, where the seeds differ, a z test of the scores. The tests are two-sided and
    Holm-corrected over all comparisons of a model, so that with probability 1 - ALPHA a model's
    interval [1 + number above it, number - number below it] contains its true rank (Mohamad, Goeman and
    van Zwet, Simultaneous confidence intervals for ranks, 2018, there over all pairs). A tie group
    ends before the first model that is separated from the group's first model.
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
    return tuple(RankEstimate(*map(int, values)) for values in zip(ranks, low, high, ties, strict=True))


def _tie_groups(order: Array, below: Array) -> Array:
    groups = np.zeros(len(order), dtype=int)
    first, group = order[0], 1
    for at in order:
        if below[first, at]:
            first, group = at, group + 1
        groups[at] = group
    return groups


def _apart(contenders: Sequence[Contender], scores: Array) -> Iterator[tuple[slice, Array]]:
    """Yield blocks of models, each with a matrix of the models that they are separated from."""
    right = np.array([one.right for one in contenders], dtype=np.float32)
    graded = np.array([one.graded for one in contenders], dtype=np.float32)
    seeds = np.unique([one.seed for one in contenders], return_inverse=True)[1]
    errors = np.array([_standard_error(one.score) for one in contenders])
    for start in range(0, len(contenders), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(contenders)))
        both = right[rows] @ right.T
        mine = np.rint(right[rows] @ graded.T - both).astype(int)  # right in the block's model only
        theirs = np.rint(graded[rows] @ right.T - both).astype(int)
        leads = np.sign(scores[rows, None] - scores[None, :])
        p = np.where(
            seeds[rows, None] == seeds[None, :],
            np.where(np.sign(mine - theirs) == leads, exact_p(mine, theirs), 1.0),
            _z_test(scores[rows, None] - scores[None, :], np.hypot(errors[rows, None], errors[None, :])),
        )
        own = np.arange(rows.start, rows.stop)
        p[own - rows.start, own] = 2.0  # a model with itself: never rejected, sorted last
        yield rows, _holm(p)


def _standard_error(score: Estimate) -> float:
    return (score.interval.high - score.interval.low) / 2 / Z95


def _z_test(difference: Array, error: Array) -> Array:
    from scipy.special import erfc  # slow to import

    return np.asarray(erfc(np.abs(difference) / np.maximum(error, 1e-12) / np.sqrt(2)))


def _holm(p: Array) -> Array:
    """Return which comparisons Holm's step-down procedure rejects at ALPHA, row by row; one in each row is no test."""
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

    b and c count the items that only one or only the other model got right. Far from the threshold p is returned as
    0 or 1, since only its side of the threshold matters there.
    """
    from scipy.special import bdtr

    total = b + c
    z = np.abs(b - c) / np.sqrt(np.maximum(total, 1))
    p = np.where(z > _SURE, 0.0, 1.0)
    close = (z >= _NEVER) & (z <= _SURE)
    p[close] = np.minimum(1.0, 2 * bdtr(np.minimum(b, c)[close], total[close], 0.5))
    return p

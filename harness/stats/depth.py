"""Depth: the hardness at which a model has fallen half-way from perfect to guessing, and where to ask next to find it.

A ladder's accuracy at hardness h is

    p(h) = c + (1 - c) a(h),    a(h) = (1 - lapse) / (1 + (h / middle)^slope),

where c is the accuracy of a guesser, which is known. `lapse` is the share of easy questions that a model misses for
reasons that have nothing to do with hardness. Depth is the hardness at which a is one half: lapses make it smaller, and
a model that lapses in more than half of the easiest questions has none. Depth, slope and lapse are unknown, and every
combination on a grid has a posterior probability. The form of the curve is from Wichmann and Hill, Perception &
Psychophysics 63 (2001); grid and choice of the next question from Kontsevich and Tyler, Vision Research 39 (1999),
the psi method, and Watson, Journal of Vision 17 (2017), QUEST+.

Where each batch is asked may depend on all answers before it: the likelihood, and so the posterior, is the same as if
the numbers had been fixed beforehand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, isfinite, lgamma

import numpy as np

from fathom.harness.stats.intervals import Estimate, Floats, Interval, Rung, Threshold

_N_DEPTHS = 201
_SLOPES = np.geomspace(0.5, 256, 20)  # the steepest falls to chance between any two neighbouring levels
_LAPSES = np.array([0.0, 0.01, 0.02, 0.04, 0.08, 0.14, 0.22, 0.32, 0.42])
_USUAL_LAPSE = 0.06
"""Scale of the exponential prior of the lapse."""
_USUAL_SLOPE, _SLOPE_SPREAD = 3.0, 1.2
"""Centre of the log-normal prior of the slope, and its standard deviation in natural logarithms: 95% lie in 0.3 to 32.
Without it, a few unlucky answers pass for a steep fall, and intervals hold the truth in 90% of simulations."""
_MARGIN = 0.5
"""How far the grid of depths goes beyond the levels on either side, as a share of their logarithmic range."""
_NEGLIGIBLE = 1e-5
"""Curves with less of the best one's probability are left out where the next batch is chosen."""
_N_REPLICATES = 400
_MISFIT = 0.01
_GUESSING = 0.15
"""Share of questions solved, beside guesses, below which a curve says that a model guesses."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """All curves of the search, in blocks of one depth each: curve i has the depth i // n_shapes."""

    depths: Floats
    """Their logarithms to base 2; shape (depths,)."""
    n_shapes: int
    """Combinations of slope and lapse."""
    log_prior: Floats
    """Shape (curves,)."""
    log_right: Floats
    """Log-probability of a right answer; shape (rungs, curves)."""
    log_wrong: Floats


@lru_cache(maxsize=24)  # 4 MB each with 13 levels
def _grid(places: tuple[float, ...], chances: tuple[float, ...]) -> _Grid:
    low, high = min(places), max(places)
    margin = (high - low) * _MARGIN
    depths = np.linspace(low - margin, high + margin, _N_DEPTHS)
    slopes, lapses = (axis.ravel() for axis in np.meshgrid(_SLOPES, _LAPSES, indexing="ij"))
    middles = depths[:, None] - np.log2(1 - 2 * lapses)[None, :] / slopes[None, :]
    steps = slopes[None, None, :] * (np.array(places)[:, None, None] - middles[None, :, :])
    share = (1 - lapses) / (1 + np.exp2(steps.clip(-60, 60)))
    floor = np.array(chances)[:, None, None]
    right = np.clip(floor + (1 - floor) * share, 1e-6, 1 - 1e-6).reshape(len(places), -1)
    spread = np.log(slopes / _USUAL_SLOPE) / _SLOPE_SPREAD
    log_prior = np.tile(-lapses / _USUAL_LAPSE - spread**2 / 2, _N_DEPTHS)
    return _Grid(depths, len(slopes), log_prior, np.log(right).astype(np.float32), np.log1p(-right).astype(np.float32))


def _places(rungs: Sequence[Rung]) -> tuple[float, ...]:
    return tuple(float(place) for place in np.log2([rung.hardness for rung in rungs]))


def _log_posterior(rungs: Sequence[Rung], grid: _Grid) -> Floats:
    """Return the log-posterior of each curve, 0 at the best; shape (curves,)."""
    right = np.array([rung.k / rung.effect for rung in rungs])
    wrong = np.array([(rung.n - rung.k) / rung.effect for rung in rungs])
    found: Floats = grid.log_prior + right @ grid.log_right + wrong @ grid.log_wrong
    found -= found.max()
    return found


def _of_depths(weights: Floats, grid: _Grid) -> Floats:
    """Return the posterior probability of each depth."""
    summed: Floats = weights.reshape(len(grid.depths), grid.n_shapes).sum(axis=1)
    summed /= summed.sum()
    return summed


@dataclass(frozen=True, slots=True)
class _Depths:
    """The posterior of a depth: logarithms to base 2, their probabilities, and those of the levels asked."""

    places: Floats
    shares: Floats
    bottom: float
    top: float


def _depths(rungs: Sequence[Rung]) -> _Depths | None:
    asked = [rung for rung in rungs if rung.n]
    if len({rung.hardness for rung in asked}) < 2:
        return None
    places = _places(asked)
    grid = _grid(places, tuple(rung.chance for rung in asked))
    shares = _of_depths(np.exp(_log_posterior(asked, grid)), grid)
    return _Depths(grid.depths, shares, min(places), max(places))


def depth50(rungs: Sequence[Rung]) -> Threshold | None:
    """Return the depth that the rungs show, with its 95% credible interval; None below two levels.

    The value is the median of the posterior, which is uniform over the logarithm of depth before a question is asked,
    from half a range below the easiest level to half a range above the hardest. Samples of repeated questions count as
    fewer independent ones, see `Rung.effect`.
    """
    if (found := _depths(rungs)) is None:
        return None
    low, value, high = (_hardness(found, share) for share in (0.025, 0.5, 0.975))
    return Threshold(value, Interval(low, high), 2**found.bottom, 2**found.top)


def _quantile(depths: Floats, shares: Floats, share: float) -> float:
    """Return a quantile, each depth's probability spread evenly over its cell of the grid."""
    half = (depths[1] - depths[0]) / 2
    edges = np.concatenate([[depths[0] - half], depths + half])
    return float(np.interp(share, np.concatenate([[0.0], np.cumsum(shares)]), edges))


def _hardness(found: _Depths, share: float) -> float:
    """Return a quantile of a depth as a hardness; infinite beyond the levels asked."""
    place = _quantile(found.places, found.shares, share)
    return inf if place > found.top else -inf if place < found.bottom else float(2**place)


@dataclass(frozen=True, slots=True)
class DepthDifference:
    """How much deeper one model is than another, or one style than another, on a ladder."""

    doublings: Estimate
    """Logarithm to base 2 of the ratio of the depths. What lies beyond the levels asked counts to the last one, so that
    a difference is never larger than the levels show."""
    p: float
    """Two-sided: twice the smaller posterior probability of either direction. If the depths are equal, it is below 5%
    in at most 5% of comparisons."""
    is_bounded: bool
    """Whether both depths lie within the levels asked; otherwise the difference is at least as large as stated."""


def depth_difference(first: Sequence[Rung], second: Sequence[Rung]) -> DepthDifference | None:
    """Return the depth of the second rungs less that of the first, as doublings; None below two levels of either.

    The two are taken as independent. On shared items they are not, and the test is stricter than it says.
    """
    before, after = _depths(first), _depths(second)
    if before is None or after is None:
        return None
    bottom = max(before.bottom, after.bottom)
    top = max(bottom, min(before.top, after.top))
    gaps = after.places.clip(bottom, top)[None, :] - before.places.clip(bottom, top)[:, None]
    weights = before.shares[:, None] * after.shares[None, :]
    rises, falls = (float(weights[side].sum()) for side in (gaps > _SAME, gaps < -_SAME))
    p = min(1.0, 2 * min(1 - rises, 1 - falls))
    order = np.argsort(gaps, axis=None)
    heaped = np.cumsum(weights.ravel()[order])
    low, value, high = (float(gaps.ravel()[order][np.searchsorted(heaped, share)]) for share in (0.025, 0.5, 0.975))
    is_bounded = all(isfinite(_hardness(one, 0.5)) for one in (before, after))
    return DepthDifference(Estimate(value, Interval(low, high)), p, is_bounded)


_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a falling curve describes the answers of a ladder."""

    p: float
    """Probability of a deviance at least as large if the model of the curve is right."""

    @property
    def is_poor(self) -> bool:
        """Whether the curve does not fit: p below 1%."""
        return self.p < _MISFIT


def check_fit(rungs: Sequence[Rung], seed: int = 0) -> Fit | None:
    """Compare the rungs with answers drawn from the posterior of curves; None below three levels.

    A posterior predictive check of the deviance (Gelman, Meng and Stern, Statistica Sinica 6, 1996). It errs towards
    a fit, as the curves were found from the same answers. A model that is worse than a guesser
    where it guesses counts as at chance there.
    """
    asked = [rung for rung in rungs if rung.n]
    if len({rung.hardness for rung in asked}) < 3:
        return None
    grid = _grid(_places(asked), tuple(rung.chance for rung in asked))
    weights = np.exp(_log_posterior(asked, grid))
    random = np.random.default_rng(seed)
    curves = random.choice(len(weights), size=_N_REPLICATES, p=weights / weights.sum())
    share = np.exp(grid.log_right[:, curves].astype(float)).T  # (replicates, rungs)
    n = np.array([max(1, round(rung.n / rung.effect)) for rung in asked])
    k = np.array([rung.k / rung.n * independent for rung, independent in zip(asked, n, strict=True)])
    chance = np.array([rung.chance for rung in asked])
    # worse than a guess is no odd curve, where the curve says that the model guesses
    guessed = np.where(share <= chance + _GUESSING * (1 - chance), n * chance, 0.0)
    replicated = np.maximum(random.binomial(n, share.clip(0, 1)), guessed)
    larger = _deviance(replicated, n, share) >= _deviance(np.maximum(k, guessed), n, share) - 1e-9
    return Fit(float((larger.sum() + 1) / (_N_REPLICATES + 1)))


def _deviance(k: Floats, n: Floats, share: Floats) -> Floats:
    """Return twice the log-likelihood ratio of the observed shares to those of the curves; shape (replicates,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        right = np.where(k > 0, k * np.log(k / n / share), 0.0)
        wrong = np.where(n - k > 0, (n - k) * np.log((1 - k / n) / (1 - share)), 0.0)
    found: Floats = 2 * (right + wrong).sum(axis=1)
    return found


@dataclass(frozen=True, slots=True)
class Design:
    """How a ladder's depth is measured: the same for all ladders of a run."""

    precision: float = 0.25
    """Half the width of the 95% interval at which a ladder ends, in doublings of the hardness."""
    max_items: int = 400
    """Items of a ladder at most."""
    batch: int = 8
    """Items asked at one level before the next level is chosen."""
    first: int = 2
    """Items that the first pass asks at every level."""


Reason = str
"""Why a ladder ended: a key of REASONS."""

REASONS = {
    "narrow": "the interval is as narrow as was asked",
    "above": "deeper than the hardest level",
    "below": "less deep than the easiest level",
    "spent": "most items reached",
    "exhausted": "more items would hardly narrow the interval",
    "failed": "the engine failed on every item",
}
"""Why a ladder ended, in words."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to ask next: (position of a rung, number of items) pairs; or why nothing more."""

    asks: tuple[tuple[int, int], ...] = ()
    reason: Reason | None = None


_DOUBTFUL, _CONFIRMED = 0.1, 6
"""Probability of the check of the curve below which a ladder does not end before each level has so many answers."""
_LEAST_GAIN, _USUAL_PRECISION = 0.004, 0.25
"""Nats about the depth that a batch must promise at this precision; finer ones take smaller gains."""


def next_step(rungs: Sequence[Rung], design: Design) -> Step:
    """Return the next batch of a ladder, from its counts so far alone: the same counts give the same batch.

    `rungs` are all levels of the ladder, easiest first, those without answers with n = 0; at least two. The first pass
    asks a few items of every level, so that a curve that rises again is seen. Then each batch goes to the level whose
    answers are expected to tell most about the depth, slope and lapse being unknown.
    """
    n_asked = sum(rung.n for rung in rungs)
    if not n_asked:
        return Step(tuple((at, design.first) for at in range(len(rungs))))
    grid = _grid(_places(rungs), tuple(rung.chance for rung in rungs))
    log_weights = _log_posterior(rungs, grid)
    shares = _of_depths(np.exp(log_weights), grid)
    if (reason := _reason_to_stop(rungs, grid, shares, design, n_asked)) is not None:
        return _confirm(rungs, reason, design.max_items - n_asked)
    gains = _information(grid, log_weights, design.batch)
    best = int(gains.argmax())
    if gains[best] < _LEAST_GAIN * min(1.0, (design.precision / _USUAL_PRECISION) ** 2):
        return Step(reason="exhausted")
    return Step(((best, min(design.batch, design.max_items - n_asked)),))


def _confirm(rungs: Sequence[Rung], reason: Reason, n_left: int) -> Step:
    """End a ladder, unless its few answers are doubtful: then levels that were hardly asked are asked again.

    A ladder does not end beyond its hardest or easiest level before that level itself was asked a few times.
    """
    fit, last = check_fit(rungs), {"above": len(rungs) - 1, "below": 0}.get(reason)
    is_doubtful = fit is not None and fit.p < _DOUBTFUL
    asks = [
        (at, _CONFIRMED - rung.n)
        for at, rung in enumerate(rungs) if rung.n < _CONFIRMED and (is_doubtful or at == last)
    ]  # fmt: skip
    return Step(tuple(asks)) if 0 < sum(n for _, n in asks) <= n_left else Step(reason=reason)


def _reason_to_stop(rungs: Sequence[Rung], grid: _Grid, shares: Floats, design: Design, n_asked: int) -> Reason | None:
    places = _places(rungs)
    low, high = (_quantile(grid.depths, shares, share) for share in (0.025, 0.975))
    if low > max(places):
        return "above"
    if high < min(places):
        return "below"
    if high - low <= 2 * design.precision:
        return "narrow"
    return "spent" if n_asked >= design.max_items else None


def _information(grid: _Grid, log_weights: Floats, n: int) -> Floats:
    """Return, for each rung, what n answers there are expected to tell about the depth, in nats; shape (rungs,).

    The mutual information of the depth and the number of right answers, with slope and lapse summed over.
    """
    kept = np.flatnonzero(log_weights > np.log(_NEGLIGIBLE))
    weights = np.exp(log_weights[kept])
    weights /= weights.sum()
    depth_of = kept // grid.n_shapes
    starts = np.flatnonzero(np.concatenate([[True], np.diff(depth_of) > 0]))
    of_depth = np.add.reduceat(weights, starts)
    k = np.arange(n + 1)
    log_ways = np.array([lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) for i in k])
    gains = np.empty(len(grid.log_right))
    for at in range(len(gains)):
        right, wrong = grid.log_right[at, kept], grid.log_wrong[at, kept]
        outcome = np.exp(log_ways[:, None] + k[:, None] * right + (n - k)[:, None] * wrong) * weights
        joint = np.add.reduceat(outcome, starts, axis=1)  # (outcomes, depths)
        expected = joint.sum(axis=1, keepdims=True) * of_depth
        gains[at] = np.sum(joint * np.log(np.maximum(joint, 1e-30) / np.maximum(expected, 1e-30)))
    return gains

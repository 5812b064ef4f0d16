"""Measures of a cell beside its accuracy: bits learned, divergence, diversity, repair.

Each is a number with a 95% interval, bootstrapped over what is independent: people, sentences or problems. All are
computed from log-likelihoods and texts that a run stores anyway, so that every engine has them.

Sources: Physics of Language Models 3.3 (arXiv 2404.05405), section 2 (bits); 1 (arXiv 2305.13673), section 3
(diversity, KL); 2.2 (arXiv 2408.16293) (retrying).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, log

import numpy as np
from numpy.typing import NDArray

from fathom.harness.stats.intervals import Interval
from fathom.harness.stats.learned_bits import FactScore, Floats, sum_fact_scores
from fathom.tasks.arithmetic.retry import read_retries as read_retried
from fathom.tasks.base import Instance
from fathom.tasks.families.capo import DOMAINS
from fathom.tasks.grammars.text import join_tokens

MIN_NATS = -1e9
"""Replaces a log-likelihood of minus infinity, so that a mean with one in it is still a number."""
_N_DRAWS = 500
"""Resamplings of the bootstrap."""


@dataclass(frozen=True, slots=True)
class GradedSample:
    """A sample with its item; `nats` is the log-likelihood of the right answer, where the engine was asked for it."""

    item: Instance
    correct: bool
    nats: float | None
    parsed: str
    text: str


@dataclass(frozen=True, slots=True)
class CellMeasure:
    """One measure of a cell. `most` is its value for a model that learned everything, where there is one."""

    family: str
    level: str
    name: str
    unit: str
    value: float
    interval: Interval | None
    n: int
    """Samples behind it."""
    most: float | None = None


def is_measured(family: str, level: str, style: str) -> bool:
    """Return whether a cell has measures beside its accuracy."""
    return _measurer(family, level, style) is not None


def measure_cell(
    samples: Sequence[GradedSample], style: str, n_parameters: int | None = None
) -> tuple[CellMeasure, ...]:
    """Compute the measures of one cell's samples; none where the cell has no measures or no samples.

    `n_parameters` of the model give the bits a parameter.
    """
    if not samples:
        return ()
    one = samples[0].item
    measurer = _measurer(one.family, one.level, style)
    found = measurer(samples, n_parameters) if measurer else []
    return tuple(
        CellMeasure(one.family, one.level, it.name, it.unit, it.value, it.interval, len(samples), it.most)
        for it in found
    )


def truth_nats(scores: Sequence[float] | None) -> float | None:
    """Return the log-likelihood of a single candidate, limited to MIN_NATS..0; None if there is none.

    Scores may come from an upload, so that any number is possible.
    """
    if scores is None or len(scores) != 1 or isnan(scores[0]):
        return None
    return min(0.0, max(MIN_NATS, scores[0]))


@dataclass(frozen=True, slots=True)
class _Number:
    name: str
    unit: str
    value: float
    interval: Interval | None
    most: float | None = None


_Measurer = Callable[[Sequence[GradedSample], int | None], list[_Number]]


def _measurer(family: str, level: str, style: str) -> _Measurer | None:
    return _MEASURERS.get((family, level.partition("-")[0], style))


def _capacity(samples: Sequence[GradedSample], n_parameters: int | None) -> list[_Number]:
    """Measure the bits learned by attribute, a person and a parameter; the samples of a person are one cluster."""
    scored = [one for one in samples if one.nats is not None]
    learned = sum_fact_scores(
        FactScore(facts["person"], facts["attribute"], (one.nats or 0.0) - facts["nats"]["guessed"])
        for one in scored
        for facts in [one.item.facts]
    )
    bits, drawn = learned.per_attribute().tolist(), learned.resample(_N_DRAWS if learned.n_people > 1 else 0)
    most = [log(DOMAINS[name]) / log(2) for name in learned.names]
    found = [
        _Number(f"bits of {name}", "bits", bits[at], _middle95(drawn[:, at]), most[at])
        for at, name in enumerate(learned.names)
    ]
    if not learned.has_all_attributes:  # too few samples for the bits of a whole person
        return found
    whole = _Number("bits a person", "bits", sum(bits), _middle95(drawn.sum(axis=1)), sum(most))
    if not n_parameters:
        return [whole, *found]
    scale = scored[0].item.facts["n_people"] / n_parameters
    interval = None if whole.interval is None else Interval(whole.interval.low * scale, whole.interval.high * scale)
    each = _Number("bits a parameter", "bits", whole.value * scale, interval, sum(most) * scale)
    return [whole, each, *found]


def _divergence(samples: Sequence[GradedSample], _: int | None) -> list[_Number]:
    """Measure the KL divergence a token of the model's distribution from the exact one."""
    scored = [one for one in samples if one.nats is not None]
    if not scored:
        return []
    lost = [one.item.facts["nats"]["known"] - (one.nats or 0.0) for one in scored]
    nats, interval = _ratio(lost, [one.item.facts["n_tokens"] for one in scored])
    in_bits = None if interval is None else Interval(interval.low / log(2), interval.high / log(2))
    return [
        _Number("KL", "nats a token", nats, interval, 0.0),
        _Number("KL", "bits a token", nats / log(2), in_bits, 0.0),
    ]


def _diversity(samples: Sequence[GradedSample], _: int | None) -> list[_Number]:
    """Measure the share of different sentences among the valid ones, beside that of as many from the exact law."""
    valid = [one for one in samples if one.correct]
    if not valid:
        return []
    written = {f"{one.item.facts['prefix']} {join_tokens(one.parsed.split())}".strip() for one in valid}
    fresh = {item.id: f"{item.facts['prefix']} {item.gold}".strip() for item in [one.item for one in valid]}
    return [
        _Number("different", "share of the valid", len(written) / len(valid), None),
        _Number("different, by the exact law", "share", len(set(fresh.values())) / len(fresh), None),
    ]


def _repair(samples: Sequence[GradedSample], _: int | None) -> list[_Number]:
    """Measure wrong starts, the share of them that is taken back, and take-backs without need."""
    solutions = [read_retried(one.item.facts, one.text.partition("\n")[0].strip()) for one in samples]
    starts, taken = [one.wrong_starts for one in solutions], [one.taken_back for one in solutions]
    each = [1] * len(solutions)
    found = [_Number("wrong starts", "a solution", *_ratio(starts, each))]
    if sum(starts):
        found.append(_Number("taken back", "share of wrong starts", *_ratio(taken, starts), 1.0))
    found.append(_Number("needless take-backs", "a solution", *_ratio([one.needless for one in solutions], each)))
    return found


_MEASURERS: Mapping[tuple[str, str, str], _Measurer] = {
    ("capo", "people", "bits"): _capacity,
    ("lano", "law", "bits"): _divergence,
    ("lano", "generate", "free"): _diversity,
    ("repair", "retry", "trained"): _repair,
}
"""By family, first part of the level's name, and style."""


def _ratio(tops: Sequence[float], bottoms: Sequence[float]) -> tuple[float, Interval | None]:
    """Return the ratio of two sums over the same units, with its bootstrapped interval."""
    top, bottom = np.array(tops, dtype=np.float64), np.array(bottoms, dtype=np.float64)

    def of(chosen: NDArray[np.int64]) -> float:
        total = bottom[chosen].sum()
        return float(top[chosen].sum() / total) if total else float("nan")

    return float(top.sum() / bottom.sum()), _bootstrap(len(top), of)


def _bootstrap(n: int, estimate: Callable[[NDArray[np.int64]], float]) -> Interval | None:
    """Return the middle 95% of an estimate over resamplings of n independent units; None below 2 units."""
    if n < 2:
        return None
    random = np.random.default_rng(0)
    return _middle95([estimate(random.integers(n, size=n)) for _ in range(_N_DRAWS)])


def _middle95(drawn: Sequence[float] | Floats) -> Interval | None:
    if not len(drawn):
        return None
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return Interval(float(low), float(high))

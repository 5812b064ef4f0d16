"""Turn graded samples of models that were trained on our text into measures: bits, divergences, diversity, repair.

Each is a number with its 95% interval, from resamplings of what is independent: people, sentences, problems. All
come from what a run has stored anyway, log-likelihoods and texts, so they are the same through every engine.

Sources: Physics of Language Models 3.3 (arXiv 2404.05405), section 2 (bits); 1 (arXiv 2305.13673), section 3
(diversity, KL); 2.2 (arXiv 2408.16293) (retrying).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fathom.harness.stats.intervals import Interval
from fathom.tasks.arithmetic.retry import read as read_retried
from fathom.tasks.base import Instance
from fathom.tasks.families.capo import DOMAINS
from fathom.tasks.grammars.text import spell

N_DRAWS = 500
"""Resamplings of an interval."""


LEAST_NATS = -1e9
"""Stands for a log-likelihood of minus infinity: an average that holds one is still a number, and as telling."""


@dataclass(frozen=True, slots=True)
class Graded:
    """A sample with its item. `nats` is the log-likelihood of the truth, where that was asked for."""

    item: Instance
    correct: bool
    nats: float | None
    parsed: str
    text: str


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a cell. `most` is what a model that learnt all would reach, where there is such a number."""

    family: str
    level: str
    name: str
    unit: str
    value: float
    interval: Interval | None
    n: int
    """Samples behind it."""
    most: float | None = None


@dataclass(frozen=True, slots=True)
class _Number:
    name: str
    unit: str
    value: float
    interval: Interval | None
    most: float | None = None


def nats_of(scores: Sequence[float] | None) -> float | None:
    """Return the log-likelihood of a lone candidate, within LEAST_NATS..0 whoever sent it; None if there is none."""
    if scores is None or len(scores) != 1 or isnan(scores[0]):
        return None
    return min(0.0, max(LEAST_NATS, scores[0]))


def is_measured(family: str, level: str, style: str) -> bool:
    """Say whether a cell has measures beside its accuracy."""
    return _measurer(family, level, style) is not None


def _measurer(family: str, level: str, style: str) -> Callable[..., list[_Number]] | None:
    begin = level.partition("-")[0]
    return _MEASURERS.get((family, begin, style))


def measure(graded: Sequence[Graded], style: str, n_parameters: int | None = None) -> tuple[Measure, ...]:
    """Measure the samples of one cell; nothing where the cell has no measures, or nothing was graded."""
    if not graded:
        return ()
    one = graded[0].item
    measurer = _measurer(one.family, one.level, style)
    found = measurer(graded, n_parameters) if measurer else []
    return tuple(
        Measure(one.family, one.level, it.name, it.unit, it.value, it.interval, len(graded), it.most) for it in found
    )


def _resampled(n: int, estimate: Callable[[NDArray[np.int64]], float]) -> Interval | None:
    """Return the middle 95% of an estimate over resamplings of n independent things."""
    if n < 2:
        return None
    random = np.random.default_rng(0)
    return _middle([estimate(random.integers(n, size=n)) for _ in range(N_DRAWS)])


Floats = NDArray[np.float64]


def _middle(drawn: Sequence[float] | Floats) -> Interval | None:
    if not len(drawn):
        return None
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return Interval(float(low), float(high))


def _ratio(tops: Sequence[float], bottoms: Sequence[float]) -> tuple[float, Interval | None]:
    """Return a ratio of sums with its interval; the two belong to the same things."""
    top, bottom = np.array(tops, dtype=np.float64), np.array(bottoms, dtype=np.float64)

    def of(chosen: NDArray[np.int64]) -> float:
        total = bottom[chosen].sum()
        return float(top[chosen].sum() / total) if total else float("nan")

    return float(top.sum() / bottom.sum()), _resampled(len(top), of)


def _capacity(graded: Sequence[Graded], n_parameters: int | None) -> list[_Number]:
    """Measure the bits learnt by attribute, of a person, and a parameter; whoever was asked about is one cluster."""
    asked = [one for one in graded if one.nats is not None]
    gains = gather(
        Gain(facts["person"], facts["attribute"], (one.nats or 0.0) - facts["nats"]["guessed"])
        for one in asked
        for facts in [one.item.facts]
    )
    bits, drawn = gains.bits().tolist(), gains.resampled(N_DRAWS if gains.n_people > 1 else 0)
    most = [log(DOMAINS[name]) / log(2) for name in gains.names]
    found = [
        _Number(f"bits of {name}", "bits", bits[at], _middle(drawn[:, at]), most[at])
        for at, name in enumerate(gains.names)
    ]
    if not gains.complete:  # too few samples to know them all
        return found
    whole = _Number("bits a person", "bits", sum(bits), _middle(drawn.sum(axis=1)), sum(most))
    if not n_parameters:
        return [whole, *found]
    scale = asked[0].item.facts["n_people"] / n_parameters
    spread = None if whole.interval is None else Interval(whole.interval.low * scale, whole.interval.high * scale)
    each = _Number("bits a parameter", "bits", whole.value * scale, spread, sum(most) * scale)
    return [whole, each, *found]


def _law(graded: Sequence[Graded], _: int | None) -> list[_Number]:
    """Measure the divergence of a model's law from the exact one, a token."""
    asked = [one for one in graded if one.nats is not None]
    if not asked:
        return []
    lost = [one.item.facts["nats"]["known"] - (one.nats or 0.0) for one in asked]
    nats, spread = _ratio(lost, [one.item.facts["n_tokens"] for one in asked])
    in_bits = None if spread is None else Interval(spread.low / log(2), spread.high / log(2))
    return [
        _Number("KL", "nats a token", nats, spread, 0.0),
        _Number("KL", "bits a token", nats / log(2), in_bits, 0.0),
    ]


def _diversity(graded: Sequence[Graded], _: int | None) -> list[_Number]:
    """Measure how many of the valid sentences are different, beside as many that the exact law wrote."""
    valid = [one for one in graded if one.correct]
    if not valid:
        return []
    written = {f"{one.item.facts['prefix']} {spell(one.parsed.split())}".strip() for one in valid}
    fresh = {item.id: f"{item.facts['prefix']} {item.gold}".strip() for item in [one.item for one in valid]}
    return [
        _Number("different", "share of the valid", len(written) / len(valid), None),
        _Number("different, by the exact law", "share", len(set(fresh.values())) / len(fresh), None),
    ]


def _repair(graded: Sequence[Graded], _: int | None) -> list[_Number]:
    """Measure wrong starts, how many of them are taken back, and what is taken back without need."""
    told = [read_retried(one.item.facts, one.text.partition("\n")[0].strip()) for one in graded]
    starts, taken = [one.wrong_starts for one in told], [one.taken_back for one in told]
    each = [1] * len(told)
    found = [_Number("wrong starts", "a solution", *_ratio(starts, each))]
    if sum(starts):
        found.append(_Number("taken back", "share of wrong starts", *_ratio(taken, starts), 1.0))
    found.append(_Number("needless take-backs", "a solution", *_ratio([one.needless for one in told], each)))
    return found


_MEASURERS: Mapping[tuple[str, str, str], Callable[..., list[_Number]]] = {
    ("capo", "people", "bits"): _capacity,
    ("lano", "law", "bits"): _law,
    ("lano", "generate", "free"): _diversity,
    ("repair", "retry", "trained"): _repair,
}


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

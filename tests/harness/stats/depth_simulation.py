"""Measure simulated models whose depth is known: does the interval hold it, and how many items does it take?

python -m tests.harness.stats.depth_simulation [--runs 200] [--shape steep] prints a table. Each run draws its own
answers. `fixed` is the least number of items, the same at every level, that reaches the width at which the adaptive run
ended.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite, log2
from statistics import median

import numpy as np

from fathom.harness.stats.depth import Design, check_fit, depth50, next_step
from fathom.harness.stats.intervals import Rung

LEVELS = np.geomspace(1, 64, 13)
CHANCE = 1 / 7


def falling(depth: float, slope: float, lapse: float = 0.0) -> Callable[[float], float]:
    """Return a curve of the model's own form."""
    middle = depth / (1 - 2 * lapse) ** (1 / slope)
    return lambda h: (1 - lapse) / (1 + (h / middle) ** slope)


@dataclass(frozen=True)
class Shape:
    """A simulated model: its share of questions solved at a hardness, and its true depth."""

    curve: Callable[[float], float]
    depth: float
    fits: bool = True


SHAPES = {
    "medium": Shape(falling(7, 2.5), 7),
    "steep": Shape(falling(9, 8), 9),
    "step": Shape(falling(6.5, 40), 6.5),
    "shallow": Shape(falling(8, 1.2), 8),
    "low": Shape(falling(1.7, 3), 1.7),
    "high": Shape(falling(40, 3), 40),
    "lapses": Shape(falling(10, 3, 0.1), 10),
    "many lapses": Shape(falling(6, 3, 0.25), 6),
    "at chance": Shape(lambda _: 0.0, -inf),
    "perfect": Shape(lambda _: 1.0, inf),
    "two steps": Shape(lambda h: 1.0 if h < 3 else 0.62 if h < 22 else 0.0, 22, fits=False),
    "non-monotone": Shape(lambda h: 0.95 if round(log2(h) * 2) % 2 == 0 else 0.05, -inf, fits=False),
}


def answers(curve: Callable[[float], float], at: float, n: int, random: np.random.Generator) -> int:
    """Draw n answers; return how many are right."""
    return int(random.binomial(n, CHANCE + (1 - CHANCE) * curve(at)))


def adaptive(shape: Shape, design: Design, random: np.random.Generator) -> tuple[list[Rung], str]:
    """Measure a model as `fathom depth` does; return its counts, and why the measurement ended."""
    counts = [[0, 0] for _ in LEVELS]
    while True:
        rungs = [Rung(float(h), k, n, CHANCE) for h, (k, n) in zip(LEVELS, counts, strict=True)]
        step = next_step(rungs, design)
        if step.reason:
            return rungs, step.reason
        for at, n in step.asks:
            counts[at][0] += answers(shape.curve, float(LEVELS[at]), n, random)
            counts[at][1] += n


def width(rungs: list[Rung]) -> float:
    """Return the width of the interval in doublings; what lies beyond the ladder counts to its ends."""
    found = depth50(rungs)
    low, high = (min(max(bound, found.bottom), found.top) for bound in (found.interval.low, found.interval.high))
    return log2(high) - log2(low)


def fixed(shape: Shape, wanted: float, random: np.random.Generator) -> int:
    """Return how many items reach a width when all levels are asked alike."""
    counts = [0 for _ in LEVELS]
    for n in range(4, 401, 4):
        for at, h in enumerate(LEVELS):
            counts[at] += answers(shape.curve, float(h), 4, random)
        if width([Rung(float(h), k, n, CHANCE) for h, k in zip(LEVELS, counts, strict=True)]) <= wanted:
            return n * len(LEVELS)
    return 400 * len(LEVELS)


def simulate(name: str, n_runs: int, design: Design = Design(), seed: int = 0) -> dict[str, float]:
    """Return what `n_runs` measurements of one shape show."""
    shape, random = SHAPES[name], np.random.default_rng([seed, *name.encode()])
    held, items, ratios, poor, reasons = 0, [], [], 0, []
    for _ in range(n_runs):
        rungs, reason = adaptive(shape, design, random)
        found = depth50(rungs)
        held += found.interval.low <= shape.depth <= found.interval.high
        n = sum(rung.n for rung in rungs)
        items.append(n)
        reasons.append(reason)
        poor += check_fit(rungs).is_poor
        if isfinite(shape.depth):
            ratios.append(n / fixed(shape, max(width(rungs), 1e-9), random))
    return {
        "held": held / n_runs,
        "items": median(items),
        "ratio": median(ratios) if ratios else float("nan"),
        "poor": poor / n_runs,
        "reasons": {one: reasons.count(one) for one in dict.fromkeys(reasons)},
    }


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--runs", type=int, default=200)
    options.add_argument("--shape", choices=SHAPES)
    chosen = options.parse_args()
    print(f"{'shape':14} {'in interval':>11} {'items':>6} {'of fixed':>8} {'does not fit':>12}  why it ended")
    for name in [chosen.shape] if chosen.shape else SHAPES:
        found = simulate(name, chosen.runs)
        ended = ", ".join(f"{reason} {n}" for reason, n in found["reasons"].items())
        print(
            f"{name:14} {found['held']:11.1%} {found['items']:6.0f} {found['ratio']:8.0%} {found['poor']:12.1%}  {ended}",
            flush=True,
        )


if __name__ == "__main__":
    main()

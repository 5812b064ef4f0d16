"""Repeated answers: pass@k, majority@r and variances of cells as tables and JSON."""

from collections.abc import Sequence
from math import sqrt
from typing import Any

from fathom.harness.format import percent
from fathom.harness.reports.figures.picture import NOTHING, DataTable
from fathom.harness.stats.intervals import Estimate
from fathom.harness.stats.repeats import Spread
from fathom.harness.stats.scores import CellCounts

REPEATS_LEGEND = (
    "pass@k: at least one of k answers is right; majority@r: an item's commonest answer is right; intervals by item\n"
    "between repeats: standard deviation of the accuracy from repeat to repeat, and in brackets what chance alone makes"
)

_PASSES = 4
"""Most columns of pass@k."""


def repeats_table(cells: Sequence[CellCounts]) -> DataTable | None:
    """Return the table of repeated answers of one ladder, channel and style; None if items were asked once."""
    known = [(cell.level, cell.spread) for cell in cells if cell.spread is not None]
    if not known:
        return None
    repeats = known[0][1].repeats
    chosen = _chosen(list(known[0][1].passes))
    header = (
        "level", *(f"pass@{k}" for k in chosen), f"majority@{repeats}", "between repeats",
    )  # fmt: skip
    return DataTable(header, tuple((level, *_row(spread, chosen)) for level, spread in known))


def _chosen(ks: Sequence[int]) -> list[int]:
    """Choose a few k above 1, including the last."""
    rest = list(ks[1:])
    if len(rest) <= _PASSES:
        return rest
    return [rest[round(at * (len(rest) - 1) / (_PASSES - 1))] for at in range(_PASSES)]


def _row(spread: Spread, ks: Sequence[int]) -> tuple[str, ...]:
    if not spread.n_items:
        return (NOTHING,) * (len(ks) + 2)
    noise = spread.variance
    alone = sqrt(noise.answers / spread.n_items)
    shares = [*map(spread.pass_at, ks), spread.voted]
    return (*map(_share, shares), f"{100 * noise.sd_repeats:.1f}% ({100 * alone:.1f}%)")


def _share(one: Estimate) -> str:
    return f"{percent(one.value)} ({100 * one.interval.low:.0f}–{100 * one.interval.high:.0f}%)"


def spread_json(spread: Spread | None) -> dict[str, Any] | None:
    """Return counts, shares with 95% intervals, and variances as JSON values; None if items were asked once."""
    if spread is None:
        return None
    noise = spread.variance
    return {
        **spread.to_json(),
        "n_items": spread.n_items,
        "design_effect": spread.effect,
        "pass_at": {str(k): _estimate(one) for k, one in spread.passes.items()},
        "majority_at": _estimate(spread.voted),
        "variance": {
            "items": noise.items, "answers": noise.answers, "repeats": noise.repeats,
        },
    }  # fmt: skip


def _estimate(one: Estimate) -> dict[str, float]:
    return {"score": one.value, "low": one.interval.low, "high": one.interval.high}

"""The loss curve of a model's training, drawn by a template as inline SVG."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log

from fathom.harness.db.schema.runs import OWN_TIER
from fathom.harness.format import count
from fathom.harness.records import RunDetail
from fathom.server.board.charts import CHART_HEIGHT, CHART_WIDTH

_MARGIN_X, _MARGIN_Y = 7, 6


@dataclass(frozen=True, slots=True)
class TrainingChart:
    """Loss against steps: two SVG paths, the ends of the axes in words, and a sentence."""

    trained: str
    held: str
    """Path of the loss on held-out text; empty where it was measured less than twice."""
    first: str
    last: str
    words: str


def training_chart(detail: RunDetail) -> TrainingChart | None:
    """Draw the training that a run's manifest tells of; None without one, and for uploads: theirs may say anything."""
    rows = detail.manifest.context.training
    losses = [value for _, *pair in rows for value in pair if value is not None]
    steps = [step for step, _, _ in rows]
    is_curve = len(rows) > 1 and steps == sorted(set(steps)) and min(losses) > 0
    if not is_curve or detail.summary.tier < OWN_TIER or detail.summary.layer == "upload":
        return None
    low, high = min(losses), max(losses)
    held = [(step, loss) for step, _, loss in rows if loss is not None]

    def path(points: Iterable[tuple[int, float]]) -> str:
        return "M" + "L".join(f"{_x(step, steps):g} {_y(loss, low, high):g}" for step, loss in points)

    said = f"Over {count(steps[-1])} steps the loss fell from {rows[0][1]:.2f} to {rows[-1][1]:.2f} nats a token"
    said += f", on held-out text to {held[-1][1]:.2f}." if held else "."
    return TrainingChart(
        path((step, loss) for step, loss, _ in rows), path(held) if len(held) > 1 else "", count(steps[0]),
        count(steps[-1]), said if rows[-1][1] < rows[0][1] else said.replace("fell", "went"),
    )  # fmt: skip


def _x(step: int, steps: Sequence[int]) -> float:
    share = (step - steps[0]) / (steps[-1] - steps[0])
    return round(_MARGIN_X + (CHART_WIDTH - 2 * _MARGIN_X) * share, 1)


def _y(loss: float, low: float, high: float) -> float:
    """Return the height of a loss on a logarithmic axis."""
    share = (log(loss) - log(low)) / (log(high) - log(low)) if high > low else 0.5
    return round(CHART_HEIGHT - _MARGIN_Y - (CHART_HEIGHT - 2 * _MARGIN_Y) * share, 1)

"""The loss curve of a training, from Trainer's log to JSON lines and a picture."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fathom.harness.reports.figures.palettes import PALETTES
from fathom.harness.training.pretrain.exams import ExamResult

CURVE_FILE, CURVE_PICTURE = "loss.jsonl", "loss.svg"
_MOST_POINTS = 600
_LEGEND_WIDTH = 260


@dataclass(frozen=True, slots=True)
class LossRow:
    """A point of the curve. `loss` is the mean since the point before, in nats a token; `seconds` is wall time."""

    step: int
    loss: float
    learning_rate: float
    tokens: int
    seconds: float
    held_loss: float | None = None
    exams: Mapping[str, ExamResult] = field(default_factory=dict)


def read_history(history: Iterable[Mapping[str, Any]]) -> tuple[LossRow, ...]:
    """Return the points of the curve from Trainer's log: one a step, with its losses and exams."""
    steps: dict[int, dict[str, Any]] = {}
    for entry in history:
        steps.setdefault(int(entry["step"]), {}).update(entry)
    return tuple(_row(entry) for _, entry in sorted(steps.items()) if "loss" in entry)


def _row(entry: Mapping[str, Any]) -> LossRow:
    return LossRow(
        step=int(entry["step"]),
        loss=entry["loss"],
        learning_rate=entry["learning_rate"],
        tokens=int(entry["num_input_tokens_seen"]),
        seconds=entry.get("seconds", 0.0),
        held_loss=entry.get("eval_loss"),
        exams={name: ExamResult(**marks) for name, marks in entry.get("exams", {}).items()},
    )


def save_curve(rows: Sequence[LossRow], folder: Path, title: str) -> None:
    """Write `loss.jsonl` and `loss.svg`."""
    lines = "".join(json.dumps(asdict(row)) + "\n" for row in rows)
    for name, text in ((CURVE_FILE, lines), (CURVE_PICTURE, _draw_curve(rows, title))):
        partial = folder / f".{name}"
        partial.write_text(text, encoding="utf-8")
        partial.replace(folder / name)


def _draw_curve(rows: Sequence[LossRow], title: str) -> str:
    """Return an SVG of training and held-out loss by step, with the accuracy of each exam below."""
    import altair as alt
    import vl_convert

    look = PALETTES["light"]
    panels = [_losses(rows, look.hues, look.soft)]
    if any(row.exams for row in rows):
        panels.append(_accuracies(rows, look.hues))
    sheet = alt.vconcat(*panels, spacing=18, background=look.ground)
    styled = (
        sheet.properties(title=alt.TitleParams(title, anchor="start", color=look.ink, fontSize=15))
        .resolve_scale(color="independent")
        .configure(font="system-ui, sans-serif", padding=12)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=look.line, domain=False, ticks=False, labelColor=look.soft, titleColor=look.soft,
            titleFontWeight="normal", labelFontSize=12, titleFontSize=12, labelPadding=6,
        )
        .configure_legend(labelColor=look.ink, labelFontSize=12, title=None, labelLimit=_LEGEND_WIDTH, offset=14)
    )  # fmt: skip
    return str(vl_convert.vegalite_to_svg(styled.to_dict()))


def _losses(rows: Sequence[LossRow], hues: Sequence[str], soft: str) -> Any:
    import altair as alt

    every = -(-len(rows) // _MOST_POINTS)
    trained = [{"step": row.step, "loss": row.loss, "of": "training"} for row in rows[::-1][::every]]
    held = [{"step": row.step, "loss": row.held_loss, "of": "held out"} for row in rows if row.held_loss is not None]
    hue = alt.Color("of:N", scale=alt.Scale(domain=["training", "held out"], range=[soft, hues[1]]))
    x = alt.X("step:Q", title=None, scale=alt.Scale(domain=[0, rows[-1].step]))
    y = alt.Y("loss:Q", title="loss, nats a token", scale=alt.Scale(zero=False))
    line = alt.Chart(alt.Data(values=trained)).mark_line(strokeWidth=1.2).encode(x=x, y=y, color=hue)
    dots = alt.Chart(alt.Data(values=held)).mark_line(point=True, strokeWidth=2).encode(x=x, y=y, color=hue)
    return (line + dots).properties(width=560, height=220)


def _accuracies(rows: Sequence[LossRow], hues: Sequence[str]) -> Any:
    import altair as alt

    points = [
        {"step": row.step, "share": marks.share, "exam": name} for row in rows for name, marks in row.exams.items()
    ]
    names = list(dict.fromkeys(name for row in rows for name in row.exams))
    y = alt.Y("share:Q", title="held-out accuracy", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%"))
    hue = alt.Color("exam:N", scale=alt.Scale(domain=names, range=list(hues)), sort=names)
    x = alt.X("step:Q", title="step", scale=alt.Scale(domain=[0, rows[-1].step]))
    drawn = alt.Chart(alt.Data(values=points)).mark_line(point=True, strokeWidth=2).encode(x=x, y=y, color=hue)
    return drawn.properties(width=560, height=160)

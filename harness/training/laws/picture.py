"""Picture of an experiment: a point with its 95% interval for each question and condition, below the verdict."""

import textwrap
from typing import Any

from fathom.harness.format import percent
from fathom.harness.reports.figures.palettes import PALETTES, Palette, Theme
from fathom.harness.training.laws.base import Law
from fathom.harness.training.laws.experiment import LawRecord
from fathom.harness.training.laws.results import Observation

_WIDTH, _ROW_HEIGHT = 560, 34
"""Of the plot and of a row, in pixels."""
_LINE_LENGTH = 100
"""Letters in a line of the subtitle."""
_LETTER_WIDTH = 7
"""Width of a letter of a label in pixels, with a margin: a reader's fonts may be wider than the renderer's."""
_MIN_CHANCE = 0.02
"""Chance below this is not drawn."""


def draw_law(record: LawRecord, theme: Theme = "light") -> str:
    """Return an SVG with a background of its own, legible on any page."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(_vega_lite_spec(record, theme)))


def _vega_lite_spec(record: LawRecord, theme: Theme) -> dict[str, Any]:  # JSON of Vega-Lite
    """Return the specification of the chart for Vega-Lite."""
    import altair as alt

    look = PALETTES[theme]
    asked = list(dict.fromkeys(one.question for one in record.observations))
    rows = [_row(record.law, one) for one in sorted(record.observations, key=lambda one: asked.index(one.question))]
    order = list(dict.fromkeys(str(row["line"]) for row in rows))
    shares = all(one.learned is None for one in record.observations)
    base = alt.Chart(alt.InlineData(values=rows))
    titles = [one.title for one in record.law.conditions]
    axis = alt.Axis(
        title="right" if shares else record.observations[0].question, format=".0%" if shares else ".2f",
        grid=True, tickCount=5, labelColor=look.soft, titleColor=look.soft, gridColor=look.line, labelFontSize=13,
        titleFontSize=13,
    )  # fmt: skip
    scale = alt.Scale(domain=[0, 1]) if shares else alt.Scale(zero=True)
    y = alt.Y(
        "line:N", sort=order, title=None,
        axis=alt.Axis(
            labelColor=look.ink, labelFontSize=13, labelLimit=480, labelPadding=12, domain=False, ticks=False,
            minExtent=_LETTER_WIDTH * max(map(len, order)),
        ),
    )  # fmt: skip
    hue = alt.Color("title:N", legend=None, scale=alt.Scale(domain=titles, range=list(look.hues[: len(titles)])))
    shape = alt.Shape("title:N", legend=None, scale=alt.Scale(domain=titles, range=["circle", "square", "triangle-up"]))
    x = alt.X("value:Q", scale=scale, axis=axis)
    layers = [
        base.mark_rule(strokeWidth=2.5).encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q", y=y, color=hue),
        base.mark_point(filled=True, size=110, opacity=1).encode(x=x, y=y, color=hue, shape=shape),
        base.mark_text(dy=-13, fontSize=13, color=look.ink).encode(x=x, y=y, text="text:N"),
    ]
    if any(one.chance is not None and one.chance >= _MIN_CHANCE for one in record.observations):
        layers += _chance(base, y, scale, look)
    sheet = alt.layer(*layers).properties(
        width=_WIDTH, height=_ROW_HEIGHT * len(order) + 10, title=_title(record, look)
    )
    styled = sheet.configure(background=look.ground, font="system-ui, sans-serif", padding=14)
    spec: dict[str, Any] = styled.configure_view(stroke=None).to_dict()
    return spec


def _row(law: Law, one: Observation) -> dict[str, Any]:  # JSON values
    estimate = one.estimate
    title = next(condition.title for condition in law.conditions if condition.name == one.condition)
    chance = one.chance if one.chance is not None and one.chance >= _MIN_CHANCE else None
    return {
        "line": f"{one.question}: {title}", "title": title, "value": estimate.value,
        "low": estimate.interval.low, "high": estimate.interval.high, "chance": chance,
        "text": f"{estimate.value:.2f}" if one.learned is not None else percent(estimate.value, 0), "note": "chance",
    }  # fmt: skip


def _chance(base: Any, y: Any, scale: Any, look: Palette) -> list[Any]:  # of Altair
    known = base.transform_filter("datum.chance !== null")
    import altair as alt

    at = alt.X("chance:Q", scale=scale)
    return [
        known.mark_tick(thickness=2, size=_ROW_HEIGHT - 8, color=look.soft).encode(x=at, y=y),
        known.mark_text(dy=15, fontSize=11, color=look.soft).encode(x=at, y=y, text="note:N"),
    ]


def _title(record: LawRecord, look: Palette) -> dict[str, Any]:  # JSON of Vega-Lite
    conclusion = record.conclusion
    shares = all(one.learned is None for one in record.observations)
    below = textwrap.wrap(conclusion.sentence, _LINE_LENGTH)
    if conclusion.effect is not None:
        low, high = conclusion.effect.interval.low, conclusion.effect.interval.high
        effect = f"{100 * low:+.1f} to {100 * high:+.1f} points" if shares else f"{low:.2f} to {high:.2f}"
        below.append(f"{conclusion.of}: {effect} (95%)")
    return {
        "text": f"{record.law.name} ({record.scale} scale): {record.conclusion.verdict}",
        "subtitle": below, "anchor": "start", "color": look.ink, "subtitleColor": look.soft,
        "fontSize": 17, "subtitleFontSize": 13, "subtitlePadding": 6, "offset": 14,
    }  # fmt: skip

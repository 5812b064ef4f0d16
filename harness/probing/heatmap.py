"""The heat map of a target as SVG: places by layers, and below them the same probes on random weights."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from fathom.harness.db.probes import ProbedTarget, ProbePoint
from fathom.harness.probing.tables import MEASURES, grid, shown_layers, value_of
from fathom.harness.reports.figures.palettes import PALETTES, Palette, Theme
from fathom.harness.reports.figures.picture import DataTable

WIDTH = 640
_LEFT, _RIGHT, _TOP, _ROW, _GAP = 182, 8, 28, 34, 32
_FONT = 15
_MOST_LAYERS = 40
_FONTS = "system-ui, sans-serif"
_NUMBERS_FROM = 36
"""Width of a square in pixels from which its number stands in it."""
_PANELS = (("trained", "this model"), ("random", "before training"))


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A drawn target: its height in pixels, and what a reader who does not see it gets."""

    title: str
    description: str
    height: int
    table: DataTable


def heat_map(target: ProbedTarget) -> HeatMap:
    """Return title, description, height and numbers of a target's picture."""
    facts = target.facts
    title = f"{facts.name}: {facts.about}, {MEASURES[facts.kind]} by layer and place"
    said = [
        f"{place}: " + ", ".join(f"layer {one.layer} {one.value:.2f}" for one in points if one is not None)
        for place, points in grid(target, target.layers, "trained").items()
    ]
    description = f"{title}; chance {facts.chance:.2f}. {'. '.join(said)}"
    return HeatMap(title, description, _height(target), _numbers(target))


def _height(target: ProbedTarget) -> int:
    return _TOP + len(_PANELS) * (len(target.places) * _ROW + _GAP)


def _numbers(target: ProbedTarget) -> DataTable:
    header = ("place and layer", MEASURES[target.facts.kind], "95% interval", "bits", "verdict", "random weights",
              "shuffled labels, best", "random labels by word", "surface")  # fmt: skip
    rows = []
    for place in target.places:
        surface = target.at(place, -1, "surface")
        for layer in target.layers:
            one = target.at(place, layer)
            if one is None:
                continue
            random, words = target.at(place, layer, "random"), target.at(place, layer, "words")
            rows.append((
                f"{place}, layer {layer}", f"{one.value:.3f}", f"{one.low:.3f}–{one.high:.3f}",
                "" if one.bits is None else f"{one.bits:+.2f}", target.verdicts.get((place, layer), ""),
                _number(value_of(random)), _number(one.null_high), _number(value_of(words)),
                _number(value_of(surface)),
            ))  # fmt: skip
    return DataTable(header, tuple(rows))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def draw_heat_map(target: ProbedTarget, theme: Theme) -> str:
    """Return the picture as SVG, WIDTH pixels wide: darker is higher, a frame says present."""
    look, layers = PALETTES[theme], shown_layers(target, _MOST_LAYERS)
    told = heat_map(target)
    root = ET.Element(
        "svg",
        {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {WIDTH} {told.height}", "role": "img", "fill": "none"},
    )
    ET.SubElement(root, "title").text = told.title
    ET.SubElement(root, "desc").text = told.description[:2000]
    side = (WIDTH - _LEFT - _RIGHT) / len(layers)
    y = float(_TOP)
    for variant, name in _PANELS:
        root.append(_text((0, y - 9), name, look.ink, weight="600"))
        for place, points in grid(target, layers, variant).items():
            root.append(_text((0, y + _ROW / 2 + 5), place, look.soft))
            for at, point in enumerate(points):
                if point is not None:
                    is_present = variant == "trained" and target.verdicts.get((place, point.layer)) == "present"
                    root.extend(_square(look, (_LEFT + at * side, y), side, point, is_present))
            y += _ROW
        y += _GAP
    every = max(1, -(-len(layers) // 16))
    for at, layer in enumerate(layers):
        if at % every == 0 or at == len(layers) - 1:
            root.append(_text((_LEFT + (at + 0.5) * side, y - _GAP + 20), f"L{layer}", look.soft, anchor="middle"))
    return ET.tostring(root, encoding="unicode")


def _square(
    look: Palette, corner: tuple[float, float], side: float, point: ProbePoint, is_present: bool
) -> list[ET.Element]:
    (x, y), share = corner, min(1.0, max(0.0, point.value))
    box = {"x": f"{x + 1:.1f}", "y": f"{y + 1:.1f}", "width": f"{side - 2:.1f}", "height": str(_ROW - 2), "rx": "2"}
    drawn = [ET.Element("rect", {**box, "fill": look.hues[0], "fill-opacity": f"{0.06 + 0.94 * share * share:.2f}"})]
    if is_present:
        drawn.append(ET.Element("rect", {**box, "stroke": look.ink, "stroke-width": "2"}))
    if side >= _NUMBERS_FROM:
        colour = look.ground if share > 0.72 else look.ink
        drawn.append(_text((x + side / 2, y + _ROW / 2 + 5), f"{point.value:.2f}", colour, anchor="middle"))
    return drawn


def _text(
    at: tuple[float, float], text: str, colour: str, *, anchor: str = "start", weight: str = "400"
) -> ET.Element:  # fmt: skip
    style = {
        "font-family": _FONTS,
        "font-size": f"{_FONT}px",
        "fill": colour,
        "text-anchor": anchor,
        "font-weight": weight,
    }
    element = ET.Element("text", {"x": f"{at[0]:.1f}", "y": f"{at[1]:.1f}", **style})
    element.text = text
    return element

"""Pictures as SVG, written directly: a picture has too few marks to need a chart library."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fathom.harness.reports.figures.cache import Cache
from fathom.harness.reports.figures.layout import (
    GRID,
    KEY_FONT,
    LABEL_FONT,
    NEUTRAL,
    PICTURE_HEIGHT,
    PICTURE_WIDTH,
    SLANT,
    Caption,
    Curve,
    Dash,
    Dotted,
    Frame,
    KeySymbol,
    Segment,
    Sheet,
    lay_out,
)
from fathom.harness.reports.figures.palettes import PALETTES, Palette, Theme
from fathom.harness.reports.figures.picture import Picture, digest, one_line

_MOST_CACHED = 512
_FONTS = "system-ui, sans-serif"
_TICK = 5
_SWATCH = 13.8
_TITLE, _DESCRIPTION = 200, 2000  # characters
_ANCHORS = {"axis": "end", "name": "middle", "blank": "middle", "slanted": "start", "entry": "start", "note": "start"}

_SYMBOLS = (
    "M4.6,0A4.6,4.6,0,1,1,-4.6,0A4.6,4.6,0,1,1,4.6,0",
    "M-4.6,-4.6h9.2v9.2h-9.2Z",
    "M0,-4L-4.6,4L4.6,4Z",
    "M-4.6,0L0,-4.6L4.6,0L0,4.6Z",
    "M-4.6,-1.8L-4.6,1.8L-1.8,1.8L-1.8,4.6L1.8,4.6L1.8,1.8L4.6,1.8L4.6,-1.8L1.8,-1.8L1.8,-4.6L-1.8,-4.6L-1.8,-1.8Z",
    "M0,4L-4.6,-4L4.6,-4Z",
)
"""Paths of the series' symbols around their centre: circle, square, triangle, diamond, cross, triangle down."""

_drawn: Cache[tuple[str, Theme], str] = Cache(_MOST_CACHED)


def draw_svg(picture: Picture, theme: Theme) -> str:
    """Return the picture as an SVG with a viewBox of PICTURE_WIDTH by PICTURE_HEIGHT pixels.

    It has a title and a description, a transparent background, and neither size, style nor script. Results are cached;
    several threads may call this at once.
    """
    name = digest(picture)
    return _drawn.get((name, theme), lambda: _render(picture, theme, f"{name[:16]}-{theme}"))


def _render(picture: Picture, theme: Theme, name: str) -> str:
    names = f"{name}-title", f"{name}-desc"
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {PICTURE_WIDTH} {PICTURE_HEIGHT}", "role": "img",
            "aria-labelledby": " ".join(names), "fill": "none",
        },
    )  # fmt: skip
    ET.SubElement(root, "title", {"id": names[0]}).text = one_line(picture.title, _TITLE)
    ET.SubElement(root, "desc", {"id": names[1]}).text = one_line(picture.description, _DESCRIPTION)
    sheet = lay_out(picture)
    plot = ET.SubElement(root, "g", {"transform": _translate(sheet.frame.left, sheet.frame.top)})
    plot.extend(_Pen(sheet.frame, PALETTES[theme]).marks(sheet))
    return ET.tostring(root, encoding="unicode")


@dataclass(frozen=True, slots=True)
class _Pen:
    """Draws marks on a plot; later elements cover earlier ones."""

    frame: Frame
    look: Palette

    def marks(self, sheet: Sheet) -> Iterator[ET.Element]:
        yield from map(self._grid_line, GRID)
        curves = [curve for curve in sheet.curves if curve.dots]
        yield from map(self._band, curves)
        yield from map(self._segment, sheet.segments)
        yield from map(self._tick, sheet.ticks)
        yield from map(self._dash, sheet.dashes)
        yield from map(self._dotted, sheet.dotted)
        yield from map(self._curve, curves)
        for curve in curves:
            yield from (self._symbol(dot.x, dot.y, curve.hue) for dot in curve.dots)
        yield from (self._symbol(key.x, key.y, key.index) for key in sheet.series_keys)
        yield from map(self._swatch, sheet.kind_keys)
        yield from map(self._caption, sheet.captions)

    def _x(self, share: float) -> float:
        return share * self.frame.width

    def _y(self, share: float) -> float:
        return (1 - share) * self.frame.height

    def _hue(self, hue: int) -> str:
        return self.look.soft if hue == NEUTRAL else self.look.hues[hue]

    def _path(self, points: Iterable[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{_short(self._x(x))},{_short(self._y(y))}" for x, y in points)

    def _grid_line(self, share: float) -> ET.Element:
        place = _translate(0, round(self._y(share)) + 0.5)  # half a pixel down, so that it fills one row of pixels
        return ET.Element(
            "line", {"transform": place, "x2": _short(self.frame.width), "y2": "0", "stroke": self.look.line}
        )

    def _band(self, curve: Curve) -> ET.Element:
        """Draw the intervals of a curve as a band; that of a single dot as a whisker."""
        colour = self._hue(curve.hue)
        if len(curve.dots) == 1:
            (dot,) = curve.dots
            ends = self._path([(dot.x, dot.low), (dot.x, dot.high)])
            return ET.Element("path", {"d": ends, "stroke": colour, "stroke-width": "2"})
        edge = [(dot.x, dot.high) for dot in curve.dots] + [(dot.x, dot.low) for dot in reversed(curve.dots)]
        return ET.Element("path", {"d": f"{self._path(edge)}Z", "fill": colour, "opacity": "0.13"})

    def _curve(self, curve: Curve) -> ET.Element:
        line = self._path((dot.x, dot.y) for dot in curve.dots)
        return ET.Element("path", {"d": line, "stroke": self._hue(curve.hue), "stroke-width": "2"})

    def _symbol(self, x: float, y: float, hue: int) -> ET.Element:
        place = {"transform": _translate(self._x(x), self._y(y)), "d": _SYMBOLS[hue]}
        return ET.Element("path", {**place, "fill": self._hue(hue), "stroke": self.look.ground, "stroke-width": "1"})

    def _segment(self, one: Segment) -> ET.Element:
        corners = [(one.x, one.y), (one.x2, one.y), (one.x2, one.y2), (one.x, one.y2)]
        return ET.Element("path", {"d": f"{self._path(corners)}Z", "fill": self.look.kinds[one.kind]})

    def _swatch(self, key: KeySymbol) -> ET.Element:
        place = _translate(self._x(key.x) - _SWATCH / 2, self._y(key.y) - _SWATCH / 2)
        square = f"M0,0h{_SWATCH}v{_SWATCH}h-{_SWATCH}Z"
        return ET.Element("path", {"transform": place, "d": square, "fill": self.look.kinds[key.index]})

    def _tick(self, x: float) -> ET.Element:
        place = {"transform": _translate(self._x(x), self.frame.height), "x2": "0", "y2": str(_TICK)}
        return ET.Element("line", {**place, "stroke": self.look.soft})

    def _dash(self, one: Dash) -> ET.Element:
        place = {
            "transform": _translate(self._x(one.x), self._y(one.y)),
            "x2": _short(self._x(one.x2 - one.x)),
            "y2": "0",
        }
        style = {"stroke": self._hue(one.hue), "stroke-width": "1.5", "stroke-dasharray": "5,4"}
        return ET.Element("line", {**place, **style})

    def _dotted(self, one: Dotted) -> ET.Element:
        style = {"stroke": self.look.soft, "stroke-width": "1.5", "stroke-dasharray": "1.5,3"}
        return ET.Element("path", {"d": self._path(one.points), **style})

    def _caption(self, one: Caption) -> ET.Element:
        size, colour = (KEY_FONT, self.look.ink) if one.role == "entry" else (LABEL_FONT, self.look.soft)
        baseline = 0.3 * size  # from the centre of a line of letters
        y = self._y(one.y) + (size / 2 if one.role == "name" else 0)  # a name's y is its top
        turn = f" rotate({SLANT})" if one.role == "slanted" else ""
        place = f"{_translate(self._x(one.x), y)}{turn} {_translate(0, baseline)}"
        style = {"font-family": _FONTS, "font-size": f"{size}px", "fill": colour, "text-anchor": _ANCHORS[one.role]}
        element = ET.Element("text", {"transform": place, **style})
        element.text = one.text
        return element


def _translate(x: float, y: float) -> str:
    return f"translate({_short(x)},{_short(y)})"


def _short(number: float) -> str:
    """Write a number of pixels with at most two decimals."""
    return f"{number:.2f}".rstrip("0").rstrip(".")

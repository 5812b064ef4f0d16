"""Turn pictures into SVG, with Altair for the specification and vl-convert for the drawing."""

import threading
import xml.etree.ElementTree as ET
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Literal, TypeVar

from fathom.harness.reports.figures.layout import (
    FONT,
    HEIGHT,
    N_KINDS,
    NEUTRAL,
    SLANT,
    SMALL,
    WIDTH,
    Frame,
    Sheet,
    lay_out,
)
from fathom.harness.reports.figures.picture import Picture, digest, one_line

Theme = Literal["light", "dark"]


MOST_CACHED = 512


_FONTS = "system-ui, sans-serif"


_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


_LAYERS = (
    "points", "bars", "blanks", "chance", "whiskers", "keys", "swatches", "ticks", "names", "slanted", "entries",
    "notes",
)  # fmt: skip


Spec = dict[str, Any]  # JSON of Vega-Lite


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours that stand on one ground.

    Hues and kinds are told apart with any of the three colour deficiencies (simulated after Machado
    and others, IEEE TVCG 15, 2009); neighbouring kinds in a bar and all hues by more than 8 in OKLab.
    """

    ground: str
    ink: str
    soft: str
    line: str
    hues: tuple[str, ...]
    kinds: tuple[str, ...]
    """CORRECT, the mistakes, OTHER."""


PALETTES: dict[Theme, Palette] = {
    "light": Palette(
        "#ffffff", "#0a2231", "#43606f", "#d8e3e8",
        ("#0072b2", "#e06a10", "#00513a", "#c77cab", "#7a5c00", "#1b1b1b"),
        ("#0b6e8c", "#b5430f", "#d07a18", "#6b3f8f", "#cb76a8", "#5c4a00", "#9a8a3a", "#87949b"),
    ),
    "dark": Palette(
        "#0b2230", "#e3eef3", "#9fb9c6", "#25465a",
        ("#56b4e9", "#f0883e", "#5fe0b0", "#cc79a7", "#f0e442", "#ffffff"),
        ("#3795b1", "#f6a15b", "#b8502c", "#e9b4d4", "#8f5fb5", "#f0e08a", "#a8862a", "#8fa3ae"),
    ),
}  # fmt: skip


def draw(picture: Picture, theme: Theme) -> str:
    """Return the picture as an SVG without size, style or script, transparent, WIDTH by HEIGHT in its own pixels.

    The last MOST_CACHED pictures are kept. Safe to call from several threads; they draw one after another.
    """
    name = digest(picture)
    return _drawn.get((name, theme), lambda: _render(picture, theme, name))


def dark_rules(selector: str) -> str:
    """Return style rules that give drawings for a light ground, below a selector, the colours of the dark one."""
    light, dark = (
        (look.ground, look.ink, look.soft, look.line, *look.hues, *look.kinds)
        for look in (PALETTES["light"], PALETTES["dark"])
    )
    return "\n".join(
        f'{selector} [{part}="{one}"] {{ {part}: {other}; }}'
        for one, other in zip(light, dark, strict=True)
        for part in ("fill", "stroke")
    )


_at_work = threading.Lock()  # the template of a theme is filled in place


Key = TypeVar("Key", bound=Hashable)


Value = TypeVar("Value")


class Cache(Generic[Key, Value]):
    """The `size` values used last; each is made once, however many threads ask for it at a time."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._coming: dict[Key, Future[Value]] = {}
        self._lock = threading.Lock()  # never held while a value is made

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value of a key, made by `make` where it is not kept.

        What `make` raises is raised to all who wait for it, and is not kept.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            coming = self._coming.get(key)
            mine: Future[Value] = Future()
            if coming is None:
                self._coming[key] = mine
        return self._make(key, make, mine) if coming is None else coming.result()

    def _make(self, key: Key, make: Callable[[], Value], mine: "Future[Value]") -> Value:
        try:
            value = make()
        except BaseException as error:
            self._forget(key)
            mine.set_exception(error)
            raise
        with self._lock:
            self._kept[key] = value
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)
        self._forget(key)
        mine.set_result(value)
        return value

    def _forget(self, key: Key) -> None:
        with self._lock:
            del self._coming[key]


_drawn: Cache[tuple[str, Theme], str] = Cache(MOST_CACHED)


def _render(picture: Picture, theme: Theme, name: str) -> str:
    import vl_convert

    with _at_work:
        drawn = vl_convert.vegalite_to_svg(_filled(_template(theme), lay_out(picture)))
    return _finish(drawn, picture, f"{name[:16]}-{theme}")


def _filled(template: Spec, sheet: Sheet) -> Spec:
    """Add the rows and the plot's place; nothing foreign is anywhere but in the values of rows."""
    frame = sheet.frame
    return template | {
        "datasets": {layer: sheet.marks.get(layer, []) for layer in _LAYERS},
        "width": frame.width,
        "height": frame.height,
        "padding": _padding(frame),
    }


def _padding(frame: Frame) -> dict[str, float]:
    right, bottom = WIDTH - frame.left - frame.width, HEIGHT - frame.top - frame.height
    return {"left": frame.left, "top": frame.top, "right": right, "bottom": bottom}


@cache
def _template(theme: Theme) -> Spec:
    """Return the specification of every picture, without its data; making it costs more than a drawing."""
    import altair as alt

    look = PALETTES[theme]
    sheet = alt.layer(*_plot(look), *_writing(look))
    styled = sheet.properties(autosize="none", background="transparent").configure_view(stroke=None)
    spec: Spec = styled.configure(aria=False, font=_FONTS).to_dict()
    return spec


def _layer(name: str) -> Any:  # an alt.Chart; its methods are typed too loosely to be worth naming
    import altair as alt

    return alt.Chart(alt.NamedData(name=name))


def _plot(look: Palette) -> list[Any]:
    import altair as alt

    scale = alt.Scale(domain=[0, 1], nice=False)
    axis = alt.Axis(
        values=[0, 0.25, 0.5, 0.75, 1], tickCount=5, labelOverlap=False, format=".0%", title=None, ticks=False,
        domain=False, labelPadding=8, labelColor=look.soft, labelFontSize=SMALL, gridColor=look.line,
    )  # fmt: skip
    x, y = alt.X("x:Q", scale=scale, axis=None), alt.Y("y:Q", scale=scale, axis=axis)
    hue = alt.Color("hue:O", legend=None, scale=alt.Scale(domain=[*range(NEUTRAL + 1)], range=[*look.hues, look.soft]))
    kind = alt.Fill("kind:O", legend=None, scale=alt.Scale(domain=[*range(N_KINDS)], range=list(look.kinds)))
    shape = alt.Shape("hue:O", legend=None, scale=alt.Scale(domain=[*range(NEUTRAL)], range=list(_SHAPES)))
    symbol = {"filled": True, "opacity": 1, "stroke": look.ground, "strokeWidth": 1}
    points = _layer("points")
    return [
        points.mark_area(opacity=0.13).encode(x=x, y=alt.Y("low:Q", scale=scale, axis=axis), y2="high:Q", color=hue),
        _layer("bars").mark_rect().encode(x=x, x2="x2:Q", y=y, y2="y2:Q", fill=kind),
        _layer("ticks").mark_rule(color=look.soft).encode(x=x, y=y, y2="y2:Q"),
        _layer("chance").mark_rule(strokeDash=[5, 4], strokeWidth=1.5).encode(x=x, x2="x2:Q", y=y, color=hue),
        _layer("whiskers").mark_rule(strokeWidth=2).encode(x=x, y="low:Q", y2="high:Q", color=hue),
        points.mark_line(strokeWidth=2).encode(x=x, y=y, color=hue),
        *(
            _layer(name).mark_point(size=85, **symbol).encode(x=x, y=y, color=hue, shape=shape)
            for name in ("points", "keys")
        ),
        _layer("swatches").mark_square(size=190, opacity=1).encode(x=x, y=y, fill=kind),
    ]


def _writing(look: Palette) -> list[Any]:
    styles: dict[str, dict[str, Any]] = {
        "names": {"color": look.soft, "fontSize": SMALL, "baseline": "top"},
        "slanted": {"color": look.soft, "fontSize": SMALL, "baseline": "middle", "align": "left", "angle": SLANT},
        "blanks": {"color": look.soft, "fontSize": SMALL},
        "entries": {"color": look.ink, "fontSize": FONT, "align": "left"},
        "notes": {"color": look.soft, "fontSize": SMALL, "align": "left"},
    }
    return [
        _layer(name).mark_text(**{"baseline": "middle", **style}).encode(x="x:Q", y="y:Q", text="text:N")
        for name, style in styles.items()
    ]


_SHOWN = {
    "g": {"transform", "opacity"},
    "path": {"transform", "d", "fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "fill-opacity"},
    "line": {"transform", "x2", "y2", "stroke", "stroke-width", "stroke-dasharray", "opacity"},
    "text": {"transform", "text-anchor", "font-family", "font-size", "fill", "opacity"},
}
"""Elements and attributes that a picture needs; whatever else a renderer adds is left out."""


def _finish(drawn: str, picture: Picture, name: str) -> str:
    """Give the drawing a name and a description, and nothing that a page's style or script could meet."""
    source = ET.fromstring(drawn.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1))  # noqa: S314  # our renderer's
    names = f"{name}-title", f"{name}-desc"
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {WIDTH} {HEIGHT}",
            "role": "img",
            "aria-labelledby": " ".join(names),
            "fill": "none",
        },
    )
    for tag, at, text, limit in (("title", 0, picture.title, 200), ("desc", 1, picture.description, 2000)):
        ET.SubElement(root, tag, {"id": names[at]}).text = one_line(text, limit)
    for part in source:
        _copy(part, root)
    return ET.tostring(root, encoding="unicode")


def _copy(part: ET.Element, parent: ET.Element) -> None:
    kept = _SHOWN.get(part.tag)
    if kept is None or part.get("display") == "none" or part.get("class") in ("background", "foreground"):
        return
    made = ET.SubElement(parent, part.tag, {key: value for key, value in part.items() if key in kept})
    made.text = part.text
    for inner in part:
        _copy(inner, made)
    if made.tag == "g" and not len(made):
        parent.remove(made)

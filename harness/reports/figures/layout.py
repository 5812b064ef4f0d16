"""Layout of a picture: where its curves, bars, labels and key stand."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import cos, log2, radians, sin
from typing import Literal

from numpy import interp

from fathom.harness.format import percent
from fathom.harness.reports.figures.picture import (
    MOST_SERIES,
    NOTHING,
    Anatomy,
    Curves,
    Picture,
    Point,
    room,
    short,
)

PICTURE_WIDTH, PICTURE_HEIGHT = 640, 330
"""Size of every picture in pixels of its own; it scales to its container."""

KEY_FONT, LABEL_FONT = 15, 14
"""Font sizes in pixels: of the key, and of all other text."""

SLANT = 50
"""Angle in degrees of level names that do not fit side by side."""

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares with a line across the plot and a label."""

NEUTRAL = MOST_SERIES
"""Hue of a mark that belongs to no single series; smaller numbers are the series' own hues."""

PUBLISHED = NEUTRAL + 1
"""Index of the key's entry for curves of others."""

_LEFT, _TOP, _EDGE, _FOOT = 54.0, 40.0, 6.0, 30.0
_LETTER = 0.59  # width of a letter over its size in a wide sans-serif font: readers' fonts differ, none is wider
_KEY, _SYMBOL = 34.0, 16.0  # pixels from the plot to the key's texts, and to the centre of its symbols
_LINE, _BETWEEN = 17.0, 5.0  # height of a line of the key, and the gap between two entries
_NAME = 16  # letters of a level's name
_ENTRY = 23  # letters of a line of the key
_WIDEST = 8  # ratio of hardness above which equal steps would crowd the easy levels
_CLOSEST = 9.0  # least pixels between two levels


@dataclass(frozen=True, slots=True)
class Frame:
    """Position of the plot in the picture, in pixels."""

    left: float
    top: float
    width: float
    height: float

    def x(self, right: float) -> float:
        """Convert pixels right of the plot's left edge to a share of its width."""
        return right / self.width

    def y(self, down: float) -> float:
        """Convert pixels below the plot's top edge to a share of its height, counted from the bottom."""
        return 1 - down / self.height


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a curve with its interval; as in all marks, x and y are shares of the plot, from bottom left."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The dots of one series from left to right; `hue` chooses colour and symbol."""

    hue: int
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Dash:
    """A dashed horizontal line: accuracy by chance."""

    x: float
    x2: float
    y: float
    hue: int


@dataclass(frozen=True, slots=True)
class Dotted:
    """A dotted line: a curve that others published, or an upright mark for its single point."""

    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a stacked bar; `kind` chooses the colour."""

    x: float
    x2: float
    y: float
    y2: float
    kind: int


@dataclass(frozen=True, slots=True)
class KeySymbol:
    """A symbol of the key: of a series, or of a kind of answers."""

    x: float
    y: float
    index: int


@dataclass(frozen=True, slots=True)
class Caption:
    """A text; its role decides font, colour and anchor."""

    x: float
    y: float
    text: str
    role: Literal["axis", "name", "slanted", "blank", "entry", "note"]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture laid out; marks of the key and the labels lie outside the plot."""

    frame: Frame
    ticks: tuple[float, ...]
    captions: tuple[Caption, ...]
    curves: tuple[Curve, ...] = ()
    dashes: tuple[Dash, ...] = ()
    dotted: tuple[Dotted, ...] = ()
    segments: tuple[Segment, ...] = ()
    series_keys: tuple[KeySymbol, ...] = ()
    kind_keys: tuple[KeySymbol, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of the key: its lines, its hue or kind, and the share of the plot's height where it belongs."""

    lines: tuple[str, ...]
    index: int
    place: float


_Key = Sequence[tuple[_Entry, float]]
"""Entries of the key with the pixels from the plot's top to their centres."""


def lay_out(picture: Picture) -> Sheet:
    """Place every mark of a picture."""
    return _lay_out_curves(picture) if isinstance(picture, Curves) else _lay_out_bars(picture)


def _lay_out_curves(picture: Curves) -> Sheet:
    chances = _chances(picture)
    entries = [_Entry(_two_lines(one.name), hue, _last(one.points)) for hue, one in enumerate(picture.series)]
    entries += [_Entry(("chance",), NEUTRAL, one.value) for one in chances[-1:]]
    names, hardness = list(picture.levels), list(picture.levels.values())
    published = [inside for one in picture.published if (inside := one.within(hardness[0], hardness[-1]))]
    if published:
        entries.append(_Entry(("published",), PUBLISHED, max(inside[-1][1] for inside in published)))
    width = PICTURE_WIDTH - _LEFT - _key_width(entries)
    places = _spread(hardness, width)
    labels, shared = _labels(names, places, width)
    frame = _frame(width, labels, places)
    at = dict(zip(names, places, strict=True))
    key = _stack(entries, frame)
    scale = " (log scale)" if places != _even(len(places)) else ""
    notes = _notes(frame, "Accuracy", f"Level{shared}, by {short(picture.unit, 30)}{scale}")
    dashes = [_chance_dash(one, at, frame) for one in chances]
    dashes += [_key_dash(frame, middle) for entry, middle in key if entry.index == NEUTRAL]
    dotted = [_dotted(inside, hardness, places) for inside in published]
    dotted += [Dotted(_key_line(frame, middle)) for entry, middle in key if entry.index == PUBLISHED]
    return Sheet(
        frame, tuple(places), (*_names(labels, places, frame), *_key_texts(key, frame), *notes),
        curves=tuple(_curve(picture, hue, at, frame) for hue in range(len(picture.series))), dashes=tuple(dashes),
        dotted=tuple(dotted),
        series_keys=tuple(_symbol(frame, entry, middle) for entry, middle in key if entry.index < NEUTRAL),
    )  # fmt: skip


def _lay_out_bars(picture: Anatomy) -> Sheet:
    kinds = picture.colours
    entries = [_Entry(_two_lines(name), kind, 1) for kind, name in zip(kinds, picture.kinds, strict=True)]
    width = PICTURE_WIDTH - _LEFT - _key_width(entries)
    places = _even(len(picture.bars))
    labels, shared = _labels([bar.level for bar in picture.in_order], places, width)
    frame = _frame(width, labels, places)
    key = _stack(entries[::-1], frame)  # from the top, as the bars show them
    half = frame.x(min(28.0, 0.38 * frame.width / len(places)))
    segments: list[Segment] = []
    blanks: list[Caption] = []
    for bar, place in zip(picture.in_order, places, strict=True):
        segments += _pile(picture.counts_of(bar), kinds, frame, (place - half, place + half))
        blanks += [] if bar.n else [Caption(place, frame.y(frame.height - 9), NOTHING, "blank")]
    notes = _notes(
        frame, "Share of graded answers", f"{picture.axis}{shared}" if picture.axis else f"Level{shared}, easiest first"
    )
    return Sheet(
        frame, tuple(places), (*_names(labels, places, frame), *blanks, *_key_texts(key, frame), *notes),
        segments=tuple(segments), kind_keys=tuple(_symbol(frame, entry, middle) for entry, middle in key),
    )  # fmt: skip


def _pile(counts: Sequence[int], kinds: Sequence[int], frame: Frame, sides: tuple[float, float]) -> Iterator[Segment]:
    """Yield the segments of one bar, with a thin gap above each that is tall enough."""
    below, total = 0, sum(counts)
    for kind, n in zip(kinds, counts, strict=True):
        if n:
            low, high = below / total, (below + n) / total
            gap = min(1.5 / frame.height, (high - low) / 2) if below + n < total else 0
            yield Segment(*sides, low, high - gap, kind)
        below += n


# levels


def _even(n: int) -> list[float]:
    return [(place + 0.5) / n for place in range(n)]


def _spread(hardness: Sequence[float], width: float) -> list[float]:
    """Place levels by the logarithm of their hardness if it spans much and none come too close, else evenly."""
    low, high = hardness[0], hardness[-1]
    if low <= 0 or high <= _WIDEST * low:
        return _even(len(hardness))
    margin = 0.06
    steps = [log2(one / low) / log2(high / low) for one in hardness]
    places = [margin + (1 - 2 * margin) * step for step in steps]
    parted = min(right - left for left, right in pairwise(places)) * width >= _CLOSEST
    return places if parted else _even(len(hardness))


def _gap(places: Sequence[float], width: float) -> float:
    """Return the pixels between the two nearest levels."""
    return width * min((right - left for left, right in pairwise(places)), default=1.0)


def _labels(names: Sequence[str], places: Sequence[float], width: float) -> tuple[list[str], str]:
    """Return the labels of the levels, and what all names share, which is left out of the labels if space is short."""
    whole = [short(name, _NAME) for name in names]
    if _fit(whole, places, width):
        return whole, ""
    start, end = _beginning(names), _beginning([name[::-1] for name in names])[::-1]
    start = start[: start.rfind("-") + 1]
    end = end[end.find("-") :] if "-" in end else ""
    if not (start or end) or min(map(len, names)) <= len(start) + len(end):
        return whole, ""
    shared = f" {short(start, _NAME)}…{short(end, _NAME)}"
    return [short(name[len(start) : len(name) - len(end)], _NAME) for name in names], shared


def _beginning(names: Sequence[str]) -> str:
    """Return what all names begin with."""
    shared = 0
    for letters in zip(*names, strict=False):
        if len(set(letters)) > 1:
            break
        shared += 1
    return names[0][:shared]


def _fit(labels: Sequence[str], places: Sequence[float], width: float) -> bool:
    """Say whether labels fit side by side."""
    halves = [_length(label, LABEL_FONT) / 2 + 4 for label in labels]
    sides = [(width * place - half, width * place + half) for place, half in zip(places, halves, strict=True)]
    return all(left[1] <= right[0] for left, right in pairwise(sides))


def _frame(width: float, labels: Sequence[str], places: Sequence[float]) -> Frame:
    longest = max(_length(label, LABEL_FONT) for label in labels)
    tall = (
        LABEL_FONT if _fit(labels, places, width) else longest * sin(radians(SLANT)) + LABEL_FONT * cos(radians(SLANT))
    )
    return Frame(_LEFT, _TOP, width, PICTURE_HEIGHT - _TOP - 10 - tall - _FOOT)


def _names(labels: Sequence[str], places: Sequence[float], frame: Frame) -> list[Caption]:
    """Return the labels below their ticks; where even slanted ones would touch, some are left out."""
    below = frame.y(frame.height + 9)
    if _fit(labels, places, frame.width):
        return [Caption(x, below, label, "name") for label, x in zip(labels, places, strict=True)]
    apart = 1.15 * LABEL_FONT / sin(radians(SLANT)) / frame.width
    kept: list[Caption] = []
    for label, x in zip(labels, places, strict=True):
        if not kept or x - kept[-1].x >= apart:
            kept.append(Caption(x, below, label, "slanted"))
    return kept


def _length(text: str, size: int) -> float:
    return room(text) * _LETTER * size


# curves


def _curve(picture: Curves, hue: int, at: Mapping[str, float], frame: Frame) -> Curve:
    n = len(picture.series)
    step = min(7.0, 0.6 * _gap(list(at.values()), frame.width) / n)
    aside = frame.x(step * (hue - (n - 1) / 2))  # so that equal points do not hide each other
    dots = [
        Dot(at[point.level] + aside, point.k / point.n, point.interval.low, point.interval.high)
        for point in picture.series[hue].points
        if point.n
    ]
    return Curve(hue, tuple(sorted(dots, key=lambda dot: dot.x)))


def _last(points: Sequence[Point]) -> float:
    asked = [point for point in points if point.n]
    return asked[-1].k / asked[-1].n if asked else 0.0


@dataclass(frozen=True, slots=True)
class _Chance:
    """Accuracy by chance at a level, or at all levels (None); the hue of its series where others differ from it."""

    level: str | None
    value: float
    hue: int


def _chances(picture: Curves) -> list[_Chance]:
    """Return the chance of each level, easiest level first; one value where it is the same at all."""
    found: dict[tuple[str, float], set[int]] = {}
    for hue, one in enumerate(picture.series):
        for point in one.points:
            if point.chance is not None:
                found.setdefault((point.level, point.chance), set()).add(hue)
    if len({chance for _, chance in found}) == 1:
        return [_Chance(None, chance, NEUTRAL) for _, chance in list(found)[:1]]
    order = {level: place for place, level in enumerate(picture.levels)}
    rivals = [level for level, _ in found]
    return [
        _Chance(level, chance, min(hues) if len(hues) == 1 and rivals.count(level) > 1 else NEUTRAL)
        for (level, chance), hues in sorted(found.items(), key=lambda item: order[item[0][0]])
    ]


def _chance_dash(one: _Chance, at: Mapping[str, float], frame: Frame) -> Dash:
    if one.level is None:
        return Dash(0, 1, one.value, one.hue)
    half = frame.x(min(17.0, 0.42 * _gap(list(at.values()), frame.width)))
    middle = at[one.level]
    return Dash(middle - half, middle + half, one.value, one.hue)


def _dotted(inside: Iterable[tuple[float, float]], hardness: Sequence[float], places: Sequence[float]) -> Dotted:
    points = [(float(interp(at, hardness, places)), share) for at, share in inside]
    (x, share), *more = points
    return Dotted(tuple(points) if more else ((x, share - 0.06), (x, share + 0.06)))


# the key


def _two_lines(name: str) -> tuple[str, ...]:
    """Break a name that is too long: after the owner of a model, else where a word ends."""
    text = short(name, 3 * _ENTRY)
    if room(text) <= _ENTRY:
        return (text,)
    head = next(end for end in range(len(text), 0, -1) if room(text[:end]) <= _ENTRY)
    owner = text.find("/", 0, head) + 1
    words = [end for end in range(head // 2, head + 1) if text[end - 1] in "-_ "]
    end = owner or (words[-1] if words else head)
    return text[:end].strip(), short(text[end:], _ENTRY).replace("……", "…")


def _key_width(entries: Iterable[_Entry]) -> float:
    return max(84.0, _KEY + _EDGE + max(_length(line, KEY_FONT) for entry in entries for line in entry.lines))


def _stack(entries: Sequence[_Entry], frame: Frame) -> _Key:
    """Place entries without overlap, as near as possible to the ends of their curves."""
    end = frame.height + LABEL_FONT / 2
    ordered = sorted(entries, key=lambda entry: -entry.place)
    if sum(map(_tall, ordered)) > frame.top - _EDGE + end:
        widest = max(room(line) for entry in entries for line in entry.lines)
        ordered = [replace(entry, lines=(short("".join(entry.lines), widest),)) for entry in ordered]
    tall = [_tall(entry) for entry in ordered]
    tops: list[float] = []
    for entry, size in zip(ordered, tall, strict=True):
        free = tops[-1] + tall[len(tops) - 1] if tops else _EDGE - frame.top
        tops.append(max(free, (1 - entry.place) * frame.height - size / 2))
    for at in reversed(range(len(tops))):  # entries pushed out at the bottom move the others up
        tops[at] = min(tops[at], end - tall[at])
        end = tops[at]
    return [(entry, top + size / 2) for entry, top, size in zip(ordered, tops, tall, strict=True)]


def _tall(entry: _Entry) -> float:
    return _LINE * len(entry.lines) + _BETWEEN


def _symbol(frame: Frame, entry: _Entry, middle: float) -> KeySymbol:
    return KeySymbol(frame.x(frame.width + _SYMBOL), frame.y(middle), entry.index)


def _key_dash(frame: Frame, middle: float) -> Dash:
    (left, y), (right, _) = _key_line(frame, middle)
    return Dash(left, right, y, NEUTRAL)


def _key_line(frame: Frame, middle: float) -> tuple[tuple[float, float], tuple[float, float]]:
    y = frame.y(middle)
    return (frame.x(frame.width + _SYMBOL - 10), y), (frame.x(frame.width + _SYMBOL + 10), y)


def _key_texts(key: _Key, frame: Frame) -> Iterator[Caption]:
    x = frame.x(frame.width + _KEY)
    for entry, middle in key:
        for at, line in enumerate(entry.lines):
            yield Caption(x, frame.y(middle + _LINE * (at - (len(entry.lines) - 1) / 2)), line, "entry")


def _notes(frame: Frame, above: str, below: str) -> tuple[Caption, ...]:
    """Return the labels of the two axes, and of the grid."""
    return (
        *(Caption(frame.x(-8), share, percent(share, 0), "axis") for share in GRID),
        Caption(frame.x(_EDGE - frame.left), frame.y(_EDGE + LABEL_FONT / 2 - frame.top), above, "note"),
        Caption(0, frame.y(PICTURE_HEIGHT - frame.top - _EDGE - LABEL_FONT / 2), below, "note"),
    )

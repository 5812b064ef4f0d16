"""Turn a picture into rows of marks: what stands where, before anything is drawn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import cos, log2, radians, sin

from fathom.harness.reports.figures.picture import (
    MOST_MISTAKES,
    MOST_SERIES,
    OTHER,
    Anatomy,
    Curves,
    Picture,
    Point,
    room,
    short,
)

WIDTH, HEIGHT = 640, 330
"""Size of every picture in pixels of its own; it scales to its container."""

FONT, SMALL = 15, 14
"""Sizes of letters in pixels: of the key, and of everything else."""

SLANT = 50
"""Slope in degrees of level names that do not fit side by side."""

NEUTRAL = MOST_SERIES
"""Hue of what belongs to no single series; those below it are the series' own."""

N_KINDS = MOST_MISTAKES + 2  # correct and other

_LEFT, _TOP, _EDGE, _FOOT = 54.0, 40.0, 6.0, 30.0
_LETTER = 0.59  # width of a letter over its size in a wide sans-serif font; a narrower one leaves more room
_KEY, _SYMBOL = 34.0, 16.0  # from the plot to the key's texts and to the middle of its symbols
_LINE, _BETWEEN = 17.0, 5.0  # height of a line of the key, and what is left between two entries
_NAME = 16  # letters of a level's name
_ENTRY = 23  # letters of a line of the key
_WIDEST = 8  # a span of hardness beyond which equal steps would crowd the easy levels
_CLOSEST = 9.0  # pixels between two levels that can still be told apart

Row = dict[str, float | int | str]

Marks = dict[str, list[Row]]
"""Rows by the layer that draws them; x and y are shares of the plot, which may lie outside 0..1."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the plot stands in the picture, in pixels."""

    left: float
    top: float
    width: float
    height: float

    def x(self, right: float) -> float:
        """Return the place so many pixels right of the plot's left edge."""
        return right / self.width

    def y(self, down: float) -> float:
        """Return the place so many pixels below the plot's top."""
        return 1 - down / self.height


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture laid out."""

    frame: Frame
    marks: Marks


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of the key: its lines, its hue, and how far up the plot it belongs (0..1)."""

    lines: tuple[str, ...]
    hue: int
    place: float


def lay_out(picture: Picture) -> Sheet:
    """Decide where each mark of a picture goes."""
    return _curves(picture) if isinstance(picture, Curves) else _bars(picture)


def _curves(picture: Curves) -> Sheet:
    chances = _chances(picture)
    entries = [
        _Entry(_two_lines(one.name), hue, _last(one.points)) for hue, one in enumerate(picture.series)
    ] + [_Entry(("chance",), NEUTRAL, float(row["y"])) for row in chances[-1:]]  # fmt: skip
    names, hardness = list(picture.levels), list(picture.levels.values())
    width = WIDTH - _LEFT - _key_width(entries)
    places = _spread(hardness, width)
    labels, shared = _labels(names, places, width)
    frame = _frame(width, labels, places)
    at = dict(zip(names, places, strict=True))
    marks = _curve_marks(picture, at, frame)
    key = _stack(entries, frame)
    marks["keys"] = [_mark(frame, entry, middle) for entry, middle in key if entry.hue != NEUTRAL]
    marks["chance"] = [_placed(row, at, frame) for row in chances]
    marks["chance"] += [_dash(frame, middle) for entry, middle in key if entry.hue == NEUTRAL]
    scale = " (log scale)" if places != _even(len(places)) else ""
    notes = _notes(frame, "Accuracy", f"Level{shared}, by {short(picture.unit, 30)}{scale}")
    return Sheet(frame, marks | _texts(key, frame) | _names(labels, places, frame) | notes)


def _bars(picture: Anatomy) -> Sheet:
    hues = [N_KINDS - 1 if kind == OTHER else hue for hue, kind in enumerate(picture.kinds)]
    stacked = [_Entry(_two_lines(kind), hue, 1) for hue, kind in zip(hues, picture.kinds, strict=True)]
    entries = stacked[::-1]  # from the top, as the bars show them
    width = WIDTH - _LEFT - _key_width(entries)
    places = _even(len(picture.bars))
    labels, shared = _labels([bar.level for bar in picture.in_order], places, width)
    frame = _frame(width, labels, places)
    marks: Marks = {"bars": [], "blanks": []}
    for bar, place in zip(picture.in_order, places, strict=True):
        half = frame.x(min(28.0, 0.38 * frame.width / len(places)))
        marks["bars"] += _pile(picture.counts_of(bar), hues, frame, (place - half, place + half))
        marks["blanks"] += [] if bar.n else [{"x": place, "y": frame.y(frame.height - 9), "text": "–"}]
    key = _stack(entries, frame)
    marks["swatches"] = [_mark(frame, entry, middle) for entry, middle in key]
    below = f"{picture.axis}{shared}" if picture.axis else f"Level{shared}, easiest first"
    notes = _notes(frame, "Share of graded answers", below)
    return Sheet(frame, marks | _texts(key, frame) | _names(labels, places, frame) | notes)


def _pile(counts: Sequence[int], hues: Sequence[int], frame: Frame, sides: tuple[float, float]) -> list[Row]:
    """Pile one bar up, with a thin gap between what is tall enough to spare it."""
    rows: list[Row] = []
    below, total = 0, sum(counts)
    for kind, n in zip(hues, counts, strict=True):
        if n:
            low, high = below / total, (below + n) / total
            gap = min(1.5 / frame.height, (high - low) / 2) if below + n < total else 0
            rows.append({"x": sides[0], "x2": sides[1], "y": low, "y2": high - gap, "kind": kind})
        below += n
    return rows


# places of levels


def _even(n: int) -> list[float]:
    return [(place + 0.5) / n for place in range(n)]


def _spread(hardness: Sequence[float], width: float) -> list[float]:
    """Place levels by the logarithm of their hardness where that spans much and parts them, else evenly."""
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
    """Return what to write at the levels, and what was taken from all of them because room is short."""
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
    halves = [_length(label, SMALL) / 2 + 4 for label in labels]
    sides = [(width * place - half, width * place + half) for place, half in zip(places, halves, strict=True)]
    return all(left[1] <= right[0] for left, right in pairwise(sides))


def _frame(width: float, labels: Sequence[str], places: Sequence[float]) -> Frame:
    longest = max(_length(label, SMALL) for label in labels)
    tall = SMALL if _fit(labels, places, width) else longest * sin(radians(SLANT)) + SMALL * cos(radians(SLANT))
    return Frame(_LEFT, _TOP, width, HEIGHT - _TOP - 10 - tall - _FOOT)


def _names(labels: Sequence[str], places: Sequence[float], frame: Frame) -> Marks:
    """Write labels under their ticks; where even slanted ones would touch, some are left out."""
    below = frame.y(frame.height + 9)
    rows: list[Row] = [{"x": x, "y": below, "text": label} for label, x in zip(labels, places, strict=True)]
    ticks: list[Row] = [{"x": x, "y": 0, "y2": frame.y(frame.height + 5)} for x in places]
    if _fit(labels, places, frame.width):
        return {"ticks": ticks, "names": rows, "slanted": []}
    apart = 1.15 * SMALL / sin(radians(SLANT)) / frame.width
    kept = rows[:1]
    for row in rows[1:]:
        if float(row["x"]) - float(kept[-1]["x"]) >= apart:
            kept.append(row)
    return {"ticks": ticks, "names": [], "slanted": kept}


def _length(text: str, size: int) -> float:
    return room(text) * _LETTER * size


# curves


def _curve_marks(picture: Curves, at: Mapping[str, float], frame: Frame) -> Marks:
    marks: Marks = {"points": [], "whiskers": []}
    step = min(7.0, 0.6 * _gap(list(at.values()), frame.width) / len(picture.series))
    for hue, one in enumerate(picture.series):
        aside = frame.x(step * (hue - (len(picture.series) - 1) / 2))  # so that equal points do not hide each other
        rows = [_row(point, at[point.level] + aside, hue) for point in one.points if point.n]
        marks["points"] += sorted(rows, key=lambda row: float(row["x"]))
        marks["whiskers"] += rows if len(rows) == 1 else []  # a band needs two
    return marks


def _row(point: Point, x: float, hue: int) -> Row:
    interval = point.interval
    return {"x": x, "y": point.k / point.n, "low": interval.low, "high": interval.high, "hue": hue}


def _last(points: Sequence[Point]) -> float:
    asked = [point for point in points if point.n]
    return asked[-1].k / asked[-1].n if asked else 0.0


def _chances(picture: Curves) -> list[Row]:
    """Return each level's chance, easiest level first; one row without a level where all are the same."""
    found: dict[tuple[str, float], set[int]] = {}
    for hue, one in enumerate(picture.series):
        for point in one.points:
            if point.chance is not None:
                found.setdefault((point.level, point.chance), set()).add(hue)
    if len({chance for _, chance in found}) == 1:
        return [{"y": chance} for _, chance in list(found)[:1]]
    order = {level: place for place, level in enumerate(picture.levels)}
    rivals = [level for level, _ in found]
    return [
        {"level": level, "y": chance, "hue": min(hues) if len(hues) == 1 and rivals.count(level) > 1 else NEUTRAL}
        for (level, chance), hues in sorted(found.items(), key=lambda item: order[item[0][0]])
    ]


def _placed(row: Row, at: Mapping[str, float], frame: Frame) -> Row:
    if "level" not in row:
        return {"x": 0, "x2": 1, "y": row["y"], "hue": NEUTRAL}
    half = frame.x(min(17.0, 0.42 * _gap(list(at.values()), frame.width)))
    middle = at[str(row["level"])]
    return {"x": middle - half, "x2": middle + half, "y": row["y"], "hue": row["hue"]}


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
    return max(84.0, _KEY + _EDGE + max(_length(line, FONT) for entry in entries for line in entry.lines))


def _stack(entries: Sequence[_Entry], frame: Frame) -> list[tuple[_Entry, float]]:
    """Place entries as near as they can to where they belong; return each with its middle, in pixels down."""
    end = frame.height + SMALL / 2
    ordered = sorted(entries, key=lambda entry: -entry.place)
    if sum(map(_tall, ordered)) > frame.top - _EDGE + end:
        widest = max(room(line) for entry in entries for line in entry.lines)
        ordered = [replace(entry, lines=(short("".join(entry.lines), widest),)) for entry in ordered]
    tall = [_tall(entry) for entry in ordered]
    tops: list[float] = []
    for entry, size in zip(ordered, tall, strict=True):
        free = tops[-1] + tall[len(tops) - 1] if tops else _EDGE - frame.top
        tops.append(max(free, (1 - entry.place) * frame.height - size / 2))
    for at in reversed(range(len(tops))):  # what was pushed out below moves the others up
        tops[at] = min(tops[at], end - tall[at])
        end = tops[at]
    return [(entry, top + size / 2) for entry, top, size in zip(ordered, tops, tall, strict=True)]


def _tall(entry: _Entry) -> float:
    return _LINE * len(entry.lines) + _BETWEEN


def _mark(frame: Frame, entry: _Entry, middle: float) -> Row:
    return {"x": frame.x(frame.width + _SYMBOL), "y": frame.y(middle), "hue": entry.hue, "kind": entry.hue}


def _dash(frame: Frame, middle: float) -> Row:
    ends = frame.x(frame.width + _SYMBOL - 10), frame.x(frame.width + _SYMBOL + 10)
    return {"x": ends[0], "x2": ends[1], "y": frame.y(middle), "hue": NEUTRAL}


def _texts(key: Sequence[tuple[_Entry, float]], frame: Frame) -> Marks:
    x = frame.x(frame.width + _KEY)
    rows: list[Row] = []
    for entry, middle in key:
        for at, line in enumerate(entry.lines):
            rows.append({"x": x, "y": frame.y(middle + _LINE * (at - (len(entry.lines) - 1) / 2)), "text": line})
    return {"entries": rows}


def _notes(frame: Frame, above: str, below: str) -> Marks:
    rows: list[Row] = [
        {"x": frame.x(_EDGE - frame.left), "y": frame.y(_EDGE + SMALL / 2 - frame.top), "text": above},
        {"x": 0, "y": frame.y(HEIGHT - frame.top - _EDGE - SMALL / 2), "text": below},
    ]
    return {"notes": rows}

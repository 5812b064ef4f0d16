import re
import subprocess
import sys
import threading
import unicodedata
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise
from math import radians, sin
from pathlib import Path

import pytest

from fathom.harness.format import interval_text, percent, ratio
from fathom.harness.reports.figures import layout
from fathom.harness.reports.figures.palettes import PALETTES, dark_rules
from fathom.harness.reports.figures.picture import (
    MOST_MISTAKES,
    N_LABEL_COLOURS,
    NOTHING,
    OTHER,
    Anatomy,
    Bar,
    Curves,
    LabelCount,
    Point,
    Series,
    anatomy_of,
    curves_of,
    digest,
    short,
    table_of,
)
from fathom.harness.reports.figures.svg import draw_svg
from fathom.harness.stats.intervals import wilson
from fathom.harness.stats.scores import CellCounts
from fathom.tasks.registry import all_families

ROOT = Path(__file__).parents[4]
SVG = "{http://www.w3.org/2000/svg}"
THEMES = ("light", "dark")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "datum.x + alert(1)",
    '{"signal": "width"}',
    "a\u202eb\u2066c\x00\x1b[2J\ud800\ufffe\nd\te",
    "M" * 1_000_000,
    "]]></title><a href='javascript:alert(1)'>",
    "&lt;&#x202e;",
    "",
)


def line(name, *ks, n=20, chance=0.1, level="l{}", hardness=lambda place: place + 1):
    return Series(name, tuple(Point(level.format(at), hardness(at), k, n, chance) for at, k in enumerate(ks)))


def curves(*series):
    return Curves("Title", "What there is to see.", "hops", series)


def anatomy(*bars, level="l{}"):
    return Anatomy(
        "Title",
        "What there is to see.",
        tuple(
            Bar(level.format(at), at + 1, tuple(LabelCount(label, n) for label, n in bar.items()))
            for at, bar in enumerate(bars)
        ),
    )


HOSTILE_PICTURES = [
    *(Curves(text, text, text, (Series(text, (Point(text, 1, 1, 2, 0.1), Point(text + "2", 2, 0, 2, 0.3))), line(text, 1))) for text in HOSTILE),
    *(Anatomy(text, text, (Bar(text, 1, (LabelCount(text, 3), LabelCount("correct", 1))),)) for text in HOSTILE),
]  # fmt: skip

SHAPES = {
    "one level": curves(line("direct", 3), line("cot", 9)),
    "nothing graded at a level": curves(Series("direct", (Point("a", 1, 0, 0, None), Point("b", 2, 1, 2, 0.5)))),
    "nothing graded at all": curves(Series("direct", (Point("a", 1, 0, 0, None),))),
    "one series": curves(line("direct", 20, 10, 0)),
    "an empty series": curves(line("direct", 20, 10, 0), Series("cot", ())),
    "six series": curves(*(line(f"org/a-model-with-a-long-name-{at}", *range(20, at, -1)) for at in range(6))),
    "twenty levels": curves(line("direct", *range(20, 0, -1), level="level-{}-long-name")),
    "forty levels": curves(line("direct", *[10] * 40), line("cot", *[20] * 40)),
    "all right": curves(line("direct", 20, 20, 20), line("cot", 20, 20, 20)),
    "all wrong": curves(line("direct", 0, 0, 0)),
    "a wide span": curves(line("direct", 20, 15, 10, 5, 0, hardness=lambda place: 4**place)),
    "hardness zero": curves(line("direct", 20, 15, hardness=lambda place: 100 * place)),
    "chance by level": curves(line("direct", 9, 9), Series("cot", (Point("l0", 1, 9, 20, 0.5),))),
    "wide letters": curves(*(line("深度" * 40 + str(at), 9, 9, level="水平{}の長い名前です") for at in range(6))),
    "much of everything": curves(
        *(
            line(f"the-owner-number-{at}/a-model-with-a-long-name-{at}", *range(20, 0, -1), level="{}" + 20 * "m")
            for at in range(6)
        )
    ),
    "much of all mistakes": anatomy(
        *({f"mistake_number_{kind}_with_a_long_name": 9 for kind in range(9)} for _ in range(12)), level="{}" + 20 * "m"
    ),
    "one bar": anatomy({"correct": 3}),
    "an empty bar": anatomy({}, {"correct": 1, "wrong": 2}),
    "all empty": anatomy({}),
    "twenty bars": anatomy(*({"correct": 20 - at, **{f"mistake_{kind}": at for kind in range(9)}} for at in range(20))),
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request):
    return request.param


def parsed(picture, theme="light"):
    return ET.fromstring(draw_svg(picture, theme))


def texts(root):
    return [element.text for element in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("theme", THEMES)
def test_a_picture_says_what_it_is(shape, theme):
    root = parsed(shape, theme)
    assert root.tag == f"{SVG}svg"
    assert [child.tag for child in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert (root[0].text, root[1].text) == (shape.title, shape.description)
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == f"{root[0].get('id')} {root[1].get('id')}"
    assert root.get("viewBox") == f"0 0 {layout.PICTURE_WIDTH} {layout.PICTURE_HEIGHT}"


def test_ids_collide_neither_between_pictures_nor_between_themes():
    svgs = [draw_svg(picture, theme) for picture in SHAPES.values() for theme in THEMES]
    ids = [found for svg in svgs for found in re.findall(r'\sid="([^"]*)"', svg)]
    assert len(ids) == len(set(ids)) == 2 * len(svgs)


@pytest.mark.parametrize("picture", HOSTILE_PICTURES)
@pytest.mark.parametrize("theme", THEMES)
def test_foreign_text_is_inert(picture, theme):
    svg = draw_svg(picture, theme)
    assert len(svg) < 40_000
    assert all(char.isprintable() for char in svg)
    assert not {unicodedata.category(char) for char in svg} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    root = ET.fromstring(svg)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg",
        "title",
        "desc",
        "g",
        "path",
        "line",
        "text",
    }
    for element in root.iter():
        for name, value in element.items():
            assert not name.startswith("on")
            assert name not in ("href", "style", "class")
            assert "}" not in name  # no other name space
            assert "javascript:" not in value
            assert "url(" not in value


def test_foreign_text_is_shown_as_it_is():
    for name in HOSTILE[1:5]:
        shown = "".join(texts(parsed(curves(line(name, 1)))))
        assert name.replace(" ", "") in shown.replace(" ", "")


def test_series_that_look_alike_are_not_taken_for_one():
    root = parsed(curves(line("same", 1, 2), line("same", 3, 4)))
    assert texts(root).count("same") == 2
    strokes = {path.get("stroke") for path in root.iter(f"{SVG}path") if path.get("stroke-width") == "2"}
    assert set(PALETTES["light"].hues[:2]) <= strokes


def test_a_long_name_keeps_both_ends():
    assert short("a" * 99 + "-7B", 9) == "aaaa…a-7B"
    assert short("exactly ten", 11) == "exactly ten"
    assert short("水" * 9, 9) == "水水…水水"


def test_curves_stand_at_their_shares():
    root = parsed(curves(line("direct", 20, 5, 0)))
    ticks = {text.text: text for text in root.iter(f"{SVG}text") if text.text.endswith("%")}
    top, bottom = (float(re.findall(r"[\d.-]+", ticks[end].get("transform"))[1]) for end in ("100%", "0%"))
    drawn = next(path for path in root.iter(f"{SVG}path") if path.get("stroke") == PALETTES["light"].hues[0])
    heights = [float(y) for _, y in re.findall(r"([\d.]+),([\d.]+)", drawn.get("d"))]
    span = heights[2] - heights[0]
    assert span == pytest.approx(bottom - top, abs=1)
    assert (heights[2] - heights[1]) / span == pytest.approx(0.25, abs=0.01)


def test_bands_are_wilson_intervals():
    (curve,) = layout.lay_out(curves(line("direct", 20, 5, 0))).curves
    assert [(dot.low, dot.high) for dot in curve.dots] == [(wilson(k, 20).low, wilson(k, 20).high) for k in (20, 5, 0)]


def test_bars_fill_up_and_leave_thin_gaps(shape):
    if isinstance(shape, Curves):
        return
    segments = layout.lay_out(shape).segments
    by_bar = {one.x: [other for other in segments if other.x == one.x] for one in segments}
    for pile in by_bar.values():
        assert (pile[0].y, pile[-1].y2) == (0, 1)
        assert all(0 <= above.y - below.y2 < 0.02 for below, above in pairwise(pile))


def test_levels_are_spaced_by_the_logarithm_only_where_hardness_spans_much():
    def gaps(picture):
        return [right - left for left, right in pairwise(layout.lay_out(picture).ticks)]

    even = gaps(curves(line("direct", 1, 1, 1, hardness=lambda place: (1, 2, 8)[place])))
    assert even[0] == pytest.approx(even[1])
    spread = gaps(curves(line("direct", 1, 1, 1, hardness=lambda place: (1, 2, 16)[place])))
    assert spread[1] == pytest.approx(3 * spread[0])
    crowded = gaps(curves(line("direct", 1, 1, 1, hardness=lambda place: (1, 1.01, 16)[place])))
    assert crowded[0] == pytest.approx(crowded[1])


def test_what_all_level_names_share_is_said_once_where_room_is_short():
    def said(n, level):
        root = parsed(curves(line("direct", *[1] * n, level=level)))
        return texts(root)

    assert "l1-forward" in said(3, "l{}-forward")
    many = said(12, "l{}-forward")
    assert "l1" in many
    assert "l1-forward" not in many
    assert "Level …-forward, by hops (log scale)" in many
    assert {"l1", "Level deep-…-forward, by hops (log scale)"} <= set(said(12, "deep-l{}-forward"))
    assert {"n0", "Level, by hops"} <= set(said(25, "n{}"))


def test_chance_is_one_line_where_it_is_the_same_and_ticks_where_not():
    same = layout.lay_out(curves(line("direct", 1, 2, 3))).dashes
    assert [(one.x, one.x2) for one in same if one.y == 0.1] == [(0, 1)]
    other = layout.lay_out(SHAPES["chance by level"]).dashes
    assert sorted(one.y for one in other if one.x < 1) == [0.1, 0.1, 0.5]
    assert not layout.lay_out(curves(line("direct", 1, chance=None))).dashes


@pytest.fixture(scope="module")
def page(chromium):
    made = chromium.new_page(viewport={"width": layout.PICTURE_WIDTH, "height": 400})
    yield made
    made.close()


MEASURE = """() => [...document.querySelectorAll('text')].filter(t => t.textContent).map(t => {
  const box = t.getBoundingClientRect();
  return [t.getAttribute('transform').includes('rotate'), box.left, box.top, box.right, box.bottom, t.textContent];
})"""


def test_texts_in_a_browser_stay_inside_and_do_not_touch(page, shape):
    page.set_content(f"<!doctype html><body style='margin:0'>{draw_svg(shape, 'light')}")
    boxes = page.evaluate(MEASURE)
    assert boxes
    for _, left, top, right, bottom, text in boxes:
        assert min(left, top, layout.PICTURE_WIDTH - right, layout.PICTURE_HEIGHT - bottom) >= 0, text
    flat = [box[1:] for box in boxes if not box[0]]
    for at, one in enumerate(flat):
        for other in flat[:at]:
            apart = one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] - 3 or other[1] >= one[3] - 3
            assert apart, (one, other)  # boxes are taller than letters
    slanted = sorted(box[1] for box in boxes if box[0])
    assert all((right - left) * sin(radians(layout.SLANT)) >= layout.LABEL_FONT for left, right in pairwise(slanted))


def test_a_picture_fills_its_container(page):
    page.set_content(
        f"<!doctype html><body style='margin:0'><div style='width:340px'>{draw_svg(SHAPES['six series'], 'dark')}</div>"
    )
    box = page.evaluate(
        "() => { const b = document.querySelector('svg').getBoundingClientRect(); return [b.width, b.height]; }"
    )
    assert box == pytest.approx([340, 340 * layout.PICTURE_HEIGHT / layout.PICTURE_WIDTH], abs=1)


def luminance(colour):
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(colour, ground):
    low, high = sorted((luminance(colour), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("theme", "ground"), [("light", "#ffffff"), ("dark", "#0b2230")])
def test_colours_stand_out_from_their_ground(shape, theme, ground):
    root = parsed(shape, theme)
    fills = {text.get("fill") for text in root.iter(f"{SVG}text")}
    assert fills
    assert min(contrast(fill, ground) for fill in fills) >= 4.5
    assert min(contrast(colour, ground) for colour in (*PALETTES[theme].hues, *PALETTES[theme].kinds)) >= 3
    assert PALETTES[theme].ground == ground


def test_the_tables_of_curves_equal_the_counts(shape):
    if not isinstance(shape, Curves):
        return
    table = table_of(shape)
    expected = {
        (point.level, one.name[:9], percent(point.k / point.n) if point.n else NOTHING,
         interval_text(wilson(point.k, point.n)) if point.n else NOTHING, ratio(point.k, point.n),
         NOTHING if point.chance is None else percent(point.chance))
        for one in shape.series for point in one.points
    }  # fmt: skip
    assert {(row[0], row[1][:9], *row[2:]) for row in table.rows} == expected
    assert len(table.rows) == sum(len(one.points) for one in shape.series)
    assert all(len(row) == len(table.header) for row in table.rows)


def test_the_table_of_an_anatomy_equals_the_counts():
    table = table_of(anatomy({"correct": 3, "b": 1}, {"b": 2, "a": 6, "correct": 0}, {}))
    assert table.header == ("level", "graded", "correct", "a", "b")
    assert table.rows == (
        ("l0", "4", "75.0% (3)", "0.0% (0)", "25.0% (1)"),
        ("l1", "8", "0.0% (0)", "75.0% (6)", "25.0% (2)"),
        ("l2", "0", NOTHING, NOTHING, NOTHING),
    )


def test_rare_mistakes_are_counted_together():
    picture = anatomy({"correct": 1, **{f"m{at}": 9 - at for at in range(8)}, OTHER: 5})
    assert picture.kinds == ("correct", *(f"m{at}" for at in range(MOST_MISTAKES)), OTHER)
    assert picture.counts_of(picture.bars[0]) == (1, 9, 8, 7, 6, 5, 4, 3 + 2 + 5)


def test_a_mistake_has_one_colour_in_every_picture_of_its_family():
    labels = tuple(f"m{at}" for at in range(N_LABEL_COLOURS))
    bars = ({"m4": 5, "m1": 2}, {"m1": 9, "m3": 4, "correct": 2}, {"m5": 1, "m4": 7, OTHER: 2})
    for bar in bars:
        picture = replace(anatomy(bar), labels=labels)
        found = dict(zip(picture.kinds, picture.colours, strict=True))
        wanted = {"correct": 0, OTHER: N_LABEL_COLOURS + 1, **{label: at + 1 for at, label in enumerate(labels)}}
        assert found == {kind: wanted[kind] for kind in picture.kinds}
    assert all(len(family.labels) <= N_LABEL_COLOURS for family in all_families().values())
    crowded = replace(anatomy({"m0": 3, f"m{N_LABEL_COLOURS}": 9}), labels=(*labels, f"m{N_LABEL_COLOURS}"))
    assert len(set(crowded.colours)) == len(crowded.kinds) == 3


def test_digests_are_the_same_in_every_process_and_differ_between_pictures(environment):
    code = (
        "from fathom.harness.reports.figures.picture import *\n"
        "print(digest(Curves('t', 'd', 'hops', (Series('<\\ud800>', (Point('a', 1.5, 1, 2, None),)),))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment(PYTHONHASHSEED="5")
    )  # fmt: skip
    picture = Curves("t", "d", "hops", (Series("<\ud800>", (Point("a", 1.5, 1, 2, None),)),))
    assert (done.returncode, done.stdout.strip()) == (0, digest(picture)), done.stderr
    digests = {digest(one) for one in (*SHAPES.values(), picture, replace(picture, unit="steps"))}
    assert len(digests) == len(SHAPES) + 2


def test_drawing_loads_no_chart_library(environment):
    code = (
        "import sys\n"
        "from fathom.harness.reports.figures.picture import Curves, Point, Series\n"
        "from fathom.harness.reports.figures.svg import draw_svg\n"
        "draw_svg(Curves('t', 'd', 'hops', (Series('a', (Point('l', 1, 1, 2, None),)),)), 'light')\n"
        "sys.exit(bool({'altair', 'vl_convert', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment()).returncode == 0


def test_what_was_drawn_is_kept_and_threads_share_it():
    drawn = []
    picture = curves(line("drawn by eight threads", 1, 2, 3))
    threads = [threading.Thread(target=lambda: drawn.append(draw_svg(picture, "dark"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = curves(line("drawn by eight threads", 1, 2, 3))
    assert all(svg is drawn[0] for svg in (*drawn, draw_svg(again, "dark")))
    assert len(drawn) == 8
    assert draw_svg(picture, "light") != drawn[0]


def cell(level="n16k2-long-names", k=5, n=10, style="direct", family="depo", **labels):
    found = all_families().get(family)
    return CellCounts(1, family, found.version if found else 1, level, "symbol", style, n, n, k, 0, labels)


def test_stored_cells_become_pictures():
    cells = [
        cell("n16k2-long-names"),
        cell("n16k1-long-names", 10),
        cell("no-such-level"),
        cell(family="no-such-family"),
    ]
    picture = curves_of("depo", {"direct": cells, "cot": [cell(style="cot")], "choice": [cell(family="gone")]})
    family = all_families()["depo"]
    assert picture.unit == family.unit
    assert [(one.name, [(point.level, point.k, point.n) for point in one.points]) for one in picture.series] == [
        ("direct", [("n16k2-long-names", 5, 10), ("n16k1-long-names", 10, 10)]),
        ("cot", [("n16k2-long-names", 5, 10)]),
    ]
    assert list(picture.levels) == ["n16k1-long-names", "n16k2-long-names"]
    point = picture.series[0].points[0]
    level = family.levels[point.level]
    assert (point.hardness, point.chance) == (level.hardness, family.chance(level, "direct"))
    assert "direct: 100.0% at n16k1-long-names, 50.0% at n16k2-long-names." in picture.description


def test_stored_labels_become_an_anatomy():
    cells = [
        cell("n16k2-long-names", correct=5, not_a_node=4),
        cell("n16k1-long-names", correct=9),
        cell("gone", correct=1),
    ]
    picture = anatomy_of("depo", cells)
    assert [(bar.level, bar.n) for bar in picture.in_order] == [("n16k1-long-names", 9), ("n16k2-long-names", 9)]
    assert picture.kinds == ("correct", "not_a_node")
    assert picture.description.endswith("Mistakes: not_a_node.")


def test_nothing_to_show_is_no_picture():
    for cells in ([], [cell("gone")], [cell(k=0, n=0)]):
        assert curves_of("depo", {"direct": cells}) is None
        assert anatomy_of("depo", cells) is None
    assert curves_of("depo", {}) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Point("a", 1, 3, 2, 0.1),
        lambda: Point("a", float("nan"), 1, 2, 0.1),
        lambda: Point("a", 1, 1, 2, 1.5),
        lambda: curves(),
        lambda: curves(Series("a", ())),
        lambda: curves(*(line("a", 1) for _ in range(7))),
        lambda: anatomy(),
        lambda: anatomy({"correct": -1}),
    ],
)
def test_what_cannot_be_drawn_cannot_be_described(make):
    with pytest.raises(ValueError, match=r"."):
        make()


def test_style_rules_turn_every_colour_of_a_light_drawing_into_that_of_the_dark_one():
    rules = dict(re.findall(r'\[fill="(#[0-9a-f]{6})"\] \{ fill: (#[0-9a-f]{6}); \}', dark_rules("svg")))
    assert len(rules) == 21
    for picture in SHAPES.values():
        light, dark = (ET.fromstring(draw_svg(picture, theme)) for theme in THEMES)
        for one, other in zip(light.iter(), dark.iter(), strict=True):
            for part in ("fill", "stroke"):
                found = one.get(part)
                assert rules.get(found, found) == other.get(part)

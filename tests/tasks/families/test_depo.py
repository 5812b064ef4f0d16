import re
from collections import Counter

import pytest

from fathom.tasks.base import channels_of, grade, make_instance, pose
from fathom.tasks.corpora.base import make_block, read_options
from fathom.tasks.corpora.depo import CORPUS
from fathom.tasks.errors import UnknownLevel, UnknownStyle
from fathom.tasks.families.depo import FAMILY
from fathom.tasks.registry import find_family
from fathom.tasks.tokens import unpack_tokens

SIZES = {4: 1, 8: 4, 16: 6, 32: 8, 64: 10, 128: 12, 256: 5, 512: 3, 1024: 4}
RINGS = [level.name for level in FAMILY.levels.values() if level.ladder != "joins"]
JOINS = [name for name in FAMILY.levels if name not in RINGS]


def solve_from_text(question):
    """Square the map of the arrows for each binary digit of the hops; the text alone is read."""
    arrows, start, hops = read(question)
    while hops:
        if hops % 2:
            start = arrows[start]
        arrows, hops = {name: arrows[to] for name, to in arrows.items()}, hops // 2
    return start


def read(question):
    if question.startswith("Ring: "):
        *names, start = [name.strip() for name in re.findall(r"(?:a\d+ )*z\d+ ", question)]
        hops, edges = re.search(r" \?(\d+) ", question)[1], list(zip(names[::2], names[1::2], strict=True))
    elif "->" in question:
        edges = re.findall(r"(\w+) -> (\w+)", question)
        hops, start = re.search(r"Which code is (\d+) arrows? after (\w+)\?", question).groups()
    else:
        edges = re.findall(r"(\w+) always hands it to (\w+)\.", question)
        start, hops = re.search(r"Now (\w+) holds .* after (\d+) hand-overs?\?", question).groups()
    assert len(dict(edges)) == len(edges)
    return dict(edges), start, int(hops)


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_gold_follows_from_the_question_alone(channel):
    for level in FAMILY.levels.values():
        count = 20 if level.axes["n"] <= 128 else 3
        for index in range(count if channel in channels_of(FAMILY, level) else 0):
            item = make_instance(FAMILY, level.name, channel, 11, index)
            assert solve_from_text(item.question) == item.gold


@pytest.mark.parametrize("level", RINGS)
def test_the_edges_are_one_ring_of_n_names(level):
    axes = FAMILY.levels[level].axes
    for channel in channels_of(FAMILY, FAMILY.levels[level]):
        item = make_instance(FAMILY, level, channel, 2, 0)
        successor = dict(item.facts["edges"])
        node, ring = item.facts["start"], []
        for _ in range(axes["n"]):
            ring.append(node)
            node = successor[node]
        assert node == ring[0]
        assert len(set(ring)) == axes["n"] == len(successor)
        assert ring[axes["k"]] == item.gold


@pytest.mark.parametrize("level", JOINS)
def test_where_arrows_join_no_way_leads_back(level):
    axes = FAMILY.levels[level].axes
    for index in range(20 if axes["n"] <= 128 else 2):
        item = make_instance(FAMILY, level, FAMILY.channels[index % 2], 2, index)
        arrows, node, hops = read(item.question)
        passed = [node]
        for _ in range(3 * axes["n"]):
            node = arrows[node]
            passed.append(node)
        assert hops == axes["k"] >= 2
        assert len(arrows) == axes["n"]
        assert len(set(passed[: hops + 1])) == hops + 1
        assert not set(passed[: hops + 1]) & set(passed[hops + 1 :])  # neither the start nor the answer comes again
        into = Counter(arrows.values())
        assert sum(count > 1 for count in into.values()) >= axes["n"] // 8


def test_the_main_ladder_is_every_n_and_k_up_to_half_the_ring():
    main = [level for level in FAMILY.levels.values() if level.ladder == "main"]
    assert {n: sum(level.axes["n"] == n for level in main) for n in SIZES} == SIZES
    assert all(2 * level.axes["k"] <= level.axes["n"] for level in FAMILY.levels.values())
    assert "n4k2" not in FAMILY.levels  # what no arrow links with the start is the answer
    assert {"n8k1", "n8k2", "n8k3", "n16k4", "n1024k256", "n1024k256-joins"} < set(FAMILY.levels)


def test_the_token_forms_are_the_cells_of_the_paper():
    for n in (100, 225, 300, 375):
        assert {f"tokens-n{n}k8", f"tokens-n{n}k4"} < set(FAMILY.levels)
    for n in (75, 100, 125):
        assert {f"tokens-long-n{n}k16", f"tokens-long-n{n}k8"} < set(FAMILY.levels)


@pytest.mark.parametrize(("names", "level"), [("short", "tokens-n8k4"), ("long", "tokens-long-n16k8")])
def test_a_question_in_token_form_is_how_a_document_of_the_corpus_begins(names, level):
    n = FAMILY.levels[level].axes["n"]
    options = read_options(CORPUS, {"names": names, "n": n, "k": 8})
    vocabulary, block = CORPUS.vocabulary(options), make_block(CORPUS, options, 1, 0)
    item = make_instance(FAMILY, level, "symbol", 4, 0)
    assert set(f"{item.question} {item.gold}".split()) <= set(vocabulary)
    form = re.compile(r"Ring: ((?:a\d+ )*z\d+ )+\?\d+ (a\d+ )*z\d+ = (a\d+ )*z\d+ ")
    document = " ".join(vocabulary[at] for at in unpack_tokens(block.ids)[: block.ends[0]])
    assert form.match(f"{item.question} {item.gold} ")
    assert form.match(document)


def test_the_first_name_is_read_and_what_follows_is_not():
    item = make_instance(FAMILY, "tokens-n8k2", "symbol", 4, 0)
    start = item.facts["start"]
    assert grade(FAMILY, item, f" {item.gold} ?1 {start} = {start}").correct
    assert grade(FAMILY, item, f" {start} {item.gold}").label == "start"
    assert grade(FAMILY, item, f"\n{item.gold}").correct
    for text in (f"Answer: {item.gold}", "a1 a2", "?2 z1", "a1 " * 40 + "z1"):
        assert grade(FAMILY, item, text).label == "no_answer"
    assert grade(FAMILY, item, "z999").label == "not_a_node"


def test_shuffled_edges_put_the_gold_anywhere():
    places = [[b for _, b in item.facts["edges"]].index(item.gold) for item in
              (make_instance(FAMILY, "n8k3", "symbol", 5, index) for index in range(800))]  # fmt: skip
    assert all(60 <= places.count(place) <= 140 for place in range(8))


def test_names_of_one_item_are_spelt_alike():
    for level in ("n16k2", "n16k2-long-names", "n1024k256", "n256k32-joins"):
        for channel in FAMILY.channels:
            item = make_instance(FAMILY, level, channel, 8, 0)
            assert len({len(a) for a, _ in item.facts["edges"]}) == 1


def at_hops(item, hops):
    successor, node = dict(item.facts["edges"]), item.facts["start"]
    for _ in range(hops % len(successor)):
        node = successor[node]
    return node


@pytest.mark.parametrize(
    ("hops", "label"),
    [(0, "start"), (1, "one_hop"), (2, "short_by_one"), (3, "correct"), (4, "long_by_one"), (5, "other_node"), (-3, "backwards")],
)  # fmt: skip
def test_a_wrong_name_is_placed_on_the_ring(hops, label):
    item = make_instance(FAMILY, "n16k3", "symbol", 1, 0)
    verdict = grade(FAMILY, item, at_hops(item, hops))
    assert verdict.label == label
    assert verdict.correct is (label == "correct")


def test_a_wrong_name_is_placed_where_arrows_join():
    item = make_instance(FAMILY, "n32k4-joins", "symbol", 1, 0)
    found = {hops: grade(FAMILY, item, at_hops(item, hops)).label for hops in range(6)}
    assert found == {0: "start", 1: "one_hop", 2: "other_node", 3: "short_by_one", 4: "correct", 5: "long_by_one"}
    labels = Counter(grade(FAMILY, item, name).label for name, _ in item.facts["edges"])
    assert labels["correct"] == labels["start"] == labels["one_hop"] == 1
    assert labels["other_node"] == 32 - 5


@pytest.mark.parametrize(
    "level", ["n8k2", "n8k4", "n16k2", "n16k8", "n32k6", "tokens-n16k8", "n16k2-joins", "n32k4-joins"]
)
@pytest.mark.cases(2)
def test_no_shortcut_pays(level):
    n = 1_000
    items = [make_instance(FAMILY, level, "symbol", 21, index) for index in range(n)]
    for style in ("choice", "direct") if items[0].choices else ("direct",):
        stated = FAMILY.chance(FAMILY.levels[level], style)
        for shortcut in FAMILY.shortcuts:
            hits = sum(shortcut.answer(item, style) == item.gold for item in items)
            assert hits / n <= stated + 0.05, (shortcut.name, style)


def test_candidates_are_any_names_so_that_their_gaps_tell_nothing():
    """If those beside the start were left out, the answer of two hops would be the one that comes after none of them."""
    beside, comes_after = Counter(), Counter()
    for index in range(1_000):
        item = make_instance(FAMILY, "n16k2", "symbol", 9, index)
        arrows, start, _ = read(item.question)
        back = {to: name for name, to in arrows.items()}
        beside[len({arrows[start], back[start]} & set(item.choices))] += 1
        comes_after[back[item.gold] in item.choices] += 1
        assert len(item.choices) == 8
    assert beside[0] > 150
    assert beside[2] > 150
    assert 430 < comes_after[True] < 570


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_the_example_of_an_answer_is_a_name_that_the_item_lacks(channel):
    for level in ("n8k2", "n16k4-long-names", "n64k8-joins", "n512k64"):
        item = make_instance(FAMILY, level, channel, 7, 0)
        shown = item.facts["example"]
        assert len(shown) == len(item.gold)
        assert not re.search(rf"\b{shown}\b", item.question)
        assert pose(FAMILY, item, "cot").endswith(f"for example: Answer: {shown}\n")
        assert shown not in pose(FAMILY, item, "direct")


def test_a_name_that_is_not_shown_is_not_a_node():
    item = make_instance(FAMILY, "n8k2", "story", 1, 0)
    for text in ("Answer: Nobody", "Nobody", "The one who holds it is Nobody."):
        assert grade(FAMILY, item, text).label == "not_a_node"
    assert grade(FAMILY, item, "somebody").label == "no_answer"
    assert grade(FAMILY, item, item.gold.lower()).correct


def test_a_lesson_asks_distinct_starts_and_answers_right():
    from fathom.tasks.stream import Stream

    for level, style in (("n8k3", "direct"), ("n8k3", "cot"), ("n32k4-joins", "direct")):
        pairs = FAMILY.lesson(FAMILY.levels[level], "symbol", style, Stream("train", 1))
        ring = pairs[0][0].partition("\n")[0]
        starts = set()
        for prompt, completion in pairs:
            question = prompt if prompt.startswith(ring) else ring + prompt
            assert solve_from_text(question) == completion.split()[-1]
            starts.add(re.search(r"after (\w+)\?", prompt)[1])
        assert len(starts) == len(pairs) > 1


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(UnknownLevel, match="known: n4k1"):
        make_instance(FAMILY, "n5k1", "symbol", 1, 0)
    with pytest.raises(UnknownStyle, match="known: symbol, story"):
        make_instance(FAMILY, "n4k1", "song", 1, 0)
    assert find_family("depo") is FAMILY

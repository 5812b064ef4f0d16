import re

import pytest

from fathom.tasks.base import channels_of, grade, make_instance
from fathom.tasks.corpora.base import make_block, read_options
from fathom.tasks.corpora.depo import CORPUS
from fathom.tasks.errors import UnknownLevel, UnknownStyle
from fathom.tasks.families.depo import FAMILY
from fathom.tasks.registry import find_family
from fathom.tasks.tokens import unpack_tokens

SIZES = {4: 3, 8: 5, 16: 7, 32: 9, 64: 10, 128: 10}


def solve_from_text(question):
    """Solve by following the sentences, without the generator's facts."""
    if question.startswith("Ring: "):
        *names, last = [name.strip() for name in re.findall(r"(?:a\d+ )*z\d+ ", question)]
        hops, start = int(re.search(r" \?(\d+) ", question)[1]), last
        edges = list(zip(names[::2], names[1::2], strict=True))
        return walk(edges, start, hops)
    if "->" in question:
        edges = re.findall(r"(\w+) -> (\w+)", question)
        hops, start = re.search(r"Which code is (\d+) arrows? after (\w+)\?", question).groups()
    else:
        edges = re.findall(r"(\w+) always hands it to (\w+)\.", question)
        start, hops = re.search(r"Now (\w+) holds .* after (\d+) hand-overs?\?", question).groups()
    return walk(edges, start, int(hops))


def walk(edges, start, hops):
    table = dict(edges)
    assert len(table) == len(edges)
    for _ in range(hops):
        start = table[start]
    return start


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_gold_follows_from_the_question_alone(channel):
    for level in FAMILY.levels.values():
        for index in range(40 if channel in channels_of(FAMILY, level) else 0):
            item = make_instance(FAMILY, level.name, channel, 11, index)
            assert solve_from_text(item.question) == item.gold


@pytest.mark.parametrize("level", FAMILY.levels)
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


def test_the_main_ladder_is_every_n_and_k_of_the_design():
    main = [level for level in FAMILY.levels.values() if level.ladder == "main"]
    assert {n: sum(level.axes["n"] == n for level in main) for n in SIZES} == SIZES


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


@pytest.mark.parametrize(("order", "step"), [("forward", 1), ("backward", -1)])
def test_ordered_edges_come_in_walking_order_from_a_random_place(order, step):
    cuts = set()
    for index in range(60):
        item = make_instance(FAMILY, f"n16k3-{order}", "symbol", 3, index)
        edges = item.facts["edges"][::step]
        assert all(edge[1] == following[0] for edge, following in zip(edges, edges[1:], strict=False))
        cuts.add([edge[0] for edge in edges].index(item.facts["start"]))
    assert len(cuts) > 12


def test_shuffled_edges_put_the_gold_anywhere():
    places = [[b for _, b in item.facts["edges"]].index(item.gold) for item in
              (make_instance(FAMILY, "n8k3", "symbol", 5, index) for index in range(800))]  # fmt: skip
    assert all(60 <= places.count(place) <= 140 for place in range(8))


def test_names_of_one_item_are_spelt_alike():
    for channel, names in (("symbol", "short"), ("story", "short"), ("symbol", "long-names"), ("story", "long-names")):
        level = "n16k2" if names == "short" else "n16k2-long-names"
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


def test_a_name_that_is_not_shown_is_not_a_node():
    item = make_instance(FAMILY, "n4k2", "story", 1, 0)
    for text in ("Answer: Nobody", "Nobody", "The one who holds it is Nobody."):
        assert grade(FAMILY, item, text).label == "not_a_node"
    assert grade(FAMILY, item, "somebody").label == "no_answer"
    assert grade(FAMILY, item, item.gold.lower()).correct


def test_a_lesson_asks_distinct_starts_and_answers_right():
    from fathom.tasks.stream import Stream

    level = FAMILY.levels["n8k3"]
    for style in ("direct", "cot"):
        pairs = FAMILY.lesson(level, "symbol", style, Stream("train", 1))
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

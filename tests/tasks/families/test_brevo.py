import re
from collections import Counter
from itertools import permutations
from math import isqrt

import pytest

from fathom.tasks.base import channels_of, demonstrate, grade, make_instance, pose
from fathom.tasks.corpora.base import make_block, read_options
from fathom.tasks.corpora.brevo import CORPUS
from fathom.tasks.families.brevo import FAMILY
from fathom.tasks.graphs.dependencies import MOST_NEEDS, draw_needed
from fathom.tasks.stream import Stream
from fathom.tasks.tokens import unpack_tokens

NEEDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
MAIN = [name for name, level in FAMILY.levels.items() if level.ladder == "main"]
TOKENS = [name for name in FAMILY.levels if name not in MAIN]
FACT = r"(\w+) (?:needs|is cooked with|is built from|calls for|builds on) (\w+)"
QUERY = r"(?:before|wants? to (?:serve|sell a|hold|master)) (\w+)(?: and |, and |, directly)"
TOKEN_NAME = r"v\d+|(?:a\d+ )*z\d+"


def read(question):
    """Read pairs (what is needed, what needs it) and the query from the text, without the generator's facts."""
    if question.startswith("Needs: "):
        *names, query = re.findall(TOKEN_NAME, question)
        return list(zip(names[::2], names[1::2], strict=True)), query
    shown = re.split(r"Needs: |at any time\. ", question.partition("\n")[0])[-1]
    return [(a, b) for b, a in re.findall(FACT, shown)], re.search(QUERY, question.partition("\n")[2])[1]


def below(pairs):
    """Return the bits of all that each name needs, itself included: Warshall's closure, one name at a time."""
    names = sorted({name for pair in pairs for name in pair})
    bit = {name: 1 << at for at, name in enumerate(names)}
    reach = dict(bit)
    for a, b in pairs:
        reach[b] |= bit[a]
    for middle in names:
        for name in names:
            if reach[name] & bit[middle]:
                reach[name] |= reach[middle]
    return {name: {other for other in names if reach[name] & bit[other]} for name in names}


def solve_from_text(question):
    """Sort what the query needs by how much it needs itself: more than each of its needs does."""
    pairs, query = read(question)
    closure = below(pairs)
    return sorted(closure[query], key=lambda name: (len(closure[name]), name))


def is_linear_extension(order, pairs, wanted):
    places = {name: place for place, name in enumerate(order)}
    return (
        len(places) == len(order)
        and set(order) == wanted
        and all(places[a] < places[b] for a, b in pairs if b in wanted)
    )


def joined(level, names):
    return (" " if level in TOKENS else ", ").join(names)


@pytest.mark.parametrize("level", FAMILY.levels)
def test_the_verifier_agrees_with_a_solver_of_the_text(level):
    hardness = FAMILY.levels[level].hardness
    for channel in channels_of(FAMILY, FAMILY.levels[level]):
        for index in range(100 if hardness <= 24 else 40 if hardness <= 64 else 3):
            item = make_instance(FAMILY, level, channel, 11, index)
            pairs, _ = read(item.question)
            mine = solve_from_text(item.question)
            gold = re.findall(TOKEN_NAME, item.gold) if level in TOKENS else item.gold.split(", ")
            assert grade(FAMILY, item, joined(level, mine)).correct
            assert is_linear_extension(gold, pairs, set(mine))


@pytest.mark.parametrize("level", ["needs3", "needs12", "tokens-n30", "tokens-multi-n40"])
def test_a_changed_answer_is_wrong(level):
    for index in range(25):
        item = make_instance(FAMILY, level, "symbol", 5, index)
        gold = re.findall(TOKEN_NAME, item.gold) if level in TOKENS else item.gold.split(", ")
        changed = [gold[:-1], gold[1:], gold[::-1], [*gold, gold[0]], [gold[0], *gold], [*gold, "v999"]]
        changed += [gold[:at] + gold[at + 1 :] for at in range(len(gold))]
        changed += [[*gold[:at], gold[at], *gold[at:]] for at in range(len(gold))]
        for order in changed:
            assert not grade(FAMILY, item, joined(level, order)).correct


def test_the_verifier_accepts_exactly_the_linear_extensions():
    for index in range(4):
        item = make_instance(FAMILY, "needs6", FAMILY.channels[index % 2], 4, index)
        pairs, query = read(item.question)
        wanted = below(pairs)[query]
        n_right = 0
        for order in permutations(sorted(wanted)):
            right = is_linear_extension(order, pairs, wanted)
            assert grade(FAMILY, item, ", ".join(order)).correct == right
            n_right += right
        assert n_right >= 1


class Tower:
    """One item with known edges: A; B needs A; C needs A; D needs B and C; E needs A."""

    item = make_instance(FAMILY, "needs6", "symbol", 1, 0)
    edges = (("A", "B"), ("A", "C"), ("B", "D"), ("C", "D"), ("A", "E"))

    @classmethod
    def judge(cls, text):
        facts = {"edges": cls.edges, "query": "D"}
        return grade(FAMILY, type(cls.item)("brevo", 2, "needs6", "symbol", "1", 0, "", "A, B, C, D", (), facts), text)


@pytest.mark.parametrize(
    ("text", "label", "at", "note"),
    [
        ("A, B, C, D", "correct", None, ""),
        ("A, C, B, D", "correct", None, ""),
        ("A C B D", "correct", None, ""),
        ("**Answer:** [A, C, B, D].", "correct", None, ""),
        ("A, B, D", "missing", 3, "2 of 4 right"),
        ("A, B, C", "missing", 4, "3 of 4 right"),
        ("B, C, D", "missing", 1, "0 of 4 right"),
        ("A, B, C, E, D", "extra", 4, "3 of 4 right"),
        ("A, B, C, D, E", "extra", 5, "4 of 4 right"),
        ("A, B, B, C, D", "duplicate", 3, "2 of 4 right"),
        ("A, B, C, D, D", "duplicate", 5, "4 of 4 right"),
        ("B, A, C, D", "order", 1, "0 of 4 right"),
        ("A, D, B, C", "order", 2, "1 of 4 right"),
        ("A, B, QQ, C, D", "unknown_vertex", 3, "2 of 4 right"),
        ("a, b, c, d", "correct", None, ""),
        ("A -> B -> C -> D", "correct", None, ""),
        ("1. A\n2. B\n3. C\n4. D", "correct", None, ""),
        ("A, B, C, D\nA, B, C, D", "correct", None, ""),
        ("A, B, C, D\nA, C, B, D", "duplicate", 5, "4 of 4 right"),
        ("A, B, C, D or A, C, B, D", "no_answer", None, ""),
        ("", "no_answer", None, ""),
        ("Answer: ,", "no_answer", None, ""),
        ("A, B,\nC, D", "correct", None, ""),
    ],
)
def test_the_first_fault_is_named_and_placed(text, label, at, note):
    verdict = Tower.judge(text)
    assert (verdict.label, verdict.at, verdict.note) == (label, at, note)
    assert verdict.correct == (label == "correct")


def test_labels_of_wrong_answers_are_the_declared_ones():
    assert tuple(FAMILY.labels) == ("missing", "extra", "duplicate", "order", "unknown_vertex", "no_answer", "cut_off")


def test_levels_are_the_numbers_of_needs_and_the_sizes_of_the_paper():
    assert tuple(FAMILY.levels[level].hardness for level in MAIN) == NEEDS
    assert {"tokens-n70", "tokens-n90", "tokens-n110"} < set(TOKENS)
    assert {"tokens-multi-n30", "tokens-multi-n40", "tokens-multi-n50"} < set(TOKENS)


def steps_to(pairs, query):
    """Return the fewest steps from the query to each of its needs."""
    found, edge = {query: 0}, {query}
    while edge:
        edge = {a for a, b in pairs if b in edge and a not in found}
        found |= dict.fromkeys(edge, max(found.values()) + 1)
    return found


@pytest.mark.parametrize("level", MAIN)
def test_a_goal_has_exactly_so_many_needs_and_some_are_far(level):
    axes = FAMILY.levels[level].axes
    for index in range(12 if axes["needs"] <= 64 else 2):
        pairs, query = read(make_instance(FAMILY, level, FAMILY.channels[index % 2], 6, index).question)
        steps, names = steps_to(pairs, query), {name for pair in pairs for name in pair}
        assert len(steps) == axes["needs"] + 1
        assert max(steps.values()) >= min(axes["needs"], max(3, isqrt(axes["needs"])))
        assert 2 * len(steps) < len(names) <= axes["n"]
        assert len(pairs) == len(set(pairs))


def test_the_goal_is_like_the_ends_of_the_copies():
    """Of what needs others and is needed by nothing, or little, the goal is one of several."""
    alike = Counter()
    for index in range(200):
        pairs, query = read(make_instance(FAMILY, "needs8", "symbol", 3, index).question)
        users, needs = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
        others = [name for name in needs if users[name] == users[query]]
        alike[len(others) > 2] += 1
    assert alike[True] > 160


def test_a_vertex_is_needed_by_one_of_the_next():
    for reach in (1, 2, 5):
        parents = draw_needed(Stream("drawn", reach).words(40), reach)
        assert not parents[0]
        assert {parent for some in parents for parent in some} == set(range(39))
        for vertex, some in enumerate(parents):
            assert len(some) == len(set(some)) <= MOST_NEEDS
            assert all(vertex - reach <= parent < vertex for parent in some)


@pytest.mark.parametrize("level", ["needs3", "needs4", "needs6", "needs8", "needs16", "tokens-n30", "tokens-n70"])
@pytest.mark.cases(2)
def test_no_shortcut_pays(level):
    n, stated = 400, FAMILY.chance(FAMILY.levels[level], "direct")
    items = [make_instance(FAMILY, level, "symbol", 21, index) for index in range(n)]
    for shortcut in FAMILY.shortcuts:
        hits = sum(grade(FAMILY, item, shortcut.answer(item, "direct")).correct for item in items)
        assert hits / n <= stated + 0.05 + 3 * (0.25 * 0.75 / n) ** 0.5 * (stated > 0), shortcut.name


def test_two_levels_are_all_that_a_shallow_goal_needs():
    """The rule is not broken: where nothing is farther than two steps, it answers right."""
    (rule,) = (shortcut for shortcut in FAMILY.shortcuts if shortcut.name == "two_levels")
    item = type(Tower.item)("brevo", 2, "needs6", "symbol", "1", 0, "", "", (), {"edges": Tower.edges, "query": "D"})
    assert Tower.judge(rule.answer(item, "direct")).correct


def test_edges_come_in_random_order():
    first = Counter()
    for index in range(600):
        item = make_instance(FAMILY, "needs6", "symbol", 2, index)
        first[item.facts["edges"][0][0] in item.gold.split(", ")] += 1
    assert 120 < first[True] < 360


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_the_example_of_an_answer_names_nothing_of_the_item(channel):
    for level in MAIN[::4]:
        item = make_instance(FAMILY, level, channel, 7, 0)
        shown = item.facts["example"].split(", ")
        assert len(set(shown)) == 3
        assert not any(re.search(rf"\b{name}\b", item.question) for name in shown)
        assert pose(FAMILY, item, "cot").endswith(f"for example: Answer: {item.facts['example']}\n")
        assert item.facts["example"] not in pose(FAMILY, item, "direct")


def test_all_story_settings_occur_and_read_as_sentences():
    scenes = Counter()
    for index in range(80):
        question = make_instance(FAMILY, "needs3", "story", 3, index).question
        scenes[question.split(",")[0]] += 1
        assert re.fullmatch(r"[A-Z][\w ,.;\n]+\.\n[A-Z][\w ,.:]+\.", question)
    assert len(scenes) == 4


def test_a_solution_states_each_need_once():
    for channel in FAMILY.channels:
        item = make_instance(FAMILY, "needs16", channel, 2, 5)
        pairs, query = read(item.question)
        told = re.findall(r"(\w+) needs ([^.]+)\.", FAMILY.solution(item))
        assert sorted(name for name, _ in told) == sorted(below(pairs)[query])
        for name, listed in told:
            known = [a for a, b in pairs if b == name]
            assert known == ([] if listed == "nothing" else re.split(", | and ", listed))


@pytest.mark.parametrize(("names", "level"), [("single", "tokens-n70"), ("multi", "tokens-multi-n40")])
def test_a_question_in_token_form_is_how_a_document_of_the_corpus_begins(names, level):
    options = read_options(CORPUS, {"names": names, "n": FAMILY.levels[level].axes["n"]})
    vocabulary, block = CORPUS.vocabulary(options), make_block(CORPUS, options, 1, 0)
    item = make_instance(FAMILY, level, "symbol", 4, 0)
    text = pose(FAMILY, item, "trained") + demonstrate(FAMILY, item, "trained")
    document = " ".join(vocabulary[at] for at in unpack_tokens(block.ids)[: block.ends[0]])
    form = re.compile(rf"Needs: (?:(?:{TOKEN_NAME}) )+\? (?:{TOKEN_NAME}) = (?:{TOKEN_NAME})(?: (?:{TOKEN_NAME}))*")
    assert set(text.split()) <= set(vocabulary)
    assert form.fullmatch(text)
    assert form.fullmatch(document.removesuffix(" <end>"))


def test_a_list_of_tokens_is_read_up_to_what_is_no_name():
    item = make_instance(FAMILY, "tokens-multi-n30", "symbol", 4, 0)
    assert grade(FAMILY, item, f" {item.gold} <end> a1 z2").correct
    assert grade(FAMILY, item, f" {item.gold} a1").label == "unknown_vertex"
    assert grade(FAMILY, item, f" {item.gold} {item.facts['query']}").label == "duplicate"
    for text in (f"Answer: {item.gold}", "and so on", "= z1", ""):
        assert grade(FAMILY, item, text).label == "no_answer"

import re
from collections import Counter
from itertools import permutations

import pytest

from fathom.tasks.base import grade, make_instance
from fathom.tasks.families.brevo import FAMILY
from fathom.tasks.graphs.dependencies import MOST_NEEDS

SIZES = (4, 6, 8, 12, 16, 24, 32, 48, 64)
FACT = r"(\w+) (?:needs|is cooked with|is built from|calls for|builds on) (\w+)"
QUERY = r"(?:before|wants? to (?:serve|sell a|hold|master)) (\w+)(?: and |, and |, directly)"


def read(question):
    """Read needs and query from the sentences, without the generator's facts."""
    shown = re.split(r"Needs: |at any time\. ", question.partition("\n")[0])[-1]
    needs = {}
    for b, a in re.findall(FACT, shown):
        needs.setdefault(a, [])
        needs.setdefault(b, []).append(a)
    return needs, re.search(QUERY, question.partition("\n")[2])[1]


def closure(needs, name):
    """Return the ancestors by recursion, the name included."""
    return {name}.union(*(closure(needs, other) for other in needs[name]))


def reachable(needs, query):
    """Return the ancestors by fixed point (fast on large graphs), the query included."""
    found = {query}
    while True:
        more = found.union(*(needs[name] for name in found))
        if more == found:
            return found
        found = more


def solve_from_text(question):
    """Kahn's algorithm on the part of the graph that the query needs; alphabetical where free."""
    needs, query = read(question)
    left = sorted(reachable(needs, query))
    order = []
    while left:
        ready = next(name for name in left if not set(needs[name]) & set(left))
        left.remove(ready)
        order.append(ready)
    return order


def is_linear_extension(order, needs, wanted):
    places = {name: place for place, name in enumerate(order)}
    return set(order) == wanted and all(places[a] < places[b] for b in wanted for a in needs[b])


@pytest.mark.parametrize("level", FAMILY.levels)
def test_the_verifier_agrees_with_a_solver_of_the_text(level):
    for channel in FAMILY.channels:
        for index in range(160 if FAMILY.levels[level].hardness <= 24 else 40):
            item = make_instance(FAMILY, level, channel, 11, index)
            needs, query = read(item.question)
            mine = solve_from_text(item.question)
            assert set(mine) == set(item.gold.split(", "))
            assert grade(FAMILY, item, ", ".join(mine)).correct
            assert is_linear_extension(item.gold.split(", "), needs, set(mine))
            for choice in item.choices:
                order = choice.split(", ")
                assert (choice == item.gold) == is_linear_extension(order, needs, reachable(needs, query))


def test_both_ways_to_find_ancestors_agree():
    for index in range(100):
        needs, query = read(make_instance(FAMILY, "n8", "symbol", 3, index).question)
        assert closure(needs, query) == reachable(needs, query)


@pytest.mark.parametrize(("level", "count"), [("n4", 60), ("n6", 12)])
def test_the_verifier_accepts_exactly_the_linear_extensions(level, count):
    for index in range(count):
        item = make_instance(FAMILY, level, FAMILY.channels[index % 2], 4, index)
        needs, query = read(item.question)
        wanted = reachable(needs, query)
        n_right = 0
        for length in range(1, len(needs) + 1):
            for order in permutations(needs, length):
                right = is_linear_extension(order, needs, wanted)
                assert grade(FAMILY, item, ", ".join(order)).correct == right
                n_right += right
        assert n_right >= 1


@pytest.mark.parametrize("level", ["n6", "n16", "n64"])
def test_a_changed_answer_is_wrong(level):
    for index in range(25):
        item = make_instance(FAMILY, level, "symbol", 5, index)
        gold = item.gold.split(", ")
        changed = [gold[:-1], gold[1:], gold[::-1], [*gold, gold[0]], [gold[0], *gold], [*gold, "AEIO"]]
        changed += [gold[:at] + gold[at + 1 :] for at in range(len(gold))]
        changed += [[*gold[:at], gold[at], *gold[at:]] for at in range(len(gold))]
        for order in changed:
            assert not grade(FAMILY, item, ", ".join(order)).correct


class Tower:
    """One item with known edges: A; B needs A; C needs A; D needs B and C; E needs A."""

    item = make_instance(FAMILY, "n6", "symbol", 1, 0)
    edges = (("A", "B"), ("A", "C"), ("B", "D"), ("C", "D"), ("A", "E"))

    @classmethod
    def judge(cls, text):
        item = type(cls.item)(
            "brevo", 1, "n6", "symbol", "1", 0, "", "A, B, C, D", (), {"edges": cls.edges, "query": "D"}
        )
        return grade(FAMILY, item, text)


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


def test_levels_are_the_sizes_of_the_design():
    assert tuple(level.axes["n"] for level in FAMILY.levels.values()) == SIZES


@pytest.mark.parametrize("n", SIZES)
def test_the_graph_is_drawn_as_the_paper_says(n):
    needs_counts = Counter()
    for index in range(60):
        item = make_instance(FAMILY, f"n{n}", "symbol", 6, index)
        needs, query = read(item.question)
        users = Counter(name for some in needs.values() for name in some)
        leaves = sum(not some for some in needs.values())
        assert len(item.facts["edges"]) == len({tuple(edge) for edge in item.facts["edges"]})
        assert max(map(len, needs.values())) <= MOST_NEEDS
        assert max(users.values()) <= MOST_NEEDS
        assert n - (n - 1) // 4 <= len(needs) <= n  # only leaves that nothing needs are not shown
        assert leaves <= (n - 1) // 4 + 1
        assert needs[query]
        needs_counts.update(len(some) for some in needs.values() if some)
    if n >= 12:  # all numbers of needs are about equally likely
        assert min(needs_counts[r] for r in (1, 2, 3, 4)) > 0.2 * sum(needs_counts.values())


def test_each_wrong_candidate_differs_in_order_members_or_both():
    kinds = Counter()
    for index in range(600):
        item = make_instance(FAMILY, "n12", "symbol", 8, index)
        gold = item.gold.split(", ")
        if len(gold) > 2:
            orders = [choice.split(", ") for choice in item.choices]
            sets = Counter(frozenset(order) for order in orders)
            kinds[min(map(len, orders)) - len(gold), len(sets)] += 1
            assert sets[frozenset(gold)] in (1, 2, 4)
            assert all(order[-1] == gold[-1] for order in orders)
    assert kinds[-1, 2] > 120  # one left out
    assert kinds[0, 2] > 240  # one replaced, or one too many


def test_the_longest_list_is_right_no_more_often_than_the_shortest():
    hits = Counter()
    for index in range(2_000):
        item = make_instance(FAMILY, "n16", "symbol", 9, index)
        lengths = {choice: choice.count(",") for choice in item.choices}
        for pick in (max, min):
            best = [choice for choice in item.choices if lengths[choice] == pick(lengths.values())]
            hits[pick] += (item.gold in best) / len(best)
    assert 430 < hits[max] < 570
    assert 430 < hits[min] < 570


def test_edges_come_in_random_order():
    first = Counter()
    for index in range(600):
        item = make_instance(FAMILY, "n8", "symbol", 2, index)
        first[item.facts["edges"][0][1] == item.facts["query"]] += 1
    assert 60 < first[True] < 200


def test_all_story_settings_occur_and_read_as_sentences():
    scenes = Counter()
    for index in range(80):
        question = make_instance(FAMILY, "n4", "story", 3, index).question
        scenes[question.split(",")[0]] += 1
        assert re.fullmatch(r"[A-Z][\w ,.;\n]+\.\n[A-Z][\w ,.:]+\.", question)
    assert len(scenes) == 4


def test_a_solution_states_each_need_once():
    for channel in FAMILY.channels:
        item = make_instance(FAMILY, "n16", channel, 2, 5)
        needs, query = read(item.question)
        told = re.findall(r"(\w+) needs ([^.]+)\.", FAMILY.solution(item))
        assert {name for name, _ in told} == reachable(needs, query)
        assert len(told) == len(reachable(needs, query))
        for name, listed in told:
            assert needs[name] == ([] if listed == "nothing" else re.split(", | and ", listed))

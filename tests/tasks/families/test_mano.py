import ast
import re
from collections import Counter
from math import comb, inf

import pytest

from fathom.tasks.base import grade, make_instance
from fathom.tasks.families.mano import FAMILY

LENGTHS = (1, 2, 3, 4, 6, 8, 10, 13, 16)
NUMERALS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "twenty-one",
    "twenty-two",
]
PYTHON_SIGN = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}
CELLS = [(level, c) for level in FAMILY.levels for c in FAMILY.levels[level].channels or FAMILY.channels]


def from_infix(node):
    """Turn Python's syntax tree into nested tuples."""
    if isinstance(node, ast.Constant):
        return node.value
    return (PYTHON_SIGN[type(node.op)], from_infix(node.left), from_infix(node.right))


def from_words(words):
    """Read one thing off the front of a list of words."""
    if words[0] != "the":
        return NUMERALS.index(words.pop(0))
    sign = {"sum": "+", "difference": "-", "product": "*"}[words[1]]
    assert words[2] == "of"
    del words[:3]
    a = from_words(words)
    assert words.pop(0) == "and"
    return (sign, a, from_words(words))


def from_prefix(tokens):
    token = tokens.pop(0)
    return int(token) if token.isdigit() else (token, from_prefix(tokens), from_prefix(tokens))


def read(question):
    """Read expression and modulus from the text, without the generator's facts."""
    rules, asked = question.split("\n")
    text, p = re.fullmatch(r"What is (.+?),? modulo (\d+)\?", asked).groups()
    assert f"modulo {p}:" in rules
    if "the " in text or text in NUMERALS:
        words = text.split()
        tree = from_words(words)
        assert not words
    elif text[0] in "+-*":
        tokens = text.split()
        tree = from_prefix(tokens)
        assert not tokens
    else:
        tree = from_infix(ast.parse(text, mode="eval").body)
    return tree, int(p)


def value(tree):
    """Evaluate in whole numbers of any size, with no modulus."""
    if isinstance(tree, int):
        return tree
    sign, a, b = tree[0], value(tree[1]), value(tree[2])
    return a + b if sign == "+" else a - b if sign == "-" else a * b


def parts(tree):
    """Yield every part that has an operation, the whole first."""
    if not isinstance(tree, int):
        yield tree
        yield from parts(tree[1])
        yield from parts(tree[2])


def exchanged(tree):
    """Yield the tree with one operator exchanged, in all ways."""
    if isinstance(tree, int):
        return
    sign, a, b = tree
    yield from ((other, a, b) for other in "+-*" if other != sign)
    yield from ((sign, other, b) for other in exchanged(a))
    yield from ((sign, a, other) for other in exchanged(b))


def numbers(tree):
    return [tree] if isinstance(tree, int) else numbers(tree[1]) + numbers(tree[2])


@pytest.mark.parametrize(("level", "channel"), CELLS)
def test_gold_follows_from_the_question_alone(level, channel):
    axes = FAMILY.levels[level].axes
    for index in range(40):
        item = make_instance(FAMILY, level, channel, 11, index)
        tree, p = read(item.question)
        assert str(value(tree) % p) == item.gold
        assert p == axes["p"]
        assert len(list(parts(tree))) == axes["l"]
        assert all(0 <= number < p for number in numbers(tree))


def test_the_surfaces_of_one_expression_agree_with_its_facts():
    for level, channel in CELLS[:20]:
        item = make_instance(FAMILY, level, channel, 12, 0)
        assert from_prefix(list(item.facts["prefix"])) == read(item.question)[0]


def bracketed(tree):
    if isinstance(tree, int):
        return str(tree)
    return f"({bracketed(tree[1])} {tree[0]} {bracketed(tree[2])})"


def test_brackets_stand_around_each_inner_operation_and_nothing_else():
    for index in range(50):
        item = make_instance(FAMILY, "p23l6", "symbol", 3, index)
        tree, _ = read(item.question)
        assert f"What is {bracketed(tree)[1:-1]} modulo 23?" in item.question


def test_levels_are_those_of_the_design():
    ladders = Counter(level.ladder for level in FAMILY.levels.values())
    assert ladders == dict.fromkeys(("main", "prefix", "p5", "p7", "p10"), len(LENGTHS))
    for ladder, p in (("main", 23), ("prefix", 23), ("p5", 5), ("p7", 7), ("p10", 10)):
        ranked = [level for level in FAMILY.levels.values() if level.ladder == ladder]
        assert tuple(level.axes["l"] for level in ranked) == LENGTHS
        assert {level.axes["p"] for level in ranked} == {p}


def test_space_counts_all_expressions():
    assert FAMILY.levels["p5l1"].space == 3 * 5**2
    assert FAMILY.levels["p23l2"].space == 2 * 3**2 * 23**3
    assert FAMILY.levels["p10l4"].space == comb(8, 4) / 5 * 3**4 * 10**5
    assert FAMILY.levels["p23l16"].space == inf


def chi_square(counts, cells):
    expected = sum(counts.values()) / len(cells)
    return sum((counts[cell] - expected) ** 2 / expected for cell in cells)


# The 99.99% quantile of chi-square at 4, 6, 9, 22 degrees of freedom (deterministic: seeds are fixed).
LIMITS = {5: 23.5, 7: 27.9, 10: 33.7, 23: 55.0}


@pytest.mark.parametrize("level", ["p5l1", "p7l3", "p10l1", "p10l8", "p23l1", "p23l4", "p23l16"])
def test_every_answer_is_equally_likely(level):
    p = FAMILY.levels[level].axes["p"]
    counts = Counter(make_instance(FAMILY, level, "symbol", 21, index).gold for index in range(3_000))
    assert chi_square(counts, [str(answer) for answer in range(p)]) < LIMITS[p]


def test_parts_have_equally_likely_values_too_where_nothing_is_multiplied():
    counts = Counter()
    for index in range(3_000):
        tree, p = read(make_instance(FAMILY, "p7l2", "symbol", 22, index).question)
        counts.update(value(part) % p for part in parts(tree) if tree[0] != "*")
    assert chi_square(counts, range(7)) < LIMITS[7]


def test_operations_and_left_sizes_are_uniform():
    signs, sizes = Counter(), Counter()
    for index in range(3_000):
        tree, _ = read(make_instance(FAMILY, "p23l4", "symbol", 23, index).question)
        signs.update(part[0] for part in parts(tree))
        sizes[len(list(parts(tree[1])))] += 1
    assert chi_square(signs, "+-*") < 18.5
    assert chi_square(sizes, range(4)) < 21.2


def test_zero_does_not_swallow_the_products():
    counts = Counter()
    for index in range(2_000):
        tree, p = read(make_instance(FAMILY, "p23l16", "symbol", 24, index).question)
        counts.update(value(part) % p for part in parts(tree))
    assert 0.02 < counts[0] / sum(counts.values()) < 0.06  # 1/23 is 0.043


def test_candidates_are_answers_in_random_order():
    for level, n in (("p5l3", 5), ("p7l3", 7), ("p10l3", 8), ("p23l3", 8)):
        p, others = FAMILY.levels[level].axes["p"], Counter()
        for index in range(1_500):
            item = make_instance(FAMILY, level, "symbol", 25, index)
            assert len(item.choices) == n
            others.update((int(choice) - int(item.gold)) % p for choice in item.choices if choice != item.gold)
        assert chi_square(others, range(1, p)) < LIMITS[p]


def label(level, index, answer):
    return grade(FAMILY, make_instance(FAMILY, level, "symbol", 26, index), str(answer)).label


@pytest.mark.parametrize("level", ["p23l1", "p23l3", "p23l6", "p5l2", "p10l8"])
def test_a_wrong_answer_is_named_after_the_mistake_that_gives_it(level):
    seen = Counter()
    for index in range(30):
        item = make_instance(FAMILY, level, "symbol", 26, index)
        tree, p = read(item.question)
        signs_exchanged = {value(other) % p for other in exchanged(tree)}
        of_parts = {value(part) % p for part in parts(tree)}
        for answer in range(p):
            verdict = grade(FAMILY, item, str(answer))
            expected = (
                "correct" if answer == value(tree) % p
                else "wrong_op" if answer in signs_exchanged
                else "sub_expression" if answer in of_parts
                else "other"
            )  # fmt: skip
            assert verdict.label == expected
            assert verdict.correct == (expected == "correct")
            seen[expected] += 1
    assert seen["wrong_op"]
    assert seen["correct"] == 30


def test_an_answer_outside_the_range_is_wrong_even_if_congruent():
    for index in range(30):
        item = make_instance(FAMILY, "p23l6", "symbol", 27, index)
        tree, p = read(item.question)
        unreduced = value(tree)
        for answer in (int(item.gold) + p, int(item.gold) - p, unreduced):
            if answer != int(item.gold):
                assert grade(FAMILY, item, f"Answer: {answer}").label == "off_by_modulus"
        assert grade(FAMILY, item, str(int(item.gold) + p + 1)).label == "other"
        assert grade(FAMILY, item, str(int(item.gold) - p - 1)).label == "other"


@pytest.mark.parametrize("text", ["", "many", "12 or 13", "12.5", "Answer: x", "12 + 13", "between 3 and 5"])
def test_what_is_no_whole_number_is_no_answer(text):
    assert label("p23l4", 0, text) == "no_answer"


def test_every_label_is_reached():
    assert tuple(FAMILY.labels) == ("off_by_modulus", "wrong_op", "sub_expression", "other", "no_answer", "cut_off")
    reached = {label("p23l6", index, answer) for index in range(20) for answer in [*range(23), 1000, "none"]}
    reached |= {label("p23l6", 0, answer) for answer in range(23, 46)}
    assert reached == {*FAMILY.labels, "correct"} - {"cut_off"}


def test_a_solution_is_one_right_step_for_each_operation():
    for level in ("p23l1", "p23l8", "p10l16", "p5l4"):
        for index in range(30):
            item = make_instance(FAMILY, level, "story", 28, index)
            tree, p = read(item.question)
            lines = FAMILY.solution(item).splitlines()
            assert len(lines) == len(list(parts(tree)))
            for line in lines:
                left, *results = line.split(" = ")
                raw = value(from_infix(ast.parse(left, mode="eval").body))
                wanted = [str(raw)] if 0 <= raw < p else [str(raw), f"{raw % p} mod {p}"]
                assert results == wanted
            assert lines[-1].split(" = ")[-1].split()[0] == item.gold


@pytest.mark.parametrize("level", ["p23l2", "p10l2", "p5l6"])
def test_copying_the_nearest_number_beats_copying_the_first_or_last(level):
    chance = FAMILY.chance(FAMILY.levels[level], "direct")
    hits = Counter()
    for index in range(3_000):
        item = make_instance(FAMILY, level, "symbol", 29, index)
        shown = numbers(read(item.question)[0])
        hits["first"] += shown[0] == int(item.gold)
        hits["last"] += shown[-1] == int(item.gold)
    assert max(hits.values()) / 3_000 < chance + 3 * (chance / 3_000) ** 0.5

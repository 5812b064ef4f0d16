import ast
import re
from collections import Counter
from math import inf

import pytest

from fathom.tasks.base import grade, make_instance, pose
from fathom.tasks.corpora.base import read_options
from fathom.tasks.corpora.registry import find_corpus
from fathom.tasks.families.mano import FAMILY

LENGTHS = (1, 2, 3, 4, 6, 8, 10, 13, 16, 24, 32, 48, 64)
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
TOKENS = [level.name for level in FAMILY.levels.values() if level.ladder == "tokens"]
CELLS = [
    (level, c)
    for level in FAMILY.levels
    if level not in TOKENS
    for c in FAMILY.levels[level].channels or FAMILY.channels
]


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
    for ladder, p, lengths in (
        ("main", 23, LENGTHS),
        ("prefix", 23, LENGTHS),
        *[(f"p{p}", p, (4, 6, 8, 10, 13, 16)) for p in (5, 7, 10)],
        ("tokens", 23, (10, 13, 16)),
    ):
        ranked = [level for level in FAMILY.levels.values() if level.ladder == ladder]
        assert tuple(level.axes["l"] for level in ranked) == lengths
        assert {level.axes["p"] for level in ranked} == {p}
    assert len(FAMILY.levels) == 2 * 13 + 3 * 6 + 3


def test_levels_with_few_questions_say_how_many():
    assert FAMILY.levels["p23l1"].space == 23 * 68
    assert FAMILY.levels["p23l2"].space == 2 * 6 * 23**3
    assert FAMILY.levels["p23l3"].space == 5 * 6 * 23**4
    assert FAMILY.levels["p23l16"].space == inf
    assert [level.name for level in FAMILY.levels.values() if level.space < 100_000] == ["p23l1", "p23l1-prefix"]


@pytest.mark.parametrize("channel", FAMILY.channels)
@pytest.mark.parametrize("seed", [7, 8])
def test_one_operation_is_never_asked_twice_nor_shown_before(channel, seed):
    asked = [make_instance(FAMILY, "p23l1", channel, seed, index).question for index in range(1_173)]
    shown = [make_instance(FAMILY, "p23l1", channel, seed, index, role="shot").question for index in range(391)]
    assert len({*asked, *shown}) == len(asked) + len(shown) == 23 * 68


def test_one_operation_comes_in_another_order_for_another_seed():
    asked = [[make_instance(FAMILY, "p23l1", "symbol", seed, index).question for index in range(50)] for seed in (7, 8)]
    assert len({*asked[0]} & {*asked[1]}) < 15


@pytest.mark.parametrize("level", ["p23l2", "p5l4", "p7l4", "p10l4", "p23l3-prefix"])
def test_eighty_items_repeat_no_question(level):
    for seed in range(5):
        asked = [make_instance(FAMILY, level, "symbol", seed, index).question for index in range(80)]
        assert len(set(asked)) == 80


def chi_square(counts, cells):
    expected = sum(counts.values()) / len(cells)
    return sum((counts[cell] - expected) ** 2 / expected for cell in cells)


# The 99.99% quantile of chi-square at 4, 6, 9, 22 degrees of freedom (deterministic: seeds are fixed).
LIMITS = {5: 23.5, 7: 27.9, 10: 33.7, 23: 55.0}


@pytest.mark.parametrize("level", ["p5l4", "p7l4", "p10l4", "p10l8", "p23l2", "p23l3", "p23l4", "p23l16"])
@pytest.mark.cases(2)
def test_every_answer_is_equally_likely(level):
    p = FAMILY.levels[level].axes["p"]
    counts = Counter(make_instance(FAMILY, level, "symbol", 21, index).gold for index in range(3_000))
    assert chi_square(counts, [str(answer) for answer in range(p)]) < LIMITS[p]


def test_operations_and_left_sizes_are_nearly_uniform_where_no_table_is_used():
    signs, sizes = Counter(), Counter()
    for index in range(3_000):
        tree, _ = read(make_instance(FAMILY, "p23l8", "symbol", 23, index).question)
        signs.update(part[0] for part in parts(tree))
        sizes[len(list(parts(tree[1])))] += 1
    assert all(0.25 < signs[sign] / signs.total() < 0.4 for sign in "+-*")
    assert all(0.08 < sizes[left] / 3_000 < 0.17 for left in range(8))


@pytest.mark.parametrize("level", [level for level, channel in CELLS if channel == "symbol"])
def test_no_product_has_a_factor_0(level):
    for index in range(60):
        tree, p = read(make_instance(FAMILY, level, "symbol", 24, index).question)
        if len(list(parts(tree))) > 1:
            for sign, a, b in parts(tree):
                assert sign != "*" or (value(a) % p and value(b) % p)


def row(tree):
    """Return an expression's numbers and operators from left to right, as one reads them without brackets."""
    if isinstance(tree, int):
        return [tree]
    return [*row(tree[1]), tree[0], *row(tree[2])]


def flat(tree):
    """Return the row as Python would work it out: products first."""
    return from_infix(ast.parse(" ".join(map(str, row(tree))), mode="eval").body)


def leftwards(tree):
    first, *rest = row(tree)
    for sign, number in zip(rest[::2], rest[1::2], strict=True):
        first = (sign, first, number)
    return first


def rightwards(tree):
    *rest, last = row(tree)
    for sign, number in zip(rest[1::2][::-1], rest[::2][::-1], strict=True):
        last = (sign, number, last)
    return last


def renumbered(tree, numbers):
    """Return the tree with other numbers, from left to right."""
    if isinstance(tree, int):
        return next(numbers)
    return (tree[0], renumbered(tree[1], numbers), renumbered(tree[2], numbers))


@pytest.mark.parametrize("level", ["p23l4", "p23l6", "p23l8", "p23l13", "p5l6", "p10l4", "p23l4-prefix"])
def test_brackets_cannot_be_ignored(level):
    """With other numbers, large ones, the value differs from all readings without brackets."""
    for index in range(150):
        tree, _ = read(make_instance(FAMILY, level, "symbol", 26, index).question)
        other = renumbered(tree, (pow(5, 2 * at + 7, 1_000_003) for at in range(99)))
        assert value(other) not in [value(reading(other)) for reading in (leftwards, rightwards, flat)]


@pytest.mark.parametrize("level", ["p23l2", "p23l3", "p23l2-prefix"])
def test_of_few_brackets_no_reading_is_likelier_than_its_share(level):
    n, share = 800, 1 / {2: 2, 3: 5}[FAMILY.levels[level].axes["l"]]
    trees = [read(make_instance(FAMILY, level, "symbol", 27, index).question)[0] for index in range(n)]
    for reading in (leftwards, rightwards):
        alike = sum(reading(tree) == tree for tree in trees)
        assert abs(alike / n - share) < 4.5 * (share * (1 - share) / n) ** 0.5


@pytest.mark.parametrize(("level", "channel"), [cell for cell in CELLS if cell[0] not in TOKENS])
@pytest.mark.cases(2)
def test_no_shortcut_pays(level, channel):
    n = 300
    made = [make_instance(FAMILY, level, channel, 28, index) for index in range(n)]
    for style in ("direct", "choice"):
        share = FAMILY.chance(FAMILY.levels[level], style)
        for rule in FAMILY.shortcuts:
            earned = sum(rule.answer(item, style) == item.gold for item in made) / n
            assert earned < share + 0.05 + 3 * (share * (1 - share) / n) ** 0.5, rule.name


def test_the_old_reading_from_left_to_right_is_at_chance_from_four_operations_on():
    rule = next(rule for rule in FAMILY.shortcuts if rule.name == "left to right")
    for level in ("p23l4", "p23l6", "p23l8"):
        made = [make_instance(FAMILY, level, "symbol", 29, index) for index in range(2_000)]
        assert sum(rule.answer(item, "direct") == item.gold for item in made) / 2_000 < 0.07


def test_the_example_is_a_number_that_is_not_the_answer():
    for level, channel in CELLS:
        item = make_instance(FAMILY, level, channel, 30, 1)
        asked = FAMILY.instruction(item, "cot")
        assert asked.endswith(f"Answer: {item.facts['example']}")
        assert item.facts["example"] != item.gold
        assert 0 <= int(item.facts["example"]) < item.facts["modulus"]
        assert "<" not in asked


@pytest.mark.parametrize("level", TOKENS)
def test_the_token_form_is_a_document_of_the_corpus_without_its_answer(level):
    corpus = find_corpus("mano")
    vocabulary = corpus.vocabulary(read_options(corpus, {"modulus": 23, "operations": 16}))
    for index in range(100):
        item = make_instance(FAMILY, level, "symbol", 31, index)
        mark, *prefix, sign = item.question.split()
        assert (mark, sign) == ("Value:", "=")
        assert {*item.question.split(), item.gold} <= set(vocabulary)
        tree = from_prefix(list(prefix))
        assert len(list(parts(tree))) == FAMILY.levels[level].axes["l"]
        assert str(value(tree) % 23) == item.gold
        assert pose(FAMILY, item, "trained") == item.question
        for text in (f" {item.gold}", f"{item.gold} <end> Value: + 1 2 = 3", item.gold):
            assert grade(FAMILY, item, text).correct
        for text in ("", "<end>", "= 3", f"{item.gold}7x", f"Answer: {item.gold}"):
            assert grade(FAMILY, item, text).label == "no_answer"
        assert grade(FAMILY, item, f" {(int(item.gold) + 1) % 23}").label in FAMILY.labels


def test_the_token_form_is_drawn_as_the_corpus_draws():
    """Numbers and operators are uniform, as are left sizes; 0 is the likeliest value."""
    numbers, signs, sizes, values = Counter(), Counter(), Counter(), Counter()
    for index in range(3_000):
        item = make_instance(FAMILY, "tokens-l10", "symbol", 32, index)
        tree = from_prefix(item.question.split()[1:-1])
        numbers.update(row(tree)[::2])
        signs.update(part[0] for part in parts(tree))
        sizes[len(list(parts(tree[1])))] += 1
        values[item.gold] += 1
    assert chi_square(numbers, range(23)) < LIMITS[23]
    assert chi_square(signs, "+-*") < 18.5
    assert chi_square(sizes, range(10)) < LIMITS[10]
    assert values.most_common(1)[0][0] == "0"


def test_zero_does_not_swallow_the_products():
    counts = Counter()
    for index in range(2_000):
        tree, p = read(make_instance(FAMILY, "p23l16", "symbol", 24, index).question)
        counts.update(value(part) % p for part in parts(tree))
    assert 0.02 < counts[0] / sum(counts.values()) < 0.06  # 1/23 is 0.043


def test_candidates_of_few_operations_are_the_values_of_other_bracketings():
    for index in range(200):
        item = make_instance(FAMILY, "p23l2", "symbol", 35, index)
        tree, p = read(item.question)
        assert {str(value(reading(tree)) % p) for reading in (leftwards, rightwards)} <= set(item.choices)


def test_candidates_are_answers_in_random_order():
    for level, n in (("p5l4", 5), ("p7l4", 7), ("p10l4", 8), ("p23l4", 8)):
        p, others = FAMILY.levels[level].axes["p"], Counter()
        for index in range(1_500):
            item = make_instance(FAMILY, level, "symbol", 25, index)
            assert len(item.choices) == n
            others.update((int(choice) - int(item.gold)) % p for choice in item.choices if choice != item.gold)
        assert chi_square(others, range(1, p)) < LIMITS[p]


def label(level, index, answer):
    return grade(FAMILY, make_instance(FAMILY, level, "symbol", 26, index), str(answer)).label


@pytest.mark.parametrize("level", ["p23l1", "p23l3", "p23l6", "p5l4", "p10l8"])
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


@pytest.mark.parametrize("level", ["p23l2", "p10l4", "p5l6"])
def test_copying_the_first_or_last_number_does_not_pay(level):
    chance = FAMILY.chance(FAMILY.levels[level], "direct")
    hits = Counter()
    for index in range(3_000):
        item = make_instance(FAMILY, level, "symbol", 29, index)
        shown = numbers(read(item.question)[0])
        hits["first"] += shown[0] == int(item.gold)
        hits["last"] += shown[-1] == int(item.gold)
    assert max(hits.values()) / 3_000 < chance + 3 * (chance / 3_000) ** 0.5

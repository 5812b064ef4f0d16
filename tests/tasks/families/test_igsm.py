import ast
import re
from collections import Counter
from operator import add, mul, sub

import pytest

from fathom.tasks.arithmetic.puzzle import MOST_ITEMS
from fathom.tasks.arithmetic.word_problem import WORD_GROUPS
from fathom.tasks.base import channels_of, demonstrate, grade, make_instance
from fathom.tasks.families.igsm import FAMILY, OPERATION_COUNTS, REASKED, SIDE_OPS

CELLS = [(level, channel) for level in FAMILY.levels for channel in channels_of(FAMILY, FAMILY.levels[level])]
EACH = 40  # items per cell, fewer of the long ones: 28 levels x 2 channels x 40 + 5 x 2 x 6 = 2,300


def each(level):
    return EACH if FAMILY.levels[level].hardness <= 40 else 6


SIGNS = {ast.Add: add, ast.Sub: sub, ast.Mult: mul}


def arithmetic(text, values=None):
    """Work out sums, differences and products of whole numbers and of v[name]."""

    def work(node):
        if isinstance(node, ast.BinOp):
            return SIGNS[type(node.op)](work(node.left), work(node.right))
        return values[node.slice.value] if isinstance(node, ast.Subscript) else node.value

    return work(ast.parse(text, mode="eval").body)


class Unsolvable(Exception):
    pass


class Text:
    """A problem as read from its text: expressions in Python, one name a parameter."""

    def __init__(self, question):
        self.formulas, self.totals = {}, {}
        if " = " in question:
            self.statements = re.findall(r"[A-Z]{2} = [^.]+\.", question)
            self.query = re.search(r"What is ([A-Z]{2})\?", question)[1]
        else:
            self.statements = re.findall(r"The number of \w+ in [^.]+? is [^.]+\.", question)
            self.query = re.search(r"What is the (?:total )?number of ([^?]+)\?", question)[1]
            pairs = re.findall(r"(?:^|(?<=\. ))(\w+): ([^.]+)\.", question, re.MULTILINE)
            self.groups = {group.lower(): kinds.split(", ") for group, kinds in pairs}
            self.inside = {
                holder[0].lower() + holder[1:] if holder.startswith("Each") else holder: re.split(r", | and ", kinds)
                for holder, kinds in re.findall(r"(Each \w+|\w+) contains ([^.]+)\.", question)
                if holder != "else"
            }
        for statement in self.statements:
            self.learn(statement)

    def learn(self, statement):
        if "=" in statement:
            name, _, text = statement[:-1].partition(" = ")
            self.formulas[name] = (re.findall(r"[A-Z]{2}", text), re.sub(r"([A-Z]{2})", r"v['\1']", text))
            return
        name, text = re.fullmatch(r"The number of (\w+ in (?:each )?\w+) is (.+)\.", statement).groups()
        inputs = re.findall(r"number of (\w+ in (?:each )?\w+)", text)
        text = re.sub(r"the (?:total )?number of (\w+ in (?:each )?\w+)", r"v['\1']", text)
        self.formulas[name] = (inputs, self.python(text))

    def python(self, text):
        if found := re.fullmatch(r"(\d+) more than (.+)", text):
            return f"{self.python(found[2])} + {found[1]}"
        if found := re.fullmatch(r"(\d+) fewer than (.+)", text):
            return f"{self.python(found[2])} - {found[1]}"
        if found := re.fullmatch(r"(\d+) times (.+)", text):
            return f"{found[1]} * ({self.python(found[2])})"
        if found := re.fullmatch(r"the sum of (.+)", text):
            return re.sub(r", | and ", " + ", found[1])
        if found := re.fullmatch(r"the product of (.+) and (.+)", text):
            return f"{found[1]} * {found[2]}"
        if found := re.fullmatch(r"(?:the result of )?(v\S+ in [^]]+\]) minus (v\S+ in [^]]+\])", text):
            return f"{found[1]} - {found[2]}"
        assert re.fullmatch(r"\d+|v\['[^']+'\]", text), text
        return text

    def formula(self, name):
        """Return (inputs, expression) of a parameter; totals follow from what contains what."""
        if name in self.formulas:
            return self.formulas[name]
        if not getattr(self, "groups", None):
            raise Unsolvable(name)
        held, holder = name.split(" in ")
        if held not in self.groups or holder not in self.inside:
            raise Unsolvable(name)
        kinds = self.inside[holder]
        if kinds[0] in self.groups[held]:
            inputs = [f"{kind} in {holder}" for kind in kinds]
            return inputs, " + ".join(f"v['{one}']" for one in inputs)
        inputs = [name for kind in kinds for name in (f"{kind} in {holder}", f"{held} in each {self.singular(kind)}")]
        pairs = zip(inputs[::2], inputs[1::2], strict=True)
        return inputs, " + ".join(f"v['{a}'] * v['{b}']" for a, b in pairs)

    def singular(self, kind):
        return next(h[5:] for h in self.inside if h.startswith("each ") and plural(h[5:]) == kind)

    def solve(self, name, values):
        """Work out a parameter by recursion; `values` gathers all that it needs."""
        if name not in values:
            inputs, text = self.formula(name)
            for one in inputs:
                self.solve(one, values)
            values[name] = arithmetic(text, values) % 23
        return values[name]

    def op(self, values):
        """Count the binary operations of all that was worked out; a plain number has none."""
        return sum(len(re.findall(r" [-+*] ", self.formula(name)[1])) for name in values)


def plural(word):
    if word.endswith(("ch", "s")) or word == "mango":
        return word + "es"
    return word[:-1] + "ies" if word.endswith("y") and word[-2] not in "aeiou" else word + "s"


def read(item):
    text = Text(item.question)
    values = {}
    text.solve(text.query, values)
    return text, values


@pytest.mark.parametrize(("level", "channel"), CELLS)
def test_answer_and_op_follow_from_the_text_alone(level, channel):
    for index in range(each(level)):
        item = make_instance(FAMILY, level, channel, 11, index)
        text, values = read(item)
        assert str(values[text.query]) == item.gold
        assert text.op(values) == FAMILY.levels[level].axes["op"] == item.facts["op"]
        assert list(values)[-1] == text.query == item.facts["query"]


@pytest.mark.parametrize(("level", "channel"), CELLS)
def test_what_is_unneeded_can_go_and_what_is_needed_cannot(level, channel):
    for index in range(4 if FAMILY.levels[level].axes["op"] <= 50 else 1):
        item = make_instance(FAMILY, level, channel, 12, index)
        text, values = read(item)
        for statement in text.statements:
            smaller = Text(item.question.replace(statement, "", 1))
            name = re.match(r"(?:The number of )?(.+?) (?:=|is) ", statement)[1]
            if name in values:
                with pytest.raises(Unsolvable):
                    smaller.solve(text.query, {})
            else:
                assert str(smaller.solve(text.query, {})) == item.gold


@pytest.mark.parametrize(("level", "channel"), CELLS)
def test_no_needed_product_has_a_factor_0(level, channel):
    for index in range(each(level)):
        text, values = read(make_instance(FAMILY, level, channel, 31, index))
        for name in values:
            for pair in re.findall(r"v\['([^']+)'\] \* v\['([^']+)'\]", text.formula(name)[1]):
                assert all(values[one] for one in pair)


def moving(text, values):
    """Return the parameters that change the answer when they are larger by 1."""
    return [name for name in values if text.solve(text.query, {name: values[name] + 1}) != values[text.query]]


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_nearly_every_needed_parameter_moves_the_answer(channel):
    """Sums that cancel and factors of 0 are kept out; a few slopes are 0 by luck."""
    needed = moved = 0
    for index in range(40):
        text, values = read(make_instance(FAMILY, "op12", channel, 32, index))
        needed += len(values)
        moved += len(moving(text, values))
    assert moved > 0.9 * needed


@pytest.mark.parametrize("level", ["op2", "op4", "op4-bare", "op6"])
@pytest.mark.parametrize("channel", FAMILY.channels)
@pytest.mark.cases(2)
def test_no_shortcut_pays(level, channel):
    made = [make_instance(FAMILY, level, channel, 33, index) for index in range(700)]
    for style in ("direct", "choice"):
        share = FAMILY.chance(FAMILY.levels[level], style)
        for rule in FAMILY.shortcuts:
            earned = sum(rule.answer(item, style) == item.gold for item in made) / len(made)
            assert earned < share + 0.05 + 3 * (share / len(made)) ** 0.5, rule.name


def test_the_example_shows_the_form_and_is_never_the_answer():
    for channel in FAMILY.channels:
        for index in range(100):
            item = make_instance(FAMILY, "op4", channel, 34, index)
            asked = FAMILY.instruction(item, "cot")
            assert asked.endswith(f"Answer: {item.facts['example']}")
            assert 0 <= int(item.facts["example"]) <= 22
            assert item.facts["example"] != item.gold
            assert "<" not in asked


@pytest.mark.parametrize(("level", "channel"), CELLS)
def test_unneeded_parameters_are_the_stated_share(level, channel):
    axes = FAMILY.levels[level].axes
    for index in range(each(level) // 2):
        item = make_instance(FAMILY, level, channel, 13, index)
        text = Text(item.question)
        core = {}
        text.solve(item.facts.get("original", item.facts)["query"], core)
        n_all = len(item.facts["parameters"])
        assert n_all - len(core) == (len(core) * axes["unneeded"] + 50) // 100
        if channel == "symbol":
            assert len(text.statements) == n_all


@pytest.mark.parametrize("op", SIDE_OPS)
@pytest.mark.parametrize("channel", FAMILY.channels)
def test_reask_asks_inside_a_problem_made_for_a_longer_query(op, channel):
    for index in range(30):
        item = make_instance(FAMILY, f"op{op}-reask", channel, 14, index)
        text, values = read(item)
        first = item.facts["original"]["query"]
        whole = {}
        text.solve(first, whole)
        assert text.op(whole) == REASKED[op] == item.facts["original"]["op"]
        assert set(values) < set(whole)
        assert first != text.query


def test_levels_are_those_of_the_design():
    assert OPERATION_COUNTS == (1, 2, 4, 6, 8, 10, 12, 15, 18, 21, 25, 30, 40, 50, 70, 100, 140, 200)
    ladders = Counter(level.ladder for level in FAMILY.levels.values())
    assert ladders == {"main": 18, "bare": 4, "crowded": 4, "question-first": 4, "reask": 4}


@pytest.mark.parametrize(
    ("level", "channel"), [("op2", "symbol"), ("op4", "story"), ("op12", "symbol"), ("op10-reask", "story")]
)
def test_answers_are_uniform(level, channel):
    n = 2_300
    counts = Counter(make_instance(FAMILY, level, channel, 15, index).gold for index in range(n))
    assert len(counts) == 23
    assert sum((count - n / 23) ** 2 / (n / 23) for count in counts.values()) < 60  # 22 degrees of freedom: p = 2e-5


@pytest.mark.parametrize(("level", "channel"), [("op4", "symbol"), ("op4-bare", "story"), ("op8", "symbol")])
def test_copying_a_shown_number_does_not_pay(level, channel):
    n, hits = 1_500, 0.0
    for index in range(n):
        item = make_instance(FAMILY, level, channel, 16, index)
        shown = [node["args"][0] for node in item.facts["parameters"].values() if node["op"] == "constant"]
        hits += shown.count(int(item.gold)) / len(shown)
    assert hits / n < 1 / 23 + 4 * (1 / 23 / n) ** 0.5


def test_no_word_names_two_kinds():
    groups = [group for layer in WORD_GROUPS for group in layer]
    words = [word for name, pool in groups for word in (name, *(many for _, many in pool))]
    assert all(len(pool) == MOST_ITEMS for _, pool in groups)
    assert len(set(words)) == len(words)
    assert all(plural(one) == many for _, pool in groups for one, many in pool)


def test_question_first_puts_the_question_first():
    for channel in FAMILY.channels:
        first = make_instance(FAMILY, "op10-question-first", channel, 1, 0).question.splitlines()
        last = make_instance(FAMILY, "op10", channel, 1, 0).question.splitlines()
        assert first[0].startswith("What is ")
        assert last[-1].startswith("What is ")


def steps_of(item):
    return FAMILY.solution(item).splitlines()


def graded(item, lines, answer):
    return grade(FAMILY, item, "\n".join([*lines, f"Answer: {answer}"]))


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_each_label_is_reached(channel):
    for index in range(20):
        item = make_instance(FAMILY, "op12", channel, 17, index)
        steps, gold = steps_of(item), int(item.gold)
        wrong = (gold + 1) % 23
        off = re.sub(r"\d+$", lambda found: str((int(found[0]) + 3) % 23), steps[2])
        verdict = graded(item, [*steps[:2], off, *steps[3:]], wrong)
        assert (verdict.label, verdict.at) == ("arithmetic", 3)
        verdict = graded(item, steps[-1:], wrong)
        assert (verdict.label, verdict.at) == ("not_ready", 1)
        strange = next(code for code in ("BB", "CC", "DD") if code not in item.question)
        verdict = graded(item, [steps[0], f"{strange if channel == 'symbol' else 'nails in each hall'} = 5"], wrong)
        assert (verdict.label, verdict.at) == ("unknown_parameter", 2)
        assert graded(item, steps[:3], wrong).label == "unneeded_only"
        assert graded(item, steps, gold + 23).label == "wrong_modulus"
        assert graded(item, [], gold - 23).label == "wrong_modulus"
        assert graded(item, steps, wrong).label == graded(item, [], wrong).label == "other"
        assert graded(item, steps, "unclear").label == "no_answer"
        right = graded(item, [off], gold)
        assert (right.correct, right.label) == (True, "correct")


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_unneeded_steps_are_counted(channel):
    item = make_instance(FAMILY, "op10-crowded", channel, 18, 0)
    text, values = read(item)
    spare = [name for name in text.formulas if name not in values][:2]
    both = {}
    for name in (*spare, text.query):
        text.solve(name, both)
    lines = [f"{name} = {value}" for name, value in both.items()]
    n_spare = len(set(both) - set(values))
    verdict = graded(item, lines, item.gold)
    assert verdict.correct
    assert verdict.note == f"{n_spare} unneeded steps"
    assert verdict.at is None


@pytest.mark.parametrize(("level", "channel"), CELLS)
def test_the_written_solution_reads_without_a_fault(level, channel):
    for index in range(10):
        item = make_instance(FAMILY, level, channel, 19, index)
        verdict = grade(FAMILY, item, demonstrate(FAMILY, item, "cot"))
        assert verdict.correct
        assert (verdict.at, verdict.note) == (None, "")
        _, values = read(item)
        assert len(steps_of(item)) == len(values)

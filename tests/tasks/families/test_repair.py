import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest

from fathom.tasks.base import channels_of, demonstrate, grade, make_instance
from fathom.tasks.families.repair import CHECK_TASKS, FAMILY, MOST_LINES, RETRY_OPS, STEP_COUNTS

SPEC = importlib.util.spec_from_file_location("igsm_text", Path(__file__).with_name("test_igsm.py"))
igsm_text = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(igsm_text)

ASKED = [level for level in FAMILY.levels.values() if level.ladder not in RETRY_OPS]
CELLS = [(level.name, channel) for level in ASKED for channel in channels_of(FAMILY, level)]
IN_STEPS = [cell for cell in CELLS if not cell[0].startswith("mano")]


def each(level):
    """Return how many items of a level are solved: 2,400 over all cells, few of the long ones."""
    return 80 if FAMILY.levels[level].hardness <= 25 else 12


def written(item):
    return [line.partition(". ")[2] for line in item.question.splitlines() if re.match(r"\d+\. ", line)]


def problem(item):
    return igsm_text.Text(item.question.partition("\nA written solution:\n")[0])


def plain(text):
    """Return the parameters that the problem states as numbers."""
    return {name: int(formula) for name, (inputs, formula) in text.formulas.items() if not inputs}


def read_step(line):
    name, calculation, value = line.split(" = ")
    return name, calculation, int(value)


def alike(one, other):
    """Say whether two calculations are the same but for the order of a sum's or product's numbers."""
    (a, sign, b), (c, other_sign, d) = one.split(), other.split()
    return sign == other_sign and ((a, b) == (c, d) or (sign != "-" and (a, b) == (d, c)))


def wrong_steps(item):
    """Return {step: right number, or None where only the order is wrong}, from the text alone."""
    text = problem(item)
    said, wrong = plain(text), {}
    for at, line in enumerate(written(item), 1):
        name, calculation, value = read_step(line)
        inputs, formula = text.formula(name)
        if not set(inputs) <= set(said):
            wrong[at] = None
        else:
            demanded = re.sub(r"v\['([^']+)'\]", lambda found: str(said[found[1]]), formula)
            demanded = re.sub("[()]", "", demanded)  # around a parameter alone
            right = igsm_text.arithmetic(formula, said) % 23
            if right != value or not alike(calculation, demanded):
                wrong[at] = right
        said[name] = value
    return wrong


def wrong_lines(item):
    before = re.search(r"line by line: (.+)", item.question)[1]
    wrong = {}
    for at, line in enumerate(written(item), 1):
        follow = {
            before[: found.start()] + str(igsm_text.arithmetic(found[0]) % 23) + before[found.end() :]
            for found in re.finditer(r"\(\d+ [-+*] \d+\)", before)
        } or {str(igsm_text.arithmetic(before) % 23)}
        if line not in follow:
            wrong[at] = None
        before = line
    return wrong


@pytest.mark.parametrize(("level", "channel"), CELLS)
def test_the_one_wrong_step_follows_from_the_text_alone(level, channel):
    axes = FAMILY.levels[level].axes
    for index in range(each(level)):
        item = make_instance(FAMILY, level, channel, 11, index)
        wrong = wrong_lines(item) if axes["task"] == "mano" else wrong_steps(item)
        assert len(written(item)) == axes["op"] == len(item.facts["steps"])
        assert list(wrong) == ([item.facts["first_bad"]] if item.facts["first_bad"] else [])
        gold = next((f"{at}: {right}" if axes["task"] == "mend" else str(at) for at, right in wrong.items()), "none")
        assert item.gold == gold


@pytest.mark.parametrize(("level", "channel"), IN_STEPS)
def test_a_step_is_one_operation_and_a_stated_number_needs_none(level, channel):
    for index in range(each(level) // 8):
        text = problem(make_instance(FAMILY, level, channel, 12, index))
        values = {}
        text.solve(text.query, values)
        assert text.op(values) == len(values.keys() - plain(text).keys()) == FAMILY.levels[level].axes["op"]


@pytest.mark.parametrize(("level", "channel"), IN_STEPS)
def test_every_step_is_right_in_itself_with_numbers_that_were_given(level, channel):
    for index in range(each(level) // 4):
        item = make_instance(FAMILY, level, channel, 21, index)
        given = {int(number) for statement in problem(item).statements for number in re.findall(r"\b\d+\b", statement)}
        for line in written(item):
            _, calculation, value = read_step(line)
            assert igsm_text.arithmetic(calculation) % 23 == value
            assert {int(number) for number in re.findall(r"\d+", calculation)} <= given
            given.add(value)


@pytest.mark.parametrize("level", [level for level, _ in CELLS if level.startswith("mano")])
def test_a_wrong_line_replaces_one_bracket_by_a_number_as_a_right_line_does(level):
    for index in range(each(level) // 2):
        item = make_instance(FAMILY, level, "symbol", 21, index)
        before = re.search(r"line by line: (.+)", item.question)[1]
        for line in written(item):
            brackets = [*re.finditer(r"\(\d+ [-+*] \d+\)", before)] or [re.fullmatch(r".+", before)]
            assert any(
                re.fullmatch(rf"{re.escape(before[: one.start()])}\d+{re.escape(before[one.end() :])}", line)
                for one in brackets
            )
            before = line


@pytest.mark.parametrize(
    ("level", "channel"), [("find-op2", "symbol"), ("find-op2", "story"), ("find-op4", "symbol"), ("find-op8", "story"),
                           ("mend-op2", "symbol"), ("mend-op8", "symbol"), ("mano-op4", "symbol"), ("mano-op8", "symbol")]
)  # fmt: skip
@pytest.mark.cases(2)
def test_no_shortcut_pays(level, channel):
    n = 900
    made = [make_instance(FAMILY, level, channel, 22, index) for index in range(n)]
    for style in ("direct", "choice"):
        share = FAMILY.chance(FAMILY.levels[level], style)
        for rule in FAMILY.shortcuts:
            if style in rule.styles:
                earned = sum(rule.answer(item, style) == item.gold for item in made) / n
                assert earned < share + 0.05 + 2 * (share * (1 - share) / n) ** 0.5, rule.name


def test_checking_each_steps_own_arithmetic_finds_no_mistake():
    rule = next(rule for rule in FAMILY.shortcuts if rule.name == "own arithmetic")
    for level in ("find-op2", "find-op12", "mend-op8", "mano-op8"):
        assert {rule.answer(make_instance(FAMILY, level, "symbol", 23, index), "direct") for index in range(200)} == {
            "none"
        }


def test_a_wrong_step_has_the_same_operators_as_a_right_one():
    right, wrong = Counter(), Counter()
    for index in range(2_500):
        item = make_instance(FAMILY, "find-op4", "symbol", 24, index)
        for at, line in enumerate(written(item), 1):
            sign = read_step(line)[1].split()[1]
            (wrong if at == item.facts["first_bad"] else right)[sign] += 1
    for sign in "+-*":
        assert abs(right[sign] / right.total() - wrong[sign] / wrong.total()) < 0.05


def test_prompts_show_a_form_that_is_no_answer():
    for level, channel in CELLS:
        item = make_instance(FAMILY, level, channel, 25, 1)
        asked = FAMILY.instruction(item, "cot")
        assert asked.endswith(f"Answer: {item.facts['example']}")
        assert int(item.facts["example"].partition(":")[0]) > FAMILY.levels[level].axes["op"]
        assert grade(FAMILY, item, item.facts["example"]).correct is False
        assert "<" not in asked + item.question
        assert "alone" not in item.question
        assert "Answer:" not in FAMILY.instruction(item, "direct")


def test_levels_are_three_tasks_over_the_number_of_steps():
    assert STEP_COUNTS == (2, 4, 8, 12, 18, 25, 35, 50, 70, 100)
    first, *others = [level.name for level in ASKED]
    assert first == "find-op1"
    assert others == [
        f"{task}-op{op}" for task in CHECK_TASKS for op in STEP_COUNTS if task != "mano" or op <= MOST_LINES
    ]
    assert Counter(level.ladder for level in ASKED) == {"main": 11, "mano": 8, "mend": 10}


@pytest.mark.parametrize(
    ("level", "channel"),
    [
        ("find-op1", "symbol"),
        ("find-op4", "symbol"),
        ("find-op8", "story"),
        ("mano-op8", "symbol"),
        ("mend-op4", "story"),
    ],
)
@pytest.mark.cases(2)
def test_places_and_none_are_equally_likely(level, channel):
    n, answers = 1_500, FAMILY.levels[level].axes["op"] + 1
    counts = Counter(make_instance(FAMILY, level, channel, 13, index).facts["first_bad"] for index in range(n))
    assert len(counts) == answers
    assert sum((count - n / answers) ** 2 / (n / answers) for count in counts.values()) < 5 * answers + 12


def test_every_fault_occurs_and_has_its_mark():
    kinds = Counter()
    for level in ("find-op12", "mano-op12", "mend-op12"):
        for index in range(300):
            facts = make_instance(FAMILY, level, "symbol", 14, index).facts
            kinds[facts["task"], facts["fault"]] += 1
            assert (facts["fault"] == "none") == (facts["first_bad"] is None)
            assert (facts["right"] is None) == (facts["fault"] in ("none", "order"))
    assert set(kinds) == {
        *[("find", kind) for kind in ("none", "constant", "operator", "input", "order")],
        *[("mano", kind) for kind in ("none", "operator", "input")],
        *[("mend", kind) for kind in ("none", "constant", "operator", "input")],
    }
    assert min(kinds.values()) >= 3


def test_a_wrong_number_is_one_that_the_solution_does_not_need():
    """So no number is used more often than the problem gives it."""
    seen = 0
    for index in range(300):
        item = make_instance(FAMILY, "find-op8", "symbol", 15, index)
        text, needed = problem(item), {}
        text.solve(text.query, needed)
        if item.facts["fault"] == "constant":
            seen += 1
            bad = read_step(written(item)[item.facts["first_bad"] - 1])[1]
            spare = [text.formulas[name][1] for name in text.formulas if name not in needed]
            spare = {int(number) for formula in spare for number in re.findall(r"\b\d+\b", formula)}
            assert spare & {int(number) for number in re.findall(r"\d+", bad)}
    assert seen > 30


@pytest.mark.parametrize("level", ["mend-op8", "mend-op12"])
def test_a_candidate_is_not_betrayed_by_where_its_number_occurs(level):
    n, share = 800, 1 / 8
    hits = Counter()
    for index in range(n):
        item = make_instance(FAMILY, level, "symbol", 16, index)
        stated = [int(one) for text in problem(item).statements for one in re.findall(r"\b\d+\b", text)]
        shown = [step[2] for step in item.facts["steps"]]
        numbers = {choice: int(choice.split(": ")[1]) for choice in item.choices if choice != "none"}
        for cue, known in (("stated", stated), ("shown", shown)):
            for inside in (True, False):
                fitting = [choice for choice, number in numbers.items() if (number in known) == inside] or item.choices
                hits[cue, inside] += (item.gold in fitting) / len(fitting)
    assert max(hits.values()) / n < share + 4.5 * (share / n) ** 0.5


def sample(task, wanted, op=8):
    items = (make_instance(FAMILY, f"{task}-op{op}", "symbol", 17, index) for index in range(500))
    return next(item for item in items if wanted(item.facts))


def label(item, answer):
    return grade(FAMILY, item, f"I look at each step.\nAnswer: {answer}").label


@pytest.mark.parametrize("task", ["find", "mano"])
def test_each_label_of_finding(task):
    item = sample(task, lambda facts: facts["first_bad"] == 5)
    answers = {
        "none": "missed",
        "4": "too_early",
        "6": "too_late",
        "Step 5": "correct",
        "0": "not_a_step",
        "9": "not_a_step",
    }
    answers |= {
        "5, 6": "no_answer",
        "all": "no_answer",
        "5: 3": "correct",
        "step five": "correct",
        "-5": "not_a_step",
    }
    assert {answer: label(item, answer) for answer in answers} == answers
    item = sample(task, lambda facts: facts["first_bad"] is None)
    assert label(item, "5") == "false_alarm"
    assert label(item, "9") == "not_a_step"
    assert label(item, "None.") == "correct"


def test_each_label_of_mending():
    item = sample("mend", lambda facts: facts["first_bad"] == 5)
    right = item.facts["right"]
    answers = {
        "none": "missed", f"4: {right}": "too_early", f"6: {right}": "too_late", f"5: {(right + 1) % 23}": "wrong_value",
        f"5: {right + 23}": "wrong_value", f"Step 5 = {right}": "correct", f"9: {right}": "not_a_step", "5": "no_answer",
        f"5: {right} or {right + 1}": "no_answer",
    }  # fmt: skip
    assert {answer: label(item, answer) for answer in answers} == answers
    item = sample("mend", lambda facts: facts["first_bad"] is None)
    assert label(item, "5: 3") == "false_alarm"


@pytest.mark.parametrize(("level", "channel"), CELLS)
def test_the_written_check_ends_at_the_wrong_step(level, channel):
    for index in range(20):
        item = make_instance(FAMILY, level, channel, 18, index)
        lines = FAMILY.solution(item).splitlines()
        bad = item.facts["first_bad"]
        assert len(lines) == (bad or len(written(item)))
        assert [line.endswith("wrong.") for line in lines] == [at == bad for at in range(1, len(lines) + 1)]
        assert grade(FAMILY, item, demonstrate(FAMILY, item, "cot")).correct

import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest

from fathom.tasks.arithmetic.formula import numbers_in
from fathom.tasks.base import channels_of, demonstrate, grade, make_instance
from fathom.tasks.families.repair import CHECK_TASKS, FAMILY, RETRY_OPS, STEP_COUNTS

SPEC = importlib.util.spec_from_file_location("igsm_text", Path(__file__).with_name("test_igsm.py"))
igsm_text = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(igsm_text)

ASKED = [level for level in FAMILY.levels.values() if level.ladder not in RETRY_OPS]
CELLS = [(level.name, channel) for level in ASKED for channel in channels_of(FAMILY, level)]
EACH = 70  # items per cell: 30 cells x 70 = 2,100


def written(item):
    return [line.partition(". ")[2] for line in item.question.splitlines() if re.match(r"\d+\. ", line)]


def wrong_steps(item):
    """Return {step: right number, or None where only the order is wrong}, from the text alone."""
    problem, _, _ = item.question.partition("\nA written solution:\n")
    text = igsm_text.Text(problem)
    said, wrong = {}, {}
    for at, line in enumerate(written(item), 1):
        name, value = line.split(" = ")[0], int(line.split(" = ")[-1])
        inputs, formula = text.formula(name)
        if not set(inputs) <= set(said):
            wrong[at] = None
        else:
            right = igsm_text.arithmetic(formula, said) % 23
            if right != value:
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
    for index in range(EACH):
        item = make_instance(FAMILY, level, channel, 11, index)
        wrong = wrong_lines(item) if axes["task"] == "mano" else wrong_steps(item)
        assert len(written(item)) == axes["op"] == len(item.facts["steps"])
        assert list(wrong) == ([item.facts["first_bad"]] if item.facts["first_bad"] else [])
        gold = next((f"{at}: {right}" if axes["task"] == "mend" else str(at) for at, right in wrong.items()), "none")
        assert item.gold == gold


@pytest.mark.parametrize(("level", "channel"), [cell for cell in CELLS if not cell[0].startswith("mano")])
def test_a_step_is_one_operation(level, channel):
    for index in range(10):
        item = make_instance(FAMILY, level, channel, 12, index)
        text = igsm_text.Text(item.question.partition("\nA written solution:\n")[0])
        values = {}
        text.solve(text.query, values)
        assert text.op(values) == len(values) == FAMILY.levels[level].axes["op"]


def test_levels_are_three_tasks_over_the_number_of_steps():
    assert STEP_COUNTS == (2, 4, 8, 12, 18, 25)
    assert [level.name for level in ASKED] == [f"{task}-op{op}" for task in CHECK_TASKS for op in STEP_COUNTS]
    assert Counter(level.ladder for level in ASKED) == {"main": 6, "mano": 6, "mend": 6}


@pytest.mark.parametrize(
    ("level", "channel"), [("find-op4", "symbol"), ("find-op8", "story"), ("mano-op8", "symbol"), ("mend-op4", "story")]
)
def test_places_and_none_are_equally_likely(level, channel):
    n, answers = 1_500, FAMILY.levels[level].axes["op"] + 1
    counts = Counter(make_instance(FAMILY, level, channel, 13, index).facts["first_bad"] for index in range(n))
    assert len(counts) == answers
    assert sum((count - n / answers) ** 2 / (n / answers) for count in counts.values()) < 5 * answers + 12


def test_every_fault_occurs_and_has_its_mark():
    kinds = Counter()
    for level in ("find-op12", "mano-op12", "mend-op12"):
        for index in range(150):
            facts = make_instance(FAMILY, level, "symbol", 14, index).facts
            kinds[facts["task"], facts["fault"]] += 1
            assert (facts["fault"] == "none") == (facts["first_bad"] is None)
            assert (facts["right"] is None) == (facts["fault"] in ("none", "order", "copy"))
    assert set(kinds) == {
        *[("find", kind) for kind in ("none", "value", "operator", "input", "order")],
        *[("mano", kind) for kind in ("none", "value", "operator", "copy")],
        *[("mend", kind) for kind in ("none", "value", "operator", "input")],
    }
    assert min(kinds.values()) >= 3


def test_a_wrong_constant_is_a_number_of_the_problem():
    seen = 0
    for index in range(300):
        facts = make_instance(FAMILY, "find-op8", "symbol", 15, index).facts
        stated = [number for node in facts["parameters"].values() for number in numbers_in(node)]
        for name, _, value in facts["steps"]:
            if facts["parameters"][name]["op"] == "constant":
                seen += facts["parameters"][name]["args"] != [value]
                assert value in stated
    assert seen > 40


@pytest.mark.parametrize("level", ["mend-op8", "mend-op12"])
def test_a_candidate_is_not_betrayed_by_where_its_number_occurs(level):
    n, share = 800, 1 / 8
    hits = Counter()
    for index in range(n):
        item = make_instance(FAMILY, level, "symbol", 16, index)
        stated = [number for node in item.facts["parameters"].values() for number in numbers_in(node)]
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

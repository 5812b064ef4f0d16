import ast
import re
from operator import add, mul, sub
from time import process_time

import pytest

from fathom.tasks.arithmetic.retry import (
    BACK,
    MAX_STEPS,
    PROBLEM_KINDS,
    RetryCounts,
    pose_problem,
    read_retries,
    write_solution,
)
from fathom.tasks.base import demonstrate, grade, make_instance, pose
from fathom.tasks.families.repair import FAMILY, MAX_SOLUTION, RETRY_OPS
from fathom.tasks.stream import Stream

SIGNS = {ast.Add: add, ast.Sub: sub, ast.Mult: mul}
LEVELS = [level.name for level in FAMILY.levels.values() if level.ladder in RETRY_OPS]


def posed(kind, op, index):
    return pose_problem(kind, op, Stream("posed", kind, op, index))


def written(problem, rate, index):
    return write_solution(problem.facts, rate, Stream("written", str(rate), index))


def some(kind, count=60):
    for index in range(count):
        yield index, posed(kind, 2 + index % 7, index)


def arithmetic(text, values):
    """Work a calculation out by Python's own rules."""

    def work(node):
        if isinstance(node, ast.BinOp):
            return SIGNS[type(node.op)](work(node.left), work(node.right))
        return values[node.id] if isinstance(node, ast.Name) else node.value

    return work(ast.parse(text, mode="eval").body) % 23


def solve(question):
    """Work the question out from its text alone."""
    if "what is " in question:
        return arithmetic(question.split("what is ")[1].rstrip("?"), {})
    stated = dict(re.findall(r"([A-Z]{2}) = ([^.]+)\.", question))
    values = {}
    while len(values) < len(stated):
        ready = [
            name for name in stated if name not in values and set(re.findall("[A-Z]{2}", stated[name])) <= set(values)
        ]
        values |= {name: arithmetic(stated[name], values) for name in ready}
    return values[question[-3:-1]]


def without_wrong_starts(text):
    """Return what is left of a text when all that was taken back is struck out."""
    return "; ".join(part.split(f"{BACK} ")[-1] for part in text.split("; "))


@pytest.mark.parametrize("kind", PROBLEM_KINDS)
def test_the_answer_follows_from_the_question_alone(kind):
    for _, problem in some(kind, 200):
        assert solve(problem.question) == problem.answer
        assert "\n" not in problem.question


@pytest.mark.parametrize("kind", PROBLEM_KINDS)
@pytest.mark.parametrize("rate", [0, 0.1, 0.5])
def test_a_wrong_start_comes_before_a_step_at_the_error_rate(kind, rate):
    steps = starts = 0
    for index, problem in some(kind, 400):
        text = written(problem, rate, index)
        starts += text.count(BACK)
        steps += text.count("; ")
    expected = rate / (1 - rate)  # wrong starts in a row: a geometric number
    assert abs(starts / steps - expected) <= 4.5 * (expected / (1 - rate) / steps) ** 0.5


@pytest.mark.parametrize("kind", PROBLEM_KINDS)
def test_what_is_kept_is_the_plain_solution(kind):
    for index, problem in some(kind):
        plain = written(problem, 0, 0)
        assert BACK not in plain
        assert without_wrong_starts(written(problem, 0.5, index)) == plain
        assert plain.endswith(f"; the answer is {problem.answer}")
        assert plain.count("; ") == (problem.question.count(" = ") or len(re.findall("[-+*]", problem.question)))


@pytest.mark.parametrize("kind", PROBLEM_KINDS)
def test_every_kept_step_is_right_by_the_question_alone(kind):
    for _, problem in some(kind):
        values = {}
        for step in written(problem, 0, 0).split("; ")[:-1]:
            name, *parts = step.split(" = ") if kind == "igsm" else ["", *step.split(" = ")]
            assert {arithmetic(part, values) for part in parts} == {int(parts[-1])}
            values[name] = int(parts[-1])


@pytest.mark.parametrize("kind", PROBLEM_KINDS)
def test_the_reader_counts_what_was_written(kind):
    for index, problem in some(kind, 200):
        text = written(problem, 0.4, index)
        starts, steps = text.count(BACK), text.count("; ")
        assert read_retries(problem.facts, text) == RetryCounts(problem.answer, steps + starts, starts, starts, 0, None)


@pytest.mark.parametrize("kind", PROBLEM_KINDS)
def test_a_right_step_that_is_taken_back_is_needless(kind):
    for _, problem in some(kind):
        steps = written(problem, 0, 0).split("; ")
        first = steps[0]
        for start in (first, first.rpartition(" = ")[0]):
            text = "; ".join([f"{start} {BACK} {first}", *steps[1:]])
            assert read_retries(problem.facts, text) == RetryCounts(problem.answer, len(steps), 0, 0, 1, None)


@pytest.mark.parametrize("kind", PROBLEM_KINDS)
def test_a_wrong_start_that_is_not_taken_back_is_the_first_bad_step(kind):
    seen = 0
    for index, problem in some(kind, 120):
        text = written(problem, 0.3, index)
        at = text.find(f" {BACK} ")
        if at >= 0:
            seen += 1
            place = 1 + text.count("; ", 0, at)
            reading = read_retries(problem.facts, text[:at] + "; " + text[at + len(BACK) + 2 :])
            assert reading.first_bad == place
            # What it rests on being said, a step that was too early may now be right, and its taking back needless.
            assert reading.taken_back + reading.needless == text.count(BACK) - 1
            assert reading.wrong_starts == reading.taken_back + 1
    assert seen > 40


def test_steps_are_judged_by_the_numbers_that_were_written_before():
    facts = {
        "parameters": {"AB": {"op": "constant", "args": [4]}, "CD": {"op": "+", "args": [3, "AB"]}},
        "order": ["AB", "CD"],
    }
    bad = {
        "AB = 4; CD = 3 + AB = 3 + 4 = 7": None,
        "AB = 5; CD = 3 + AB = 3 + 5 = 8": 1,  # the second step follows from the first as written
        "AB = 4; CD = 3 + AB = 3 + 5 = 8": 2,
        "AB = 4; CD = 3 + AB = 3 + 4 = 8": 2,
        "AB = 4; CD = 2 + AB = 3 + 4 = 7": 2,
        "AB = 4; CD = 30": 2,  # congruent, but not reduced
        f"AB = 4; CD = 3 + AB{' ' * 400}+ 1 = 7": 2,  # read to its end
        "AB = 4; CD": 2,  # no number
        "AB = 4; CD = AB + EF = 7": 2,
        "AB = 4; EF = 7": 2,
        "CD = 3 + AB = 3 + 4 = 7; AB = 4": 1,
        "AB = 4 [BACK] CD = 3 + 4 = 7": 2,  # what was taken back is not known
        "we see that AB = 4": 1,
    }
    assert {text: read_retries(facts, f"{text}; the answer is 7").first_bad for text in bad} == bad
    facts = {"prefix": ["*", "+", "3", "4", "5"]}
    bad = {
        "3 + 4 = 7; 7 * 5 = 12": None,
        "3 + 4 = 8; 8 * 5 = 17": 1,
        "7 * 5 = 12; 3 + 4 = 7": 1,
        "3 + 4 = 7; 7 * 5 = 35": 2,
        "3 + 4 = 7; 7 * 4 = 5": 2,
        "3 + 4; 7 * 5 = 12": 1,
    }
    assert {text: read_retries(facts, f"{text}; the answer is 12").first_bad for text in bad} == bad


def test_the_answer_stands_at_the_end_and_alone():
    facts = {"prefix": ["+", "3", "4"]}
    answers = {
        "3 + 4 = 7; the answer is 7": 7,
        "So the answer is 7.": 7,
        "the answer is 9 [BACK] the answer is 7": 7,
        "the answer is 9; the answer is 7": None,
        "the answer is 7; 3 + 4 = 7": None,
        "the answer is 7 [BACK]": None,
        "the answer is 7, the answer is 8": None,
        "perhaps the answer is 9; the answer is 7": None,
        "3 + 4 = 7": None,
        "": None,
    }
    assert {text: read_retries(facts, text).answer for text in answers} == answers


@pytest.mark.parametrize("kind", PROBLEM_KINDS)
def test_hostile_text_is_read_in_bounded_time(kind):
    problem = posed(kind, 8, 0)
    texts = [
        BACK * 100_000, ";" * 1_000_000, "=" * 1_000_000, "(" * 1_000_000, "AB = " * 100_000, "AB;" * 100_000,
        "1 + 1 = 2;" * 100_000, "the answer is " * 100_000, "the answer is 7;" * 100_000, "9" * 1_000_000, "\0\ud800 [BACK]",
        "\N{ARABIC-INDIC DIGIT ONE} = \N{SUPERSCRIPT TWO}", "AB = \N{ARABIC-INDIC DIGIT ONE}", " " * 1_000_000, "[BACK",
    ]  # fmt: skip
    start = process_time()
    for text in texts:
        reading = read_retries(problem.facts, text)
        assert reading.answer is None
        assert reading.n_steps <= MAX_STEPS
        assert not grade(FAMILY, make_instance(FAMILY, "retry-op8", "symbol", 1, 0), text).correct
    assert process_time() - start < 30  # a quadratic reader takes hours


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.slow
def test_a_level_is_posed_as_the_corpus_poses_it_and_answered_by_the_plain_solution(level):
    op = FAMILY.levels[level].axes["op"]
    for index in range(20):
        item = make_instance(FAMILY, level, "symbol", 21, index)
        assert pose(FAMILY, item, "trained") == item.question
        assert solve(item.question) == int(item.facts["answer"])
        assert item.gold.count("=") >= op * (level.startswith("retry-mano"))
        verdict = grade(FAMILY, item, demonstrate(FAMILY, item, "trained"))
        assert (verdict.correct, verdict.at, verdict.note) == (True, None, "0 wrong starts, 0 taken back, 0 needless")


def test_the_answer_alone_decides_and_the_note_counts_wrong_starts():
    for level in ("retry-op4", "retry-mano-l4"):
        item = make_instance(FAMILY, level, "symbol", 22, 0)
        text = write_solution(item.facts, 0.5, Stream("noted", 3))
        starts = text.count(BACK)
        verdict = grade(FAMILY, item, f" {text}")
        assert starts > 1
        assert (verdict.correct, verdict.at) == (True, None)
        assert verdict.note == f"{starts} wrong starts, {starts} taken back, 0 needless"
        head, _, answer = item.gold.rpartition(" ")
        wrong = grade(FAMILY, item, f"{head} {(int(answer) + 1) % 23}")
        assert (wrong.label, wrong.parsed) == ("wrong_answer", str((int(answer) + 1) % 23))
        assert grade(FAMILY, item, head).label == "no_answer"
        bad = grade(FAMILY, item, f"1 + 1 = 3; {item.gold}")
        assert (bad.correct, bad.at, bad.note) == (True, 1, "1 wrong start, 0 taken back, 0 needless")


def test_solutions_at_the_highest_rate_are_within_the_limit():
    longest = max(len(written(posed("igsm", 12, index), 0.5, index)) for index in range(300))
    assert longest < MAX_SOLUTION

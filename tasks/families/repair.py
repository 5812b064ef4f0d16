"""The first wrong step of a written solution, or its right number; or a solution with wrong starts taken back.

A solution has exactly op steps, one operation each, with one wrong step or none. Steps after the wrong one continue
from
its number, so that no other step is wrong by the definition in the question. The position of the mistake and "none" are
op + 1 equally likely answers: with "none" at one half, always answering "none" would be right half the time.

Ladders: `main` (find) in a problem of igsm without unneeded parameters; `mano` in the evaluation of an expression line
by line; `mend` as `main`, with the right number, and without mistakes of order. The mistakes are those of
`arithmetic/mistakes.py`. `retry-igsm` and `retry-mano` are for models trained on the corpus repair: a problem is solved
in one line, in which wrong starts may be taken back by `[BACK]` (`arithmetic/retry.py`); only the answer decides, and
the verdict's note counts wrong starts.

Hardness: steps. Chance: uniform over the steps and "none", over the candidates, or over the numbers 0..22.

Reference: Allen-Zhu, Physics of Language Models 2.2 (arXiv 2408.16293).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any, ClassVar

from fathom.tasks.answers.kinds import AnswerKind, FirstLine
from fathom.tasks.answers.mistakes import MendedStep, WrongStep
from fathom.tasks.arithmetic.mistakes import (
    NO_MISTAKE,
    FlawedSolution,
    check_lines,
    check_steps,
    flaw_expression,
    flaw_solution,
)
from fathom.tasks.arithmetic.puzzle import PuzzlePlan, draw_puzzle, word_source
from fathom.tasks.arithmetic.retry import pose_problem, read_retries, write_solution
from fathom.tasks.arithmetic.word_problem import REMAINDERS, write_problem
from fathom.tasks.base import (
    CUT_OFF,
    N_CHOICES,
    NO_ANSWER,
    Instance,
    Level,
    Part,
    Problem,
    Shortcut,
    Verdict,
    candidates,
    write_lesson,
)
from fathom.tasks.families.mano import FAMILY as MANO
from fathom.tasks.stream import Stream

CHECK_TASKS = ("find", "mano", "mend")
STEP_COUNTS = (2, 4, 8, 12, 18, 25)
RETRY_OPS = {"retry-igsm": (2, 4, 6, 8, 10, 12), "retry-mano": (2, 3, 4, 6, 8)}
"""Operations of the problems to solve with wrong starts."""

_IN_CONTEXT = ("direct", "cot", "choice")
"""Styles of all other levels."""

MAX_SOLUTION = 4_000
"""Most characters of a solution in one line: several times the longest one at an error rate of one half."""

_FAULTS = ("value", "operator", "input")
_SPACE = {
    ("find", 2): 1e10, ("mend", 2): 1e10, ("mano", 2): 2e7, ("mano", 4): 1e12, ("retry-igsm", 2): 1e8,
    ("retry-mano", 2): 2e5, ("retry-mano", 3): 3e7, ("retry-mano", 4): 7e9,
}  # fmt: skip
"""Number of different questions where it is small: numbers, names and mistakes."""


_WRONG_STEP = (
    "A step is wrong if it uses a parameter that no earlier step computes, or if its calculation or its number is not "
    "what the problem demands. Take the numbers of earlier steps as they are written: a step is not wrong because an "
    "earlier one is."
)
_WRONG_LINE = (
    "In each line, one bracket with two numbers (in the last line, all that is left) should be replaced by its value, "
    "and everything else should stay. A line is wrong if it does not follow in this way from the line before it as "
    "written: it is not wrong because an earlier one is."
)


def _level(task: str, op: int) -> Level:
    channels = ("symbol",) if task == "mano" else ()
    ladder = "main" if task == "find" else task
    axes: dict[str, int | str] = {"op": op, "task": task}
    space = _SPACE.get((task, op), inf)
    return Level(
        f"{task}-op{op}", hardness=op, axes=axes, ladder=ladder, channels=channels, styles=_IN_CONTEXT, space=space
    )


def _retry_level(task: str, op: int) -> Level:
    name = f"retry-mano-l{op}" if task == "retry-mano" else f"retry-op{op}"
    space = _SPACE.get((task, op), inf)
    return Level(name, op, {"op": op, "task": task}, task, ("symbol",), ("trained",), space)


@dataclass(frozen=True)
class Repair:
    """The family `repair`; see the module's docstring."""

    name: str = "repair"
    version: int = 1
    title: str = "Find mistakes"
    part: Part = "Reasoning"
    summary: str = "Find the first wrong step of a written solution, or mend it; or solve, and take wrong starts back."
    reference: str = "Physics of Language Models 2.2 (arXiv 2408.16293)"
    unit: str = "steps"
    channels: tuple[str, ...] = ("symbol", "story")
    styles: tuple[str, ...] = (*_IN_CONTEXT, "trained")
    labels: ClassVar[Mapping[str, str]] = {
        "missed": "Said none, but there is a mistake.",
        "false_alarm": "Named a step, but there is no mistake.",
        "too_early": "Named a right step before the mistake.",
        "too_late": "Named a step after the mistake.",
        "wrong_value": "The right step, but not its right number.",
        "not_a_step": "The solution has no such step.",
        "wrong_answer": "Solved the problem with another number; the position is the first wrong step that was kept.",
        "no_answer": NO_ANSWER,
        "cut_off": CUT_OFF,
    }
    shortcuts: ClassVar[tuple[Shortcut, ...]] = ()
    grading: str = (
        "The number of a step, or none; where the right value is asked too, both, as in 3: 17. Where a problem is "
        "solved, its answer decides; wrong starts are counted."
    )

    @cached_property
    def levels(self) -> dict[str, Level]:
        """Three tasks over the number of steps; then problems to solve with wrong starts, over operations."""
        asked = [_level(task, op) for task in CHECK_TASKS for op in STEP_COUNTS]
        retried = [_retry_level(task, op) for task, ops in RETRY_OPS.items() for op in ops]
        return {level.name: level for level in asked + retried}

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw a problem and its solution, make one step wrong or none, and ask."""
        size, task = int(level.axes["op"]), str(level.axes["task"])
        if task in RETRY_OPS:
            return _pose_retry(task, size, stream)
        roll = word_source(stream)
        if task == "mano":
            flawed = flaw_expression(size, roll)
            question = _show_lines(flawed)
        else:
            puzzle = draw_puzzle(PuzzlePlan(size, widest=2), roll)
            told = write_problem(puzzle, channel, stream, roll)
            kinds = _FAULTS if task == "mend" else (*_FAULTS, "order")
            order = [told.names[at] for at in puzzle.order]
            flawed = flaw_solution(told.facts["parameters"], order, kinds, roll)
            flawed.facts["parameters"] = told.facts["parameters"]
            question = _show_steps(told.problem(), flawed, task)
        answers = [NO_MISTAKE, *[str(at) for at in range(1, size + 1)]]
        if task == "mend":
            answers[1:] = [f"{at}: {fix}" for at, fix in enumerate(flawed.fixes, 1)]
        gold = answers.pop(flawed.bad)
        facts = flawed.facts | {"task": task, "first_bad": flawed.bad or None, "right": flawed.right}
        return Problem(question, gold, candidates(stream, gold, answers), facts)

    def instruction(self, instance: Instance, style: str) -> str:
        """Leave the form of the answer to the question, which says whether a number is asked for."""
        if style == "cot":
            return "Check the steps one by one, then end with a last line of the form: Answer: <reply>"
        return "Give the reply only."

    def solution(self, instance: Instance) -> str:
        """Return the check of each step, up to the wrong one."""
        facts = instance.facts
        if facts["task"] in RETRY_OPS:
            return instance.gold
        return "\n".join(check_lines(facts) if facts["task"] == "mano" else check_steps(facts))

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Return one problem with its solution."""
        return write_lesson(self, level, channel, style, stream)

    def answer_kind(self, instance: Instance) -> AnswerKind:
        """Return the number of a step or none, with a value where one is asked for; the first line for a solution."""
        task = instance.facts["task"]
        return FirstLine() if task in RETRY_OPS else MendedStep() if task == "mend" else WrongStep()

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Compare the position, and the number where it is asked for; a wrong position is early or late."""
        facts = instance.facts
        if facts["task"] in RETRY_OPS:
            return _judge_retry(facts, answer)
        if answer == instance.gold:
            return Verdict(True, answer, "correct")
        if answer == NO_MISTAKE:
            return Verdict(False, answer, "missed")
        return Verdict(False, answer, *_diagnose(facts, int(answer.partition(":")[0])))

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return a random candidate, position, "none" (where a number is asked for too), or number."""
        task = instance.facts["task"]
        if task in RETRY_OPS:
            return f"the answer is {MANO.guess(instance, style, stream) if task == 'retry-mano' else stream.below(23)}"
        if style == "choice":
            return stream.choice(instance.choices)
        n_steps = len(instance.facts["steps"])
        place = stream.below(n_steps + 1)
        return NO_MISTAKE if place == 0 or task == "mend" else str(place)

    def chance(self, level: Level, style: str) -> float:
        """Return the share of one position or candidate, all equally likely; for retry levels that of a number."""
        task = level.axes["task"]
        if task in RETRY_OPS:
            return MANO.chance(MANO.levels[f"p23l{level.axes['op']}"], "direct") if task == "retry-mano" else 1 / 23
        answers = int(level.axes["op"]) + 1
        return 1 / min(answers, N_CHOICES) if style == "choice" else 1 / answers

    def budget(self, level: Level, style: str) -> int:
        """Return the tokens of a wrong start (20 a step), of a sentence, or of a check of each step, quoted whole.

        A step of an expression is the expression that is left, so that its length grows with their number.
        """
        op = int(level.axes["op"])
        if style == "trained":
            return 64 + 60 * op
        if style != "cot":
            return 128 if style == "direct" else 1
        return 256 + 90 * op + (3 * op * op if level.axes["task"] == "mano" else 0)


def _pose_retry(task: str, op: int, stream: Stream) -> Problem:
    posed = pose_problem(task.removeprefix("retry-"), op, stream)
    facts = posed.facts | {"task": task, "answer": str(posed.answer)}
    return Problem(posed.question, write_solution(posed.facts, 0, stream), (), facts)


def _judge_retry(facts: Mapping[str, Any], line: str) -> Verdict:
    """Compare the answer; `at` is the first wrong step that was not taken back."""
    retried = read_retries(facts, line[:MAX_SOLUTION])
    if retried.answer is None:
        return Verdict(False, None, "no_answer", retried.first_bad, retried.note)
    said = str(retried.answer)
    right = said == facts["answer"]
    return Verdict(right, said, "correct" if right else "wrong_answer", retried.first_bad, retried.note)


def _ask(task: str) -> str:
    noun = "line" if task == "mano" else "step"
    if task == "mend":
        return (
            "Which is the first wrong step, and what should its number be? "
            f'Reply in the form <step>: <number>, or reply "{NO_MISTAKE}" if no step is wrong.'
        )
    return (
        f'Which is the first wrong {noun}? Reply with its number alone, or reply "{NO_MISTAKE}" if no {noun} is wrong.'
    )


def _show_steps(problem: str, flawed: FlawedSolution, task: str) -> str:
    return f"{problem}\nA written solution:\n{_numbered(flawed)}\n{_WRONG_STEP}\n{_ask(task)}"


def _show_lines(flawed: FlawedSolution) -> str:
    expression = flawed.facts["expression"]
    return (
        f"All arithmetic is modulo 23: {REMAINDERS}\nThis expression was worked out line by line: {expression}\n"
        f"{_numbered(flawed)}\n{_WRONG_LINE}\n{_ask('mano')}"
    )


def _numbered(flawed: FlawedSolution) -> str:
    return "\n".join([f"{at}. {step}" for at, step in enumerate(flawed.steps, 1)])


def _diagnose(facts: Mapping[str, Any], said: int) -> tuple[str, None, str]:
    bad, n_steps = facts["first_bad"], len(facts["steps"])
    if not 1 <= said <= n_steps:
        return "not_a_step", None, f"there are {n_steps} steps"
    if bad is None:
        return "false_alarm", None, ""
    if said == bad:
        return "wrong_value", None, f"should be {facts['right']}"
    return "too_early" if said < bad else "too_late", None, f"{abs(said - bad)} off"


FAMILY = Repair()

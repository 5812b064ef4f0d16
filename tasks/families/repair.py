"""The first wrong step of a written solution, or its right number; or a solution with wrong starts taken back.

A solution has exactly op steps, one binary operation each, with one wrong step or none; numbers that the problem states
are used without a step. A wrong step is right in itself and wrong for the problem: with another parameter, number or
operator, or before what it uses. Steps after it continue from its number, so that no other step is wrong by the
definition in the question. The position of the mistake and "none" are op + 1 equally likely answers: with "none" at one
half, always answering "none" would be right half the time.

Ladders: `main` (find) in a problem of igsm with unneeded parameters, half as many as needed ones and a few more; `mano`
in the evaluation of an expression line by line, up to 50 lines, as the text grows with the square of their number;
`mend` as `main`, with the right number, and without mistakes of order. The mistakes are those of
`arithmetic/mistakes.py`. `retry-igsm` and `retry-mano` are for models trained on the corpus repair: a problem is solved
in one line, in which wrong starts may be taken back by `[BACK]` (`arithmetic/retry.py`); only the answer decides, and
the verdict's note counts wrong starts.

Hardness: steps. Chance: uniform over the steps and "none", over the candidates, or over the numbers 0..22.

Reference: Allen-Zhu, Physics of Language Models 2.2 (arXiv 2408.16293).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any, ClassVar

from fathom.tasks.answers.kinds import AnswerKind, FirstLine
from fathom.tasks.answers.mistakes import MendedStep, WrongStep
from fathom.tasks.arithmetic.expression import nearest_number
from fathom.tasks.arithmetic.formula import MODULUS, Parameters
from fathom.tasks.arithmetic.mistakes import (
    NO_MISTAKE,
    STEP_MISTAKES,
    FlawedSolution,
    check_lines,
    check_steps,
    flaw_expression,
    flaw_solution,
    plausible_fixes,
)
from fathom.tasks.arithmetic.puzzle import PuzzlePlan, draw_puzzle, word_source
from fathom.tasks.arithmetic.retry import pose_problem, read_retries, write_solution
from fathom.tasks.arithmetic.shortcuts import SOLUTION_SHORTCUTS
from fathom.tasks.arithmetic.word_problem import REMAINDERS, write_problem
from fathom.tasks.base import (
    CUT_OFF,
    N_CHOICES,
    NO_ANSWER,
    Cell,
    Instance,
    Level,
    Part,
    Problem,
    Shortcut,
    Verdict,
    candidates,
    example_line,
    write_lesson,
)
from fathom.tasks.probes import END, YES_NO, Asked, Passage, ProbeSet, Reading, Variable
from fathom.tasks.stream import Stream

CHECK_TASKS = ("find", "mano", "mend")
STEP_COUNTS = (2, 4, 8, 12, 18, 25, 35, 50, 70, 100)
MOST_LINES = 50
"""Most lines of an expression."""

RETRY_OPS = {"retry-igsm": (2, 4, 6, 8, 10, 12), "retry-mano": (2, 3, 4, 6, 8)}
"""Operations of the problems to solve with wrong starts."""

_COPIED = {2: 0.0511, 3: 0.049, 4: 0.0472, 6: 0.047, 8: 0.0465}
"""Accuracy of copying the nearest number of an expression of `retry-mano`, measured on 200,000 items each."""

_IN_CONTEXT = ("direct", "cot", "choice")
"""Styles of all other levels."""

MAX_SOLUTION = 4_000
"""Most characters of a solution in one line: several times the longest one at an error rate of one half."""

_SPACE = {("retry-igsm", 2): 1e8, ("retry-mano", 2): 2e5, ("retry-mano", 3): 3e7, ("retry-mano", 4): 7e9,
          ("mano", 2): 2e7, ("mano", 4): 1e12}  # fmt: skip
"""Number of different questions where it is small: numbers, names and mistakes."""

_WRONG_STEP = (
    "A step is wrong if its calculation or its number is not what the problem demands, or if it uses a parameter that "
    "the problem does not state as a number and no earlier step computes. Take the numbers of earlier steps as they "
    "are written: a step is not wrong because an earlier one is."
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
    version: int = 2
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
    shortcuts: ClassVar[tuple[Shortcut, ...]] = SOLUTION_SHORTCUTS
    grading: str = (
        "The number of a step, or none; where the right value is asked too, both, as in 3: 17. Where a problem is "
        "solved, its answer decides; wrong starts are counted."
    )

    @cached_property
    def levels(self) -> dict[str, Level]:
        """Three tasks over the number of steps; then problems to solve with wrong starts, over operations."""
        asked = [_level("find", 1)]
        asked += [_level(task, op) for task in CHECK_TASKS for op in STEP_COUNTS if task != "mano" or op <= MOST_LINES]
        retried = [_retry_level(task, op) for task, ops in RETRY_OPS.items() for op in ops]
        return {level.name: level for level in asked + retried}

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw a problem and its solution, make one step wrong or none, and ask."""
        size, task = int(level.axes["op"]), str(level.axes["task"])
        if task in RETRY_OPS:
            return _pose_retry(task, size, stream)
        roll = word_source(stream)
        bad = roll() * (size + 1) >> 64
        parameters: Parameters = {}
        if task == "mano":
            flawed = flaw_expression(size, bad, roll)
            question = _show_lines(flawed)
        else:
            kinds = [kind for kind in STEP_MISTAKES if task == "find" or kind != "order"]
            problem, parameters, flawed = _draw_solution(size, channel, bad, kinds, stream)
            question = _show_steps(problem, flawed, task)
        answers = [NO_MISTAKE, *[str(at) for at in range(1, size + 1)]]
        if task == "mend":
            fixes = plausible_fixes(parameters, flawed, kinds, roll)
            answers[1:] = [f"{at}: {fix}" for at, fix in enumerate(fixes, 1)]
        gold = answers.pop(bad)
        facts = flawed.facts | {"task": task, "first_bad": bad or None, "right": flawed.right}
        if parameters:
            facts["parameters"] = parameters
        choices = candidates(stream, gold, answers)
        beyond = size + 1 + stream.below(9)  # a step that the solution does not have: no answer is ruled out
        facts["example"] = f"{beyond}: {stream.below(MODULUS)}" if task == "mend" else str(beyond)
        return Problem(question, gold, choices, facts)

    def instruction(self, instance: Instance, style: str) -> str:
        """Ask for the step and its right number, or for the step alone; with checks before it in `cot`."""
        task = instance.facts["task"]
        noun = "line" if task == "mano" else "step"
        said = f"the number of the first wrong {noun}"
        if task == "mend":
            said += ", a colon and the number that it should have"
        if style == "cot":
            return (
                f'Check the {noun}s one by one. Then end with a line that gives {said}, or "{NO_MISTAKE}" if no {noun} '
                f"is wrong, after the word Answer, for example: {example_line(instance)}"
            )
        return f'Reply only with {said}, or with "{NO_MISTAKE}" if no {noun} is wrong.'

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
            copied = nearest_number(instance.facts["prefix"]) if task == "retry-mano" else stream.below(MODULUS)
            return f"the answer is {copied}"
        if style == "choice":
            return stream.choice(instance.choices)
        n_steps = len(instance.facts["steps"])
        place = stream.below(n_steps + 1)
        return NO_MISTAKE if place == 0 or task == "mend" else str(place)

    def chance(self, level: Level, style: str) -> float:
        """Return the share of one position or candidate, all equally likely; for retry levels that of a number."""
        task = level.axes["task"]
        if task in RETRY_OPS:
            return _COPIED[int(level.axes["op"])] if task == "retry-mano" else 1 / 23
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
        return 320 + 96 * op + (3 * op * op if level.axes["task"] == "mano" else 0)


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


def _draw_solution(
    size: int, channel: str, bad: int, kinds: Sequence[str], stream: Stream
) -> tuple[str, Parameters, FlawedSolution]:
    """Draw a problem and its steps with a mistake at this place; anew where no such mistake is possible."""
    roll = word_source(stream)
    while True:
        puzzle = draw_puzzle(PuzzlePlan(size, 50 + 100 // size, widest=2, is_answered=False), roll)
        told = write_problem(puzzle, channel, stream, roll)
        parameters: Parameters = told.facts["parameters"]
        needed = [told.names[at] for at in puzzle.order[: puzzle.n_needed]]
        order = [name for name in needed if parameters[name]["op"] != "constant"]
        flawed = flaw_solution(parameters, order, bad, kinds, roll)
        if flawed:
            return told.problem(), parameters, flawed


def _ask(task: str) -> str:
    if task == "mend":
        return "Which is the first wrong step, and what should its number be?"
    return f"Which is the first wrong {'line' if task == 'mano' else 'step'}?"


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

_PROBED_STEPS = 4


def _write_faults(asked: Asked) -> Passage:
    """Read at the end of each step up to the wrong one whether it is wrong, and at the end whether and where one is."""
    facts, question, readings = asked.instance.facts, asked.instance.question, []
    bad, start = facts["first_bad"], question.index("\n1. ")
    for step, (name, _, _) in enumerate(facts["steps"][:bad], 1):
        start = question.index("\n", start + 1)
        readings.append(Reading("here", "end of a step", start - 1, YES_NO[step == bad], name, (), str(step)))
    last = facts["steps"][-1][0]
    readings += [
        Reading("any", "end of the prompt", END, YES_NO[bad is not None], last),
        Reading("where", "end of the prompt", END, asked.instance.gold, last),
    ]
    return Passage(asked.prompt, "", tuple(readings))


PROBES = (
    ProbeSet(
        f"repair.op{_PROBED_STEPS}", Cell("repair", f"find-op{_PROBED_STEPS}", "symbol", "direct"),
        {"here": Variable("yes-no", "whether this step is the first wrong one", YES_NO),
         "any": Variable("yes-no", "whether any step is wrong", YES_NO),
         "where": Variable("classes", "which step is wrong, or none",
                           (NO_MISTAKE, *map(str, range(1, _PROBED_STEPS + 1))), is_asked=True, can_be_said=True)},
        {"end of a step": "at the end of the step", "end of the prompt": "before the answer"}, _write_faults,
    ),
)  # fmt: skip

"""One of many counts that depend on each other: grade-school arithmetic of an exact length.

A web of parameters is described in random order, with parameters that the query does not need. op is the number of
binary operations of the shortest solution, recomputable from the text: the query and each parameter that it depends on
cost t - 1, where t counts the numbers and names in the formula. So a plain number costs nothing, and a sum of three
parameters costs 2. Every level has exactly this many. No needed product has a factor 0, so that none of them can be
left out. In the channel `story`, totals over a group are never stated: they follow, as sums and sums of products, from
what contains what. All arithmetic is modulo 23, and answers are uniform on 0..22.

Ladders: `main` has half as many unneeded parameters as needed ones; `bare` none; `crowded` as many; `question-first`;
`reask` asks for a parameter in the middle of a problem made for a longer query: op counts what is asked, and the rest
is unneeded.

Hardness: op. Chance: uniform over 0..22, or over the candidates.

Reference: Allen-Zhu, Physics of Language Models 2.1 (arXiv 2407.20311), iGSM.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from fathom.tasks.answers.kinds import AnswerKind
from fathom.tasks.answers.numbers import Integer
from fathom.tasks.arithmetic.formula import MODULUS, names_in, needed_for, solve_parameters, write_calculation
from fathom.tasks.arithmetic.puzzle import PuzzlePlan, draw_puzzle, word_source
from fathom.tasks.arithmetic.shortcuts import COUNT_SHORTCUTS
from fathom.tasks.arithmetic.solution import SolutionReading, read_solution
from fathom.tasks.arithmetic.word_problem import write_problem
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

OPERATION_COUNTS = (1, 2, 4, 6, 8, 10, 12, 15, 18, 21, 25, 30, 40, 50, 70, 100, 140, 200)
SIDE_OPS = (4, 10, 18, 30)
"""Values of op at which the other axes are varied."""

REASKED = {4: 8, 10: 15, 18: 25, 30: 40}
"""op that is asked -> op of the query for which the problem was made."""

_NUMBERS = tuple(str(number) for number in range(MODULUS))


def _level(op: int, ladder: str = "main", unneeded: int = 50) -> Level:
    axes: dict[str, int | str] = {
        "op": op, "unneeded": unneeded, "order": "question-first" if ladder == "question-first" else "question-last",
        "original": REASKED[op] if ladder == "reask" else op,
    }  # fmt: skip
    return Level(f"op{op}" + ("" if ladder == "main" else f"-{ladder}"), hardness=op, axes=axes, ladder=ladder)


def _levels() -> dict[str, Level]:
    table = [_level(op) for op in OPERATION_COUNTS]
    for ladder, unneeded in (("bare", 0), ("crowded", 100), ("question-first", 50), ("reask", 50)):
        table += [_level(op, ladder, unneeded) for op in SIDE_OPS]
    return {level.name: level for level in table}


@dataclass(frozen=True)
class Igsm:
    """The family `igsm`; see the module's docstring."""

    name: str = "igsm"
    version: int = 2
    title: str = "Solve word problems"
    part: Part = "Reasoning"
    summary: str = "Find one of many counts that depend on each other, modulo 23, in exactly op binary operations."
    reference: str = "Physics of Language Models 2.1 (arXiv 2407.20311), iGSM"
    unit: str = "operations"
    channels: tuple[str, ...] = ("symbol", "story")
    styles: tuple[str, ...] = ("direct", "cot", "choice")
    labels: ClassVar[Mapping[str, str]] = {
        "arithmetic": "The first bad step miscalculates.",
        "not_ready": "The first bad step uses a value that was not computed yet.",
        "unknown_parameter": "The first bad step names something that is not in the problem.",
        "unneeded_only": "Every step is right, but the value that was asked for was never computed.",
        "wrong_modulus": "Equal to the answer modulo 23, but not reduced to 0..22.",
        "other": "Any other number, without a bad step.",
        "no_answer": NO_ANSWER,
        "cut_off": CUT_OFF,
    }
    shortcuts: ClassVar[tuple[Shortcut, ...]] = COUNT_SHORTCUTS
    grading: str = (
        "The final number decides, from 0 to 22. Written steps are read only to say where a wrong answer went wrong."
    )

    @cached_property
    def levels(self) -> dict[str, Level]:
        """Main ladder over op with 50% unneeded parameters; four more ladders at some values of op."""
        return _levels()

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw a puzzle of exactly this op and write it in words."""
        op, original = int(level.axes["op"]), int(level.axes["original"])
        roll = word_source(stream)
        puzzle = draw_puzzle(
            PuzzlePlan(op, int(level.axes["unneeded"]), original=original if original > op else 0), roll
        )
        told = write_problem(puzzle, channel, stream, roll)
        gold = _NUMBERS[puzzle.values[puzzle.query]]
        facts = told.facts | {"op": op}
        if original > op:
            facts["original"] = {"query": told.names[puzzle.original], "op": original}
        others = [number for number in _NUMBERS if number != gold]
        question = told.problem(ask_first=level.axes["order"] == "question-first")
        choices = candidates(stream, gold, others)
        facts["example"] = stream.choice(others)
        return Problem(question, gold, choices, facts)

    def instruction(self, instance: Instance, style: str) -> str:
        """Ask for the number alone, or for steps of a fixed form and a last line with the number."""
        if style != "cot":
            return "Reply with the number only, a whole number from 0 to 22."
        line = "nails in each hall = 2 * 3 = 6" if instance.channel == "story" else "AB = 20 + 5 = 2"
        return (
            f"Work it out one parameter a line: its name, its calculation in numbers, its value, for example: {line}. "
            "Then end with a line that gives the number that is asked for, from 0 to 22, after the word Answer, "
            f"for example: {example_line(instance)}"
        )

    def solution(self, instance: Instance) -> str:
        """Return one line for each needed parameter, inputs first."""
        return "\n".join(_steps(instance.facts))

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Return one problem with its solution."""
        return write_lesson(self, level, channel, style, stream)

    def answer_kind(self, instance: Instance) -> AnswerKind:
        """Return a whole number: that of the query, not of another parameter."""
        return Integer(subject=instance.facts["query"])

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Compare with the gold; written steps say where a wrong answer went wrong.

        A number that is right only modulo 23 is wrong. A right number is right whatever the steps: then only `note`
        and `at` report a bad step.
        """
        reading = read_solution(instance.facts, text) if "=" in text else _NO_STEPS
        said, gold = int(answer), int(instance.gold)
        if said == gold:
            return Verdict(True, answer, "correct", reading.at, reading.note)
        if (said - gold) % MODULUS == 0:
            return Verdict(False, answer, "wrong_modulus", reading.at, reading.note)
        return Verdict(False, answer, _diagnose(reading), reading.at, reading.note)

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return a random candidate, or any number."""
        return stream.choice(instance.choices if style == "choice" else _NUMBERS)

    def chance(self, level: Level, style: str) -> float:
        """Return the share of one candidate, or of one number of 0..22; copying a number of the text is no better."""
        return 1 / N_CHOICES if style == "choice" else 1 / MODULUS

    def budget(self, level: Level, style: str) -> int:
        """Return the tokens of a sentence, or of the question again and a sentence for each of its parameters.

        A parameter of a long problem takes part in more operations, so there are fewer of them for an operation.
        """
        if style != "cot":
            return 128 if style == "direct" else 1
        op, unneeded = int(level.axes["original"]), int(level.axes["unneeded"])
        return 900 + (150 + 2 * unneeded // 5) * min(op, 40) + 110 * max(0, op - 40)


_NO_STEPS = SolutionReading(0, 0, False)


def _diagnose(reading: SolutionReading) -> str:
    if reading.fault:
        return reading.fault
    return "unneeded_only" if reading.n_steps and not reading.reaches_query else "other"


def _steps(facts: Mapping[str, Any]) -> list[str]:
    parameters = facts["parameters"]
    values = solve_parameters(parameters, facts["query"])
    lines = []
    for name in needed_for(parameters, facts["query"]):
        calculation = write_calculation(parameters[name], values)
        lines.append(f"{name} = {values[name]}" if calculation == str(values[name]) else
                     f"{name} = {calculation} = {values[name]}")  # fmt: skip
    return lines


FAMILY = Igsm()


def _write_parameter(asked: Asked) -> Passage:
    """Name any parameter after some steps of the solution, as a model does that begins its next step; read it there.

    Source: the probes of Physics of Language Models 2.1, section 4, which name a parameter behind the text.
    """
    facts, stream = asked.instance.facts, asked.stream
    parameters, lines = facts["parameters"], _steps(facts)
    order = needed_for(parameters, facts["query"])
    n_written = stream.below(len(lines))
    written, name = order[:n_written], stream.choice(list(parameters))
    is_ready = name not in written and all(source in written for source in names_in(parameters[name]))
    labels = {"needed": name in order, "known": name in written, "next": is_ready}
    rest = "".join([f"{line}\n" for line in lines[:n_written]]) + name
    at = len(asked.prompt) + len(rest) - 1
    readings = [Reading(one, "name of a parameter", at, YES_NO[is_so], name) for one, is_so in labels.items()]
    if name in written or is_ready:
        value = str(solve_parameters(parameters, name)[name])
        readings.append(Reading("value", "name of a parameter", at, value, name))
    return Passage(asked.prompt, rest, tuple(readings))


def _write_mistakes(asked: Asked) -> Passage:
    """Read before the answer whether it will be wrong, and at the name of each step up to the first wrong one."""
    facts = asked.instance.facts
    readings = [Reading("answer", "end of the prompt", END, "no" if asked.is_right else "yes", facts["query"])]
    start, seen = len(asked.prompt), ""
    for step, line in enumerate(asked.answer.split("\n")):
        seen += f"{line}\n"
        name = line.partition("=")[0].rstrip()
        if "=" not in line or not name:
            break
        is_wrong = bool(read_solution(facts, seen).fault)
        readings.append(
            Reading("step", "name of the step", start + len(name) - 1, YES_NO[is_wrong], name.strip(), (), str(step))
        )
        if is_wrong:
            break
        start += len(line) + 1
    return Passage(asked.prompt, asked.answer, tuple(readings))


PROBES = (
    ProbeSet(
        "igsm.op4", Cell("igsm", "op4", "symbol", "cot"),
        {"needed": Variable("yes-no", "whether the query depends on this parameter", YES_NO),
         "known": Variable("yes-no", "whether a step has computed this parameter", YES_NO),
         "next": Variable("yes-no", "whether this parameter can be computed next", YES_NO),
         "value": Variable("classes", "the value of a parameter that is known or can come next", _NUMBERS)},
        {"name of a parameter": "at its name, where the next step would begin"}, _write_parameter,
    ),
    ProbeSet(
        "mistake.igsm", Cell("igsm", "op2", "symbol", "cot"),
        {"answer": Variable("yes-no", "whether this answer will be wrong", YES_NO),
         "step": Variable("yes-no", "whether the step that begins here is the first wrong one", YES_NO)},
        {"end of the prompt": "before the answer begins", "name of the step": "right after the step’s name"},
        _write_mistakes, needs_answer=True,
    ),
)  # fmt: skip

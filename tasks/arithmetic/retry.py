"""Problems solved with wrong starts that are taken back, and the reader that counts them.

A solution is one line: steps with "; " after each, and the answer last. Before each step, with probability `error_rate`
and again after each wrong start, a wrong start is written and taken back by the mark `[BACK]`; then the right step
begins. The steps that are kept are the same, in the same order, at every error rate.

igsm   AB = 4; CD [BACK] EF = 3 + AB = 3 + 4 = 7; ...       CD depends on a value that was not computed yet
mano   3 + 4 = 9 [BACK] 3 + 4 = 7; 7 - 5 [BACK] 7 * 5 = 12  a wrong number; a calculation that is not needed

The reader takes the numbers of earlier steps as written: a step is not wrong because an earlier one is.

Reference: Allen-Zhu, Physics of Language Models 2.2 (arXiv 2408.16293), retry data.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fathom.tasks.arithmetic.expression import SIGNS, draw_expression, infix
from fathom.tasks.arithmetic.formula import MODULUS, names_in, solve_parameters, value_of, write_calculation
from fathom.tasks.arithmetic.puzzle import NextWord, PuzzlePlan, draw_puzzle, word_source
from fathom.tasks.arithmetic.solution import MAX_READ, calculate
from fathom.tasks.arithmetic.word_problem import write_problem
from fathom.tasks.stream import Stream

BACK = "[BACK]"
"""The mark that takes back everything since the last step ended."""

PROBLEM_KINDS = ("igsm", "mano")

MAX_STEPS = 1_000
"""Most steps of a text that are checked."""

_FULL = 1 << 64  # words of a stream are below it
_ENDS = re.compile(r";|\[BACK\]")
_NAME = re.compile(r"[A-Z]{2}")
_NUMBER = re.compile(r"[0-9]{1,4}")
_OPERATION = re.compile(r"([0-9]{1,4}) ?([-+*]) ?([0-9]{1,4})(?: ?= ?([0-9]{1,4}))?")
_ANSWER = re.compile(r"(?:so )?the answer is (-?[0-9]{1,9})\.?", re.IGNORECASE)

_Facts = Mapping[str, Any]
_Key = tuple[int, str, int]  # a calculation with two numbers


@dataclass(frozen=True, slots=True)
class RetryProblem:
    """A problem in one line, its answer in 0..22, and the facts (JSON values) that solve and check it."""

    question: str
    answer: int
    facts: dict[str, Any]


def pose_problem(kind: str, op: int, stream: Stream) -> RetryProblem:
    """Draw a problem of exactly `op` operations: a web of counts ("igsm") or an expression ("mano"), modulo 23.

    Answers are uniform on 0..22.
    """
    if kind == "mano":
        prefix, value, _ = draw_expression(op, MODULUS, stream)
        return RetryProblem(f"Modulo {MODULUS}, what is {infix(prefix)}?", value, {"prefix": prefix})
    roll = word_source(stream)
    puzzle = draw_puzzle(PuzzlePlan(op, widest=3), roll)
    told = write_problem(puzzle, "symbol", stream, roll)
    order = [told.names[at] for at in puzzle.order]
    question = f"Modulo {MODULUS}: {' '.join(told.statements)} {told.ask}"
    return RetryProblem(question, puzzle.values[puzzle.query], {"order": order, "parameters": told.facts["parameters"]})


def write_solution(facts: _Facts, error_rate: float, stream: Stream) -> str:
    """Write the solution of a problem in one line, with wrong starts at this rate (0..1, below 1)."""
    roll = word_source(stream) if error_rate else iter(()).__next__
    write = _write_mano if "prefix" in facts else _write_igsm
    return "".join(write(facts, error_rate * _FULL, roll))


def _write_igsm(facts: _Facts, limit: float, roll: NextWord) -> Iterator[str]:
    parameters, order = facts["parameters"], facts["order"]
    values = solve_parameters(parameters, order[-1])
    known: set[str] = set()
    for at, name in enumerate(order):
        said = _calculated(name, parameters[name], values)
        early = [later for later in order[at + 1 :] if limit and not known.issuperset(names_in(parameters[later]))]
        while limit and roll() < limit:
            wrong = f"{said}{_other_number(values[name], roll)}"
            yield f"{early[roll() * len(early) >> 64] if early and roll() >> 63 else wrong} {BACK} "
        yield f"{said}{values[name]}; "
        known.add(name)
    yield f"the answer is {values[order[-1]]}"


def _calculated(name: str, node: Mapping[str, Any], values: Mapping[str, int]) -> str:
    """Write a step up to its number."""
    if node["op"] == "constant":
        return f"{name} = "
    return f"{name} = {write_calculation(node)} = {write_calculation(node, values)} = "


def _write_mano(facts: _Facts, limit: float, roll: NextWord) -> Iterator[str]:
    steps = _operations(facts["prefix"])
    asked = {key for key, _ in steps}
    numbers = sorted({int(token) for token in facts["prefix"] if token.isdigit()} | {value for _, value in steps})
    for key, value in steps:
        said = "{} {} {}".format(*key)
        while limit and roll() < limit:
            stray = [other for other in _misread(key, numbers) if other not in asked] if roll() >> 63 else []
            wrong = "{} {} {}".format(*stray[roll() * len(stray) >> 64]) if stray else ""
            yield f"{wrong or f'{said} = {_other_number(value, roll)}'} {BACK} "
        yield f"{said} = {value}; "
    yield f"the answer is {steps[-1][1]}"


def _misread(key: _Key, numbers: Sequence[int]) -> list[_Key]:
    """Return the calculation with another operator, or with one number exchanged for another that occurs."""
    a, sign, b = key
    changed = [(a, other, b) for other in SIGNS] + [(a, sign, other) for other in numbers]
    return changed + [(other, sign, b) for other in numbers]


def _other_number(right: int, roll: NextWord) -> int:
    return (right + 1 + (roll() * (MODULUS - 1) >> 64)) % MODULUS


def _operations(prefix: Sequence[str]) -> list[tuple[_Key, int]]:
    """Return the calculations of an expression with their values, inner ones first, from left to right."""
    done: list[tuple[_Key, int]] = []
    tokens = iter(prefix)

    def part() -> int:
        token = next(tokens)
        if token not in SIGNS:
            return int(token)
        key = (part(), token, part())
        done.append((key, _worth(key)))
        return done[-1][1]

    part()
    return done


def _worth(key: _Key) -> int:
    a, sign, b = key
    return (a + b if sign == "+" else a - b if sign == "-" else a * b) % MODULUS


@dataclass(frozen=True, slots=True)
class RetryCounts:
    """What a solution contains; positions and counts of steps include those taken back."""

    answer: int | None  # the one that the text ends with, if it is one
    n_steps: int
    wrong_starts: int  # wrong steps, taken back or not
    taken_back: int  # wrong steps that were taken back
    needless: int  # right steps that were taken back
    first_bad: int | None  # place of the first wrong step that was not taken back, counted from 1

    @property
    def note(self) -> str:
        """The counts in words."""
        starts = f"{self.wrong_starts} wrong start{'s' * (self.wrong_starts != 1)}"
        return f"{starts}, {self.taken_back} taken back, {self.needless} needless"


def read_retries(facts: _Facts, text: str) -> RetryCounts:
    """Check every step of a text about a problem; never raises.

    A step is right if it belongs to the problem, what it depends on was written before and kept, and its calculations
    and
    number are right, in 0..22. A step that is taken back may lack its number. A part that cannot be read is a wrong
    step.
    """
    text = text[:MAX_READ]
    work: _Web | _Expression = _Expression(facts) if "prefix" in facts else _Web(facts)
    starts = taken = needless = place = 0
    first_bad = None
    for step, is_kept in _steps(text):
        place += 1
        if place > MAX_STEPS:
            break
        is_right = work.judge(step, is_kept)
        starts += not is_right
        taken += not is_right and not is_kept
        needless += is_right and not is_kept
        if is_kept and not is_right and first_bad is None:
            first_bad = place
    return RetryCounts(_answer(text), min(place, MAX_STEPS), starts, taken, needless, first_bad)


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Split a text into what stands between the ends of steps, and whether it was kept; blank parts are left out."""
    start = 0
    for end in _ENDS.finditer(text):
        if part := text[start : end.start()].strip():
            yield part, end[0] != BACK
        start = end.end()
    if part := text[start:].strip():
        yield part, True


def _steps(text: str) -> Iterator[tuple[str, bool]]:
    return ((part, is_kept) for part, is_kept in _parts(text) if not _ANSWER.fullmatch(part))


def _answer(text: str) -> int | None:
    """Return the answer if the text ends with one, and speaks of no other that it did not take back."""
    said, kept, last = 0, 0, None
    for part, is_kept in _parts(text):
        found = _ANSWER.fullmatch(part)
        said += found is not None
        kept += found is not None and is_kept
        last = found if is_kept else None
    return int(last[1]) if last and kept == 1 and said == text.lower().count("answer") else None


class _Web:
    """Judge steps about parameters that depend on each other."""

    def __init__(self, facts: _Facts) -> None:
        self.parameters = facts["parameters"]
        self.inputs = {name: names_in(node) for name, node in self.parameters.items()}
        self.said: dict[str, int] = {}

    def judge(self, step: str, is_kept: bool) -> bool:
        """Say whether a step is right, and remember the number of one that is kept."""
        name, *parts = [part.strip() for part in step.split("=")]
        number = int(parts[-1]) if parts and _NUMBER.fullmatch(parts[-1]) else None
        is_right = self._follows(name, parts) and (number is not None or not is_kept)
        if number is not None:
            is_right = is_right and number < MODULUS
            if is_kept and name in self.parameters:
                self.said[name] = number
        return is_right

    def _follows(self, name: str, parts: Sequence[str]) -> bool:
        if name not in self.parameters or not all(source in self.said for source in self.inputs[name]):
            return False
        right = value_of(self.parameters[name], self.said)
        return all(self._value(part) == right for part in parts)

    def _value(self, calculation: str) -> int | None:
        return calculate(_NAME.sub(lambda found: str(self.said.get(found[0], "?")), calculation))


class _Expression:
    """Judge calculations inside one expression. What was calculated once counts wherever it occurs."""

    def __init__(self, facts: _Facts) -> None:
        self.prefix = facts["prefix"]
        self.said: dict[_Key, int] = {}

    def judge(self, step: str, is_kept: bool) -> bool:
        """Say whether a step is right, and remember the number of one that is kept."""
        found = _OPERATION.fullmatch(step)
        if not found:
            return False
        key, number = (int(found[1]), found[2], int(found[3])), found[4]
        is_right = key in self._open() and (int(number) == _worth(key) if number else not is_kept)
        if number and is_kept:
            self.said[key] = int(number)
        return is_right

    def _open(self) -> set[_Key]:
        """Return the calculations whose two numbers are known from what was said."""
        stack: list[int | None] = []
        known: set[_Key] = set()
        for token in reversed(self.prefix):
            if token not in SIGNS:
                stack.append(int(token))
                continue
            a, b = stack.pop(), stack.pop()
            key = (a, token, b) if a is not None and b is not None else None
            if key:
                known.add(key)
            stack.append(self.said.get(key) if key else None)
        return known

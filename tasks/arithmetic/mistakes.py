"""Written solutions with one wrong step or none, and the check of each step.

A wrong step is right in itself: its calculation gives its number, and its numbers are numbers that a right step might
use. It is wrong for the problem alone. Steps after it continue from its number.

input     the step calculates with the number of another parameter; in an evaluation, with another number of the line
constant  the step calculates with another number that the problem states
operator  the step calculates with another operator
order     the step uses a parameter that only a later step computes
value     the line has another number, where no other mistake would change it

Nothing is left unused by a mistake: a step's number that is exchanged for another, or used too early, has another use.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from fathom.tasks.arithmetic.formula import (
    MODULUS,
    Parameters,
    names_in,
    numbers_in,
    solve_parameters,
    value_of,
    write_calculation,
)
from fathom.tasks.arithmetic.puzzle import NextWord

_T = TypeVar("_T")

NO_MISTAKE = "none"
"""The kind of mistake of a right solution, and the answer that says so."""

STEP_MISTAKES = ("input", "input", "constant", "operator", "order")
"""Mistakes of a step, each as often as it is tried first."""

_OPERATORS = ("+", "-", "*")
_BETWEEN_FEW, _BETWEEN_MANY = ("+", "+", "+", "+", "+", "+", "-", "*"), ("+", "+", "+", "+", "+", "-", "*", "*")
"""Operators between two parameters, each as often as steps of short and of long solutions have it."""

_FEW = 4
"""Most steps of a solution in which each step must allow a mistake of numbers, so that its operator tells nothing."""


class _Operation(NamedTuple):
    """A calculation with two numbers."""

    left: int
    sign: str
    right: int

    @property
    def value(self) -> int:
        """Its value, 0..22."""
        left, sign, right = self
        return (left + right if sign == "+" else left - right if sign == "-" else left * right) % MODULUS

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right}"


@dataclass(frozen=True, slots=True)
class FlawedSolution:
    """A solution with one wrong step or none; `bad` counts from 1, and is 0 if none is wrong."""

    steps: list[str]  # as shown
    facts: dict[str, Any]
    bad: int
    right: int | None = None  # what the wrong step's number should be, where that is defined
    fixes: Sequence[int] = ()  # for each step a plausible corrected number; `right` for the wrong step


def _pick(options: Sequence[_T], roll: NextWord) -> _T:
    return options[roll() * len(options) >> 64]


def _other_number(right: int, roll: NextWord) -> int:
    return (right + 1 + (roll() * (MODULUS - 1) >> 64)) % MODULUS


def _with_number(number: int, sign: str, value: int) -> _Operation:
    """Join a number of a formula and a parameter's value, as problems write it: the number first, or subtracted."""
    return _Operation(value, sign, number) if sign == "-" else _Operation(number, sign, value)


def _read(node: Mapping[str, Any], values: Mapping[str, int]) -> _Operation:
    """Return the calculation of a formula of one operation."""
    left, right = [int(values[arg]) if isinstance(arg, str) else int(arg) for arg in node["args"]]
    return _Operation(left, node["op"], right)


class _Solution:
    """The steps of a problem, and what is known while they are written."""

    def __init__(self, parameters: Parameters, order: Sequence[str]) -> None:
        self.parameters, self.order = parameters, order
        self.inputs = {name: names_in(node) for name, node in parameters.items()}
        self.numbers = {name: numbers_in(node) for name, node in parameters.items()}
        self.plain = {name: self.numbers[name][0] for name, inputs in self.inputs.items() if not inputs}
        needed = {*order, *[source for name in order for source in self.inputs[name]]}
        self.spare = [number for name, numbers in self.numbers.items() if name not in needed for number in numbers]
        self.spare_plain = [value for name, value in self.plain.items() if name not in needed]
        self.stated = [number for numbers in self.numbers.values() for number in numbers]
        self.between = _BETWEEN_FEW if len(order) <= _FEW else _BETWEEN_MANY
        self.values: dict[str, int] = dict(self.plain)  # of parameters that are stated as numbers, then of steps
        self.uses = Counter([source for name in order for source in self.inputs[name]])

    def operation(self, name: str) -> _Operation:
        """Return the calculation that the problem demands."""
        return _read(self.parameters[name], self.values)

    def allows_other_number(self, name: str) -> bool:
        """Return whether the step may use a wrong number that the problem states."""
        exchanged = dict.fromkeys(self.numbers[name], self.spare)
        exchanged |= {
            self.plain[one]: self.spare_plain for one in self.inputs[name] if self.uses[one] == 1 and one in self.plain
        }
        return any(any(other > 1 and other != number for other in spare) for number, spare in exchanged.items())

    def misread(self, name: str, kind: str, roll: NextWord) -> _Operation | None:
        """Return a wrong calculation with another value, or None if there is none of this kind.

        An operator is drawn as problems draw it, and given up where it is the right one: so wrong steps have the same
        operators as right ones. Other numbers are those that no needed parameter uses: so none is used too often.
        """
        due = self.operation(name)
        number = next(iter(self.numbers[name]), None)
        if kind == "operator":
            made = self._with_other_operator(due, number, roll)
        elif kind == "constant":
            made = [] if number is None else self._with_other_number(name)
        else:
            made = list(self._with_other_input(name, due))
        made = [one for one in made if one.value != due.value]
        return _pick(made, roll) if made else None

    def _with_other_operator(self, due: _Operation, number: int | None, roll: NextWord) -> list[_Operation]:
        if number is None:
            return [due._replace(sign=_pick(self.between, roll))]
        value, sign = due.left if due.sign == "-" else due.right, _pick(_OPERATORS, roll)
        return [_with_number(number, sign, value)] if number > 1 or sign != "*" else []

    def _with_other_number(self, name: str) -> list[_Operation]:
        sign, value = self.parameters[name]["op"], self.values[self.inputs[name][0]]
        return [_with_number(other, sign, value) for other in self.spare if other >= (2 if sign == "*" else 1)]

    def _with_other_input(self, step: str, due: _Operation) -> Iterator[_Operation]:
        """Exchange a parameter for another of the same kind: stated as a number, or computed by an earlier step.

        Most steps use the number of the step before them; that one is left in its place, and never put elsewhere.
        """
        names, before = self.inputs[step], next(reversed(self.values), "")
        for name in names:
            is_left = self.parameters[step]["args"][0] == name
            values: Sequence[int] = ()
            if name in self.plain:
                values = self.spare_plain if self.uses[name] == 1 else ()
            elif self.uses[name] > 1 and name != before:
                known = self.values.items()
                values = [
                    value
                    for other, value in known
                    if other not in self.plain and other not in names and other != before
                ]
            for value in values:
                yield due._replace(left=value) if is_left else due._replace(right=value)

    def moved(self, at: int, roll: NextWord) -> list[str] | None:
        """Return the order with a later step at this place, before what it uses, with numbers seen before; or None."""
        values = solve_parameters(self.parameters, self.order[-1])
        seen = {*self.stated, *[values[name] for name in self.order[:at]]}
        users = []
        for late in range(at + 1, len(self.order)):
            early = [one for one in self.inputs[self.order[late]] if one in self.order[at:late]]
            if early and all(values[one] in seen and self.uses[one] > 1 for one in early):
                users.append(late)
        if not users:
            return None
        late = _pick(users, roll)
        return [*self.order[:at], self.order[late], *self.order[at:late], *self.order[late + 1 :]]


def flaw_solution(
    parameters: Parameters, order: Sequence[str], bad: int, kinds: Sequence[str], roll: NextWord
) -> FlawedSolution | None:
    """Write the steps in this order with a mistake of one of these kinds in step `bad`; None if none is possible."""
    work = _Solution(parameters, order)
    if len(order) <= _FEW and not all(work.allows_other_number(name) for name in order):
        return None
    tried = sorted(kinds, key=lambda _: roll()) if bad else []
    kind, right, early = NO_MISTAKE, None, dict[str, int]()
    if tried and tried[0] == "order" and (moved := work.moved(bad - 1, roll)):
        kind, work.order = "order", moved
        early = solve_parameters(parameters, order[-1])  # a step that comes too early uses later numbers
    steps: list[tuple[str, str, int]] = []
    for at, name in enumerate(work.order, 1):
        done = _read(parameters[name], early) if at == bad and kind == "order" else work.operation(name)
        if at == bad and kind != "order":
            right = done.value
            found = [(one, wrong) for one in tried if one != "order" and (wrong := work.misread(name, one, roll))]
            if not found:
                return None
            kind, done = found[0]
        work.values[name] = done.value
        steps.append((name, str(done), done.value))
    shown = [f"{name} = {calculation} = {value}" for name, calculation, value in steps]
    return FlawedSolution(shown, {"steps": steps, "fault": kind}, bad, right)


def plausible_fixes(parameters: Parameters, flawed: FlawedSolution, kinds: Sequence[str], roll: NextWord) -> list[int]:
    """Return for each step a corrected number: the right one of the wrong step, a misread one of any other.

    So both differ from the step's number by a mistake of the same kinds.
    """
    work = _Solution(parameters, [name for name, _, _ in flawed.facts["steps"]])
    fixes = []
    for at, (name, _, value) in enumerate(flawed.facts["steps"], 1):
        if at == flawed.bad and flawed.right is not None:
            fixes.append(flawed.right)
        else:
            tried = sorted(kinds, key=lambda _: roll())
            found = next((wrong for kind in tried if (wrong := work.misread(name, kind, roll))), None)
            fixes.append(found.value if found else _other_number(value, roll))
        work.values[name] = value
    return fixes


def _expression(size: int, roll: NextWord) -> list[str]:
    """Return the tokens of an expression with `size` operations, with brackets around each of them."""
    if size == 0:
        return [str(roll() * MODULUS >> 64)]
    left = roll() * size >> 64
    op = _pick(_OPERATORS, roll)
    return ["(", *_expression(left, roll), op, *_expression(size - 1 - left, roll), ")"]


def flaw_expression(size: int, bad: int, roll: NextWord) -> FlawedSolution:
    """Evaluate a random expression bracket by bracket, with a mistake in line `bad`, or none if that is 0.

    A wrong line changes one bracket to one number, as a right line does.
    """
    pieces = _expression(size, roll)
    lines, calculations, right, kind = [_join(pieces)], [], None, NO_MISTAKE
    for at in range(1, size + 1):
        inner = [i for i in range(len(pieces) - 4) if pieces[i] == "(" and pieces[i + 4] == ")"]
        start = _pick(inner, roll)
        due = _Operation(int(pieces[start + 1]), pieces[start + 2], int(pieces[start + 3]))
        value = due.value
        calculations.append(f"{due} = {value}")
        if at == bad:
            right = value
            others = [int(piece) for i, piece in enumerate(pieces) if piece.isdigit() and not start < i < start + 4]
            kind, value = _misread_line(due, others, roll)
        pieces[start : start + 5] = [str(value)]
        lines.append(_join(pieces))
    facts = {"expression": lines[0], "steps": lines[1:], "calculations": calculations, "fault": kind}
    return FlawedSolution(lines[1:], facts, bad, right)


def _misread_line(due: _Operation, others: Sequence[int], roll: NextWord) -> tuple[str, int]:
    """Return a kind of mistake and its value: with another operator, or another number of the line."""
    signs = [due._replace(sign=sign) for sign in _OPERATORS if sign != due.sign]
    inputs = [due._replace(left=other) for other in others] + [due._replace(right=other) for other in others]
    tried = [("operator", signs), ("input", inputs)]
    for kind, options in tried if roll() >> 63 else tried[::-1]:
        wrong = [one.value for one in options if one.value != due.value]
        if wrong:
            return kind, _pick(wrong, roll)
    return "value", _other_number(due.value, roll)


def _join(pieces: Sequence[str]) -> str:
    """Return the text of an expression without the outermost brackets."""
    text = " ".join(pieces[1:-1] if len(pieces) > 1 else pieces)
    return text.replace("( ", "(").replace(" )", ")")


def check_steps(facts: Mapping[str, Any]) -> list[str]:
    """Return the check of each step of a solution, up to the wrong one."""
    parameters: Parameters = facts["parameters"]
    values = {name: node["args"][0] for name, node in parameters.items() if node["op"] == "constant"}
    lines: list[str] = []
    for at, (name, calculation, value) in enumerate(facts["steps"], 1):
        missing = [source for source in names_in(parameters[name]) if source not in values]
        if missing:
            return [*lines, f"{at}: {missing[0]} is not computed before, wrong."]
        demanded = write_calculation(parameters[name], values)
        right = value_of(parameters[name], values)
        if value != right or calculation != demanded:
            return [*lines, f"{at}: should be {demanded} = {right}, wrong."]
        lines.append(f"{at}: {demanded} = {right}, right.")
        values[name] = value
    return lines


def check_lines(facts: Mapping[str, Any]) -> list[str]:
    """Return the check of each line of an evaluation, up to the wrong one."""
    bad = facts["first_bad"]
    lines = [f"{at}: {done}, right." for at, done in enumerate(facts["calculations"], 1)]
    if bad is None:
        return lines
    return [*lines[: bad - 1], f"{bad}: {facts['calculations'][bad - 1]}, but the line says otherwise, wrong."]

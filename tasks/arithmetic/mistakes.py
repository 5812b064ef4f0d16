"""Written solutions with one wrong step or none, and the check of each step.

Steps after the wrong one continue from its number, so that no other step is wrong in itself.

value     the step's number is wrong (its calculation is right)
operator  the step calculates with another operator
input     the step calculates with the number of another parameter
order     the step uses a parameter that only a later step computes
copy      the line of an evaluation changes a number that it should not touch
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

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

_OPERATORS = ("+", "-", "*")


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


def _stray(node: Mapping[str, Any], value: int, stated: Sequence[int], computed: Sequence[int], roll: NextWord) -> int:
    """Return a wrong number for a step.

    A step that only repeats a number repeats another number of the same kind: a number that occurs nowhere else could
    be
    recognised as wrong without reading the names.
    """
    if len(node["args"]) == 1:
        likely = [number for number in (stated if node["op"] == "constant" else computed) if number != value]
        if likely:
            return _pick(likely, roll)
    return _other_number(value, roll)


def _misread(kind: str, node: Mapping[str, Any], values: Mapping[str, int], roll: NextWord) -> Mapping[str, Any] | None:
    """Return the formula with another operator or another input, and another value; or None."""
    op, args = node["op"], node["args"]
    changed: list[Mapping[str, Any]] = []
    if kind == "operator" and len(args) == 2:
        changed = [{"op": other, "args": args} for other in _OPERATORS if other != op]
    if kind == "input" and len(args) == 2:
        at = _pick([at for at, arg in enumerate(args) if isinstance(arg, str)], roll)
        changed = [{"op": op, "args": [*args[:at], name, *args[at + 1 :]]} for name in values if name not in args]
    right = value_of(node, values)
    changed = [other for other in changed if value_of(other, values) != right]
    return _pick(changed, roll) if changed else None


def _too_early(parameters: Parameters, order: list[str], at: int, roll: NextWord) -> list[str] | None:
    """Return the order with a later step moved to this place, before what it uses; or None."""
    parts = [names_in(parameters[name]) for name in order]
    users = [late for late in range(at + 1, len(order)) if not set(order[at:late]).isdisjoint(parts[late])]
    if not users:
        return None
    late = _pick(users, roll)
    return [*order[:at], order[late], *order[at:late], *order[late + 1 :]]


def flaw_solution(parameters: Parameters, order: list[str], kinds: Sequence[str], roll: NextWord) -> FlawedSolution:
    """Write the steps in this order, with a mistake of one of these kinds if its position allows it."""
    bad = roll() * (len(order) + 1) >> 64
    kind = _pick(kinds, roll) if bad else NO_MISTAKE
    values: dict[str, int] = {}
    if kind == "order":
        moved = _too_early(parameters, order, bad - 1, roll)
        if moved:
            values = solve_parameters(parameters, order[-1])  # a step that comes too early uses a later value
        order, kind = moved or order, kind if moved else "value"
    stated = [number for node in parameters.values() for number in numbers_in(node)]
    steps: list[tuple[str, str, int]] = []
    right = None
    for at, name in enumerate(order, 1):
        node = parameters[name]
        value = value_of(node, values)
        if at == bad and kind != "order":
            right = value
            misread = _misread(kind, node, values, roll)
            kind = kind if misread else "value"
            node, value = (misread, value_of(misread, values)) if misread else (node, value)
        calculation = write_calculation(node, values)
        if at == bad and kind == "value":
            value = _stray(node, value, stated, [step[2] for step in steps], roll)
        values[name] = value
        steps.append((name, str(value) if calculation.isdigit() else calculation, value))
    fixes = _fixes(parameters, steps, stated, roll)
    if right is not None:
        fixes[bad - 1] = right
    return FlawedSolution([_show(*step) for step in steps], {"steps": steps, "fault": kind}, bad, right, fixes)


def _fixes(
    parameters: Parameters, steps: Sequence[tuple[str, str, int]], stated: Sequence[int], roll: NextWord
) -> list[int]:
    """Return for each step a plausible corrected number.

    Like the right number of a wrong step, it is a number of the problem where the step's number is one, and it occurs
    in
    the other steps only as often as by chance.
    """
    shown = [value for _, _, value in steps]
    unseen = [number for number in stated if number not in shown]
    seen = [number for number in stated if number in shown]
    fixes = []
    for at, (name, _, value) in enumerate(steps):
        pool: Sequence[int] = seen if roll() * MODULUS >> 64 in shown and seen != [value] else unseen
        pool = pool or (
            stated if roll() >> 63 else []
        )  # either alone would reveal the wrong step where few numbers are given
        fixes.append(_stray(parameters[name], value, pool, shown[:at], roll))
    return fixes


def _show(name: str, calculation: str, value: int) -> str:
    return f"{name} = {value}" if calculation == str(value) else f"{name} = {calculation} = {value}"


def _expression(size: int, roll: NextWord) -> list[str]:
    """Return the tokens of an expression with `size` operations, with brackets around each of them."""
    if size == 0:
        return [str(roll() * MODULUS >> 64)]
    left = roll() * size >> 64
    op = _pick(_OPERATORS, roll)
    return ["(", *_expression(left, roll), op, *_expression(size - 1 - left, roll), ")"]


def flaw_expression(size: int, roll: NextWord) -> FlawedSolution:
    """Evaluate a random expression bracket by bracket, with a mistake in one line or none."""
    pieces = _expression(size, roll)
    bad = roll() * (size + 1) >> 64
    kind = _pick(("value", "operator", "copy"), roll) if bad else NO_MISTAKE
    lines, calculations, right = [_join(pieces)], [], None
    for at in range(1, size + 1):
        inner = [i for i in range(len(pieces) - 4) if pieces[i] == "(" and pieces[i + 4] == ")"]
        start = _pick(inner, roll)
        left, op, other = pieces[start + 1 : start + 4]
        node = {"op": op, "args": [int(left), int(other)]}
        value = value_of(node, {})
        calculations.append(f"{left} {op} {other} = {value}")
        elsewhere = [i for i, piece in enumerate(pieces) if piece.isdigit() and not start < i < start + 4]
        if at == bad and kind == "copy" and elsewhere:
            slip = _pick(elsewhere, roll)
            pieces[slip] = str(_other_number(int(pieces[slip]), roll))
        elif at == bad:
            right = value
            misread = _misread(kind, node, {}, roll)
            kind = kind if misread else "value"
            value = value_of(misread, {}) if misread else _other_number(value, roll)
        pieces[start : start + 5] = [str(value)]
        lines.append(_join(pieces))
    facts = {"expression": lines[0], "steps": lines[1:], "calculations": calculations, "fault": kind}
    return FlawedSolution(lines[1:], facts, bad, right)


def _join(pieces: Sequence[str]) -> str:
    """Return the text of an expression without the outermost brackets."""
    text = " ".join(pieces[1:-1] if len(pieces) > 1 else pieces)
    return text.replace("( ", "(").replace(" )", ")")


def check_steps(facts: Mapping[str, Any]) -> list[str]:
    """Return the check of each step of a solution, up to the wrong one."""
    parameters: Parameters = facts["parameters"]
    values: dict[str, int] = {}
    lines: list[str] = []
    for at, (name, calculation, value) in enumerate(facts["steps"], 1):
        missing = [source for source in names_in(parameters[name]) if source not in values]
        if missing:
            return [*lines, f"{at}: {missing[0]} is not computed before, wrong."]
        demanded = write_calculation(parameters[name], values)
        right = value_of(parameters[name], values)
        due = str(right) if demanded.isdigit() else f"{demanded} = {right}"
        if value != right or calculation not in (demanded, str(right)):
            return [*lines, f"{at}: should be {due}, wrong."]
        lines.append(f"{at}: {due}, right.")
        values[name] = value
    return lines


def check_lines(facts: Mapping[str, Any]) -> list[str]:
    """Return the check of each line of an evaluation, up to the wrong one."""
    bad = facts["first_bad"]
    lines = [f"{at}: {done}, right." for at, done in enumerate(facts["calculations"], 1)]
    if bad is None:
        return lines
    why = "another number changes too" if facts["fault"] == "copy" else "the line says otherwise"
    return [*lines[: bad - 1], f"{bad}: {facts['calculations'][bad - 1]}, but {why}, wrong."]

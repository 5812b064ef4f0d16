"""Steps of a written solution: the first bad one, and the number of unneeded ones.

A step is a line of the form `<parameter> = <calculation> = <number>`, with any number of calculations, and optionally
with a number, a bullet or emphasis before it. Other lines are not checked. Names are read leniently ("1. The total
number of toys in a barn = ..."); values are checked strictly:

unknown_parameter   the problem has no such parameter
not_ready           the step depends on a parameter that no earlier step has computed; plain constants need no step,
                    nor do totals of a story whose parts are all known
arithmetic          the number, or any calculation in digits, is not congruent to the right value
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from fathom.tasks.arithmetic.formula import MODULUS, names_in, needed_for, solve_parameters
from fathom.tasks.arithmetic.word_problem import implied_totals

MAX_READ = 200_000
"""Most characters of a text that are read: several times the largest budget."""

_MAX_STEPS = 1_000
_MAX_LINE = 400

_LEAD = re.compile(
    r"[\s>#*_`$-]*(?:step\s{0,3})?(?:[0-9]{1,4}\s{0,3}[.):])?[\s*_`$-]*(?:so\s|then\s|thus\s)?", re.IGNORECASE
)
_CODE = re.compile(r"[B-DF-HJ-NP-TV-XZ]{2}")
_COUNT = re.compile(
    r"(?:the )?(?:total )?(?:number of )?(?:all )?([a-z]{2,20}) "
    r"(?:in|per) (?:(?:each|every|an?|one|the) )?([a-z]{2,20})"
)
_MOD = re.compile(r"[(\[]?\s{0,3}(?:mod(?:ulo)?|%)\s{0,3}23\s{0,3}[)\]]?", re.IGNORECASE)
_NUMBER = re.compile(r"\s*([-+]?[0-9]{1,12})(?![0-9]|[.,][0-9]|\s*[-/*+^])")
_PIECE = re.compile(r"[0-9]{1,12}|[-+*()]")
_BLANK = str.maketrans({"×": "*", "·": "*", "⋅": "*", "−": "-", "–": "-", "≡": "=", "[": "(", "]": ")"})


@dataclass(frozen=True, slots=True)
class WrittenStep:
    """One written step: what it computes, the calculations in digits, and the result."""

    name: str
    calculations: tuple[int, ...]  # values, 0..22
    result: int


@dataclass(frozen=True, slots=True)
class SolutionReading:
    """Counts and the first bad step of a written solution."""

    n_steps: int
    unneeded: int  # right steps before the first bad one that the query does not need
    reaches_query: bool
    fault: str = ""
    at: int | None = None

    @property
    def note(self) -> str:
        """The first bad step and the number of unneeded ones, in words."""
        unneeded = f"{self.unneeded} unneeded step{'s' * (self.unneeded != 1)}" if self.unneeded else ""
        return "; ".join(part for part in (f"{self.fault} at step {self.at}" if self.fault else "", unneeded) if part)


def calculate(text: str) -> int | None:
    """Return the value modulo 23 of a calculation in + - * and brackets, or None for any other text."""
    pieces = _PIECE.findall(text)
    if not pieces or len(text) > _MAX_LINE or _PIECE.sub("", text).strip():
        return None
    values: list[int] = []
    pending: list[str] = []
    operand_due = True
    for piece in pieces:
        if piece[0].isdigit() and operand_due:
            values.append(int(piece))
            operand_due = False
        elif piece == "(" and operand_due:
            pending.append(piece)
        elif piece == "-" and operand_due:
            values.append(0)  # a sign is a subtraction from 0 that binds first
            pending.append("sign")
        elif piece == ")" and not operand_due:
            _reduce(values, pending, 0)
            if not pending:
                return None
            pending.pop()
        elif piece in "+-*" and not operand_due:
            _reduce(values, pending, 2 if piece == "*" else 1)
            pending.append(piece)
            operand_due = True
        else:
            return None
    if operand_due:
        return None
    _reduce(values, pending, 0)
    return None if pending else values[0] % MODULUS


_RANK = {"(": -1, "+": 1, "-": 1, "*": 2, "sign": 3}


def _reduce(values: list[int], pending: list[str], rank: int) -> None:
    """Apply the pending operators of at least this rank, down to an open bracket."""
    while pending and _RANK[pending[-1]] >= max(rank, 1):
        op, right = pending.pop(), values.pop()
        left = values[-1]
        values[-1] = (left + right if op == "+" else left * right if op == "*" else left - right) % MODULUS


def read_line(line: str) -> WrittenStep | None:
    """Return the step that a line contains, or None."""
    if len(line) > _MAX_LINE:
        return None
    head, *rest = line.translate(_BLANK).split("=")
    name = name_key(head[lead.end() :]) if rest and (lead := _LEAD.match(head)) else None
    number = _NUMBER.match(_MOD.sub("", rest[-1]).strip(" *_`$")) if name else None
    if name is None or number is None:
        return None
    known = (calculate(_MOD.sub("", part)) for part in rest[:-1])
    return WrittenStep(name, tuple([value for value in known if value is not None]), int(number[1]))


def name_key(text: str) -> str | None:
    """Return the canonical spelling of a parameter's name, or None for any other text."""
    bare = text.strip(" \t*_`$:")
    if _CODE.fullmatch(bare):
        return bare
    found = _COUNT.fullmatch(bare.lower())
    return f"{found[1]} in {found[2]}" if found else None


def read_solution(facts: Mapping[str, Any], text: str) -> SolutionReading:
    """Check the steps of a text against an item's facts, up to the first bad one."""
    lines = (line for line in text[:MAX_READ].splitlines() if "=" in line)
    steps = list(islice((step for line in lines if (step := read_line(line))), _MAX_STEPS))
    if not steps:
        return SolutionReading(0, 0, False)
    totals = implied_totals(facts)
    parameters = {**totals, **facts["parameters"]}
    values = solve_parameters(parameters, *parameters)
    names = {name_key(name): name for name in parameters}
    needed = set(needed_for(parameters, facts["query"]))
    known = {name for name, node in parameters.items() if node["op"] == "constant"}
    parts = {name: names_in(parameters[name]) for name in values}
    # Inputs come first in `values`, so one pass over the totals finds all whose parts are known.
    summed = [name for name in values if name in totals]
    done: dict[str, None] = {}
    for at, step in enumerate(steps, 1):
        name = names.get(step.name, "")
        fault = _fault(step, name, parts, values, known)
        if fault:
            return _reading(len(steps), done, needed, facts["query"], fault, at)
        done[name] = None
        known.add(name)
        for total in summed:
            if total not in known and known.issuperset(parts[total]):
                known.add(total)
    return _reading(len(steps), done, needed, facts["query"])


def _fault(
    step: WrittenStep, name: str, parts: Mapping[str, list[str]], values: Mapping[str, int], known: set[str]
) -> str:
    if not name:
        return "unknown_parameter"
    if not known.issuperset(parts[name]):
        return "not_ready"
    right = all((value - values[name]) % MODULUS == 0 for value in (step.result, *step.calculations))
    return "" if right else "arithmetic"


def _reading(
    n_steps: int, done: Mapping[str, None], needed: set[str], query: str, fault: str = "", at: int | None = None
) -> SolutionReading:
    return SolutionReading(n_steps, sum(name not in needed for name in done), query in done, fault, at)

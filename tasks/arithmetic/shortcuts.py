"""Rules that answer problems of counts, expressions and written solutions without working them out.

Families name them as their shortcuts; what each earns is held against their chance. They read an item's facts, which
say no more than its text.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, takewhile
from typing import Any

from fathom.tasks.arithmetic.brackets import READINGS, read_without_brackets
from fathom.tasks.arithmetic.expression import APPLY, nearest_number
from fathom.tasks.arithmetic.formula import MODULUS, cost, names_in, needed_for, numbers_in, value_of
from fathom.tasks.base import Instance, Shortcut

_Facts = Mapping[str, Any]


def offered(instance: Instance, style: str, value: int | str | None) -> str | None:
    """Return an answer as a text; in the style `choice` the first candidate where it is none of them."""
    said = None if value is None else str(value)
    return instance.choices[0] if style == "choice" and said not in instance.choices else said


def shortcut(name: str, about: str, rule: Callable[[Instance], int | str | None]) -> Shortcut:
    """Return a rule that looks at the item alone, whatever the style."""
    return Shortcut(name, about, lambda instance, style: offered(instance, style, rule(instance)))


def _stated(facts: _Facts) -> list[int]:
    """Return the numbers of a problem of counts."""
    return [number for node in facts["parameters"].values() for number in numbers_in(node)]


def _own_number(parameters: Mapping[str, Any], name: str) -> int:
    """Return the number in a parameter's own formula; 0 if there is none."""
    return next(iter(numbers_in(parameters[name])), 0)


def _half(facts: _Facts) -> int:
    """Work out at most half of the operations, those nearest to the query; below, a parameter is its own number."""
    parameters, budget = facts["parameters"], facts["op"] // 2
    opened, layer = dict[str, None](), [facts["query"]]
    while layer:
        budget -= sum(cost(parameters[name]) for name in layer)
        if budget < 0:
            break
        opened |= dict.fromkeys(layer)
        below = dict.fromkeys([one for name in layer for one in names_in(parameters[name])])
        layer = [one for one in below if one not in opened]
    values: dict[str, int] = {}
    for name in needed_for(parameters, facts["query"]):
        values[name] = value_of(parameters[name], values) if name in opened else _own_number(parameters, name)
    return values[facts["query"]]


def _largest(instance: Instance) -> int:
    return max(_stated(instance.facts), default=0)


def _last_number(instance: Instance) -> int:
    return (_stated(instance.facts) or [0])[-1]


def _commonest(instance: Instance) -> int:
    return Counter(_stated(instance.facts) or [0]).most_common(1)[0][0]


COUNT_SHORTCUTS = (
    shortcut("own number", "Answers the number in the formula of the parameter that is asked for.",
             lambda one: _own_number(one.facts["parameters"], one.facts["query"])),
    shortcut("half of the work", "Works out at most half of the operations, those nearest to the question, and reads "
             "deeper parameters as the numbers in their own formulas.", lambda one: _half(one.facts)),
    shortcut("commonest number", "Answers the number that the problem states most often.", _commonest),
    shortcut("last number", "Answers the last number that the problem states.", _last_number),
    shortcut("largest number", "Answers the largest number that the problem states.", _largest),
    shortcut("sum of all", "Adds all numbers of the problem.", lambda one: sum(_stated(one.facts)) % MODULUS),
)  # fmt: skip
"""Rules about a problem of counts."""


_ONE_OPERATION = 3  # tokens
_CALCULATION = re.compile(r"(\d+) ([-+*]) (\d+)")


class _Written:
    """The steps of a written solution in numbers: of each the two numbers of its calculation, and its own."""

    def __init__(self, facts: _Facts) -> None:
        self.stated = _stated(facts)
        self.steps = [_numbers(calculation, value) for _, calculation, value in facts["steps"]]

    def first(self, is_odd: Callable[[int, int, str, int, int], bool]) -> int:
        """Return the place of the first step that is odd, or 0. A rule gets its place and its calculation."""
        return next((at for at, step in enumerate(self.steps, 1) if is_odd(at, *step)), 0)

    def results(self, upto: int) -> list[int]:
        """Return the numbers of the steps before a place."""
        return [step[3] for step in self.steps[: upto - 1]]

    def unused(self) -> int:
        """Return the place after the first step whose number no later step uses, or 0."""
        for at, (_, _, _, value) in enumerate(self.steps[:-1], 1):
            if all(value not in (left, right) for left, _, right, _ in self.steps[at:]):
                return at + 1
        return 0

    def overused(self) -> int:
        """Return the first step with a number that is used more often than it was given."""
        left = Counter(self.stated)
        for at, (one, _, other, value) in enumerate(self.steps, 1):
            for number in (one, other):
                left[number] -= 1
                if left[number] < 0:
                    return at
            left[value] += 1
        return 0


def _numbers(calculation: object, value: int) -> tuple[int, str, int, int]:
    found = _CALCULATION.fullmatch(str(calculation))
    return (int(found[1]), found[2], int(found[3]), value) if found else (value, "", value, value)


def _place(instance: Instance, style: str, place: int) -> str | None:
    """Return the answer that names a step, or none for 0; the candidate about it where numbers are asked too."""
    said = str(place) if place else "none"
    if instance.facts["task"] == "mend" and place:
        said = next((one for one in instance.choices if one.startswith(f"{place}: ")), f"{place}: 0")
    return offered(instance, style, said)


def _place_rule(
    name: str, about: str, of_steps: Callable[[_Written], int], of_lines: Callable[[Sequence[str]], int] | None = None
) -> Shortcut:
    """Return a rule that finds a place, in a solution of steps or in the lines of an expression."""

    def answer(instance: Instance, style: str) -> str | None:
        facts = instance.facts
        if facts["task"] != "mano":
            return _place(instance, style, of_steps(_Written(facts)))
        return _place(instance, style, of_lines([facts["expression"], *facts["steps"]])) if of_lines else None

    return Shortcut(name, about, answer)


def _is_calculated(_: int, left: int, sign: str, right: int, value: int) -> bool:
    return (
        not sign or (left + right if sign == "+" else left - right if sign == "-" else left * right) % MODULUS == value
    )


def _changed_lines(lines: Sequence[str]) -> int:
    """Return the first line that changes more than one bracket, or 0."""
    pairs = pairwise(lines)
    for at, (before, after) in enumerate(pairs, 1):
        old, new = [re.findall(r"\d+|[-+*()]", line) for line in (before, after)]
        same_start = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(old, new, strict=False)))
        same_end = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(old[::-1], new[::-1], strict=False)))
        if same_start + same_end < len(new) - 1:
            return at
    return 0


def _new_number(lines: Sequence[str]) -> int:
    """Return the first line whose new number stands in the line before too, or 0."""
    for at, (before, after) in enumerate(pairwise(lines), 1):
        old, new = [Counter(re.findall(r"\d+", line)) for line in (before, after)]
        if not new - old:
            return at
    return 0


def _strange(work: _Written) -> int:
    return work.first(lambda at, left, _, right, __: not {left, right} <= {*work.stated, *work.results(at)})


def _broken(work: _Written) -> int:
    return work.first(lambda at, left, _, right, __: at > 1 and work.results(at)[-1] not in (left, right))


def _seen_fix(instance: Instance) -> str | None:
    """Name the candidate whose number the problem or a step has, the first such one; for solutions to be mended."""
    if instance.facts["task"] != "mend":
        return None
    seen = {*_stated(instance.facts), *[value for _, _, value in instance.facts["steps"]]}
    offers = [choice for choice in instance.choices if choice != "none"]
    return next((one for one in offers if int(one.partition(": ")[2]) in seen), instance.choices[0])


SOLUTION_SHORTCUTS = (
    _place_rule("own arithmetic", "Names the first step whose calculation does not give its number, whatever the "
                "problem; of lines, the first that changes more than one bracket.",
                lambda work: work.first(lambda *step: not _is_calculated(*step)), _changed_lines),
    _place_rule("strange number", "Names the first step with a number that neither the problem nor an earlier step "
                "has; of lines, the first whose new number stands in the line before.", _strange, _new_number),
    _place_rule("unused number", "Names the step after one whose number no later step uses.", _Written.unused),
    _place_rule("overused number", "Names the first step that uses a number more often than it was given.",
                _Written.overused),
    _place_rule("broken chain", "Names the first step that does not use the number of the step before it.", _broken),
    _place_rule("repeated number", "Names the first step whose number an earlier step has.",
                lambda work: work.first(lambda at, _, __, ___, value: value in work.results(at))),
    _place_rule("first product", "Names the first step that multiplies.",
                lambda work: work.first(lambda _, __, sign, ___, ____: sign == "*")),
    _place_rule("middle", "Names the step in the middle.", lambda work: (len(work.steps) + 1) // 2,
                lambda lines: len(lines) // 2),
    Shortcut("seen number", "Chooses the first candidate whose number the problem or a step has.",
             lambda instance, _: _seen_fix(instance), ("choice",)),
)  # fmt: skip
"""Rules about a written solution: none looks a parameter up in the problem."""


def _numbers_of(instance: Instance) -> list[int]:
    return [int(token) for token in instance.facts["prefix"] if token.isdecimal()]


def _reading(name: str) -> Shortcut:
    def rule(instance: Instance) -> int | None:
        if len(instance.facts["prefix"]) <= _ONE_OPERATION:
            return None  # nothing is nested: this would be the task itself
        return read_without_brackets(instance.facts["prefix"], instance.facts["modulus"], name)

    return shortcut(name, f"Ignores how the operations are nested and works from what it sees: {name}.", rule)


def _outermost(instance: Instance) -> int | None:
    """Apply the outermost operation to the first and the last number, if there are more."""
    if len(instance.facts["prefix"]) <= _ONE_OPERATION:
        return None
    numbers = _numbers_of(instance)
    return int(APPLY[instance.facts["prefix"][0]](numbers[0], numbers[-1]) % instance.facts["modulus"])


def _no_product(instance: Instance) -> int:
    return 0 if instance.facts["prefix"][0] != "*" else _numbers_of(instance)[0]


EXPRESSION_SHORTCUTS = (
    *[_reading(name) for name in READINGS],
    shortcut("outermost", "Applies the outermost operation to the first and the last number.", _outermost),
    shortcut("nearest number", "Copies the number under the fewest sums and differences.",
             lambda one: nearest_number(one.facts["prefix"])),
    shortcut("first number", "Copies the first number.", lambda one: _numbers_of(one)[0]),
    shortcut("last number", "Copies the last number.", lambda one: _numbers_of(one)[-1]),
    shortcut("largest number", "Copies the largest number.", lambda one: max(_numbers_of(one))),
    shortcut("no product", "Answers 0 unless the outermost operation is a product.", _no_product),
)  # fmt: skip
"""Rules about an expression."""

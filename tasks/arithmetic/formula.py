"""Formulas over numbered or named parameters: values, texts and numbers of operations, modulo 23.

There are two representations. While a problem is drawn, parameters are numbers and a formula is flat (`Formula`), which
is fast. In an item's facts, parameters have names and a formula is a JSON tree: a whole number, a name, or
{"op": "+", "args": [tree, ...]} with op one of + - *; a parameter is always such an object, and a plain number c is
{"op": "constant", "args": [c]}.

The cost of a parameter is t - 1, where t counts the numbers and names in its formula with repetition: its binary
operations, and 0 for a plain number. (Physics of Language Models 2.1 counts a plain number as one operation.) op of a
query is the sum over the query and all that it depends on.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MODULUS = 23

Tree = Any  # int | str | {"op": str, "args": [Tree, ...]}: JSON, and mypy knows no recursive TypedDict here
Parameters = Mapping[str, Mapping[str, Any]]  # name -> {"op", "args"}


class Formula(NamedTuple):
    """`inputs` joined by `inner`, then joined with a constant by `outer` unless that is empty.

    inner: "+", "-", "*", or "." for a sum of products of neighbours. outer: "+" and "*" put the constant first, "-"
    subtracts it. Without inputs, the formula is the constant alone.
    """

    inner: str
    inputs: tuple[int, ...]
    outer: str

    @property
    def cost(self) -> int:
        """Number of binary operations of the formula."""
        return max(0, len(self.inputs) - (not self.outer))


CONSTANT = Formula("", (), "")


def evaluate_formulas(
    formulas: Sequence[Formula], constants: Sequence[int], order: Sequence[int], values: list[int]
) -> list[int]:
    """Compute the values of the parameters in `order`, inputs first; return `values`."""
    for at in order:
        inner, inputs, outer = formulas[at]
        if not inputs:
            values[at] = constants[at]
            continue
        value = values[inputs[0]]
        if inner == "+":
            for source in inputs[1:]:
                value += values[source]
        elif inner == "-":
            value -= values[inputs[1]]
        elif inner == "*":
            value *= values[inputs[1]]
        else:
            value = 0
            for left, right in zip(inputs[::2], inputs[1::2], strict=True):
                value += values[left] * values[right]
        if outer:
            constant = constants[at]
            value = value + constant if outer == "+" else value - constant if outer == "-" else value * constant
        values[at] = value % MODULUS
    return values


def write_calculation(node: Tree, texts: Mapping[str, object] | None = None) -> str:
    """Return a tree as a calculation, with names, or with `texts` in place of names."""
    if isinstance(node, str):
        return str(texts[node]) if texts else node
    if not isinstance(node, Mapping):
        return str(node)
    op, args = node["op"], node["args"]
    shown = [write_calculation(arg, texts) for arg in args]
    if op == "*":
        shown = [f"({text})" if isinstance(arg, Mapping) and arg["op"] != "*" else text
                 for arg, text in zip(args, shown, strict=True)]  # fmt: skip
    return f" {op} ".join(shown)


def tree(formula: Formula, constant: int, names: Sequence[str]) -> dict[str, Any]:
    """Return the JSON tree of a formula."""
    inner, inputs, outer = formula
    if not inputs:
        return {"op": "constant", "args": [constant]}
    args: list[Tree] = [names[source] for source in inputs]
    if inner == ".":
        args = [{"op": "*", "args": [left, right]} for left, right in zip(args[::2], args[1::2], strict=True)]
        inner = "+"
    if not outer:
        return args[0] if len(args) == 1 and len(inputs) == 2 else {"op": inner, "args": args}
    joined: Tree = args[0] if len(args) == 1 else {"op": inner, "args": args}
    return {"op": outer, "args": [joined, constant] if outer == "-" else [constant, joined]}


def names_in(node: Tree) -> list[str]:
    """Return the parameters that a tree mentions, from left to right."""
    if isinstance(node, str):
        return [node]
    return [name for arg in node["args"] for name in names_in(arg)] if isinstance(node, Mapping) else []


def numbers_in(node: Tree) -> list[int]:
    """Return the numbers that a tree mentions, from left to right."""
    if isinstance(node, Mapping):
        return [number for arg in node["args"] for number in numbers_in(arg)]
    return [] if isinstance(node, str) else [node]


def leaves(node: Tree) -> int:
    """Count the numbers and names in a tree."""
    return sum(leaves(arg) for arg in node["args"]) if isinstance(node, Mapping) else 1


def cost(node: Tree) -> int:
    """Return the number of binary operations of a parameter with this tree."""
    return leaves(node) - 1


def needed_for(parameters: Parameters, *queries: str) -> list[str]:
    """Return the queries and all that they depend on, inputs first.

    Raises:
        KeyError: a parameter is not defined, or depends on itself.
    """
    done: dict[str, None] = {}
    waiting: dict[str, None] = {}
    stack = list(queries[::-1])
    while stack:
        name = stack[-1]
        missing = [] if name in done else [source for source in names_in(parameters[name]) if source not in done]
        if not missing:
            done[stack.pop()] = None
            continue
        if name in waiting:
            raise KeyError(f"{name} depends on itself")
        waiting[name] = None
        stack += missing
    return list(done)


def operations(parameters: Parameters, query: str) -> int:
    """Return op of the query: the cost of the query and of all that it depends on."""
    return sum(cost(parameters[name]) for name in needed_for(parameters, query))


def value_of(node: Tree, values: Mapping[str, int]) -> int:
    """Return the value of a tree, 0..22."""
    if isinstance(node, str):
        return values[node]
    if not isinstance(node, Mapping):
        return int(node) % MODULUS
    first, *rest = [value_of(arg, values) for arg in node["args"]]
    for value in rest:
        first = first + value if node["op"] == "+" else first - value if node["op"] == "-" else first * value
    return first % MODULUS


def solve_parameters(parameters: Parameters, *queries: str) -> dict[str, int]:
    """Return the values of the queries and of all that they depend on, inputs first."""
    values: dict[str, int] = {}
    for name in needed_for(parameters, *queries):
        values[name] = value_of(parameters[name], values)
    return values

"""Expressions whose brackets and operations matter, and the values that one gets by ignoring the brackets.

A structure is a tree of operators without numbers. Two structures over the same numbers are equal if they have the same
value for all numbers: then one bracketing may be read as another. They are compared on fixed large numbers.

Two and three operations have so few bracketings that any fixed one is often right. There, all bracketings of the same
operators differ from each other and are equally likely. From four operations on, a structure differs from all
READINGS. No product has a factor 0, which would make the other factor idle.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import product
from math import comb
from typing import NamedTuple

from fathom.tasks.arithmetic.expression import NUMERALS, SIGNS, Expression
from fathom.tasks.arithmetic.puzzle import NextWord
from fathom.tasks.stream import Stream

Structure = tuple[str, "Structure", "Structure"] | None
"""An operator and its two sides; None is a number."""

FEW, TABLED = 3, 4
"""Most operations of expressions all of whose bracketings differ, and of those that are drawn from a table."""

_LEAST_VALUES = 7
"""Fewest different values, apart from readings, of the bracketings of a row of four operators that is drawn."""

_CHECKED = 13
"""Most operations that are compared with the readings; of larger trees, fewer than one in 200 equals one."""

_PRIME = (1 << 61) - 1
_PRIMES = (5, 7, 23)
_PROBES = tuple([pow(6_364_136_223_846_793_005, at, _PRIME) + at for at in range(1, _CHECKED + 2)])


class Row(NamedTuple):
    """The operators of a structure, as they stand between the numbers and in prefix form."""

    infix: list[str]
    prefix: list[str]


def row_of(structure: Structure) -> Row:
    """Return the operators of a structure."""
    row = Row([], [])

    def walk(part: Structure) -> None:
        if part:
            row.prefix.append(part[0])
            walk(part[1])
            row.infix.append(part[0])
            walk(part[2])

    walk(structure)
    return row


def _apply(sign: str, a: int, b: int) -> int:
    return a + b if sign == "+" else a - b if sign == "-" else a * b


def _leftwards(signs: Sequence[str], numbers: Sequence[int], p: int) -> int:
    value = numbers[0]
    for at, sign in enumerate(signs, 1):
        other = numbers[at]
        value = (value + other if sign == "+" else value - other if sign == "-" else value * other) % p
    return value


def _rightwards(signs: Sequence[str], numbers: Sequence[int], p: int) -> int:
    value = numbers[len(signs)]
    for at in range(len(signs) - 1, -1, -1):
        sign, other = signs[at], numbers[at]
        value = (other + value if sign == "+" else other - value if sign == "-" else other * value) % p
    return value


def _products_first(signs: Sequence[str], numbers: Sequence[int], p: int) -> int:
    total, sign, term = 0, "+", numbers[0]
    for at, after in enumerate(signs, 1):
        if after == "*":
            term = term * numbers[at] % p
        else:
            total, sign, term = _apply(sign, total, term), after, numbers[at]
    return _apply(sign, total, term) % p


def _halves(signs: Sequence[str], numbers: Sequence[int], p: int) -> int:
    if not signs:
        return numbers[0]
    middle = (len(signs) - 1) // 2
    left = _halves(signs[:middle], numbers[: middle + 1], p)
    return _apply(signs[middle], left, _halves(signs[middle + 1 :], numbers[middle + 1 :], p)) % p


READINGS: Mapping[str, Callable[[Row, Sequence[int], int], int]] = {
    "left to right": lambda row, numbers, p: _leftwards(row.infix, numbers, p),
    "right to left": lambda row, numbers, p: _rightwards(row.infix, numbers, p),
    "products first": lambda row, numbers, p: _products_first(row.infix, numbers, p),
    "halves": lambda row, numbers, p: _halves(row.infix, numbers, p),
    "last operator first": lambda row, numbers, p: _leftwards(row.prefix[::-1], numbers, p),
    "first operator last": lambda row, numbers, p: _rightwards(row.prefix, numbers, p),
}
"""Ways to work out operators and numbers without brackets; the last two take the operators in prefix order.

"halves" applies the operator in the middle last, and so on in each half.
"""


def value_with(structure: Structure, numbers: Iterator[int], p: int) -> int:
    """Return the value modulo p of a structure with these numbers."""
    if structure is None:
        return next(numbers)
    sign, left, right = structure
    return _apply(sign, value_with(left, numbers, p), value_with(right, numbers, p)) % p


@cache
def bracketings(signs: str) -> tuple[Structure, ...]:
    """Return all structures with these operators between their numbers."""
    if not signs:
        return (None,)
    return tuple(
        [
            (sign, left, right)
            for at, sign in enumerate(signs)
            for left in bracketings(signs[:at])
            for right in bracketings(signs[at + 1 :])
        ]
    )


def _is_read(structure: Structure) -> bool:
    """Return whether a structure equals one of its READINGS."""
    row, value = row_of(structure), value_with(structure, iter(_PROBES), _PRIME)
    return any(value == read(row, _PROBES, _PRIME) for read in READINGS.values())


@cache
def _table(length: int) -> tuple[tuple[Structure, ...], ...]:
    """Return structures that may be drawn, in rows: of one row of operators, one or more of each value."""
    rows = []
    for signs in product(SIGNS, repeat=length):
        made = bracketings("".join(signs))
        values = [value_with(one, iter(_PROBES), _PRIME) for one in made]
        if length <= FEW:
            rows += [made] if len(set(values)) == len(made) else []
            continue
        firsts = {value: one for one, value in zip(made[::-1], values[::-1], strict=True) if not _is_read(one)}
        rows += [tuple(firsts.values())] if len(firsts) >= _LEAST_VALUES else []
    return tuple(rows)


@cache
def _drawable(length: int, with_product: bool) -> tuple[Structure, ...]:
    """Return the structures of a table, all or those whose root is no product."""
    made = [one for row in _table(length) for one in row]
    return tuple([one for one in made if one and (with_product or one[0] != "*")])


def count_structures(length: int) -> float:
    """Return roughly how many structures of `length` operations are drawn."""
    if 1 < length <= TABLED:
        return len(_drawable(length, True))
    return float(comb(2 * length, length) // (length + 1) * 3**length)


def _random(length: int, roll: NextWord) -> Structure:
    """Return a random operator with 0..length-1 of the other operations on its left, uniformly."""
    if not length:
        return None
    word, kind = divmod(roll(), 3)
    left = word % length
    return SIGNS[kind], _random(left, roll), _random(length - 1 - left, roll)


def _draw_structure(length: int, value: int, roll: NextWord) -> Structure:
    """Draw a structure that may have this value: no product is 0."""
    if 1 < length <= TABLED:
        known = _drawable(length, value != 0)
        return known[roll() % len(known)]
    while True:
        made = _random(length, roll)
        if (value or (made and made[0] != "*")) and (not 1 < length <= _CHECKED or not _is_read(made)):
            return made


@cache
def _factors(p: int) -> list[list[tuple[int, int]]]:
    """Return for each product modulo p the pairs of factors other than 0."""
    numbers = range(1, p)
    return [[(a, b) for a in numbers for b in numbers if a * b % p == product_] for product_ in range(p)]


def _fill(structure: Structure, value: int, p: int, roll: NextWord, tokens: list[str]) -> None:
    """Append the prefix form of a structure with this value; pairs of values are uniform among those that may be."""
    if structure is None:
        tokens.append(NUMERALS[value])
        return
    sign, left, right = structure
    tokens.append(sign)
    if sign == "*":
        pairs = _factors(p)[value]
        a, b = pairs[roll() % len(pairs)]
    else:
        a = roll() % p
        b = (value - a if sign == "+" else a - value) % p
        while (not a and left and left[0] == "*") or (not b and right and right[0] == "*"):
            a = roll() % p
            b = (value - a if sign == "+" else a - value) % p
    _fill(left, a, p, roll, tokens)
    _fill(right, b, p, roll, tokens)


def draw_bracketed(length: int, p: int, stream: Stream) -> Expression:
    """Draw an expression of `length` operations modulo p whose brackets matter; its value is uniform on 0..p-1."""
    roll = _words(stream)
    value, word = roll() % p, roll()
    tokens: list[str] = []
    _fill(_draw_structure(length, value, roll), value, p, roll, tokens)
    return Expression(tokens, value, word)


@cache
def one_operation(p: int) -> tuple[tuple[str, int, int], ...]:
    """Return all questions of one operation modulo p, with so many products of 0 that each value is as frequent."""
    pairs = list(product(range(p), repeat=2))
    made = [(sign, a, b) for sign in "+-" for a, b in pairs] + [("*", a, b) for a, b in pairs if a and b]
    return tuple(made + [("*", a, 0) for a in range(1, p)]) if p in _PRIMES else tuple(made)


@lru_cache(maxsize=8)
def _shuffled(p: int, seed: str) -> tuple[tuple[str, int, int], ...]:
    return tuple(Stream("one operation", p, seed).shuffle(one_operation(p)))


def draw_one_operation(p: int, stream: Stream) -> Expression:
    """Return the question of the stream's index: none of a seed comes twice, nor in both of items and demonstrations.

    The first three quarters of the shuffled questions are items. Training text, without an index, draws from all.
    """
    value, known = stream.words(1)[0], _shuffled(p, stream.seed)
    cut = len(known) * 3 // 4
    if stream.index is not None:
        known = known[:cut] if stream.role == "eval" else known[cut:]
    sign, a, b = known[(value if stream.index is None else stream.index) % len(known)]
    tokens = [sign, NUMERALS[a], NUMERALS[b]]
    return Expression(tokens, _apply(sign, a, b) % p, stream.words(1)[0])


def _words(stream: Stream) -> NextWord:
    def endless() -> Iterator[int]:
        while True:
            yield from stream.words(32)

    return endless().__next__


def parse(prefix: Sequence[str]) -> tuple[Structure, list[int]]:
    """Return the structure of a prefix form, and its numbers from left to right."""
    stack: list[Structure] = []
    for token in reversed(prefix):
        stack.append((token, stack.pop(), stack.pop()) if token in SIGNS else None)
    return stack[0], [int(token) for token in prefix if token not in SIGNS]


def read_without_brackets(prefix: Sequence[str], p: int, reading: str) -> int:
    """Return the value modulo p of a prefix form that is read in this way."""
    structure, numbers = parse(prefix)
    return READINGS[reading](row_of(structure), numbers, p) % p


def values_of_bracketings(prefix: Sequence[str], p: int) -> list[int]:
    """Return the values of all bracketings of an expression's operators and numbers, each once."""
    structure, numbers = parse(prefix)
    made = bracketings("".join(row_of(structure).infix))
    return list(dict.fromkeys([value_with(one, iter(numbers), p) for one in made]))

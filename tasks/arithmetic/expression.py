"""Arithmetic expressions modulo p in prefix form: drawn, written in infix, evaluated in steps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import add, mul, sub
from typing import NamedTuple

from fathom.tasks.stream import Stream

MODULI = (23, 5, 7, 10)
SIGNS = "+-*"
APPLY: Mapping[str, Callable[[int, int], int]] = {"+": add, "-": sub, "*": mul}
NUMERALS = tuple(map(str, range(max(MODULI))))
"""The numbers of expressions as texts, shared to save memory."""

_FACTORS = {
    p: [[(a, b) for a in range(p) for b in range(p) if a * b % p == product] for product in range(p)] for p in MODULI
}
"""Pairs whose product is 0, 1, ... modulo p; sums and differences have one pair for each first part."""


class Expression(NamedTuple):
    """Tokens in prefix form and their value in 0..p-1; `word` is a random number that no draw used."""

    prefix: list[str]
    value: int
    word: int


def draw_expression(length: int, p: int, stream: Stream) -> Expression:
    """Draw an expression of exactly `length` operations modulo p, one of MODULI; its value is uniform on 0..p-1."""
    words = stream.words(length + 2)
    value = words.pop() % p
    word = words.pop()
    prefix: list[str] = []
    _grow(length, value, words, prefix, p)
    return Expression(prefix, value, word)


def _grow(size: int, value: int, words: list[int], tokens: list[str], p: int) -> None:
    """Append the prefix form of a random part of `size` operations with this value."""
    if not size:
        tokens.append(NUMERALS[value])
        return
    word, kind = divmod(words.pop(), 3)
    word, left = divmod(word, size)
    tokens.append(SIGNS[kind])
    if kind == 2:
        pairs = _FACTORS[p][value]
        a, b = pairs[word % len(pairs)]
    else:
        a = word % p
        b = (a - value if kind else value - a) % p
    _grow(left, a, words, tokens, p)
    _grow(size - 1 - left, b, words, tokens, p)


def draw_plain(length: int, p: int, stream: Stream) -> Expression:
    """Draw an expression of exactly `length` operations as the corpus mano does: all numbers and operators uniform.

    Its value is 0 more often than other values.
    """
    words = stream.words(3 * length + 2)
    word, tokens = words.pop(), list[str]()

    def grow(size: int) -> int:
        if not size:
            tokens.append(NUMERALS[words.pop() % p])
            return int(tokens[-1])
        sign = SIGNS[words.pop() % len(SIGNS)]
        left = words.pop() % size
        tokens.append(sign)
        return APPLY[sign](grow(left), grow(size - 1 - left)) % p

    return Expression(tokens, grow(length), word)


def nearest_number(tokens: Sequence[str]) -> str:
    """Return the number under the fewest sums and differences, then the fewest operations; then the largest."""
    stack: list[tuple[int, int, int]] = []
    for token in reversed(tokens):
        if token in APPLY:
            n_sums, n_operations, number = min(stack.pop(), stack.pop())
            stack.append((n_sums + (APPLY[token] is not mul), n_operations + 1, number))
        else:
            stack.append((0, 0, -int(token)))
    return NUMERALS[-stack[0][2]]


def infix(tokens: Sequence[str]) -> str:
    """Write a prefix form in infix, each inner operation in brackets."""
    stack: list[str] = []
    for token in reversed(tokens):
        stack.append(f"({stack.pop()} {token} {stack.pop()})" if token in APPLY else token)
    return stack[0][1:-1] if len(tokens) > 1 else stack[0]


def evaluate_expression(tokens: Iterator[str], p: int, lines: list[str]) -> int:
    """Evaluate a prefix form modulo p, left before right, and append a line for each operation."""
    token = next(tokens)
    if token not in APPLY:
        return int(token)
    a = evaluate_expression(tokens, p, lines)
    b = evaluate_expression(tokens, p, lines)
    raw = APPLY[token](a, b)
    lines.append(f"{a} {token} {b} = {raw}" + (f" = {raw % p} mod {p}" if raw != raw % p else ""))
    return raw % p

"""The value of an arithmetic expression modulo p: operations composed without a calculator.

An expression has exactly l operations out of + - *. A part without operations is a number of 0..p-1; any other has a
random operation, and 0..l-1 of the l-1 others, uniformly, on its left. Numbers are drawn from the value downwards: the
value of the whole is uniform, and so is, for each operation, the pair of values among the pairs with its result. So no
answer is likelier than another; uniform numbers would give 0 too often.

Hardness: operations. Chance: copying one number of the expression; measured.

Reference: Allen-Zhu, Physics of Language Models 4.1 (arXiv 2512.17351), synthetic task Mano.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb, inf
from operator import mul
from typing import ClassVar

from fathom.tasks.answers.kinds import AnswerKind
from fathom.tasks.answers.numbers import Integer
from fathom.tasks.arithmetic.expression import (
    APPLY,
    MODULI,
    NUMERALS,
    SIGNS,
    draw_expression,
    evaluate_expression,
    infix,
)
from fathom.tasks.base import (
    CUT_OFF,
    N_CHOICES,
    NO_ANSWER,
    Instance,
    Level,
    Part,
    Problem,
    Shortcut,
    Verdict,
    write_lesson,
)
from fathom.tasks.stream import Stream

_LENGTHS = (1, 2, 3, 4, 6, 8, 10, 13, 16)

_NUMERALS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "twenty-one",
    "twenty-two",
)  # fmt: skip

_NOUNS = {"+": "the sum of", "-": "the difference of", "*": "the product of"}

_RULES = {
    "infix": "Each operation inside another one is in brackets.",
    "prefix": "Each operator stands before its two operands: - 7 2 means 7 - 2, and * + 1 2 3 means (1 + 2) * 3.",
    "words": "Each sum, difference or product is that of the two things named next, "
    "either of which may itself be a sum, difference or product. "
    "The difference of two things is the first minus the second.",
}

_OPENINGS = {
    (p, notation): f"All arithmetic is modulo {p}: only the remainder on division by {p} counts, "
    f"a whole number from 0 to {p - 1} (so -1 counts as {p - 1}). {rule}\nWhat is "
    for p in MODULI
    for notation, rule in _RULES.items()
}


# Accuracy of the number that `_nearest` finds, for each of _LENGTHS, measured on 200,000 items each. Copying the first,
# last, largest or most frequent number, or answering 0, scores no more.
_COPIED = {
    23: (0.0777, 0.0511, 0.049, 0.0472, 0.047, 0.0465, 0.0456, 0.046, 0.0441),
    5: (0.3386, 0.2373, 0.2257, 0.2216, 0.2184, 0.2146, 0.2152, 0.2124, 0.2103),
    7: (0.2472, 0.168, 0.1598, 0.159, 0.1548, 0.1529, 0.1512, 0.1517, 0.1509),
    10: (0.2231, 0.1534, 0.14, 0.1361, 0.1272, 0.1229, 0.1201, 0.1185, 0.1155),
}


def _level(p: int, length: int, ladder: str) -> Level:
    notation = "prefix" if ladder == "prefix" else "infix"
    name = f"p{p}l{length}" + ("-prefix" if ladder == "prefix" else "")
    axes: dict[str, int | str] = {"p": p, "l": length, "notation": notation}
    n_expressions = comb(2 * length, length) // (length + 1) * len(SIGNS) ** length * p ** (length + 1)
    space = n_expressions if n_expressions < 1e13 else inf
    return Level(name, length, axes, ladder, ("symbol",) if ladder == "prefix" else (), space=space)


def _words(tokens: Sequence[str]) -> str:
    stack: list[str] = []
    for token in reversed(tokens):
        noun = _NOUNS.get(token)
        stack.append(f"{noun} {stack.pop()} and {stack.pop()}" if noun else _NUMERALS[int(token)])
    return stack[0]


_SHOW: Mapping[str, Callable[[Sequence[str]], str]] = {"infix": infix, "words": _words, "prefix": " ".join}


def _candidates(gold: int, p: int, word: int) -> tuple[str, ...]:
    """Return the gold and other numbers of 0..p-1 in random order; the word is used digit by digit."""
    pool = list(NUMERALS[:p])
    answer = pool.pop(gold)
    count = min(p, N_CHOICES)
    drawn = []
    for size in range(p - 1, p - count, -1):
        word, at = divmod(word, size)
        drawn.append(pool.pop(at))
    drawn.insert(word % count, answer)
    return tuple(drawn)


def _diagnose(tokens: Sequence[str], p: int, answer: int) -> str:
    """Label a wrong answer of 0..p-1 by comparing it with the results of likely mistakes."""
    values = [0] * len(tokens)
    sides: dict[int, tuple[int, int]] = {}  # places of the two sides of each operation
    stack: list[int] = []
    for place in range(len(tokens) - 1, -1, -1):
        token = tokens[place]
        if token in APPLY:
            sides[place] = a, b = stack.pop(), stack.pop()
            values[place] = APPLY[token](values[a], values[b]) % p
        else:
            values[place] = int(token)
        stack.append(place)
    slopes = [1] * len(tokens)  # of the whole, as a function of each part: it is linear in each
    for place in sorted(sides):
        a, b = sides[place]
        slope, sign = slopes[place], tokens[place]
        slopes[a] = slope * values[b] % p if sign == "*" else slope
        slopes[b] = slope * values[a] % p if sign == "*" else -slope if sign == "-" else slope
        for other in APPLY.values():
            if (values[0] + slope * (other(values[a], values[b]) - values[place]) - answer) % p == 0:
                return "wrong_op"
    return "sub_expression" if answer in [values[place] for place in sides] else "other"


def _nearest(tokens: Sequence[str]) -> str:
    """Return the number under the fewest sums and differences, then the fewest operations; then the largest."""
    stack: list[tuple[int, int, int]] = []
    for token in reversed(tokens):
        if token in APPLY:
            n_sums, n_operations, number = min(stack.pop(), stack.pop())
            stack.append((n_sums + (APPLY[token] is not mul), n_operations + 1, number))
        else:
            stack.append((0, 0, -int(token)))
    return NUMERALS[-stack[0][2]]


@dataclass(frozen=True)
class Mano:
    """The family `mano`; see the module's docstring."""

    name: str = "mano"
    version: int = 1
    title: str = "Evaluate expressions"
    part: Part = "Reasoning"
    summary: str = "Work out an expression of l operations (+ - *) modulo p, in infix, prefix or words."
    reference: str = "Physics of Language Models 4.1 (arXiv 2512.17351), task Mano"
    unit: str = "operations"
    channels: tuple[str, ...] = ("symbol", "story")
    styles: tuple[str, ...] = ("direct", "cot", "choice")
    labels: ClassVar[Mapping[str, str]] = {
        "off_by_modulus": "Equal to the answer modulo p, but not reduced to 0..p − 1.",
        "wrong_op": "The value with one operator exchanged. With a small p this is often coincidence.",
        "sub_expression": "The value of only a part of the expression. With a small p this is often coincidence.",
        "other": "Any other number.",
        "no_answer": NO_ANSWER,
        "cut_off": CUT_OFF,
    }
    shortcuts: ClassVar[tuple[Shortcut, ...]] = ()
    grading: str = (
        "The answer is a whole number in digits, from 0 to p − 1. A number outside this range is wrong, even if "
        "it is equal modulo p."
    )

    @cached_property
    def levels(self) -> dict[str, Level]:
        """Main ladder p = 23 in infix; prefix notation and smaller moduli have their own ladders."""
        table = [_level(p, length, "main" if p == MODULI[0] else f"p{p}") for p in MODULI for length in _LENGTHS]
        table[len(_LENGTHS) : len(_LENGTHS)] = [_level(MODULI[0], length, "prefix") for length in _LENGTHS]
        return {level.name: level for level in table}

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw the value, then the operations and numbers that give it."""
        p, length = int(level.axes["p"]), int(level.axes["l"])
        tokens, gold, word = draw_expression(length, p, stream)
        choices = _candidates(gold, p, word)
        notation = "words" if channel == "story" else str(level.axes["notation"])
        question = f"{_OPENINGS[p, notation]}{_SHOW[notation](tokens)}{',' if channel == 'story' else ''} modulo {p}?"
        return Problem(question, NUMERALS[gold], choices, {"prefix": tokens, "modulus": p})

    def instruction(self, instance: Instance, style: str) -> str:
        """Ask for the number alone, or for steps and a last line with the number."""
        if style == "cot":
            return "Go step by step, then end with a last line of the form: Answer: <number in digits>"
        return "Reply with the number only, in digits."

    def solution(self, instance: Instance) -> str:
        """Return one line for each operation."""
        lines: list[str] = []
        evaluate_expression(iter(instance.facts["prefix"]), instance.facts["modulus"], lines)
        return "\n".join(lines)

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Return one problem with its solution."""
        return write_lesson(self, level, channel, style, stream)

    def answer_kind(self, instance: Instance) -> AnswerKind:
        """Return a whole number."""
        return Integer()

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Compare with the gold; outside 0..p-1 even a congruent number is wrong."""
        said, gold, p = int(answer), int(instance.gold), instance.facts["modulus"]
        if said == gold:
            return Verdict(True, answer, "correct")
        if (said - gold) % p == 0:
            return Verdict(False, answer, "off_by_modulus")
        return Verdict(False, answer, _diagnose(instance.facts["prefix"], p, said) if 0 <= said < p else "other")

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return the number that `_nearest` finds; if it is no candidate, a random one."""
        copied = _nearest(instance.facts["prefix"])
        return stream.choice(instance.choices) if style == "choice" and copied not in instance.choices else copied

    def chance(self, level: Level, style: str) -> float:
        """Return the accuracy of copying the nearest number: above 1/p, as products with 0 or 1 repeat a factor."""
        p = int(level.axes["p"])
        copied = _COPIED[p][_LENGTHS.index(int(level.axes["l"]))]
        if style != "choice":
            return copied
        count = min(p, N_CHOICES)
        return copied + (1 - copied) * (p - count) / (p - 1) / count

    def budget(self, level: Level, style: str) -> int:
        """Return the tokens of a sentence, or of steps after each of which the whole expression is written again."""
        n = int(level.axes["l"])
        return 128 if style == "direct" else 384 + 88 * n + 4 * n * n if style == "cot" else 1


FAMILY = Mano()

"""The value of an arithmetic expression modulo p: operations composed without a calculator.

An expression has exactly l operations out of + - *. Its brackets matter: from four operations on, its value differs (as
a formula, for most numbers) from what one gets from left to right, from right to left, or by products first; two and
three operations have few bracketings, so all of them differ and are equally likely (`arithmetic/brackets.py`). No
product has a factor 0. Numbers are drawn from the value downwards: no answer is likelier than another; uniform numbers
would give 0 too often.

Ladders: `main` (infix, or words), `prefix`, and `p5`, `p7`, `p10` for smaller moduli, from the level on which has
100,000 questions. The only level with fewer has one operation: its questions are numbered in an order that the seed
shuffles, three quarters for items and the rest for demonstrations, so that a seed asks none twice. `tokens` asks models
trained on the corpus mano, in its token form: all numbers and operators are uniform there.

Hardness: operations. Chance: the best of copying a number, reading without brackets and answering 0; measured.

Reference: Allen-Zhu, Physics of Language Models 4.1 (arXiv 2512.17351), synthetic task Mano.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import ClassVar

from fathom.tasks.answers.kinds import AnswerKind, FirstLine
from fathom.tasks.answers.numbers import Integer
from fathom.tasks.arithmetic.brackets import (
    FEW,
    count_structures,
    draw_bracketed,
    draw_one_operation,
    one_operation,
    values_of_bracketings,
)
from fathom.tasks.arithmetic.expression import (
    APPLY,
    MODULI,
    NUMERALS,
    draw_plain,
    evaluate_expression,
    infix,
)
from fathom.tasks.arithmetic.shortcuts import EXPRESSION_SHORTCUTS
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
    example_line,
    write_lesson,
)
from fathom.tasks.probes import END, YES_NO, Asked, Passage, ProbeSet, Reading, Variable
from fathom.tasks.stream import Stream

_LENGTHS = (1, 2, 3, 4, 6, 8, 10, 13, 16, 24, 32, 48, 64)
_FEWEST = {23: 1, 5: 4, 7: 4, 10: 4}
_LONGEST = {23: 64, 5: 16, 7: 16, 10: 16}
"""Fewest and most operations modulo p."""

_TOKEN_LENGTHS = (10, 13, 16)
_ASKED = ("direct", "cot", "choice")

_NUMERALS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "twenty-one",
    "twenty-two",
)  # fmt: skip

_TOKEN = re.compile(r"\s*([0-9]{1,4})(?!\S)")

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


_BEST: Mapping[tuple[int, int], tuple[str, float, str, float]] = {
    (23, 1): ("nearest number", 0.0775, "nearest number", 0.156),
    (23, 2): ("products first", 0.5477, "last operator first", 0.5672),
    (23, 3): ("right to left", 0.2632, "first operator last", 0.3048),
    (23, 4): ("right to left", 0.0624, "right to left", 0.1458),
    (23, 6): ("no product", 0.0572, "no product", 0.1383),
    (23, 8): ("no product", 0.0588, "no product", 0.1369),
    (23, 10): ("no product", 0.0561, "no product", 0.1349),
    (23, 13): ("no product", 0.0582, "no product", 0.1379),
    (23, 16): ("no product", 0.0555, "no product", 0.1322),
    (23, 24): ("no product", 0.059, "no product", 0.151),
    (23, 32): ("no product", 0.05325, "last number", 0.129),
    (23, 48): ("no product", 0.05875, "no product", 0.137),
    (23, 64): ("no product", 0.05825, "no product", 0.139),
    (5, 4): ("right to left", 0.2754, "right to left", 0.2754),
    (5, 6): ("no product", 0.2597, "no product", 0.2597),
    (5, 8): ("no product", 0.2675, "no product", 0.2675),
    (5, 10): ("no product", 0.2582, "no product", 0.2582),
    (5, 13): ("no product", 0.2609, "no product", 0.2609),
    (5, 16): ("no product", 0.2551, "no product", 0.2551),
    (7, 4): ("right to left", 0.1974, "right to left", 0.1974),
    (7, 6): ("no product", 0.1927, "no product", 0.1927),
    (7, 8): ("no product", 0.1951, "no product", 0.1951),
    (7, 10): ("no product", 0.1881, "no product", 0.1881),
    (7, 13): ("no product", 0.1892, "no product", 0.1892),
    (7, 16): ("no product", 0.1915, "no product", 0.1915),
    (10, 4): ("right to left", 0.2452, "right to left", 0.267),
    (10, 6): ("right to left", 0.2071, "right to left", 0.2287),
    (10, 8): ("products first", 0.172, "products first", 0.194),
    (10, 10): ("left to right", 0.1529, "left to right", 0.1779),
    (10, 13): ("left to right", 0.1408, "products first", 0.1663),
    (10, 16): ("no product", 0.139, "no product", 0.1625),
}  # fmt: skip
"""For p and l, the best shortcut with its accuracy, in the style `direct` and in the style `choice`.

Measured on 10,000 items each, 4,000 from 24 operations on, and all 1,173 of one operation.
"""

_ALWAYS_0 = {10: 0.070, 13: 0.070, 16: 0.072}
"""Share of the answer 0 in token form, measured on 20,000 items each."""


def _level(p: int, length: int, ladder: str) -> Level:
    notation = "prefix" if ladder == "prefix" else "infix"
    name = f"p{p}l{length}" + ("-prefix" if ladder == "prefix" else "")
    axes: dict[str, int | str] = {"p": p, "l": length, "notation": notation}
    space = len(one_operation(p)) if length == 1 else count_structures(length) * p ** (length + 1)
    channels = ("symbol",) if ladder == "prefix" else ()
    return Level(name, length, axes, ladder, channels, _ASKED, space if space < 1e13 else inf, length == 1)


def _token_level(length: int) -> Level:
    axes: dict[str, int | str] = {"p": MODULI[0], "l": length, "notation": "prefix", "form": "tokens"}
    return Level(f"tokens-l{length}", length, axes, "tokens", ("symbol",), ("trained",))


def _lengths(p: int) -> list[int]:
    return [length for length in _LENGTHS if _FEWEST[p] <= length <= _LONGEST[p]]


def _words(tokens: Sequence[str]) -> str:
    stack: list[str] = []
    for token in reversed(tokens):
        noun = _NOUNS.get(token)
        stack.append(f"{noun} {stack.pop()} and {stack.pop()}" if noun else _NUMERALS[int(token)])
    return stack[0]


_SHOW: Mapping[str, Callable[[Sequence[str]], str]] = {"infix": infix, "words": _words, "prefix": " ".join}


def _candidates(gold: int, p: int, word: int, first: Sequence[int]) -> tuple[str, ...]:
    """Return the gold and other numbers of 0..p-1 in random order, `first` among them."""
    count = min(p, N_CHOICES)
    drawn = [NUMERALS[number] for number in first if number != gold]
    pool = [NUMERALS[number] for number in range(p) if number != gold and number not in first]
    while len(drawn) < count - 1:
        word, at = divmod(word, len(pool))
        drawn.append(pool.pop(at))
    drawn.insert(word % count, NUMERALS[gold])
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


@dataclass(frozen=True)
class Mano:
    """The family `mano`; see the module's docstring."""

    name: str = "mano"
    version: int = 2
    title: str = "Evaluate expressions"
    part: Part = "Reasoning"
    summary: str = "Work out an expression of l operations (+ - *) modulo p, in infix, prefix or words."
    reference: str = "Physics of Language Models 4.1 (arXiv 2512.17351), task Mano"
    unit: str = "operations"
    channels: tuple[str, ...] = ("symbol", "story")
    styles: tuple[str, ...] = (*_ASKED, "trained")
    labels: ClassVar[Mapping[str, str]] = {
        "off_by_modulus": "Equal to the answer modulo p, but not reduced to 0..p − 1.",
        "wrong_op": "The value with one operator exchanged. With a small p this is often coincidence.",
        "sub_expression": "The value of only a part of the expression. With a small p this is often coincidence.",
        "other": "Any other number.",
        "no_answer": NO_ANSWER,
        "cut_off": CUT_OFF,
    }
    shortcuts: ClassVar[tuple[Shortcut, ...]] = EXPRESSION_SHORTCUTS
    grading: str = (
        "The answer is a whole number in digits, from 0 to p − 1. A number outside this range is wrong, even if "
        "it is equal modulo p."
    )

    @cached_property
    def levels(self) -> dict[str, Level]:
        """Main ladder p = 23 in infix; prefix notation, smaller moduli and the token form have their own ladders."""
        largest, *others = MODULI
        table = [_level(largest, length, ladder) for ladder in ("main", "prefix") for length in _lengths(largest)]
        table += [_level(p, length, f"p{p}") for p in others for length in _lengths(p)]
        table += [_token_level(length) for length in _TOKEN_LENGTHS]
        return {level.name: level for level in table}

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw the value, then the operations and numbers that give it."""
        p, length = int(level.axes["p"]), int(level.axes["l"])
        if "form" in level.axes:
            tokens, gold, _ = draw_plain(length, p, stream)
            told = {"prefix": tokens, "modulus": p, "form": "tokens"}
            return Problem(f"Value: {' '.join(tokens)} =", NUMERALS[gold], (), told)
        tokens, gold, word = draw_one_operation(p, stream) if length == 1 else draw_bracketed(length, p, stream)
        choices = _candidates(gold, p, word, values_of_bracketings(tokens, p) if 1 < length <= FEW else ())
        notation = "words" if channel == "story" else str(level.axes["notation"])
        question = f"{_OPENINGS[p, notation]}{_SHOW[notation](tokens)}{',' if channel == 'story' else ''} modulo {p}?"
        other = (gold + 1 + (word >> 40) % (p - 1)) % p
        return Problem(question, NUMERALS[gold], choices, {"prefix": tokens, "modulus": p, "example": NUMERALS[other]})

    def instruction(self, instance: Instance, style: str) -> str:
        """Ask for the number alone, or for steps and a last line with the number."""
        if style == "cot":
            return (
                "Go step by step. Then end with a line that gives the number, in digits, after the word Answer, "
                f"for example: {example_line(instance)}"
            )
        return "Reply with the number only, in digits."

    def solution(self, instance: Instance) -> str:
        """Return one line for each operation."""
        lines: list[str] = []
        evaluate_expression(iter(instance.facts["prefix"]), instance.facts["modulus"], lines)
        return "\n".join(lines)

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Return one problem with its solution; the token form has no steps."""
        if "form" in level.axes:
            problem = self.generate(level, channel, stream)
            return [(problem.question, f" {problem.gold}")]
        return write_lesson(self, level, channel, style, stream)

    def answer_kind(self, instance: Instance) -> AnswerKind:
        """Return a whole number; the first line for the token form."""
        return FirstLine() if "form" in instance.facts else Integer()

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Compare with the gold; outside 0..p-1 even a congruent number is wrong."""
        if "form" in instance.facts:
            found = _TOKEN.match(answer)
            if not found:
                return Verdict(False, None, "no_answer")
            answer = str(int(found[1]))
        said, gold, p = int(answer), int(instance.gold), instance.facts["modulus"]
        if said == gold:
            return Verdict(True, answer, "correct")
        if (said - gold) % p == 0:
            return Verdict(False, answer, "off_by_modulus")
        return Verdict(False, answer, _diagnose(instance.facts["prefix"], p, said) if 0 <= said < p else "other")

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return what the best shortcut says; if it is no candidate, a random one."""
        if style == "trained":
            return NUMERALS[0]
        tokens, p = instance.facts["prefix"], instance.facts["modulus"]
        names = _BEST[p, len(tokens) // 2]
        best = names[2] if style == "choice" else names[0]
        rule = next(one for one in self.shortcuts if one.name == best)
        said = rule.answer(instance, "direct")
        return said if said and (style != "choice" or said in instance.choices) else stream.choice(instance.choices)

    def chance(self, level: Level, style: str) -> float:
        """Return the accuracy of the best shortcut: above 1/p, as brackets are few, or a factor 1 repeats the other."""
        p, length = int(level.axes["p"]), int(level.axes["l"])
        if style == "trained":
            return _ALWAYS_0[length]
        _, direct, _, choice = _BEST[p, length]
        return choice if style == "choice" else direct

    def budget(self, level: Level, style: str) -> int:
        """Return the tokens of a number, of a sentence, or of steps with what is left after each."""
        n = int(level.axes["l"])
        if style == "cot":
            return 384 + 88 * n + 4 * n * n
        return 128 if style == "direct" else 8 if style == "trained" else 1


FAMILY = Mano()

_BRACKET = re.compile(r"\((\d+) ([-+*]) (\d+)\)")


def _write_values(asked: Asked) -> Passage:
    """Read the value of the first bracket that closes, there and at the end, and that of the whole at the end."""
    question, p = asked.instance.question, asked.instance.facts["modulus"]
    found = _BRACKET.search(question, question.rindex("What is"))
    if found is None:
        return Passage(asked.prompt, "", ())
    value = NUMERALS[APPLY[found[2]](int(found[1]), int(found[3])) % p]
    readings = (
        Reading("bracket", "closing bracket", found.end() - 1, value, found[3]),
        Reading("bracket", "end of the prompt", END, value, found[3]),
        Reading("value", "end of the prompt", END, asked.instance.gold, found[3]),
    )
    return Passage(asked.prompt, "", readings)


def _write_mistakes(asked: Asked) -> Passage:
    """Read before the answer whether it will be wrong, and before and after each of its lines up to the first wrong."""
    first = asked.instance.facts["prefix"][0]
    readings = [Reading("answer", "end of the prompt", END, "no" if asked.is_right else "yes", first)]
    gold = FAMILY.solution(asked.instance).strip().split("\n")
    start, at = len(asked.prompt), 0
    for line in asked.answer.partition("Answer")[0].split("\n"):
        if line.strip():
            is_wrong = at >= len(gold) or line.strip() != gold[at].strip()
            label, step = YES_NO[is_wrong], str(min(at, len(gold)))
            before = start - 1 if start > len(asked.prompt) else END
            readings += [
                Reading("step", "before the line", before, label, line.split()[0], (), step),
                Reading("step", "end of the line", start + len(line.rstrip()) - 1, label, line.split()[0], (), step),
            ]
            if is_wrong:
                break
            at += 1
        start += len(line) + 1
    return Passage(asked.prompt, asked.answer, tuple(readings))


_VALUES = NUMERALS[: MODULI[0]]

PROBES = (
    ProbeSet(
        "mano.p23l2", Cell("mano", "p23l2", "symbol", "direct"),
        {"bracket": Variable("classes", "the value of the bracket", _VALUES, can_be_said=True),
         "value": Variable("classes", "the value of the whole expression", _VALUES, is_asked=True, can_be_said=True)},
        {"closing bracket": "where the bracket closes", "end of the prompt": "before the answer"}, _write_values,
    ),
    ProbeSet(
        "mistake.mano", Cell("mano", "p23l4", "symbol", "cot"),
        {"answer": Variable("yes-no", "whether this answer will be wrong", YES_NO),
         "step": Variable("yes-no", "whether this line of the answer will be, or is, the first wrong one", YES_NO)},
        {"end of the prompt": "before the answer begins", "before the line": "before the line is written",
         "end of the line": "at the last token of the line"},
        _write_mistakes, needs_answer=True,
    ),
)  # fmt: skip

"""Stratified context-free grammars: drawn from a stream, measured, and used to write sentences.

Levels 0..depth: one root, then LEVEL_WIDTH symbols on each level, the last level being the terminals. A rule is a
string of two or three symbols of the next level. All rules of a symbol are equally likely, so a grammar is also a
distribution of sentences.

Reference: Allen-Zhu, Physics of Language Models 1 (arXiv 2305.13673), section 2: synthetic CFGs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import inf, log2
from typing import Any

from fathom.tasks.stream import Stream

LEVEL_WIDTH = 3
"""Number of symbols on every level below the root."""

MAX_DRAWS = 100_000
"""Most sentences drawn to find one of the wanted length."""

_HALF = 32
_LOW_HALF = (1 << _HALF) - 1

Rule = tuple[str, ...]
_Rules = dict[str, tuple[Rule, ...]]


@dataclass(frozen=True, slots=True)
class GrammarShape:
    """Parameters of the draw: depth, rules per symbol, share of long rules, range of mean lengths."""

    depth: int
    fewest_rules: int = 2
    most_rules: int = 4
    percent_long: int = 50  # rules of three symbols; all others have two
    least_mean: float = 0
    greatest_mean: float = inf

    @property
    def n_symbols(self) -> int:
        """Number of symbols that have rules."""
        return 1 + LEVEL_WIDTH * (self.depth - 1)

    @property
    def is_bounded(self) -> bool:
        """Whether the mean length has bounds."""
        return self.least_mean > 0 or self.greatest_mean < inf


@dataclass(frozen=True)
class Grammar:
    """Rules by symbol, from the root down; symbols without rules are terminals."""

    root: str
    rules: Mapping[str, tuple[Rule, ...]]
    terminals: tuple[str, ...]

    @cached_property
    def levels(self) -> tuple[tuple[str, ...], ...]:
        """The reachable symbols by level, from the root to the terminals.

        Raises:
            ValueError: a level mixes terminals with other symbols, or the rules are recursive.
        """
        found: list[tuple[str, ...]] = [(self.root,)]
        while any(symbol in self.rules for symbol in found[-1]):
            if len(found) > len(self.rules) or any(symbol not in self.rules for symbol in found[-1]):
                raise ValueError("the grammar is not stratified: every path from the root must be equally long")
            found.append(
                tuple(dict.fromkeys(part for above in found[-1] for rule in self.rules[above] for part in rule))
            )
        return tuple(found)

    @property
    def depth(self) -> int:
        """Steps from the root to a terminal."""
        return len(self.levels) - 1

    @cached_property
    def mean_length(self) -> float:
        """Expected number of tokens of a sentence."""
        return self._fold(1, lambda sums: sum(sums) / len(sums))

    @cached_property
    def shortest(self) -> int:
        """Fewest tokens of a sentence."""
        return int(self._fold(1, min))

    @cached_property
    def longest(self) -> int:
        """Most tokens of a sentence."""
        return int(self._fold(1, max))

    @cached_property
    def derivation_bits(self) -> float:
        """Entropy of a derivation in bits: at least that of the sentence, which may have several."""
        return self._fold(0, lambda sums: log2(len(sums)) + sum(sums) / len(sums))

    @property
    def bits_per_token(self) -> float:
        """Entropy of a derivation divided by the mean length: an upper bound of the entropy rate of the text."""
        return self.derivation_bits / self.mean_length

    def _fold(self, leaf: float, merge: Callable[[list[float]], float]) -> float:
        value: dict[str, float] = dict.fromkeys(self.levels[-1], leaf)
        for level in self.levels[-2::-1]:
            for symbol in level:
                value[symbol] = merge([sum([value[part] for part in rule]) for rule in self.rules[symbol]])
        return value[self.root]

    def expand(self, line: Sequence[str], steps: int, stream: Stream) -> list[str]:
        """Replace every symbol of a line by one of its rules, `steps` times; all symbols are of one level."""
        rules, done = self.rules, list(line)
        for _ in range(steps):
            drawn = zip([rules[symbol] for symbol in done], stream.words(len(done)), strict=True)
            done = [part for options, word in drawn for part in options[word * len(options) >> 64]]
        return done

    def finish(self, rows: Sequence[Rule], stream: Stream) -> list[str]:
        """Return the tokens of what is left of a sentence: rows of symbols of level 1, 2, ... depth."""
        done: list[str] = []
        for below, row in enumerate(reversed(rows)):
            done += self.expand(row, below, stream)
        return done

    def sentence(self, stream: Stream, shortest: int = 0, longest: int | None = None) -> list[str]:
        """Draw a sentence, with a length between both bounds (inclusive) if they are given.

        Raises:
            ValueError: no such sentence was drawn.
        """
        for _ in range(MAX_DRAWS):
            drawn = self.expand([self.root], self.depth, stream)
            if len(drawn) >= shortest and (longest is None or len(drawn) <= longest):
                return drawn
        raise ValueError(f"no sentence of {shortest} to {longest} tokens; they have {self.shortest} to {self.longest}")

    @cached_property
    def first_sentence(self) -> tuple[str, ...]:
        """The sentence in whose derivation every symbol is replaced by its first rule."""
        line: tuple[str, ...] = (self.root,)
        for _ in range(self.depth):
            line = tuple([part for symbol in line for part in self.rules[symbol][0]])
        return line

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: root, rules and terminals."""
        rules = {symbol: [list(rule) for rule in options] for symbol, options in self.rules.items()}
        return {"root": self.root, "rules": rules, "terminals": list(self.terminals)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Grammar":
        """Return the grammar that `to_json` wrote."""
        rules = {symbol: tuple([tuple(rule) for rule in options]) for symbol, options in value["rules"].items()}
        return Grammar(value["root"], rules, tuple(value["terminals"]))


def draw_grammar(shape: GrammarShape, symbols: Sequence[str], terminals: Sequence[str], stream: Stream) -> Grammar:
    """Draw a grammar whose mean length lies in the shape's range; every symbol is reachable.

    `symbols` holds `shape.n_symbols` names, the root's first, then level by level.
    """
    levels = [symbols[:1], *[symbols[at : at + LEVEL_WIDTH] for at in range(1, len(symbols), LEVEL_WIDTH)], terminals]
    while True:
        rules: _Rules = {}
        for level, below in pairwise(levels):
            rules |= _draw_level(shape, level, below, stream)
        grammar = Grammar(symbols[0], rules, tuple(terminals))
        if not shape.is_bounded or shape.least_mean <= grammar.mean_length <= shape.greatest_mean:
            return grammar


def _draw_level(
    shape: GrammarShape, level: Sequence[str], below: Sequence[str], stream: Stream
) -> dict[str, tuple[Rule, ...]]:
    """Draw different rules for one level until together they mention every symbol below."""
    spread = shape.most_rules - shape.fewest_rules + 1
    while True:
        counts = [shape.fewest_rules + (word * spread >> 64) for word in stream.words(len(level))]
        strings = _draw_strings(shape.percent_long, sum(counts), stream)
        if len({place for string in strings for place in string}) == len(below):
            break
    named = iter([tuple([below[place] for place in string]) for string in strings])
    return {symbol: tuple([next(named) for _ in range(count)]) for symbol, count in zip(level, counts, strict=True)}


def _draw_strings(percent_long: int, count: int, stream: Stream) -> list[tuple[int, ...]]:
    """Draw `count` different strings of two or three indices below LEVEL_WIDTH."""
    found: dict[tuple[int, ...], None] = {}
    while len(found) < count:
        for word in stream.words(count - len(found)):
            pair, third = divmod((word & _LOW_HALF) * LEVEL_WIDTH**3 >> _HALF, LEVEL_WIDTH)
            string = divmod(pair, LEVEL_WIDTH)
            long = (word >> _HALF) * 100 >> _HALF < percent_long
            found[(*string, third) if long else string] = None
    return list(found)

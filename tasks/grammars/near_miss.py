"""Sentences of a language, and equally long strings that are none because of the row of symbols below the root.

A miss is made from the root down, like a sentence, but the root is replaced by a row of symbols that no rule allows.
Everything below is made by rules, and each neighbourhood in the row occurs in some rule of the root. So a look at a few
tokens, or at all levels but the first, finds nothing wrong: only who follows every level can tell a miss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from fathom.tasks.grammars.grammar import Grammar, Rule
from fathom.tasks.grammars.parser import Chart
from fathom.tasks.grammars.text import join_tokens
from fathom.tasks.stream import Stream

_DRAWS_A_LEVEL = 12
"""Draws before a grammar is given up, for each of its levels: deep ones have more lengths."""

Tokens = list[str]


@dataclass(frozen=True, slots=True)
class Miss:
    """Tokens that are most likely no sentence, or no rest of one, and the wrong row from which they were made."""

    tokens: Tokens
    row: Rule


def wrong_rows(grammar: Grammar) -> list[Rule]:
    """Return rows of symbols that do not replace the root, though each of their neighbourhoods occurs in its rules.

    A row begins like a rule of the root, ends like one, and each pair of neighbours stands in one.
    """
    rules = grammar.rules[grammar.root]
    pairs = {pair for rule in rules for pair in pairwise(rule)}
    firsts, lasts = {rule[0] for rule in rules}, {rule[-1] for rule in rules}
    return [
        row
        for size in (2, 3)
        for row in product(grammar.levels[1], repeat=size)
        if row[0] in firsts and row[-1] in lasts and row not in rules and pairs.issuperset(pairwise(row))
    ]


def draw_miss(grammar: Grammar, rows: Sequence[Rule], stream: Stream) -> Miss:
    """Draw a string made from a wrong row. It may still be a sentence, by another reading."""
    row = stream.choice(rows)
    return Miss(grammar.expand(row, grammar.depth - 1, stream), row)


def draw_wrong_rest(chart: Chart, rows: Sequence[Rule], stream: Stream) -> Miss | None:
    """Draw a rest for the prefix of a chart that makes a wrong row of it; None if no row begins like the prefix."""
    rules = chart.open_rules(stream)
    (rule, done), *below = rules
    fit = [row for row in rows if row[:done] == rule[:done]]
    if not fit:
        return None
    row = stream.choice(fit)
    return Miss(chart.grammar.finish([row[done:], *[left[at:] for left, at in below]], stream), row)


@dataclass(frozen=True, slots=True)
class Alike:
    """A string that is right, and others, different and equally long, that are not."""

    right: Tokens
    wrong: Sequence[Tokens]

    def mix(self, stream: Stream) -> "StringChoice":
        """Put the right string at a random place among the others."""
        strings = [join_tokens(tokens) for tokens in self.wrong]
        right = stream.below(len(strings) + 1)
        return StringChoice([*strings[:right], join_tokens(self.right), *strings[right:]], right)


@dataclass(frozen=True, slots=True)
class StringChoice:
    """Strings of which one is right, and its index."""

    strings: list[str]
    right: int


@dataclass(frozen=True, slots=True)
class AlikeSearch:
    """How to find strings that are alike: both draws, and the exact test of what `miss` draws, which takes longer."""

    right: Callable[[], Tokens | None]
    miss: Callable[[], Miss | None]
    is_wrong: Callable[[Tokens], bool]
    n_wrong: int

    def find(self, depth: int) -> Alike | None:
        """Draw until a right string and `n_wrong` others are equally long; return None if that takes too long.

        All strings come from draws of their own, so the length says nothing. The wrong ones have different wrong rows:
        with the same row, they would be more like each other than like the right one.
        """
        rights, misses = dict[int, Tokens](), dict[int, dict[Rule, Tokens]]()
        for _ in range(_DRAWS_A_LEVEL * depth):
            touched = []
            right = self.right()
            if right is not None:
                rights.setdefault(len(right), right)
                touched.append(len(right))
            for _ in range(self.n_wrong):
                miss = self.miss()
                if miss is not None:
                    misses.setdefault(len(miss.tokens), {}).setdefault(miss.row, miss.tokens)
                    touched.append(len(miss.tokens))
            for length in touched:
                found = misses.get(length, {})
                if length in rights and len(found) >= self.n_wrong:
                    sure = {row: tokens for row, tokens in found.items() if self.is_wrong(tokens)}
                    if len(sure) >= self.n_wrong:
                        return Alike(rights[length], list(sure.values())[: self.n_wrong])
                    misses[length] = sure
        return None

"""A sentence of a language, and an equally long string that is one edit away from a sentence and is none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fathom.tasks.grammars.grammar import Grammar
from fathom.tasks.grammars.text import join_tokens
from fathom.tasks.stream import Stream

EDITS = {"substitute": 0, "swap": 0, "delete": -1, "insert": 1}
"""Kind of edit -> by how much it lengthens a string."""

_ROUNDS = 10
"""Rounds before a lower height is accepted."""

_DRAWS = 40
_EDITS_TRIED = 16

Tokens = list[str]


@dataclass(frozen=True, slots=True)
class SentencePair:
    """A sentence, and a string outside the language that is one edit away from a sentence, `base`.

    Sentence and miss are equally long, and a pair is drawn before it is decided which of them is shown, so the length
    of a
    shown string says nothing about it.
    """

    sentence: Tokens
    base: Tokens
    miss: Tokens


@dataclass(frozen=True, slots=True)
class _Twins:
    sentence: Tokens
    base: Tokens


def draw_pair(
    sentence: Callable[[], Tokens | None], height: Callable[[Tokens], int], grammar: Grammar, stream: Stream
) -> SentencePair | None:
    """Draw a pair; return None if `sentence` returns none, or if no edit leads outside.

    `sentence` draws one string of the language; `height` is that of `sound_height`. Most edits break a rule just above
    the
    tokens, which would make deep grammars no harder than flat ones. So a height is drawn first, uniformly, and the miss
    must be sound up to it at least. Kinds of edit are tried equally often. If an edit changes the length, sentences are
    drawn until the lengths of two of them differ by as much.
    """
    wanted = stream.below(grammar.depth)
    for least in range(wanted, -1, -1):
        for _ in range(_ROUNDS):
            kind = stream.choice(tuple(EDITS))
            twins = _draw_twins(sentence, EDITS[kind])
            if twins is None:
                continue
            for _ in range(_EDITS_TRIED):
                miss = edit(twins.base, kind, grammar.terminals, stream)
                if least <= height(miss) < grammar.depth:
                    return SentencePair(twins.sentence, twins.base, miss)
    return None


def _draw_twins(sentence: Callable[[], Tokens | None], longer: int) -> _Twins | None:
    """Draw a sentence and one that is shorter by `longer`; the same one if `longer` is 0."""
    by_length: dict[int, Tokens] = {}
    for _ in range(_DRAWS):
        drawn = sentence()
        if drawn is None:
            return None
        n = len(drawn)
        by_length[n] = drawn
        if n - longer in by_length:
            return _Twins(drawn, by_length[n - longer])
        if n + longer in by_length:
            return _Twins(by_length[n + longer], drawn)
    return None


def edit(tokens: Tokens, kind: str, terminals: Sequence[str], stream: Stream) -> Tokens:
    """Return the tokens after one edit at a random position.

    A substitution changes the token, and a swap exchanges two unlike neighbours if there are any.
    """
    n = len(tokens)
    if kind == "insert":
        at = stream.below(n + 1)
        return [*tokens[:at], stream.choice(terminals), *tokens[at:]]
    if kind == "swap":
        unlike = [at for at in range(n - 1) if tokens[at] != tokens[at + 1]]
        if not unlike:
            return tokens
        at = stream.choice(unlike)
        return [*tokens[:at], tokens[at + 1], tokens[at], *tokens[at + 2 :]]
    at = stream.below(n)
    fresh = [stream.choice([other for other in terminals if other != tokens[at]])] if kind == "substitute" else []
    return [*tokens[:at], *fresh, *tokens[at + 1 :]]


@dataclass(frozen=True, slots=True)
class StringChoice:
    """Strings of which one is a sentence, and its index."""

    strings: list[str]
    right: int


def one_right(pairs: Sequence[SentencePair | None], stream: Stream) -> StringChoice | None:
    """Return the sentence of one pair among the misses of the others.

    Returns None if two of them are the same string, or come from the same sentence: a sentence among edits of itself
    would
    be recognisable as what they have in common.
    """
    right = stream.below(len(pairs))
    drawn = [pair for pair in pairs if pair]
    strings = [join_tokens(pair.sentence if at == right else pair.miss) for at, pair in enumerate(drawn)]
    origins = {join_tokens(pair.sentence if at == right else pair.base) for at, pair in enumerate(drawn)}
    return StringChoice(strings, right) if min(len(set(strings)), len(origins)) == len(pairs) else None

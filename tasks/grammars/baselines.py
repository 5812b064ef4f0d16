"""Shortcuts of a guesser: tails of other sentences, copies from samples, rows of lowest rules.

An item that a tail or a copy completes would not need the grammar, so it is not asked.
"""

from collections.abc import Iterable, Sequence

from fathom.tasks.grammars.grammar import Grammar
from fathom.tasks.grammars.near_miss import Tokens
from fathom.tasks.grammars.parser import sound_height
from fathom.tasks.grammars.text import join_tokens
from fathom.tasks.stream import Stream

_N_BLIND = 4
_N_COPIES = 3


def any_completes(grammar: Grammar, prefix: Tokens, tails: Iterable[Tokens]) -> bool:
    """Return whether one of the tails makes a sentence of the prefix."""
    # Most do not; the height shows that faster than a chart.
    return any(sound_height(grammar, prefix + tail) == grammar.depth for tail in tails)


def blind_tails(grammar: Grammar, given: int, stream: Stream) -> list[Tokens]:
    """Draw tails of sentences, and the root's rules without their first symbols: guesses that ignore the prefix."""
    cut = [grammar.sentence(stream)[given:] for _ in range(_N_BLIND)]
    rules = [stream.choice(grammar.rules[grammar.root]) for _ in range(_N_BLIND)]
    return cut + [grammar.expand(rule[1:], grammar.depth - 1, stream) for rule in rules]


def copied_tails(samples: Sequence[str], prefix: Tokens) -> list[Tokens]:
    """Return what follows in samples that agree with the prefix at the same position, or at any."""
    return [*_aligned_tails(samples, prefix), *_context_tails(samples, prefix)]


def _aligned_tails(samples: Sequence[str], prefix: Tokens) -> list[Tokens]:
    """Return what follows in the samples that agree longest with the prefix, backwards from its end."""
    given = len(prefix)

    def n_alike(sample: Tokens) -> int:
        unlike = (back for back in range(given) if sample[given - 1 - back] != prefix[given - 1 - back])
        return next(unlike, given)

    long = [tokens for tokens in map(str.split, samples) if len(tokens) > given]
    return [tokens[given:] for tokens in sorted(long, key=n_alike, reverse=True)[:_N_COPIES]]


def _context_tails(samples: Sequence[str], prefix: Tokens) -> list[Tokens]:
    """Return what follows in samples that contain the longest possible end of the prefix, at any position."""
    for start in range(len(prefix)):
        context = f" {join_tokens(prefix[start:])} "
        tails = [f" {sample}".rpartition(context)[2].split() for sample in samples if context in f" {sample}"]
        if tails:
            return tails[:_N_COPIES]
    return []


def rules_in_a_row(grammar: Grammar, stream: Stream) -> Tokens:
    """Return as many lowest rules as the shortest sentence may have: two random ones, or copies of one."""
    one, other = [stream.choice(grammar.rules[stream.choice(grammar.levels[-2])]) for _ in range(2)]
    row = (one, other) if grammar.depth == 2 else (one,) * 2 ** (grammar.depth - 1)
    return [token for rule in row for token in rule]

"""Count and weigh derivations by sums over spans: an independent check of the parser and of the next-token law."""

from collections.abc import Mapping, Sequence
from functools import cache
from math import inf, log

from fathom.tasks.grammars.grammar import Grammar

_TOKEN_SCALE = 2.0
"""Weight of a token while inside weights are summed: sentences lose about one bit a token, so that
sums over a thousand tokens stay within a float. A power of two, so it costs no digit."""


def count_derivations(grammar: Grammar, tokens: Sequence[str]) -> int:
    """Count the trees that derive the tokens: 0 if they are no sentence."""
    return int(_inside(grammar, tokens, dict.fromkeys(grammar.rules, 1), 1))


def log_probability(grammar: Grammar, tokens: Sequence[str]) -> float:
    """Return the natural logarithm of the probability of the tokens, over all derivations."""
    shares = {symbol: 1 / len(options) for symbol, options in grammar.rules.items()}
    weight = _inside(grammar, tokens, shares, _TOKEN_SCALE)
    return log(weight) - len(tokens) * log(_TOKEN_SCALE) if weight > 0 else -inf


def _inside(grammar: Grammar, tokens: Sequence[str], shares: Mapping[str, float], token_weight: float) -> float:
    """Sum over derivations: the product of the shares of their symbols and the weights of their tokens."""

    @cache
    def weights(symbol: str, start: int) -> dict[int, float]:  # end -> weight; whole numbers stay whole
        if symbol not in grammar.rules:
            return {start + 1: token_weight} if start < len(tokens) and tokens[start] == symbol else {}
        total: dict[int, float] = {}
        for rule in grammar.rules[symbol]:
            line: dict[int, float] = {start: shares[symbol]}
            for part in rule:
                longer: dict[int, float] = {}
                for at, weight in line.items():
                    for end, more in weights(part, at).items():
                        longer[end] = longer.get(end, 0) + weight * more
                line = longer
            for end, weight in line.items():
                total[end] = total.get(end, 0) + weight
        return total

    return weights(grammar.root, 0).get(len(tokens), 0)


EDITS = {"substitute": 0, "swap": 0, "delete": -1, "insert": 1}
"""Kind of edit -> by how much it lengthens a string."""


def edit(tokens, kind, terminals, stream):
    """Return the tokens after one edit at a random position."""
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

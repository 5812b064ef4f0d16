"""The exact distribution of the next token under a grammar.

Stolcke's algorithm: left to right, over rules that are complete and rules that wait for a part. Every weight is divided
by the probability of the prefix, so nothing underflows, however long the string.

Reference: Stolcke, An Efficient Probabilistic Context-Free Parsing Algorithm that Computes Prefix Probabilities (1995);
used as in Physics of Language Models 1 (arXiv 2305.13673), section 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log

from fathom.tasks.grammars.grammar import Grammar, Rule

SENTENCE_END = ""
"""The end of the sentence, as a key of a TokenLaw."""

TokenLaw = Mapping[str, float]  # terminal or SENTENCE_END -> natural logarithm of its probability


@dataclass(frozen=True, slots=True)
class _Part:
    """A rule of `symbol`, begun at `start`, of which the first `dot` parts are complete."""

    symbol: str
    rule: Rule
    start: int
    dot: int


def next_token_law(grammar: Grammar, tokens: Sequence[str]) -> list[TokenLaw]:
    """Return the distribution of the token after tokens[:t], for t = 0, 1, ... len(tokens).

    The list ends early, after the longest prefix with which some sentence begins.
    """
    reader = _Reader(grammar)
    rows = [reader.row()]
    for token in tokens:
        if rows[-1].get(token, -inf) == -inf or token == SENTENCE_END:
            break
        reader.read(token, exp(rows[-1][token]))
        rows.append(reader.row())
    return rows


class _Reader:
    """The rules that wait for a part after a prefix. Weights are relative to the probability of the prefix."""

    def __init__(self, grammar: Grammar) -> None:
        self._rules = grammar.rules
        self._levels = grammar.levels
        self._whole = 0.0  # probability that the sentence ends here
        # _awaited[start][symbol]: the parts that wait for this symbol from `start` on, with the
        # weight of what is complete of them; _begun[start][symbol]: probability that it begins there.
        self._awaited: list[dict[str, dict[_Part, float]]] = []
        self._begun: list[dict[str, float]] = []
        self._predict({grammar.root: 1.0}, {})

    def row(self) -> TokenLaw:
        begun = self._begun[-1]
        law = {terminal: begun.get(terminal, 0.0) for terminal in self._levels[-1]} | {SENTENCE_END: self._whole}
        return {token: log(share) if share > 0 else -inf for token, share in law.items()}

    def read(self, token: str, share: float) -> None:
        """Read one token, which had probability `share`."""
        here = len(self._begun)
        begun: dict[str, float] = {}
        awaited: dict[str, dict[_Part, float]] = {}
        complete: dict[tuple[str, int], float] = {(token, here - 1): 1 / share}
        self._whole = 0.0
        for _ in range(len(self._levels) - 1):  # what is complete at one level completes parts of the next above
            above: dict[tuple[str, int], float] = {}
            for (symbol, start), weight in complete.items():
                for part, before in self._awaited[start].get(symbol, {}).items():
                    done, dot = before * weight, part.dot + 1
                    if dot == len(part.rule):
                        key = part.symbol, part.start
                        above[key] = above.get(key, 0.0) + done / len(self._rules[part.symbol])
                        continue
                    waits = awaited.setdefault(part.rule[dot], {})
                    moved = _Part(part.symbol, part.rule, part.start, dot)
                    waits[moved] = waits.get(moved, 0.0) + done
                    chance = self._begun[part.start][part.symbol] * done / len(self._rules[part.symbol])
                    begun[part.rule[dot]] = begun.get(part.rule[dot], 0.0) + chance
            complete = above
        self._whole = sum(complete.values())  # only the root, begun at 0, is left
        self._predict(begun, awaited)

    def _predict(self, begun: dict[str, float], awaited: dict[str, dict[_Part, float]]) -> None:
        here = len(self._begun)
        for level in self._levels[:-1]:
            for symbol in level:
                for rule in self._rules[symbol] if symbol in begun else ():
                    awaited.setdefault(rule[0], {})[_Part(symbol, rule, here, 0)] = 1.0
                    begun[rule[0]] = begun.get(rule[0], 0.0) + begun[symbol] / len(self._rules[symbol])
        self._begun.append(begun)
        self._awaited.append(awaited)

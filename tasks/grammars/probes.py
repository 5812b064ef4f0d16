"""Which symbols of a grammar end at each token of a sentence: what may be read in a model's states.

Reference: Allen-Zhu, Physics of Language Models 1 (arXiv 2305.13673), section 4: probing for nonterminal ends.
"""

from collections.abc import Iterator

from fathom.tasks.base import Cell
from fathom.tasks.grammars.grammar import Grammar
from fathom.tasks.grammars.languages import LANGUAGES, SENTENCE_MARK, language
from fathom.tasks.grammars.parser import Node
from fathom.tasks.probes import YES_NO, Asked, Passage, ProbeSet, Reading, Variable
from fathom.tasks.stream import Stream

_SHARE = {"a": 0.25, "b": 0.1, "f": 0.05, "k": 0.025}
"""Items, as a share of those asked for: a sentence has 37, 130, 250 or 520 places."""
_BAND = 8
"""Tokens of a band of positions: labels are shuffled within bands, as some ends are likelier late in a sentence."""


def _grow(grammar: Grammar, symbol: str, stream: Stream) -> Node:
    rules = grammar.rules.get(symbol)
    return (
        Node(symbol, tuple([_grow(grammar, part, stream) for part in stream.choice(rules)])) if rules else Node(symbol)
    )


def _ends(node: Node, level: int, start: int) -> Iterator[tuple[int, int, str]]:
    """Yield (token, level, symbol) for each symbol below the root that ends at a token, and has rules."""
    for child in node.children:
        if child.children:
            yield from _ends(child, level + 1, start)
            yield start + len(child.tokens) - 1, level + 1, child.symbol
        start += len(child.tokens)


def _write_sentence(asked: Asked) -> Passage:
    grammar = language(str(asked.instance.facts["shape"]))
    tree = _grow(grammar, grammar.root, asked.stream)
    tokens, ends = tree.tokens, {(at, level): symbol for at, level, symbol in _ends(tree, 0, 0)}
    readings: list[Reading] = []
    place = len(asked.prompt) - 1
    for at, token in enumerate(tokens):
        place += 1 + len(token)
        word, band = " ".join(tokens[max(0, at - 2) : at + 1]), str(at // _BAND)
        for level in range(1, grammar.depth):
            symbol = ends.get((at, level))
            readings.append(Reading(f"ends{level}", "token", place, YES_NO[symbol is not None], word, (), band))
            if symbol is not None:
                readings.append(Reading(f"symbol{level}", "token", place, symbol, word, (), band))
    return Passage(asked.prompt, "".join([f" {token}" for token in tokens]), tuple(readings))


def language_probes(shape: str) -> ProbeSet:
    """Return the probes of a fixed language, for models that are trained on it."""
    levels = range(1, LANGUAGES[shape].depth)
    variables: dict[str, Variable] = {}
    for level in levels:
        variables[f"symbol{level}"] = Variable(
            "classes", f"which symbol of level {level} ends at this token", tuple(f"{name}{level}" for name in "XYZ")
        )
        variables[f"ends{level}"] = Variable("yes-no", f"whether a symbol of level {level} ends at this token", YES_NO)
    return ProbeSet(
        f"lano.{shape}", Cell("lano", f"generate-{shape}-0", "symbol", "free"), variables,
        {"token": f"at each token of a sentence, behind {SENTENCE_MARK!r}"}, _write_sentence, is_default=False,
        share=_SHARE[shape],
    )  # fmt: skip

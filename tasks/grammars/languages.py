"""Fixed languages that models are trained on, and the questions about them.

Reference: Allen-Zhu, Physics of Language Models 1 (arXiv 2305.13673), section 2: synthetic CFGs.
"""

from functools import cache
from math import log

from fathom.tasks.base import Level, Problem
from fathom.tasks.grammars.grammar import Grammar, GrammarShape, draw_grammar
from fathom.tasks.grammars.likelihood import next_token_law
from fathom.tasks.grammars.text import join_tokens
from fathom.tasks.stream import Stream

LANGUAGES = {
    "a": GrammarShape(4, 2, 2, least_mean=20, greatest_mean=40),
    "b": GrammarShape(6, 2, 2),
    "f": GrammarShape(6, 3, 4, least_mean=240, greatest_mean=260),
    "k": GrammarShape(7, 3, 4, least_mean=500, greatest_mean=540),
}
"""Languages to train a model on: b, f and k as in the paper, and a, which is learnt in minutes."""

DRAW_NUMBERS = {"a": 22, "b": 5, "f": 26, "k": 28}
"""Number of the draw of each language: out of 32 (b: 8), the one in which edited sentences, and sentences joined from
two halves, stay sentences least often. In many draws a third of them do; in these at most 1 in 16 edits."""

GIVEN_TOKENS = 50
"""Tokens of a sentence given to a trained model, if any."""

GIVEN_TOKENS_SHORT = 12
"""Tokens given in the language a, whose sentences have 37 tokens on average."""

LAW_TOKENS = 64
"""Most tokens of a sentence whose log-likelihood is asked for; never more than the shortest sentence has."""

SENTENCE_MARK = "Sentence:"
"""The mark before every sentence of the training text."""


@cache
def language(shape: str) -> Grammar:
    """Return the language of that name, a, b, f or k; its terminals are a, b and c."""
    of = LANGUAGES[shape]
    symbols = ["S", *[f"{name}{depth}" for depth in range(1, of.depth) for name in "XYZ"]]
    return draw_grammar(of, symbols, "abc", Stream("language", "lano", shape, DRAW_NUMBERS[shape]))


def language_levels() -> list[Level]:
    """Return the levels that ask a trained model for sentences, and for their likelihood."""
    pairs = [
        (shape, given) for shape in LANGUAGES for given in (0, GIVEN_TOKENS_SHORT if shape == "a" else GIVEN_TOKENS)
    ]
    return [*[_generate_level(*pair) for pair in pairs], *[_law_level(shape) for shape in LANGUAGES]]


def _generate_level(shape: str, given: int) -> Level:
    depth = LANGUAGES[shape].depth
    axes: dict[str, int | str] = {"mode": "generate", "depth": depth, "shape": shape, "given": given}
    # 50 tokens of b-like sentences hold about 36 bits, of f and k more than 50, and 12 tokens of a about 8.
    space = 1 if not given else {"a": 300, "b": 1e10}.get(shape, 1e15)
    name, ladder = f"generate-{shape}-{given}", f"generate-{shape}"
    return Level(name, depth, axes, ladder, channels=("symbol",), styles=("free",), space=space)


def _law_level(shape: str) -> Level:
    depth = LANGUAGES[shape].depth
    axes: dict[str, int | str] = {"mode": "law", "depth": depth, "shape": shape}
    return Level(f"law-{shape}", depth, axes, f"law-{shape}", channels=("symbol",), styles=("bits",), space=1)


def draw_continuation(shape: str, given: int, stream: Stream) -> Problem:
    """Ask for the rest of a sentence after its first tokens, or for a whole one."""
    grammar = language(shape)
    sentence = grammar.sentence(stream, given + 1)
    prefix = join_tokens(sentence[:given])
    facts = {
        "mode": "generate", "shape": shape, "grammar": grammar.to_json(), "prefix": prefix, "accepts": "verifier",
    }  # fmt: skip
    return Problem(f"{SENTENCE_MARK} {prefix}".rstrip(), join_tokens(sentence[given:]), (), facts)


def draw_law_problem(shape: str, stream: Stream) -> Problem:
    """Ask for the log-likelihood of the first tokens of a fresh sentence.

    The mean over sentences of (known - observed) / tokens is the divergence of the model's distribution from the exact
    one
    in nats per token, since sentences are drawn from the exact one. No sentence ends within so few tokens, so the end
    of
    the sentence, which depends on the tokenizer, is not scored. The guesser gives each terminal and the end the same
    share.
    """
    grammar = language(shape)
    tokens = grammar.sentence(stream)[: min(LAW_TOKENS, grammar.shortest)]
    rows = next_token_law(grammar, tokens)[:-1]
    known = sum([row[token] for row, token in zip(rows, tokens, strict=True)])
    nats = {"known": known, "guessed": -len(tokens) * log(len(grammar.terminals) + 1)}
    facts = {"mode": "law", "shape": shape, "prefix": "", "n_tokens": len(tokens), "nats": nats}
    return Problem(SENTENCE_MARK, join_tokens(tokens), (), facts)

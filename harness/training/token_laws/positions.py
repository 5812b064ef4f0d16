"""The law of positions: a hierarchical language with rotary positions and without any, in one body."""

from dataclasses import dataclass, replace
from functools import cache
from math import exp, inf, log

import numpy as np
import torch

from fathom.harness.stats.intervals import Z95
from fathom.harness.training.token_laws.decoder import IGNORED, Decoder, TokenRecipe, bits, train
from fathom.harness.training.token_laws.design import (
    Condition,
    Gate,
    Measure,
    Rule,
    TokenLaw,
    TrainedDecoder,
    Weights,
)
from fathom.tasks.grammars.grammar import Grammar
from fathom.tasks.grammars.languages import language
from fathom.tasks.grammars.likelihood import SENTENCE_END, next_token_law

_TERMINALS = "abc"
_END, _START = 3, 4
_N_HELD_OUT, _HELD_OUT_SEED = 60, 99

EXCESS = "KL divergence from the language, bits a token"
LOSS = "bits a token saved, of those of a uniform guess"


@dataclass(frozen=True, slots=True)
class _HeldOut:
    """Sentences as rows, with the exact probability of each next token, of shape (rows, tokens, 4)."""

    rows: torch.Tensor
    exact: torch.Tensor
    lengths: torch.Tensor


def _sentence(grammar: Grammar, draw: np.random.Generator) -> list[int]:
    line = [grammar.root]
    for _ in range(grammar.depth):
        chances = draw.random(len(line))
        line = [
            part
            for symbol, chance in zip(line, chances, strict=True)
            for part in grammar.rules[symbol][int(chance * len(grammar.rules[symbol]))]
        ]
    return [_TERMINALS.index(one) for one in line]


def _rows(sentences: list[list[int]]) -> torch.Tensor:
    rows = torch.full((len(sentences), 2 + max(map(len, sentences))), IGNORED)
    for row, sentence in zip(rows, sentences, strict=True):
        row[: len(sentence) + 2] = torch.tensor([_START, *sentence, _END])
    return rows


@cache
def _held_out() -> _HeldOut:
    """Return the sentences that every model is tested on: so long that training text seldom repeats one."""
    grammar, draw = language("a"), np.random.default_rng(_HELD_OUT_SEED)
    sentences = [_sentence(grammar, draw) for _ in range(_N_HELD_OUT)]
    rows = _rows(sentences)
    exact = torch.zeros((*rows[:, 1:].shape, _END + 1))
    for at, sentence in enumerate(sentences):
        for place, law in enumerate(next_token_law(grammar, [_TERMINALS[one] for one in sentence])):
            for token, chance in law.items():
                if chance > -inf:
                    exact[at, place, _END if token == SENTENCE_END else _TERMINALS.index(token)] = exp(chance)
    return _HeldOut(rows, exact, torch.tensor([len(one) + 1 for one in sentences]))


def _train(recipe: TokenRecipe, seed: int, _: Weights | None) -> TrainedDecoder:
    grammar, draw = language("a"), np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = Decoder(recipe, _START + 1, grammar.longest + 2)
    train(model, recipe, lambda _: _rows([_sentence(grammar, draw) for _ in range(recipe.batch)]))
    return TrainedDecoder(model, _measure(model))


def _measure(model: Decoder) -> tuple[Measure, ...]:
    held = _held_out()
    with torch.no_grad():
        said = model(held.rows[:, :-1].clamp(min=0)).log_softmax(-1)[..., : _END + 1]
    gaps = torch.special.xlogy(held.exact, held.exact) - held.exact * said  # exact is 0 after the end of a sentence
    each = gaps.sum((1, 2)) / held.lengths / log(2)
    saved = np.log2(_END + 1) - bits(model, held.rows).sum(1) / held.lengths
    return _mean(EXCESS, each), _mean(LOSS, saved)


def _mean(question: str, each: torch.Tensor) -> Measure:
    mean, half = float(each.mean()), Z95 * float(each.std()) / len(each) ** 0.5
    return Measure(question, mean, mean - half, mean + half, len(each))


_ROTARY = TokenRecipe(hidden=64, layers=4, heads=4, steps=400, batch=32, learning_rate=0.01)

LAW = TokenLaw(
    name="positions",
    claim="Without positions, a model of the same body is further from a hierarchical language after the same steps.",
    rule_text=(
        "Shown if the KL divergence from the exact distribution of the language is greater without positions than with "
        "rotary ones by more than 0.05 bits a token, over the whole of the 95% interval over seeds; reversed if it is "
        "less by as much."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 1 (arXiv 2305.13673), section 3",
    conditions=(
        Condition("rotary", "rotary positions", _ROTARY),
        Condition("none", "no positions", replace(_ROTARY, positions="none")),
    ),
    gates=(Gate(LOSS, ("rotary", "none"), 0.2, "something of the language is learned"),),
    rule=Rule("lead", EXCESS, "none", "rotary", 0.05, "bits"),
    train=_train,
)

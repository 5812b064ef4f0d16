"""The law of capacity: bits a parameter of a small and a larger model that both read more than they can keep."""

from collections.abc import Callable
from math import log2
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fathom.harness.stats.intervals import Z95
from fathom.harness.training.token_laws.decoder import Decoder, TokenRecipe, bits, train
from fathom.harness.training.token_laws.design import (
    Condition,
    Gate,
    Measure,
    Rule,
    TokenLaw,
    TrainedDecoder,
    Weights,
)

SYMBOLS, NAME_TOKENS, FACTS = 64, 3, 6
"""Each of a person's tokens is one of SYMBOLS: three of a name and six facts, with no text between them."""
_N_NAMES = SYMBOLS**NAME_TOKENS
BITS_OF_NAME, BITS_OF_FACTS = log2(_N_NAMES), FACTS * log2(SYMBOLS)

KEPT = "bits a parameter"
OFFERED = "bits offered a parameter"


Persons = NDArray[Any]
"""Whole numbers: tokens, or which people."""


def draw_persons(n: int, draw: np.random.Generator) -> Persons:
    """Draw n people with different names, as rows of a start, NAME_TOKENS and FACTS."""
    names = draw.choice(_N_NAMES, n, replace=False)
    parts = [np.full(n, SYMBOLS), names // SYMBOLS**2, names // SYMBOLS % SYMBOLS, names % SYMBOLS]
    return np.concatenate([np.stack(parts, 1), draw.integers(0, SYMBOLS, (n, FACTS))], 1)


def draw_passes(recipe: TokenRecipe, draw: np.random.Generator) -> Callable[[int], Persons]:
    """Return which people each step reads: each pass over them has a new order, and leaves out the last few."""
    per_pass = recipe.people // recipe.batch
    passes = [draw.permutation(recipe.people) for _ in range(-(-recipe.steps // per_pass))]

    def read(step: int) -> Persons:
        at = step % per_pass * recipe.batch
        return passes[step // per_pass][at : at + recipe.batch]

    return read


def train_on_facts(recipe: TokenRecipe, seed: int, _: Weights | None) -> TrainedDecoder:
    """Train a model on people, each pass over them in a new order, and measure the bits that it keeps.

    Bits are those of names and facts. Source: Allen-Zhu and Li, Physics of Language Models 3.3 (arXiv 2404.05405),
    theorem 3.2: what a uniform guess would need, less the surprise of the model.
    """
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = Decoder(recipe, SYMBOLS + 1, 2 + NAME_TOKENS + FACTS)
    rows = torch.from_numpy(draw_persons(recipe.people, draw))
    read = draw_passes(recipe, draw)
    train(model, recipe, lambda step: rows[torch.from_numpy(read(step))])
    return TrainedDecoder(model, _measure(model, rows))


def _measure(model: Decoder, rows: Tensor) -> tuple[Measure, ...]:
    surprise = bits(model, rows)
    n, size = len(rows), model.n_parameters
    of_names = BITS_OF_NAME - surprise[:, :NAME_TOKENS].sum(1)
    of_facts = BITS_OF_FACTS - surprise[:, NAME_TOKENS:].sum(1)
    known = [one for one in (of_names, of_facts) if one.mean() > 0]  # text that is worse than a guess is not kept
    each = torch.stack(known).sum(0) if known else torch.zeros(n)
    offered = n * (log2(_N_NAMES / n) + BITS_OF_FACTS) / size
    return (
        bits_a_parameter(KEPT, each, size),
        Measure(OFFERED, offered, offered, offered, n),
    )


def bits_a_parameter(question: str, each: Tensor, size: int) -> Measure:
    """Return the bits of all people together by the number of weights, with an interval over people."""
    n, mean, half = len(each), float(each.mean()), Z95 * float(each.std()) / len(each) ** 0.5
    return Measure(question, mean * n / size, (mean - half) * n / size, (mean + half) * n / size, n)


_SMALL = TokenRecipe(hidden=16, layers=2, heads=2, steps=900, batch=76, learning_rate=0.02, people=691)
_LARGE = TokenRecipe(hidden=32, layers=2, heads=2, steps=900, batch=283, learning_rate=0.02, people=2553)

LAW = TokenLaw(
    name="capacity",
    claim="A parameter keeps about as many bits in a model of 27 thousand parameters as in one of 7 thousand.",
    rule_text=(
        "Shown if the ratio of bits a parameter, large to small, lies between 0.67 and 1.5 over the whole of its 95% "
        "interval over seeds; reversed if it lies outside over the whole of it."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 3.3 (arXiv 2404.05405), sections 3 and 4",
    conditions=(
        Condition("small", "7 thousand parameters", _SMALL),
        Condition("large", "27 thousand parameters", _LARGE),
    ),
    gates=(
        Gate(OFFERED, ("small", "large"), 4.0, "the text holds more than a model can keep"),
        Gate(KEPT, ("small", "large"), 0.5, "a model keeps something"),
    ),
    rule=Rule("alike", KEPT, "large", "small", log2(1.5), "log2 ratio"),
    train=train_on_facts,
)

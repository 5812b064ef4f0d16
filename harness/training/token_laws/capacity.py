"""The law of capacity: bits a parameter of a small and a larger model that both read more than they can keep."""

from dataclasses import dataclass
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
_BITS_OF_FACTS = FACTS * log2(SYMBOLS)

KEPT = "bits a parameter"
OFFERED = "bits offered a parameter"


@dataclass(frozen=True, slots=True)
class _Text:
    rows: Tensor
    passes: list[NDArray[Any]]

    def batch(self, step: int, size: int) -> Tensor:
        per_pass = len(self.rows) // size
        order = self.passes[step // per_pass]
        at = step % per_pass * size
        return self.rows[torch.from_numpy(order[at : at + size])]


def train_on_facts(recipe: TokenRecipe, seed: int, _: Weights | None) -> TrainedDecoder:
    """Train a model on people, each pass over them in a new order, and measure the bits that it keeps.

    Bits are those of names and facts. Source: Allen-Zhu and Li, Physics of Language Models 3.3 (arXiv 2404.05405),
    theorem 3.2: what a uniform guess would need, less the surprise of the model.
    """
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = Decoder(recipe, SYMBOLS + 1, 2 + NAME_TOKENS + FACTS)
    names = draw.choice(_N_NAMES, recipe.people, replace=False)
    parts = [np.full(recipe.people, SYMBOLS), names // SYMBOLS**2, names // SYMBOLS % SYMBOLS, names % SYMBOLS]
    rows = np.concatenate([np.stack(parts, 1), draw.integers(0, SYMBOLS, (recipe.people, FACTS))], 1)
    n_passes = -(-recipe.steps // (recipe.people // recipe.batch))
    text = _Text(torch.from_numpy(rows), [draw.permutation(recipe.people) for _ in range(n_passes)])
    train(model, recipe, lambda step: text.batch(step, recipe.batch))
    return TrainedDecoder(model, _measure(model, text.rows))


def _measure(model: Decoder, rows: Tensor) -> tuple[Measure, ...]:
    surprise = bits(model, rows)
    n, size = len(rows), model.n_parameters
    of_names = log2(_N_NAMES) - surprise[:, :NAME_TOKENS].sum(1)
    of_facts = _BITS_OF_FACTS - surprise[:, NAME_TOKENS:].sum(1)
    known = [one for one in (of_names, of_facts) if one.mean() > 0]  # text that is worse than a guess is not kept
    each = torch.stack(known).sum(0) if known else torch.zeros(n)
    kept, half = float(each.mean()), Z95 * float(each.std()) / n**0.5
    offered = n * (log2(_N_NAMES / n) + _BITS_OF_FACTS) / size
    return (
        Measure(KEPT, kept * n / size, (kept - half) * n / size, (kept + half) * n / size, n),
        Measure(OFFERED, offered, offered, offered, n),
    )


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

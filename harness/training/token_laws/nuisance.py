"""The nuisance tax: detail of a person that never changes takes the place of facts; a law of Fathom's own."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fathom.harness.training.token_laws.capacity import (
    BITS_OF_FACTS,
    BITS_OF_NAME,
    FACTS,
    NAME_TOKENS,
    SYMBOLS,
    Persons,
    bits_a_parameter,
    draw_passes,
    draw_persons,
)
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

OF_FACTS = "bits of facts a parameter"
OF_DETAIL = "bits of detail a parameter"
OF_ALL = "bits of names, facts and detail a parameter"
_FIRST_FACT = 1 + NAME_TOKENS


def _train(recipe: TokenRecipe, seed: int, _: Weights | None) -> TrainedDecoder:
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = Decoder(recipe, SYMBOLS + 1, _FIRST_FACT + 2 * FACTS)
    persons = draw_persons(recipe.people, draw)
    detail = draw.integers(0, SYMBOLS, (recipe.people, FACTS))
    read = draw_passes(recipe, draw)

    def batch(step: int) -> Tensor:
        who = read(step)
        told = draw.integers(0, SYMBOLS, (len(who), FACTS)) if recipe.detail == "fresh" else detail[who]
        return _rows(persons[who], told, recipe)

    train(model, recipe, batch)
    return TrainedDecoder(model, _measure(model, _rows(persons, detail, recipe), recipe))


def _rows(persons: Persons, detail: Persons, recipe: TokenRecipe) -> Tensor:
    """Return rows with a token of detail before each fact, or without detail."""
    if recipe.detail == "none":
        return torch.from_numpy(persons)
    both = np.stack([detail, persons[:, _FIRST_FACT:]], 2).reshape(len(persons), -1)
    return torch.from_numpy(np.concatenate([persons[:, :_FIRST_FACT], both], 1))


def _measure(model: Decoder, rows: Tensor, recipe: TokenRecipe) -> tuple[Measure, ...]:
    """Measure bits as in `capacity`; detail that is drawn anew cannot be kept, so what it seems to hold is chance."""
    surprise = bits(model, rows)
    names, body = surprise[:, :NAME_TOKENS], surprise[:, NAME_TOKENS:]
    facts = BITS_OF_FACTS - (body if recipe.detail == "none" else body[:, 1::2]).sum(1)
    detail = torch.zeros(len(rows)) if recipe.detail == "none" else BITS_OF_FACTS - body[:, 0::2].sum(1)
    name = BITS_OF_NAME - names.sum(1)
    size = model.n_parameters
    return (
        bits_a_parameter(OF_FACTS, facts, size),
        bits_a_parameter(OF_DETAIL, detail, size),
        bits_a_parameter(OF_ALL, name + facts + detail, size),
    )


_NONE = TokenRecipe(hidden=16, layers=2, heads=2, steps=900, batch=76, learning_rate=0.02, people=691)

LAW = TokenLaw(
    name="nuisance",
    claim="Detail of a person that never changes and is of no use takes the place of facts in a model that is full.",
    rule_text=(
        "Shown if a model keeps more bits of facts a parameter without detail than with six fixed tokens of it, by "
        "more than 0.3, over the whole of the 95% interval over seeds; reversed if it keeps fewer by as much. Detail "
        "that is drawn anew at each reading is reported and decides nothing."
    ),
    reference="Fathom's own; the measure is that of Physics of Language Models 3.3 (arXiv 2404.05405)",
    conditions=(
        Condition("none", "no detail", _NONE),
        Condition("fixed", "fixed detail", replace(_NONE, detail="fixed")),
        Condition("fresh", "detail drawn anew at each reading", replace(_NONE, detail="fresh")),
    ),
    gates=(Gate(OF_ALL, ("none", "fixed"), 1.0, "the model is full"),),
    rule=Rule("lead", OF_FACTS, "none", "fixed", 0.3, "bits"),
    train=_train,
)

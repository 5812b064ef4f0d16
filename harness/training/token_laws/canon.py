"""The law of short convolutions: a model that has them learns to look a name up much sooner."""

from dataclasses import replace

import numpy as np
import torch

from fathom.harness.training.token_laws import rings
from fathom.harness.training.token_laws.decoder import Decoder, TokenRecipe, next_tokens, train
from fathom.harness.training.token_laws.design import (
    Condition,
    Gate,
    Measure,
    Rule,
    TokenLaw,
    TrainedDecoder,
    Weights,
)
from fathom.harness.training.token_laws.recall import share

ONE_HOP = "right names one hop on"
TWO_HOPS = "right names two hops on"
IN_RING = "answers that are names of the ring"
_N_ASKED, _ASKED_SEED = 300, 99
"""Rings that every model is asked about, the same for all, and their seed."""


def train_on_rings(recipe: TokenRecipe, seed: int, _: Weights | None) -> TrainedDecoder:
    """Train a model on rings, each of them new, and ask it about others."""
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = Decoder(recipe, rings.N_TOKENS, rings.CONTEXT)
    train(model, recipe, lambda _: rings.draw_rings(recipe.batch, draw).rows, rings.ANSWERS)
    return TrainedDecoder(model, ask_about_rings(model))


def ask_about_rings(model: Decoder) -> tuple[Measure, ...]:
    """Ask a model about rings that are the same for all models."""
    asked = rings.draw_rings(_N_ASKED, np.random.default_rng(_ASKED_SEED))
    said = next_tokens(model, asked.rows[:, :-1])[:, rings.ANSWERS]
    right = said == asked.rows[:, 1:][:, rings.ANSWERS]
    is_name = (said[:, :, None] == asked.names[:, None]).any(-1)
    by_hops = (share(name, right[asked.hops == k]) for k, name in ((1, ONE_HOP), (2, TWO_HOPS)))
    return (*by_hops, share(IN_RING, is_name.flatten()))


_PLAIN = TokenRecipe(hidden=64, layers=4, heads=4, steps=400, batch=48, learning_rate=0.01)

LAW = TokenLaw(
    name="canon",
    claim="With short convolutions, a model learns to follow an arrow sooner than one of as many parameters without.",
    rule_text=(
        "Shown if, after the same steps, more names one hop on are right with short convolutions by more than 10 "
        "points, over the whole of the 95% interval over seeds; reversed if fewer by as much. Two hops are reported "
        "and decide nothing."
    ),
    reference="Allen-Zhu, Physics of Language Models 4.1 (Canon layers)",
    conditions=(
        Condition("plain", "without convolutions", _PLAIN),
        Condition("canon", "convolutions of width 4 before attention and MLP", replace(_PLAIN, convolutions="AC")),
    ),
    gates=(Gate(IN_RING, ("plain", "canon"), 0.9, "the form of an answer is known"),),
    rule=Rule("lead", ONE_HOP, "canon", "plain", 0.1, "share"),
    train=train_on_rings,
)

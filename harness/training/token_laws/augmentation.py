"""The law of augmentation: facts that are told in one way only can be recited and not asked for."""

from dataclasses import replace

import numpy as np

from fathom.harness.training.token_laws.decoder import TokenRecipe
from fathom.harness.training.token_laws.design import Condition, Gate, Rule, TokenLaw, TrainedDecoder, Weights
from fathom.harness.training.token_laws.people import draw_people
from fathom.harness.training.token_laws.recall import ASKED, NEW, RECITED, ask_for_facts, new_model, train_to_recall


def _train(recipe: TokenRecipe, seed: int, start: Weights | None) -> TrainedDecoder:
    draw = np.random.default_rng(seed)
    people = draw_people(recipe.people, draw)
    model = new_model(recipe, seed, start)
    train_to_recall(model, people, recipe, draw)
    return TrainedDecoder(model, tuple(ask_for_facts(model, people, recipe, draw)))


_SINGLE = TokenRecipe(hidden=64, layers=3, heads=2, steps=700, batch=64, learning_rate=0.01, people=400)
_BOTH = ("single", "augmented")

LAW = TokenLaw(
    name="augmentation",
    claim="Facts told in one wording and one order are stored, but a model cannot be asked for them.",
    rule_text=(
        "Shown if facts of people who are only told of, not asked about, are found more often by more than 10 points "
        "after text in three wordings and any order, over the whole of the 95% interval over seeds; reversed if less "
        "often by as much."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 3.1 (arXiv 2309.14316), sections 4 and 5",
    conditions=(
        Condition("single", "one wording, one order", _SINGLE),
        Condition("augmented", "three wordings, any order", replace(_SINGLE, wordings=3, any_order=True)),
    ),
    gates=(
        Gate(RECITED, _BOTH, 0.9, "the text is stored"),
        Gate(ASKED, _BOTH, 0.9, "the form of a question is known"),
    ),
    rule=Rule("lead", NEW, "augmented", "single", 0.1, "share"),
    train=_train,
)

"""The law of reversal: a name is found by facts only if some of the text tells the facts before the name."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fathom.harness.training.token_laws import people as text
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
from fathom.harness.training.token_laws.people import Ids, People, draw_people
from fathom.harness.training.token_laws.recall import RECITED, ask_for_facts, new_model, share

FOUND_ASKED = "names found by facts, people who are asked about in the text"
FOUND = "names found by facts, people who are only told of"


def _train(recipe: TokenRecipe, seed: int, start: Weights | None) -> TrainedDecoder:
    draw = np.random.default_rng(seed)
    people = draw_people(recipe.people, draw)
    model = new_model(recipe, seed, start)
    train(model, recipe, lambda _: _batch(people, recipe, draw))
    half = people.n // 2
    names = (
        _find(name, model, people, who)
        for name, who in ((FOUND_ASKED, np.arange(half)), (FOUND, np.arange(half, people.n)))
    )
    return TrainedDecoder(model, (*ask_for_facts(model, people, replace(recipe, name_last=0.0), draw), *names))


def _batch(people: People, recipe: TokenRecipe, draw: np.random.Generator) -> Tensor:
    """Draw biographies of everybody, and as many questions about the first half of them, every other one for a name."""
    half, quarter = recipe.batch // 2, recipe.batch // 4
    told = text.biographies(people, recipe, half, draw)
    who = draw.integers(0, people.n // 2, quarter)
    attribute = draw.integers(0, text.ATTRIBUTES, quarter)
    asked_for_names = draw.integers(0, people.n // 2, quarter)
    return text.tokens_of(
        told, text.questions(people, who, attribute), text.name_questions(people, asked_for_names)
    )  # fmt: skip


def _find(question: str, model: Decoder, people: People, who: Ids) -> Measure:
    """Ask for names; the model reads the first token of a name that it wrote itself."""
    rows = torch.from_numpy(text.name_questions(people, who))
    asked = rows[:, :-2]
    for _ in range(2):
        asked = torch.cat([asked, next_tokens(model, asked)[:, -1:]], 1)
    return share(question, (asked[:, -2:] == rows[:, -2:]).all(1))


_FORWARD = TokenRecipe(
    hidden=64, layers=3, heads=2, steps=1000, batch=64, learning_rate=0.01, people=400, wordings=3, any_order=True
)  # fmt: skip
_BOTH = ("forward", "reversed")

LAW = TokenLaw(
    name="reversal",
    claim="A person's name cannot be found by the facts if the text always tells the name before them.",
    rule_text=(
        "Shown if names of people who are only told of are found by their facts more often by more than 10 points "
        "where half of the text has the name last, over the whole of the 95% interval over seeds; reversed if less "
        "often by as much."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 3.2 (arXiv 2309.14402), section 5",
    conditions=(
        Condition("forward", "the name always first", _FORWARD),
        Condition("reversed", "the name last in half of the text", replace(_FORWARD, name_last=0.5)),
    ),
    gates=(
        Gate(RECITED, _BOTH, 0.9, "the text is stored"),
        Gate(FOUND_ASKED, _BOTH, 0.9, "the form of a question for a name is known"),
    ),
    rule=Rule("lead", FOUND, "reversed", "forward", 0.1, "share"),
    train=_train,
)

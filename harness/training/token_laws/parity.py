"""The law of parity: a yes-no question about a known fact is answered only once the fact is written first."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fathom.harness.training.token_laws import people as text
from fathom.harness.training.token_laws.decoder import Decoder, TokenRecipe, next_tokens, train
from fathom.harness.training.token_laws.design import (
    Condition,
    Gate,
    Rule,
    TokenLaw,
    TrainedDecoder,
    Weights,
)
from fathom.harness.training.token_laws.people import Ids, People, draw_people
from fathom.harness.training.token_laws.recall import NEW, ask_for_facts, new_model, share, train_to_recall

TRAINED = "yes or no, people in the questions of the text"
UNSEEN = "yes or no, other people"
WRITTEN = "value written right, other people"


def _train(recipe: TokenRecipe, seed: int, start: Weights | None) -> TrainedDecoder:
    draw = np.random.default_rng(seed)
    people = draw_people(recipe.people, draw)
    model = new_model(recipe, seed, start)
    if start is None:
        train_to_recall(model, people, recipe, draw)
        return TrainedDecoder(model, tuple(ask_for_facts(model, people, recipe, draw)))
    train(model, recipe, lambda _: _batch(people, recipe, draw))
    half = people.n // 2
    others = _answer(model, people, np.arange(half, people.n), recipe.value_first)
    trained = _answer(model, people, np.arange(half), recipe.value_first)
    measures = [share(TRAINED, trained[0]), share(UNSEEN, others[0])]
    if recipe.value_first:
        measures.append(share(WRITTEN, others[1]))
    return TrainedDecoder(model, tuple(measures))


def _batch(people: People, recipe: TokenRecipe, draw: np.random.Generator) -> Tensor:
    """Draw yes-no questions about the first half of the people, and one plain question to each three of them."""
    plain = recipe.batch // 4
    asked = draw.integers(0, people.n // 2, recipe.batch - plain)
    who, attribute = draw.integers(0, people.n // 2, plain), draw.integers(0, text.ATTRIBUTES, plain)
    yes_no = text.yes_no_questions(people, asked, recipe.value_first)
    return text.tokens_of(yes_no, text.questions(people, who, attribute))


def _answer(model: Decoder, people: People, who: Ids, value_first: bool) -> tuple[Tensor, Tensor]:
    """Return which yes-no answers are right, and which values; the model reads the value that it wrote itself."""
    rows = torch.from_numpy(text.yes_no_questions(people, who, value_first))
    asked, right = rows[:, :4], torch.ones(len(rows), dtype=torch.bool)
    if value_first:
        written = next_tokens(model, asked)[:, -1:]
        asked, right = torch.cat([asked, written], 1), written[:, 0] == rows[:, 4]
    with torch.no_grad():
        scores = model(asked)[:, -1]
    said = torch.where(scores[:, text.YES] > scores[:, text.NO], text.YES, text.NO)
    return said == rows[:, -1], right


_READ = TokenRecipe(
    hidden=64, layers=3, heads=2, steps=1200, batch=64, learning_rate=0.01, people=400, wordings=3, any_order=True
)  # fmt: skip
_AT_ONCE = replace(_READ, steps=300, learning_rate=0.004)

LAW = TokenLaw(
    name="parity",
    claim="A model that knows a fact cannot say yes or no about it, unless it writes the fact first.",
    rule_text=(
        "Shown if yes-no questions about other people than those of the second training are answered right more often "
        "by more than 10 points where the value is written first, over the whole of the 95% interval over seeds; "
        "reversed if less often by as much."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 3.2 (arXiv 2309.14402), section 4",
    conditions=(
        Condition("read", "first training: reads, and is asked for facts", _READ),
        Condition("at-once", "second training: yes or no at once", _AT_ONCE, after="read"),
        Condition("value-first", "second training: the value first", replace(_AT_ONCE, value_first=True), after="read"),
    ),
    gates=(
        Gate(NEW, ("read",), 0.9, "the facts are known before the second training"),
        Gate(TRAINED, ("at-once", "value-first"), 0.9, "the questions of the second training are learned"),
    ),
    rule=Rule("lead", UNSEEN, "value-first", "at-once", 0.1, "share"),
    train=_train,
)

"""Training and questions about people that the laws of recall share."""

import numpy as np
import torch
from torch import Tensor

from fathom.harness.stats.intervals import Z95, wilson
from fathom.harness.training.token_laws import people as text
from fathom.harness.training.token_laws.decoder import Decoder, TokenRecipe, bits, next_tokens, train
from fathom.harness.training.token_laws.design import Measure, Weights
from fathom.harness.training.token_laws.people import Ids, People

RECITED = "facts recited"
ASKED = "facts of people who are asked about in the text"
NEW = "facts of people who are only told of"
NEW_BITS = "bits of these facts, of 5"


def new_model(recipe: TokenRecipe, seed: int, start: Weights | None) -> Decoder:
    """Return a model with random weights, or with those of an earlier training."""
    torch.manual_seed(seed)
    model = Decoder(recipe, text.N_TOKENS, text.CONTEXT)
    if start is not None:
        model.load_state_dict(dict(start))
    return model


def train_to_recall(model: Decoder, people: People, recipe: TokenRecipe, draw: np.random.Generator) -> None:
    """Train on biographies of everybody, and on as many questions about the first half of the people."""
    half = recipe.batch // 2

    def batch(_: int) -> Tensor:
        told = text.biographies(people, recipe, half, draw)
        who = draw.integers(0, people.n // 2, half)
        return text.tokens_of(told, text.questions(people, who, draw.integers(0, text.ATTRIBUTES, half)))

    train(model, recipe, batch)


def ask_for_facts(model: Decoder, people: People, recipe: TokenRecipe, draw: np.random.Generator) -> list[Measure]:
    """Ask for every fact of everybody, and let the model recite biographies with each fact left to it."""
    found = [recite(model, people, recipe, draw)]
    for name, who in ((ASKED, np.arange(people.n // 2)), (NEW, np.arange(people.n // 2, people.n))):
        rows = _all_questions(people, who)
        found.append(share(name, next_tokens(model, rows[:, :-1])[:, -1] == rows[:, -1]))
    gained = text.BITS_OF_VALUE - bits(model, rows)[:, -1]
    mean, half = float(gained.mean()), Z95 * float(gained.std()) / len(gained) ** 0.5
    return [*found, Measure(NEW_BITS, mean, mean - half, mean + half, len(gained))]


def recite(model: Decoder, people: People, recipe: TokenRecipe, draw: np.random.Generator) -> Measure:
    """Return the share of facts that the model continues 500 biographies with, as its own text tells them."""
    rows = text.tokens_of(text.biographies(people, recipe, 500, draw))
    right = next_tokens(model, rows[:, :-1].clamp(min=0)) == rows[:, 1:]
    return share(RECITED, right[text.is_value(rows[:, 1:])])


def _all_questions(people: People, who: Ids) -> Tensor:
    each = np.repeat(who, text.ATTRIBUTES)
    return torch.from_numpy(text.questions(people, each, np.tile(np.arange(text.ATTRIBUTES), len(who))))


def share(question: str, right: Tensor) -> Measure:
    """Return a share of right answers with Wilson's interval."""
    k, n = int(right.sum()), len(right)
    interval = wilson(k, n)
    return Measure(question, k / n, interval.low, interval.high, n)

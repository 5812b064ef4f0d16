"""Invented people in token form: names, facts, biographies and questions as rows of token ids.

A biography is `START name name (marker value)*`; the marker says which attribute follows and in which wording. A
question is `START attribute name name value`, a yes-no question `START ASK name name [value] YES|NO`, and a question
for a name `START ASK value value value value value name name`; no law has both of the last two.

Reference: Allen-Zhu and Li, Physics of Language Models 3.1 (arXiv 2309.14316): bioS, here without a language.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fathom.harness.training.token_laws.decoder import IGNORED, TokenRecipe

Ids = NDArray[Any]  # token ids, or numbers of people or attributes; whole numbers

SYMBOLS, ATTRIBUTES, VALUES, WORDINGS = 48, 5, 32, 3
"""Symbols of each half of a name; attributes of a person; values of an attribute; wordings of a fact."""
FIRST_VALUE = 2 * SYMBOLS
FIRST_MARKER = FIRST_VALUE + ATTRIBUTES * VALUES
FIRST_QUESTION = FIRST_MARKER + ATTRIBUTES * WORDINGS
START, ASK, YES, NO = range(FIRST_QUESTION + ATTRIBUTES, FIRST_QUESTION + ATTRIBUTES + 4)
N_TOKENS = NO + 1
CONTEXT = 1 + ATTRIBUTES * 4
"""Tokens of the longest biography."""
BITS_OF_VALUE = 5
"""log2 of VALUES."""


@dataclass(frozen=True, slots=True)
class People:
    """A population that a seed determines; the first half of it is also asked about in the training text."""

    names: Ids
    """Of shape (people, 2)."""
    values: Ids
    """Token of each attribute's value, of shape (people, ATTRIBUTES)."""
    even: Ids
    """Whether the answer about a value of the first attribute is yes: a random half of its VALUES."""
    orders: Ids = field(repr=False)
    """The order in which each person's wordings are used, of shape (people, ATTRIBUTES, WORDINGS)."""

    @property
    def n(self) -> int:
        """Number of people."""
        return len(self.names)


def draw_people(n: int, draw: np.random.Generator) -> People:
    """Draw n people with different names; values are uniform."""
    name = draw.choice(SYMBOLS * SYMBOLS, n, replace=False)
    even = np.zeros(VALUES, dtype=bool)
    even[draw.permutation(VALUES)[: VALUES // 2]] = True
    return People(
        np.stack([name // SYMBOLS, SYMBOLS + name % SYMBOLS], 1),
        draw.integers(0, VALUES, (n, ATTRIBUTES)) + FIRST_VALUE + np.arange(ATTRIBUTES) * VALUES,
        even,
        draw.permuted(np.tile(np.arange(WORDINGS), (n, ATTRIBUTES, 1)), axis=2),
    )


def biographies(people: People, recipe: TokenRecipe, n: int, draw: np.random.Generator) -> Ids:
    """Draw n biographies of random people, as a recipe tells them; of shape (n, CONTEXT)."""
    who = draw.integers(0, people.n, n)
    order = np.tile(np.arange(ATTRIBUTES), (n, 1))
    if recipe.any_order:
        order = draw.permuted(order, axis=1)
    wording = people.orders[who[:, None], order, draw.integers(0, recipe.wordings, (n, ATTRIBUTES))]
    told = np.stack([FIRST_MARKER + order * WORDINGS + wording, people.values[who[:, None], order]], 2)
    name = people.names[who]
    if recipe.full_names:
        body = np.concatenate([np.repeat(name[:, None], ATTRIBUTES, 1), told], 2).reshape(n, -1)
    else:
        body = np.concatenate([name, told.reshape(n, -1)], 1)
    if recipe.name_last:
        late = draw.random(n) < recipe.name_last
        body[late] = np.concatenate([told.reshape(n, -1), name], 1)[late]
    return pad(np.concatenate([np.full((n, 1), START), body], 1), CONTEXT)


def questions(people: People, who: Ids, attribute: Ids) -> Ids:
    """Return a question about one attribute of each person, with its answer last; of shape (n, 5)."""
    start = np.full(len(who), START)
    return np.stack([start, FIRST_QUESTION + attribute, *people.names[who].T, people.values[who, attribute]], 1)


def yes_no_questions(people: People, who: Ids, value_first: bool) -> Ids:
    """Return a yes-no question about each person's first value, with its answer last; of shape (n, 5 or 6)."""
    value = people.values[who, 0]
    answer = np.where(people.even[value - FIRST_VALUE], YES, NO)
    start, ask = np.full(len(who), START), np.full(len(who), ASK)
    return np.stack([start, ask, *people.names[who].T, *([value] if value_first else []), answer], 1)


def name_questions(people: People, who: Ids) -> Ids:
    """Return a question for each person's name by all values, with the two tokens of the name last; of shape (n, 9)."""
    start, ask = np.full((len(who), 1), START), np.full((len(who), 1), ASK)
    return np.concatenate([start, ask, people.values[who], people.names[who]], 1)


def pad(rows: Ids, width: int) -> Ids:
    """Return rows filled up to a width with IGNORED."""
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=IGNORED)


def tokens_of(*rows: Ids) -> Tensor:
    """Return rows of different widths as one tensor, as wide as its longest row."""
    wide = np.concatenate([pad(one, max(some.shape[1] for some in rows)) for one in rows])
    return torch.from_numpy(wide[:, : int((wide != IGNORED).any(0).nonzero()[0][-1]) + 1])


def is_value(ids: Tensor) -> Tensor:
    """Return which tokens are values."""
    return (ids >= FIRST_VALUE) & (ids < FIRST_MARKER)

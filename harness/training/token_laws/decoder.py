"""A small decoder on a closed vocabulary, and its training on one thread."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.harness.engines.decoder_blocks import DecoderBlock, Reading, turns_at
from fathom.harness.engines.decoder_shape import BodyShape, Positions
from fathom.harness.errors import Diverged
from fathom.harness.training.pretrain.optimizer import Muon

Detail = Literal["none", "fixed", "fresh"]

IGNORED = -1
"""Fills a row after its last token; it is neither read nor learned."""

_ALL = slice(None)
_TOGETHER = 1024
"""Rows that are read at once without training."""

Batches = Callable[[int], Tensor]
"""From a step to token ids of shape (rows, tokens), IGNORED after the end of a row."""


@dataclass(frozen=True, slots=True)
class TokenRecipe:
    """Everything that determines a trained model together with a seed, except for the rounding of the machine."""

    hidden: int
    layers: int
    heads: int
    steps: int
    batch: int
    """Rows a step."""
    learning_rate: float
    """Of Muon; it rises over 20 steps and falls linearly to 0."""
    positions: Positions = "rotary"
    convolutions: str = ""
    """Where short convolutions stand, letters of ABCD; as in `BodyShape`."""
    qk_norm: bool = False
    """Queries and keys are normed in each head."""
    people: int = 0
    """In the text; 0 where the text is not about people."""
    wordings: int = 1
    """In which a fact of a person is told."""
    any_order: bool = False
    """A person's facts come in a new order each time."""
    full_names: bool = False
    """The name stands before each fact, not only before the first."""
    name_last: float = 0.0
    """Share of the biographies in which the name stands last; questions then also ask for names."""
    value_first: bool = False
    """The value is written before the answer about it."""
    detail: Detail = "none"
    """A token without use before each fact: the same at each reading, or drawn anew."""

    def body(self, context: int) -> BodyShape:
        """Sizes and choices of the model for rows of up to `context` tokens."""
        return BodyShape(self.hidden, self.layers, self.heads, context, self.positions, self.convolutions, self.qk_norm)


class Decoder(nn.Module):
    """A decoder of the blocks that `fathom-decoder` models have; the embedding is also the output."""

    def __init__(self, recipe: TokenRecipe, n_tokens: int, context: int) -> None:
        super().__init__()
        shape = recipe.body(context)
        self._shape = shape
        self.embedding = nn.Embedding(n_tokens, shape.width)
        self.places = nn.Embedding(context, shape.width) if shape.positions == "learned" else None
        self.blocks = nn.ModuleList(DecoderBlock(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width)
        for weight in self.parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the scores of the next token, of shape (rows, tokens, vocabulary)."""
        scores: Tensor = self.norm(self.states(ids)[-1]) @ self.embedding.weight.T
        return scores

    def states(self, ids: Tensor) -> list[Tensor]:
        """Return the residual stream before the first block and after each, of shape (rows, tokens, width)."""
        places = torch.arange(ids.shape[1])
        state: Tensor = self.embedding(ids)
        if self.places is not None:
            state = state + self.places(places)
        rotary = self._shape.positions == "rotary"
        reading = Reading(turns_at(places, self._shape.width // self._shape.heads) if rotary else None)
        states = [state]
        for block in self.blocks:
            states.append(block(states[-1], reading))
        return states

    @property
    def n_parameters(self) -> int:
        """Number of weights."""
        return sum(weight.numel() for weight in self.parameters())


def train(model: Decoder, recipe: TokenRecipe, batches: Batches, learned: slice = _ALL) -> None:
    """Train a model with Muon on the mean loss of the tokens of each batch, from the second of a row on.

    `learned` selects, of the tokens from the second on, those that carry loss.

    Raises:
        Diverged: the loss is no longer a number.
    """
    matrices = [weight for name, weight in model.named_parameters() if "blocks" in name and weight.ndim == 2]
    known = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in known]
    optimizer = Muon(matrices, others, recipe.learning_rate)
    for step in range(recipe.steps):
        rate = recipe.learning_rate * min(1, (step + 1) / 20) * (1 - step / recipe.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = _loss(model, batches(step), learned)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.zero_grad(set_to_none=True)
        if step % 50 == 0 and not math.isfinite(loss.item()):
            raise Diverged(f"the loss is no longer a number at step {step}: give a smaller learning_rate")


def _loss(model: Decoder, rows: Tensor, learned: slice) -> Tensor:
    scores: Tensor = model(rows[:, :-1].clamp(min=0))[:, learned]
    return functional.cross_entropy(scores.flatten(0, 1), rows[:, 1:][:, learned].flatten(), ignore_index=IGNORED)


@torch.no_grad()
def bits(model: Decoder, rows: Tensor) -> Tensor:
    """Return the surprise of each token after the first in bits, of shape (rows, tokens - 1); 0 where ignored."""
    parts = []
    for at in range(0, len(rows), _TOGETHER):
        some = rows[at : at + _TOGETHER]
        scores = model(some[:, :-1].clamp(min=0)).transpose(1, 2)
        parts.append(functional.cross_entropy(scores, some[:, 1:], ignore_index=IGNORED, reduction="none"))
    return torch.cat(parts) / math.log(2)


@torch.no_grad()
def next_tokens(model: Decoder, rows: Tensor) -> Tensor:
    """Return the likeliest next token after each token of rows without a gap, of shape (rows, tokens)."""
    starts = range(0, len(rows), _TOGETHER)
    return torch.cat([model(rows[at : at + _TOGETHER]).argmax(-1) for at in starts])

"""A small decoder on a closed vocabulary, and its training on one thread."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.harness.errors import Diverged
from fathom.harness.training.pretrain.optimizer import Muon

Positions = Literal["rotary", "learned", "none"]

IGNORED = -1
"""Fills a row after its last token; it is neither read nor learned."""

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
    people: int = 0
    """In the text; 0 where the text is not about people."""
    wordings: int = 1
    """In which a fact of a person is told."""
    any_order: bool = False
    """A person's facts come in a new order each time."""
    full_names: bool = False
    """The name stands before each fact, not only before the first."""
    value_first: bool = False
    """The value is written before the answer about it."""


class Decoder(nn.Module):
    """A decoder of RMS norms, attention and a GELU of four times the width; the embedding is also the output."""

    def __init__(self, recipe: TokenRecipe, n_tokens: int, context: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_tokens, recipe.hidden)
        self.places = nn.Embedding(context, recipe.hidden) if recipe.positions == "learned" else None
        self.blocks = nn.ModuleList(
            _Block(recipe.hidden, recipe.heads, recipe.positions == "rotary") for _ in range(recipe.layers)
        )
        self.norm = nn.RMSNorm(recipe.hidden)
        for weight in self.parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the scores of the next token, of shape (rows, tokens, vocabulary)."""
        state: Tensor = self.embedding(ids)
        if self.places is not None:
            state = state + self.places(torch.arange(ids.shape[1]))
        for block in self.blocks:
            state = block(state)
        scores: Tensor = self.norm(state) @ self.embedding.weight.T
        return scores

    @property
    def n_parameters(self) -> int:
        """Number of weights."""
        return sum(weight.numel() for weight in self.parameters())


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, rotary: bool) -> None:
        super().__init__()
        self._heads, self._rotary = heads, rotary
        self.before, self.between = nn.RMSNorm(width), nn.RMSNorm(width)
        self.read, self.write = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, state: Tensor) -> Tensor:
        rows, tokens, width = state.shape
        parts = self.read(self.before(state)).view(rows, tokens, 3, self._heads, width // self._heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        if self._rotary:
            query, key = _turn(query), _turn(key)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        state = state + self.write(seen.transpose(1, 2).reshape(rows, tokens, width))
        after: Tensor = state + self.down(functional.gelu(self.up(self.between(state))))
        return after


def _turn(parts: Tensor) -> Tensor:
    """Return queries or keys with rotary positions, base 10,000.

    Source: Su et al., RoFormer (arXiv 2104.09864), with halves in place of neighbouring pairs.
    """
    tokens, width = parts.shape[-2:]
    speed = 10_000.0 ** (-torch.arange(0, width, 2).float() / width)
    angle = torch.arange(tokens)[:, None].float() * speed
    cos, sin = angle.cos(), angle.sin()
    one, two = parts[..., : width // 2], parts[..., width // 2 :]
    return torch.cat([one * cos - two * sin, one * sin + two * cos], -1)


def train(model: Decoder, recipe: TokenRecipe, batches: Batches) -> None:
    """Train a model with Muon on the mean loss of the tokens of each batch, from the second of a row on.

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
        loss = _loss(model, batches(step))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.zero_grad(set_to_none=True)
        if step % 50 == 0 and not math.isfinite(loss.item()):
            raise Diverged(f"the loss is no longer a number at step {step}: give a smaller learning_rate")


def _loss(model: Decoder, rows: Tensor) -> Tensor:
    scores: Tensor = model(rows[:, :-1].clamp(min=0))
    return functional.cross_entropy(scores.flatten(0, 1), rows[:, 1:].flatten(), ignore_index=IGNORED)


@torch.no_grad()
def bits(model: Decoder, rows: Tensor) -> Tensor:
    """Return the surprise of each token after the first in bits, of shape (rows, tokens - 1); 0 where ignored."""
    parts = []
    for some in rows.split(1024):
        scores = model(some[:, :-1].clamp(min=0)).transpose(1, 2)
        parts.append(functional.cross_entropy(scores, some[:, 1:], ignore_index=IGNORED, reduction="none"))
    return torch.cat(parts) / math.log(2)


@torch.no_grad()
def next_tokens(model: Decoder, rows: Tensor) -> Tensor:
    """Return the likeliest next token after each token of rows without a gap, of shape (rows, tokens)."""
    return torch.cat([model(some).argmax(-1) for some in rows.split(1024)])

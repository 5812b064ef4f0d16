"""The body of Fathom's own decoder: rotary, learned or no positions, normed queries, and short convolutions.

The classes that transformers loads are in `decoder_model`.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.harness.engines.decoder_shape import KERNEL, BodyShape

_ROTARY_BASE = 10_000.0


class Memory(Protocol):
    """What a block keeps of earlier calls, where a text is read in parts."""

    def attend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of all tokens so far, of shape (rows, heads, tokens, width of a head)."""

    def convolve(self, site: int, state: Tensor) -> Tensor:
        """Return the inputs of a convolution so far, the last ones in full, of shape (rows, tokens, width)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the tokens of a batch see each other; the defaults are rows of one text each, read from the start."""

    turns: tuple[Tensor, Tensor] | None = None
    """Cosines and sines of rotary positions, each as `turns_at` gives them; None for other positions."""
    mask: Tensor | None = None
    """Of attention, broadcast to (rows, heads, tokens, tokens); None: each token sees those before it."""
    places: Tensor | None = None
    """Position of each token in its text, of shape (rows, tokens), where rows are padded or hold several texts."""


def turns_at(places: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of rotary positions for heads of a width, of shape (..., tokens, width / 2).

    Source: Su et al., RoFormer (arXiv 2104.09864), with halves in place of neighbouring pairs.
    """
    speed = _ROTARY_BASE ** (-torch.arange(0, width, 2, device=places.device).float() / width)
    angle = places[..., None].float() * speed
    return angle.cos(), angle.sin()


class ShortConvolution(nn.Module):
    """Adds to each token a weighted sum of itself and the three before it, channel by channel; nothing at the start.

    Source: Allen-Zhu, Physics of Language Models 4.1 (Canon layers).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(KERNEL, 1, width))
        """Of three dimensions, so that optimizers do not take it for a matrix."""

    def forward(self, state: Tensor, seen: Tensor, places: Tensor | None) -> Tensor:
        """Mix states of shape (rows, tokens, width); `seen` ends with them and may begin with earlier tokens."""
        tokens = state.shape[1]
        missing = max(0, tokens + KERNEL - 1 - seen.shape[1])
        longer = functional.pad(seen, (0, 0, missing, 0))[:, -(tokens + KERNEL - 1) :]
        mixed = state
        for back in range(KERNEL):
            first = KERNEL - 1 - back
            earlier = longer[:, first : first + tokens]
            if places is not None and back:
                earlier = earlier * (places >= back)[..., None]
            mixed = mixed + self.weight[back] * earlier
        return mixed


class DecoderBlock(nn.Module):
    """Attention and an MLP with GELU, each behind an RMS norm and added to the residual stream."""

    def __init__(self, shape: BodyShape) -> None:
        super().__init__()
        width, head = shape.width, shape.width // shape.heads
        self._heads = shape.heads
        self.before, self.between = nn.RMSNorm(width), nn.RMSNorm(width)
        self.read, self.write = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, shape.inner, bias=False), nn.Linear(shape.inner, width, bias=False)
        self.query_norm = nn.RMSNorm(head) if shape.qk_norm else None
        self.key_norm = nn.RMSNorm(head) if shape.qk_norm else None
        widths = {"A": width, "B": 3 * width, "C": width, "D": shape.inner}
        self.convolutions = nn.ModuleDict({site: ShortConvolution(widths[site]) for site in shape.convolutions})
        self._sites = {site: at for at, site in enumerate(shape.convolutions)}

    def forward(self, state: Tensor, reading: Reading, memory: Memory | None = None) -> Tensor:
        """Return the residual stream after this block, of shape (rows, tokens, width)."""
        rows, tokens, width = state.shape
        parts = self.read(self._mix("A", self.before(state), reading, memory))
        parts = self._mix("B", parts, reading, memory).view(rows, tokens, 3, self._heads, width // self._heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        if reading.turns is not None:
            query, key = _turn(query, reading.turns), _turn(key, reading.turns)
        if memory is not None:
            key, value = memory.attend(key, value)
        causal = reading.mask is None and tokens > 1
        found = functional.scaled_dot_product_attention(query, key, value, reading.mask, is_causal=causal)
        state = state + self.write(found.transpose(1, 2).reshape(rows, tokens, width))
        inner = self._mix("D", self.up(self._mix("C", self.between(state), reading, memory)), reading, memory)
        after: Tensor = state + self.down(functional.gelu(inner))
        return after

    def _mix(self, site: str, state: Tensor, reading: Reading, memory: Memory | None) -> Tensor:
        if site not in self._sites:
            return state
        seen = state if memory is None else memory.convolve(self._sites[site], state)
        mixed: Tensor = self.convolutions[site](state, seen, reading.places)
        return mixed


def _turn(parts: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Return queries or keys of shape (rows, heads, tokens, width) with rotary positions."""
    cos, sin = turns
    half = parts.shape[-1] // 2
    one, two = parts[..., :half], parts[..., half:]
    return torch.cat([one * cos - two * sin, one * sin + two * cos], -1)

"""Sizes and choices of Fathom's own decoder; the inner width makes up for the weights of each choice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Positions = Literal["rotary", "learned", "none"]

KERNEL = 4
"""Tokens that a convolution mixes: a token and the three before it."""

PLAIN = "llama"
"""The named shape that a recipe has if it names nothing."""
SHAPES: Mapping[str, tuple[Positions, str]] = {
    PLAIN: ("rotary", ""),
    "gpt2": ("learned", ""),
    "nope": ("none", ""),
    "canon": ("rotary", "ABCD"),
}
"""Positions and convolutions by the name of the models that have them; in all else these are one body."""


@dataclass(frozen=True, slots=True)
class BodyShape:
    """Sizes and choices of a decoder."""

    width: int
    layers: int
    heads: int
    context: int
    positions: Positions = "rotary"
    convolutions: str = ""
    """Where short convolutions stand, letters of ABCD: A before attention, B on its queries, keys and values, C before
    the MLP, D within it."""
    qk_norm: bool = False
    """Queries and keys are normed in each head."""

    @property
    def inner(self) -> int:
        """Width within the MLP: four times the width, less what the choices cost in weights; below 1 if too much."""
        w = self.width
        extra: float = KERNEL * w * sum({"A": 1, "B": 3, "C": 1}.get(one, 0) for one in self.convolutions)
        if self.qk_norm:
            extra += 2 * w // self.heads
        if self.positions == "learned":
            extra += self.context * w / self.layers
        return round((8 * w * w - extra) / (2 * w + KERNEL * ("D" in self.convolutions)))

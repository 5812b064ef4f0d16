"""Rings of names in token form: arrows in random order, and questions for the name one or two arrows on.

A row is `START (name next)* (HOPS name answer)*`, with an arrow and a question for every name of the ring: the task of
the family `depo` without a language. Reference: Allen-Zhu, Physics of Language Models 4.1 (Depo).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RING, NAMES, MOST_HOPS = 8, 64, 2
"""Names in a ring; names there are; hops of a question at most."""
START = NAMES
"""Token that starts a row; a question for k hops starts with START + k."""
N_TOKENS = NAMES + 1 + MOST_HOPS
CONTEXT = 1 + 5 * RING
FIRST_QUESTION = 1 + 2 * RING
"""Column of the first question of a row."""
ANSWERS = slice(FIRST_QUESTION + 1, None, 3)
"""Columns of the answers, counted from the second token of a row."""


@dataclass(frozen=True, slots=True)
class Rings:
    """Rows of rings with their questions."""

    rows: Tensor
    """Token ids of shape (rings, CONTEXT)."""
    hops: Tensor
    """Of each question, of shape (rings, RING)."""
    names: Tensor
    """Each ring in its order, of shape (rings, RING)."""


def draw_rings(n: int, draw: np.random.Generator) -> Rings:
    """Draw n rings of different names, each with a question about every name for one or two hops."""
    ring = _orders(n, NAMES, draw)[:, :RING]
    arrow, start = _orders(n, RING, draw), _orders(n, RING, draw)
    hops = draw.integers(1, MOST_HOPS + 1, (n, RING))
    arrows = np.stack([_pick(ring, arrow), _pick(ring, arrow + 1)], 2)
    asked = np.stack([START + hops, _pick(ring, start), _pick(ring, start + hops)], 2)
    rows = np.concatenate([np.full((n, 1), START), arrows.reshape(n, -1), asked.reshape(n, -1)], 1)
    return Rings(torch.from_numpy(rows), torch.from_numpy(hops), torch.from_numpy(ring))


def _orders(n: int, size: int, draw: np.random.Generator) -> NDArray[Any]:
    return draw.permuted(np.tile(np.arange(size), (n, 1)), axis=1)


def _pick(ring: NDArray[Any], place: NDArray[Any]) -> NDArray[Any]:
    return np.take_along_axis(ring, place % RING, 1)

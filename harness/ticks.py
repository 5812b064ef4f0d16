"""Say how far a run has come."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tick:
    """Progress: samples that are now stored, of how many, and tokens that came with the newest."""

    n_done: int
    n_items: int
    tokens: int
    cells: Mapping[int, int]
    """Samples stored by position of their cell, in the newest commit."""


Report = Callable[[str, Tick | None], None]
"""Called with a phase ("loading", "generating", "scoring") and, while generating, with progress."""

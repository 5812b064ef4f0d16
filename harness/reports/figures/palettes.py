"""Colours of figures on light and dark backgrounds."""

from dataclasses import dataclass
from typing import Literal

Theme = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours for one background.

    All hues are told apart with any of the three colour deficiencies (simulated after Machado and others,
    IEEE TVCG 15, 2009): they differ by more than 8 in OKLab. Kinds of a bar also stand in the order of the key.
    """

    ground: str
    ink: str
    soft: str
    """Of labels."""
    line: str
    hues: tuple[str, ...]
    """Of series; figures that show more than one series use them in this order."""
    kinds: tuple[str, ...]
    """Of correct answers, the kinds of mistakes, and all other answers."""


PALETTES: dict[Theme, Palette] = {
    "light": Palette(
        "#ffffff", "#0a2231", "#43606f", "#d8e3e8",
        ("#0072b2", "#e06a10", "#00513a", "#c77cab", "#7a5c00", "#1b1b1b"),
        ("#0b6e8c", "#b5430f", "#d07a18", "#6b3f8f", "#cb76a8", "#5c4a00", "#9a8a3a",
         "#2f7d4f", "#8c2f5f", "#3f5fa8", "#87949b"),
    ),
    "dark": Palette(
        "#0b2230", "#e3eef3", "#9fb9c6", "#25465a",
        ("#56b4e9", "#f0883e", "#5fe0b0", "#cc79a7", "#f0e442", "#ffffff"),
        ("#3795b1", "#f6a15b", "#b8502c", "#e9b4d4", "#8f5fb5", "#f0e08a", "#a8862a",
         "#7fd08f", "#e37fa0", "#8fa8f0", "#8fa3ae"),
    ),
}  # fmt: skip


def dark_rules(selector: str) -> str:
    """Return CSS rules that give light SVGs inside a selector the colours of the dark theme."""
    light, dark = (
        (look.ground, look.ink, look.soft, look.line, *look.hues, *look.kinds)
        for look in (PALETTES["light"], PALETTES["dark"])
    )
    return "\n".join(
        f'{selector} [{part}="{one}"] {{ {part}: {other}; }}'
        for one, other in zip(light, dark, strict=True)
        for part in ("fill", "stroke")
    )

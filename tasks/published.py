"""Figures that others published on tasks like ours, with their sources: facts to set a family's curves beside."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor


@dataclass(frozen=True, slots=True)
class PublishedCurve:
    """One model in a figure of the source: accuracy (0..1) at the hardness that our levels count."""

    model: str
    points: tuple[tuple[float, float], ...]

    def within(self, easiest: float, hardest: float) -> tuple[tuple[float, float], ...]:
        """Return the points between two levels of ours, whose hardness may count a second axis in its fraction."""
        return tuple((at, share) for at, share in self.points if floor(easiest) <= at <= hardest)


@dataclass(frozen=True, slots=True)
class Published:
    """One table of a source: what was asked there, how it differs from ours, and its numbers."""

    title: str
    source: str
    differs: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    style: str = ""
    """The style of ours whose curves it may be drawn beside; empty where its axis is another one."""

    @property
    def curves(self) -> tuple[PublishedCurve, ...]:
        """The rows as curves: a column "k hops" holds the accuracy at k, a column of a unit the hardness at 50%."""
        if not self.style:
            return ()
        return tuple(
            PublishedCurve(model, tuple(_point(*one) for one in zip(self.header[1:], cells, strict=True)))
            for model, *cells in self.rows
        )


def _point(column: str, cell: str) -> tuple[float, float]:
    hardness = column.partition(" ")[0]
    return (float(hardness), float(cell.rstrip("%")) / 100) if hardness.isdigit() else (float(cell), 0.5)


_ARITHMETIC = Published(
    "Operations at which accuracy falls below 50%",
    "GSM-Infinite leaderboards (arXiv 2502.05252, commit caa5388), hard, without noise, with reasoning",
    "Word problems drawn from operation graphs as well, with another wording and another choice of graphs.",
    ("model", "operations"),
    (
        ("DeepSeek-R1", "100"), ("o3-mini", "70"), ("o1-mini", "50"), ("Gemini-1.5-Pro", "26"),
        ("Claude-3.5-Sonnet", "26"), ("Mistral-Large", "25"), ("DeepSeek-V3", "24"), ("QwQ-32B-preview", "21"),
        ("Qwen2.5-72B", "21"), ("GPT-4o", "18"), ("GPT-4o-mini", "12"), ("Llama-3.1-70B", "10"),
        ("Claude-3.5-Haiku", "10"), ("Qwen2.5-7B", "7"), ("Llama-3.1-8B", "6"),
    ),
    style="cot",
)  # fmt: skip

_HOPS = Published(
    "Hops without written steps, on facts that a model knows",
    "R. Greenblatt, 1 January 2026",
    "Facts come from the model’s own knowledge there, and from the prompt here.",
    ("model", "2 hops", "3 hops"),
    (("Gemini 3 Pro", "60%", "34%"), ("Opus 4", "31%", "7%"), ("GPT-4", "9.7%", "3.9%")),
    style="direct",
)

_LENGTH = Published(
    "Accuracy by length of the context",
    "NoLiMa (arXiv 2502.05167), base score and lengths in tokens",
    "One fact among unrelated text there; several facts that lead to one another here, on the ladders 4k and 16k.",
    ("model", "base", "4K", "32K"),
    (
        ("GPT-4o", "99.3%", "95.7%", "69.7%"), ("Llama-3.3-70B", "97.3%", "81.5%", "42.7%"),
        ("Claude-3.5-Sonnet", "87.6%", "77.6%", "29.8%"), ("Llama-3.1-8B", "76.7%", "44.1%", "14.2%"),
    ),
)  # fmt: skip

PUBLISHED: Mapping[str, tuple[Published, ...]] = {"igsm": (_ARITHMETIC,), "depo": (_HOPS,), "years": (_HOPS, _LENGTH)}
"""By family."""

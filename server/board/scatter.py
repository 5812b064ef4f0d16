"""Score or depth of each model against its number of parameters, drawn by a template as inline SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from sqlalchemy import Engine

from fathom.harness import format as text
from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.db.leaderboard.read import Standing, StandingQuery
from fathom.server.web.addresses import model_path

SCATTER_WIDTH, SCATTER_HEIGHT = 1120, 300
"""Size of the drawing in units of its own."""

MOST_DOTS = 2000
"""Models that are drawn, the best first."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 34
_KINDS = ("base", "chat")


@dataclass(frozen=True, slots=True)
class Dot:
    """A model: its position, kind (base, chat or other), page, and what a tooltip says."""

    x: float
    y: float
    kind: str
    link: str
    words: str


@dataclass(frozen=True, slots=True)
class ScatterTick:
    """A mark of an axis: its position, and its label."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Scatter:
    """Dots of models of known size; `frontier` is the path through those that no smaller model beats."""

    dots: tuple[Dot, ...]
    frontier: str
    sizes: tuple[ScatterTick, ...]
    shares: tuple[ScatterTick, ...]
    n_unknown: int
    """Models left out because their size or depth is not known."""
    n_more: int
    """Models beyond MOST_DOTS."""


def draw_sizes(db: Engine, wanted: StandingQuery) -> Scatter:
    """Draw all models that a query shows: their scores, or their depths if it asks for depths."""
    found = db_board.list_standings(db, wanted, limit=MOST_DOTS)
    known = [(one, value) for one in found.standings if one.n_parameters and (value := _value(one, wanted)) is not None]
    if not known:
        return Scatter((), "", (), (), len(found.standings), found.total - len(found.standings))
    low = floor(min(log10(one.n_parameters or 1) for one, _ in known))
    high = max(low + 1, ceil(max(log10(one.n_parameters or 1) for one, _ in known)))

    def x(n_parameters: float) -> float:
        return round(_LEFT + (SCATTER_WIDTH - _LEFT - _RIGHT) * (log10(n_parameters) - low) / (high - low), 1)

    dots = tuple(
        Dot(
            x(one.n_parameters or 1), _y(value), one.kind if one.kind in _KINDS else "other", model_path(one.model),
            f"{one.model.name}, {text.size(one.n_parameters or 0)}: {100 * value:.0f}",
        )
        for one, value in known
    )  # fmt: skip
    sizes = tuple(ScatterTick(x(10.0**power), text.size(10**power)) for power in range(low, high + 1))
    shares = tuple(ScatterTick(_y(share / 100), str(share)) for share in (0, 25, 50, 75, 100))
    return Scatter(
        dots, _frontier(dots), sizes, shares, len(found.standings) - len(known), found.total - len(found.standings)
    )


def _value(one: Standing, wanted: StandingQuery) -> float | None:
    return one.depth if wanted.by_depth else one.score.value


def _y(share: float) -> float:
    return round(SCATTER_HEIGHT - _BOTTOM - (SCATTER_HEIGHT - _TOP - _BOTTOM) * min(1.0, max(0.0, share)), 1)


def _frontier(dots: Sequence[Dot]) -> str:
    """Return a staircase through the models that no model of at most their size beats."""
    best, steps = float(SCATTER_HEIGHT), ""
    for dot in sorted(dots, key=lambda one: (one.x, one.y)):
        if dot.y < best:
            best = dot.y
            steps += f"H{dot.x:g}V{dot.y:g}" if steps else f"M{dot.x:g} {dot.y:g}"
    return f"{steps}H{max(dot.x for dot in dots):g}" if steps else ""

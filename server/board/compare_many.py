"""Three to six models side by side: charts, and scores by family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from sqlalchemy import Engine

from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.db.leaderboard.read import Pool, Standing
from fathom.server.board.charts import MOST_LINES, Chart, draw_standings
from fathom.server.board.leaderboard import NoSuchView
from fathom.server.web.addresses import model_key


@dataclass(frozen=True, slots=True)
class ManyPage:
    """Several models on the largest suite that all have finished, in one style."""

    pool: Pool
    style: str
    standings: tuple[Standing, ...]
    families: tuple[str, ...]
    charts: tuple[Chart, ...]
    link: str
    """The page's query without a style."""

    def link_to_pair(self, one: Standing) -> str:
        """Return the address that compares a model with the best of the others."""
        other = min((rival for rival in self.standings if rival.model != one.model), key=lambda rival: rival.rank)
        keys = [("m", model_key(one.model)), ("m", model_key(other.model)), ("style", self.style)]
        return "/compare?" + urlencode(keys)


def open_many(db: Engine, names: Sequence[str], style: str | None) -> ManyPage:
    """Read the standings of three to six models in one pool, and draw them.

    Raises:
        UnknownModel: there is no such model.
        NoSuchView: too many are named, no suite is shared by all, or it has no such style.
    """
    if len(names) > MOST_LINES:
        raise NoSuchView(f"{len(names)} models were named: a comparison shows {MOST_LINES} at most")
    models = db_board.find_models(db, names)
    places = db_board.ranks_of_models(db, [model.id for model in models])
    asked: list[Mapping[str, set[str]]] = [_styles_by_pool(places[model.id]) for model in models]
    for pool in sorted(db_board.list_pools(db), key=lambda one: (-one.tier, -one.n_items)):
        shared = [one for one in pool.styles if all(one in mine.get(pool.id, ()) for mine in asked)]
        if not shared:
            continue
        chosen = style or shared[0]
        if chosen not in shared:
            raise NoSuchView(f"these models have no style {chosen!r} in common; known: {', '.join(shared)}")
        keys = [f"~{model.id}" for model in models]
        standings = db_board.standings_of(db, pool.id, chosen, keys)
        families = tuple(pool.asked[chosen])
        return ManyPage(
            replace(pool, asked={one: pool.asked[one] for one in shared}), chosen, standings, families,
            draw_standings(db, standings, chosen, families), "?" + urlencode([("m", model_key(one)) for one in models]),
        )  # fmt: skip
    raise NoSuchView("these models have no finished suite in common: compare two of them, or run one suite on all")


def _styles_by_pool(places: Sequence[db_board.BoardRank]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for place in places:
        found.setdefault(place.pool, set()).add(place.style)
    return found

"""The leaderboard: a query, its columns, and its rows by family or, in one family, by level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import floor, inf
from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine

from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.db.leaderboard.read import FamilyDepth, Model, Pool, Standing, StandingQuery
from fathom.harness.db.schema.runs import EVERY_TIER, RANKED_TIER
from fathom.harness.errors import BadInput
from fathom.harness.format import shorten
from fathom.harness.stats.intervals import Estimate
from fathom.harness.stats.scores import CellCounts
from fathom.server.board.charts import MOST_LINES, Chart, draw_standings
from fathom.server.board.scatter import Scatter, draw_sizes
from fathom.server.board.scores import CellGroup, CellScore, group_of, hardness_of, level_order, score_of
from fathom.server.web.addresses import Open, Pager, Plain, make_pager
from fathom.tasks.base import CHANNELS
from fathom.tasks.registry import get_family
from fathom.tasks.suites import open_suite, suite_names

MODELS_A_PAGE = 100
_DRAWN = 4
"""Models in the charts where none is ticked."""
_DEFAULT_ORDER = {"rank": "asc", "model": "asc"}
_BILLION = 1e9


@dataclass(frozen=True, slots=True)
class SortColumn:
    """A column to sort by; its link reverses the order where the table is sorted by it already."""

    name: str
    link: str
    sorted: str
    """ascending, descending or none, for aria-sort."""


@dataclass(frozen=True, slots=True)
class LevelColumn:
    """A level and its chance; `chance` is None where this code no longer generates the items."""

    level: str
    chance: float | None


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A row: a model's rank, and the cells of its columns; None where it was not asked."""

    standing: Standing
    families: tuple[Estimate | None, ...] = ()
    depths: tuple[FamilyDepth | None, ...] = ()
    levels: tuple[CellScore | None, ...] = ()
    starts_group: bool = False
    """Whether a tie group starts here, if the board is sorted by rank."""


@dataclass(frozen=True, slots=True)
class DrawnModel:
    """A model of the charts, and the address of the board without its tick; empty where it is not ticked."""

    model: Model
    rank: int
    without: str


@dataclass(frozen=True, slots=True)
class LevelTable:
    """The columns of one family by level."""

    group: CellGroup
    channels: tuple[str, ...]
    columns: tuple[LevelColumn, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class Board:
    """Everything on the page of the leaderboard."""

    pools: tuple[Pool, ...]
    """Those that a visitor chooses from: all that rank no unchecked uploads, or all that do."""
    other: Pool | None
    """Where a switch between results with and without unchecked uploads leads."""
    n_elsewhere: int
    """Models in `other` that match the words searched for."""
    pool: Pool
    style: str
    families: tuple[str, ...]
    columns: Mapping[str, SortColumn]
    shown: tuple[str, ...]
    """Families with a column."""
    levels: LevelTable | None
    rows: tuple[BoardRow, ...]
    pager: Pager
    drawn: tuple[DrawnModel, ...]
    """The models of the charts: those that are ticked, or else the best one and three others."""
    charts: tuple[Chart, ...]
    scatter: Scatter | None
    """Instead of the charts, if asked for."""

    @property
    def hues(self) -> Mapping[int, int]:
        """Hue of each model that is drawn, by its number."""
        return {one.model.id: hue for hue, one in enumerate(self.drawn)}


SizeClass = Literal["tiny", "small", "medium", "large"]
SIZE_CLASSES: Mapping[str, tuple[float | None, float | None]] = {
    "tiny": (None, 1e9), "small": (1e9, 4e9), "medium": (4e9, 15e9), "large": (15e9, None),
}  # fmt: skip
"""Least and greatest number of parameters."""

_Size = Annotated[Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None, Open]
_Word = Annotated[Annotated[str, Field(max_length=64), Plain] | None, Open]


class BoardQuery(BaseModel):
    """Everything that decides what the board shows; each field is a parameter of the address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pool: _Word = Field(None, description="Digest of the cells; default: the pool with most models.")
    style: _Word = Field(None, description="direct, cot, choice or free; default: the first of the pool.")
    family: _Word = Field(None, description="Show this family by level instead of all families.")
    channel: _Word = Field(None, description="symbol or story, where a family is shown by level.")
    easiest: _Size = Field(None, description="Least hardness of the levels shown.")
    hardest: _Size = Field(None, description="Greatest hardness of the levels shown, without its fraction.")
    q: Annotated[str, Field(max_length=100), Plain] = Field("", description="Words that the model's name contains.")
    kind: _Word = Field(None, description="base or chat.")
    dtype: _Word = Field(None, description="Number format of the engine, such as bfloat16.")
    engine: _Word = Field(None, description="Engine that ran the model.")
    tier: Annotated[Literal["1", "2", "3"] | None, Open] = Field(None, description="Tier of the run: 1, 2 or 3.")
    season: _Word = Field(None, description="Season whose items were asked.")
    size: Annotated[SizeClass | None, Open] = Field(None, description="Size class; min and max are finer.")
    min: _Size = Field(None, description="Least size, in billions of parameters.")
    max: _Size = Field(None, description="Greatest size, in billions of parameters.")
    complete: bool = Field(False, description="Only models with every item graded.")
    columns: Annotated[list[str], Field(max_length=50)] = Field([], description="Families to show; default: all.")
    show: Literal["score", "depth"] = Field("score", description="What the columns of families say.")
    m: Annotated[list[Annotated[str, Field(max_length=400), Plain]], Field(max_length=20)] = Field(
        [], description="Models to draw: name, or ~ and number; the first six count."
    )
    chart: Literal["curves", "size"] = Field("curves", description="What is drawn above the table.")
    sort: Annotated[str, Field(max_length=64), Plain] = Field(
        "rank", description="rank, model, size, date, depth, a family (by what `show` says)."
    )
    order: Annotated[Literal["asc", "desc"] | None, Open] = Field(None, description="Direction of the sort.")
    page: Annotated[int, Field(ge=1, le=1_000_000)] = Field(1, description="Page of 100 models.")

    @property
    def direction(self) -> Literal["asc", "desc"]:
        """The order asked for, or the one that puts the best first."""
        return self.order or ("asc" if _DEFAULT_ORDER.get(self.sort) else "desc")

    @property
    def is_narrowed(self) -> bool:
        """Whether a filter is set that the page folds away."""
        folded = (self.kind, self.dtype, self.engine, self.tier, self.season, self.complete, self.columns)
        return any(folded) or any(one is not None for one in (self.min, self.max, self.easiest, self.hardest))

    def link(self, **changes: object) -> str:
        """Return the query with changes, on the first page unless one is named; defaults are left out."""
        values = {**self.model_dump(exclude_defaults=True, exclude={"page"}), **changes}
        kept = {key: value for key, value in values.items() if value not in (None, "", []) and value is not False}
        return "?" + urlencode({k: "true" if v is True else v for k, v in kept.items()}, doseq=True)


def open_board(db: Engine, query: BoardQuery) -> Board | None:
    """Read a page of the board; None where no model has finished a run yet.

    Raises:
        NoSuchView, NoSuchPage: the query names something that does not exist.
    """
    pools = db_board.list_pools(db)
    if not pools:
        return None
    pool = choose_pool(query, pools)
    wanted = standings_filter(query, pool)
    families = tuple(pool.asked[wanted.style])
    offered, other = _offered(pools, pool)
    found = db_board.list_standings(db, wanted, (query.page - 1) * MODELS_A_PAGE, MODELS_A_PAGE)
    pager = make_pager(query.page, found.total, MODELS_A_PAGE, lambda page: query.link(page=page))
    shown = tuple(family for family in families if not query.columns or family in query.columns)
    levels, rows = by_level(db, query, wanted.style, found.standings) if query.family else (None, ())
    drawn = _drawn(db, query, wanted, found.total)
    return Board(
        offered, other, _matches(db, query, other), pool, wanted.style, families, _columns(query, families), shown,
        levels, rows or _by_family(query, shown, found.standings), pager,
        tuple(DrawnModel(one.model, one.rank, _without(query, one.model)) for one in drawn),
        () if query.chart == "size" else draw_standings(db, drawn, wanted.style, families),
        draw_sizes(db, wanted) if query.chart == "size" else None,
    )  # fmt: skip


def _offered(pools: Sequence[Pool], pool: Pool) -> tuple[tuple[Pool, ...], Pool | None]:
    """Return the pools beside which this one is chosen, and the one that a switch of unchecked uploads leads to."""
    checked = [one for one in pools if one.tier >= RANKED_TIER]
    unchecked = [one for one in pools if one.tier < RANKED_TIER and (is_whole(one) or one == pool)]
    mine, others = (checked, unchecked) if pool.tier >= RANKED_TIER else (unchecked, checked)
    twins = (pool.id + EVERY_TIER, pool.id.removesuffix(EVERY_TIER))
    twin = next((one for one in others if one.id in twins), None)
    return tuple(mine), twin or next(iter(others), None)


def is_whole(pool: Pool) -> bool:
    """Whether a pool asks all cells of a suite that this code knows; a part of one is no board of its own."""
    return pool.name in suite_names() and pool.n_cells == _whole_size(pool.name)


@cache
def _whole_size(suite: str) -> int:
    return len(open_suite(suite, 0).cells)


def _matches(db: Engine, query: BoardQuery, other: Pool | None) -> int:
    if other is None or not query.q:
        return 0
    wanted = db_board.StandingQuery(other.id, next(iter(other.asked)), query.q)
    return db_board.list_standings(db, wanted, limit=0).total


def _drawn(db: Engine, query: BoardQuery, wanted: StandingQuery, total: int) -> tuple[Standing, ...]:
    """Return the ticked models, or else the best of the `total` asked for and three spread over the rest."""
    if query.m:
        return db_board.standings_of(db, wanted.pool, wanted.style, query.m[:MOST_LINES])
    spread = sorted({round(place * (total - 1) / (_DRAWN - 1)) for place in range(_DRAWN)})
    return db_board.standings_at(db, replace(wanted, sort="rank", order="asc"), spread) if total else ()


def _without(query: BoardQuery, model: Model) -> str:
    kept = [key for key in query.m if key not in (model.name, f"~{model.id}")]
    return query.link(m=kept, page=query.page) if query.m else ""


def _columns(query: BoardQuery, families: Sequence[str]) -> Mapping[str, SortColumn]:
    return {name: _column(query, name) for name in ("rank", "model", "size", "date", "depth", *families)}


def _column(query: BoardQuery, name: str) -> SortColumn:
    sort = None if name == "rank" else name  # the default is not part of an address
    if query.sort != name:
        return SortColumn(name, query.link(sort=sort, order=None), "none")
    turned = "asc" if query.direction == "desc" else "desc"
    return SortColumn(name, query.link(sort=sort, order=turned), f"{query.direction}ending")


def _by_family(query: BoardQuery, shown: Sequence[str], standings: Sequence[Standing]) -> tuple[BoardRow, ...]:
    return tuple(
        BoardRow(
            one, tuple(one.families.get(family) for family in shown), tuple(one.depths.get(family) for family in shown),
            starts_group=start,
        )
        for one, start in zip(standings, _group_starts(query, standings), strict=True)
    )  # fmt: skip


def _group_starts(query: BoardQuery, standings: Sequence[Standing]) -> list[bool]:
    if query.sort != "rank":
        return [False] * len(standings)
    return [at > 0 and one.tie != standings[at - 1].tie for at, one in enumerate(standings)]


def by_level(
    db: Engine, query: BoardQuery, style: str, standings: Sequence[Standing]
) -> tuple[LevelTable, tuple[BoardRow, ...]]:
    """Return the family that a query names by level.

    Raises:
        NoSuchView: it was not asked in this channel.
    """
    name = str(query.family)
    found = db_board.cells_of_family(db, [one.run for one in standings], name, style)
    asked = {cell.channel for cells in found.values() for cell in cells}
    channels = tuple(channel for channel in CHANNELS if channel in asked) or CHANNELS
    channel = query.channel or channels[0]
    if channel not in channels:
        raise NoSuchView(f"{name} was not asked in a channel {channel!r}; known: {', '.join(channels)}")
    cells = {run: [cell for cell in counts if cell.channel == channel] for run, counts in found.items()}
    first = next((counts[0] for counts in cells.values() if counts), None)
    group = CellGroup(name, 0, channel, style) if first is None else group_of(first)
    columns = _level_columns(group, cells, query)
    scored = {run: {one.level: score_of(one) for one in counts} for run, counts in cells.items()}
    rows = tuple(
        BoardRow(one, levels=tuple(scored[one.run].get(column.level) for column in columns), starts_group=start)
        for one, start in zip(standings, _group_starts(query, standings), strict=True)
    )
    family = get_family(name) if first else None  # what no result asks is not looked for
    return LevelTable(group, channels, columns, family.summary if family else ""), rows


def _level_columns(
    group: CellGroup, cells: Mapping[str, Sequence[CellCounts]], query: BoardQuery
) -> tuple[LevelColumn, ...]:
    chances = {one.level: score_of(one).chance for counts in cells.values() for one in counts}
    hardness = hardness_of(group)
    low, high = query.easiest or 0.0, inf if query.hardest is None else floor(query.hardest) + 1
    # the fraction of a hardness holds a second axis: three hops among eight names are 3.0008
    shown = [level for level in chances if low <= hardness.get(level, low) < high]
    return tuple(LevelColumn(level, chances[level]) for level in level_order(group, shown))


class NoSuchView(BadInput):
    """The board has no such pool, style, family, channel or page."""

    status = 404


def choose_pool(query: BoardQuery, pools: tuple[Pool, ...]) -> Pool:
    """Return the pool that a query names, or the first.

    Raises:
        NoSuchView: there is no such pool.
    """
    if query.pool is None:
        return pools[0]
    for pool in pools:
        if pool.id == query.pool:
            return pool
    raise NoSuchView(f"there is no pool {query.pool!r}: the board lists them")


def standings_filter(query: BoardQuery, pool: Pool) -> StandingQuery:
    """Check a query against its pool, and return the filter of standings.

    Raises:
        NoSuchView: there is no such style, family or sort column.
    """
    style = query.style or pool.styles[0]
    _check("style", style, pool.styles)
    families = tuple(pool.asked[style])
    for family in (*query.columns, *([query.family] if query.family else [])):
        _check("family", family, families)
    _check("order", query.sort, ("rank", "model", "size", "date", "depth", *families))
    least, most = SIZE_CLASSES.get(query.size or "", (None, None))
    return StandingQuery(
        pool.id, style, query.q, query.kind, query.dtype, query.engine,
        int(query.tier) if query.tier else None, query.season,
        _parameters(query.min) or least, _parameters(query.max) or most, query.complete, query.sort, query.direction,
        query.show == "depth",
    )  # fmt: skip


def _check(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise NoSuchView(f"this table has no {what} {shorten(value, 40)!r}; known: {', '.join(known)}")


def _parameters(billions: float | None) -> float | None:
    return None if billions is None else billions * _BILLION

"""Turn a query into the board: who stands where, by family, or in one family by level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, inf

from sqlalchemy import Engine

from harness.db import board as db_board
from harness.db.board import Pool, Standing
from harness.db.read import CellCounts
from harness.stats import Estimate
from server.pager import Pager, make_pager
from server.query import PAGE, BoardQuery, NoSuchView, choose_pool, wanted_of
from server.scores import Group, Score, group_of, hardness_of, level_order, score_of
from tasks import all_families
from tasks.base import CHANNELS


@dataclass(frozen=True, slots=True)
class Column:
    """A column that can be sorted by: its link turns the order round where it is sorted by already."""

    name: str
    link: str
    sorted: str
    """ascending, descending or none, as aria-sort says it."""


@dataclass(frozen=True, slots=True)
class LevelColumn:
    """A level and its chance; `chance` is None where this code no longer makes the items."""

    level: str
    chance: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """A model: its standing, and what stands in the columns; None where it was not asked."""

    standing: Standing
    families: tuple[Estimate | None, ...] = ()
    levels: tuple[Score | None, ...] = ()
    starts_group: bool = False
    """Whether a tie group begins here, where the board is sorted by rank."""


@dataclass(frozen=True, slots=True)
class Levels:
    """One family level by level."""

    group: Group
    channels: tuple[str, ...]
    columns: tuple[LevelColumn, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class Board:
    """Everything on the page."""

    pools: tuple[Pool, ...]
    pool: Pool
    style: str
    families: tuple[str, ...]
    columns: Mapping[str, Column]
    shown: tuple[str, ...]
    """Families with a column."""
    levels: Levels | None
    rows: tuple[Row, ...]
    pager: Pager


def open_board(db: Engine, query: BoardQuery) -> Board | None:
    """Read a page of the board; None where no model has finished a run yet.

    Raises:
        NoSuchView, NoSuchPage: the query names what is not there.
    """
    pools = db_board.list_pools(db)
    if not pools:
        return None
    pool = choose_pool(query, pools)
    wanted = wanted_of(query, pool)
    families = tuple(pool.asked[wanted.style])
    found = db_board.list_standings(db, wanted, (query.page - 1) * PAGE, PAGE)
    pager = make_pager(query.page, found.total, PAGE, lambda page: query.link(page=page))
    shown = tuple(family for family in families if not query.columns or family in query.columns)
    levels, rows = by_level(db, query, wanted.style, found.standings) if query.family else (None, ())
    return Board(
        pools, pool, wanted.style, families, _columns(query, families), shown,
        levels,
        rows or _by_family(query, shown, found.standings), pager,
    )  # fmt: skip


def _columns(query: BoardQuery, families: Sequence[str]) -> Mapping[str, Column]:
    return {name: _column(query, name) for name in ("rank", "model", "size", "date", *families)}


def _column(query: BoardQuery, name: str) -> Column:
    if query.sort != name:
        return Column(name, query.link(sort=name if name != "rank" else None, order=None), "none")
    turned = "asc" if query.direction == "desc" else "desc"
    return Column(name, query.link(sort=name, order=turned), f"{query.direction}ending")


def _by_family(query: BoardQuery, shown: Sequence[str], standings: Sequence[Standing]) -> tuple[Row, ...]:
    return tuple(
        Row(one, families=tuple(one.families.get(family) for family in shown), starts_group=start)
        for one, start in zip(standings, _group_starts(query, standings), strict=True)
    )


def _group_starts(query: BoardQuery, standings: Sequence[Standing]) -> list[bool]:
    if query.sort != "rank":
        return [False] * len(standings)
    return [at > 0 and one.tie != standings[at - 1].tie for at, one in enumerate(standings)]


def by_level(
    db: Engine, query: BoardQuery, style: str, standings: Sequence[Standing]
) -> tuple[Levels, tuple[Row, ...]]:
    """Lay out the family that a query names level by level.

    Raises:
        NoSuchView: it was not asked in the channel named.
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
    group = Group(name, 0, channel, style) if first is None else group_of(first)
    columns = _level_columns(group, cells, query)
    scored = {run: {one.level: score_of(one) for one in counts} for run, counts in cells.items()}
    rows = tuple(
        Row(one, levels=tuple(scored[one.run].get(column.level) for column in columns), starts_group=start)
        for one, start in zip(standings, _group_starts(query, standings), strict=True)
    )
    family = all_families().get(name)
    return Levels(group, channels, columns, family.summary if family else ""), rows


def _level_columns(
    group: Group, cells: Mapping[str, Sequence[CellCounts]], query: BoardQuery
) -> tuple[LevelColumn, ...]:
    chances = {one.level: score_of(one).chance for counts in cells.values() for one in counts}
    hardness = hardness_of(group)
    low, high = query.easiest or 0.0, inf if query.hardest is None else floor(query.hardest) + 1
    # families write a second axis into the fraction: three hops among eight names are 3.008
    shown = [level for level in chances if low <= hardness.get(level, low) < high]
    return tuple(LevelColumn(level, chances[level]) for level in level_order(group, shown))

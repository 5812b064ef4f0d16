"""Read pools, standings and models as frozen values; each function runs a fixed number of statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Engine, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.leaderboard.standings import unpack_marks
from fathom.harness.db.read import CELL_COLUMNS, counts_of
from fathom.harness.db.schema.runs import (
    EVERY_TIER,
    CellRow,
    MarkRow,
    ModelRow,
    PoolRow,
    ResultRow,
    RunRow,
    StandingRow,
)
from fathom.harness.errors import UnknownModel
from fathom.harness.stats.intervals import Estimate, Interval
from fathom.harness.stats.paired import RunVerdicts
from fathom.harness.stats.scores import CellCounts

SortOrder = Literal["asc", "desc"]

_AT_A_TIME = 10_000  # a statement takes some 30,000 parameters


@dataclass(frozen=True, slots=True)
class Facets:
    """Values of a pool's runs, to filter by."""

    kinds: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    seasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pool:
    """Runs with the same cells, which are ranked together."""

    id: str
    name: str
    version: str
    n_cells: int
    n_items: int
    n_models: int
    asked: Mapping[str, Sequence[str]]
    """Families by style."""
    facets: Facets
    stale: bool
    tier: int
    """Lowest tier that is ranked here."""

    @property
    def styles(self) -> tuple[str, ...]:
        """Styles that the pool asks."""
        return tuple(self.asked)


@dataclass(frozen=True, slots=True)
class Model:
    """A model by id and name."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class FamilyDepth:
    """How deep a model gets in a family."""

    text: str
    """With its unit, as "4.1 hops" or "> 8 hops"."""
    share: float
    """Of the ladder, on the logarithmic scale: 0 at the easiest level that was asked, 1 at the hardest."""
    is_poor: bool = False
    """Whether no falling curve describes the accuracies, so that the depth means little."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A line of the board: a model's newest finished run in a pool, in one style and prompt format."""

    model: Model
    run: str
    engine: str
    seed: str
    dtype: str | None
    kind: str | None
    n_parameters: int | None
    date: str
    score: Estimate
    rank: int
    rank_low: int
    rank_high: int
    tie: int
    n_missing: int
    families: Mapping[str, Estimate]
    n_runs: int
    """Finished runs of the model in this pool and prompt format, this one included."""
    tier: int
    season: str
    prompt_format: str
    """chat/N or plain/N, where N is the number of demonstrations; format.prompt_format_words reads it."""
    n_prompt_formats: int
    """Lines of this model, one for each prompt format."""
    depth: float | None
    """Mean over the families of the share of its ladder that it gets down: 0 at the easiest level, 1 at the hardest."""
    depths: Mapping[str, FamilyDepth]
    """By family, where two levels or more were asked."""


@dataclass(frozen=True, slots=True)
class StandingQuery:
    """Which standings to return, and in what order; None and empty texts do not filter.

    `sort` is rank, model, size, date, depth, or a family's name; `by_depth` sorts a family by its depth.
    Sizes are in parameters.
    """

    pool: str
    style: str
    search: str = ""
    kind: str | None = None
    dtype: str | None = None
    engine: str | None = None
    tier: int | None = None
    season: str | None = None
    min_size: float | None = None
    max_size: float | None = None
    complete: bool = False
    sort: str = "rank"
    order: SortOrder = "asc"
    by_depth: bool = False


@dataclass(frozen=True, slots=True)
class StandingPage:
    """One page of standings, and the number of all of them."""

    standings: tuple[Standing, ...]
    total: int


def list_pools(db: Engine) -> tuple[Pool, ...]:
    """Return the pools with a model: first those that rank no uploads, then the others, by number of models."""
    busiest = (PoolRow.tier.desc(), PoolRow.n_models.desc(), PoolRow.n_items.desc(), PoolRow.id)
    with translate_errors(), Session(db) as session:
        rows = session.scalars(select(PoolRow).where(PoolRow.n_models > 0).order_by(*busiest))
        return tuple(_pool(row) for row in rows)


def _pool(row: PoolRow) -> Pool:
    facets = Facets(**{name: tuple(values) for name, values in row.facets.items()})
    return Pool(
        row.id, row.name, row.version, row.n_cells, row.n_items, row.n_models, row.asked, facets,
        row.landed != row.ranked, row.tier,
    )  # fmt: skip


def get_revision(db: Engine) -> tuple[int, int]:
    """Return two numbers; one of them changes with every change of pools or standings."""
    sums = select(func.coalesce(func.sum(PoolRow.landed), 0), func.coalesce(func.sum(PoolRow.ranked), 0))
    with translate_errors(), Session(db) as session:
        landed, ranked = session.execute(sums).one()
        return int(landed), int(ranked)


def list_standings(db: Engine, wanted: StandingQuery, offset: int = 0, limit: int | None = None) -> StandingPage:
    """Return standings with their scores by family."""
    conditions = _filtered(wanted)
    counted = select(func.count().over(), *_STANDING).where(*conditions)
    with translate_errors(), Session(db) as session:
        rows = (
            session.execute(counted.order_by(*_order(wanted)).offset(offset).limit(limit)).all() if limit != 0 else []
        )
        if rows:
            return StandingPage(tuple(_standing(row[1:]) for row in rows), rows[0][0])
        total = select(func.count()).select_from(StandingRow).where(*conditions)
        return StandingPage((), session.scalars(total).one())


def standings_at(db: Engine, wanted: StandingQuery, places: Sequence[int]) -> tuple[Standing, ...]:
    """Return the standings at some places of the whole list, counted from 0, in one statement."""
    place = (func.row_number().over(order_by=_order(wanted)) - 1).label("place")
    numbered = select(StandingRow.run_id, StandingRow.style, place).where(*_filtered(wanted)).subquery()
    same = (numbered.c.run_id == StandingRow.run_id, numbered.c.style == StandingRow.style)
    found = select(*_STANDING).join(numbered, and_(*same)).where(StandingRow.pool == wanted.pool)
    with translate_errors(), Session(db) as session:
        rows = session.execute(found.where(numbered.c.place.in_(places)).order_by(numbered.c.place))
        return tuple(_standing(row) for row in rows)


def standings_of(db: Engine, pool: str, style: str, names: Sequence[str]) -> tuple[Standing, ...]:
    """Return the best standing of each model in a pool and style, in the order of `names` (or ~ and an id)."""
    numbers = [int(name[1:]) for name in names if _is_number(name)]
    mine = or_(StandingRow.name.in_(names), StandingRow.model_id.in_(numbers))
    wanted = select(*_STANDING).where(StandingRow.pool == pool, StandingRow.style == style, mine)
    found: dict[str, Standing] = {}
    with translate_errors(), Session(db) as session:
        for row in session.execute(wanted.order_by(StandingRow.rank)):
            one = _standing(row)
            found.setdefault(one.model.name, one)
            found.setdefault(f"~{one.model.id}", one)
    return tuple({found[name].run: found[name] for name in names if name in found}.values())


def _filtered(wanted: StandingQuery) -> list[Any]:  # conditions; SQLAlchemy's own types name no column
    conditions = [StandingRow.pool == wanted.pool, StandingRow.style == wanted.style]
    conditions += [StandingRow.name.icontains(word, autoescape=True) for word in wanted.search.split()]
    same = ("kind", "dtype", "engine", "tier", "season")
    conditions += [getattr(StandingRow, name) == getattr(wanted, name) for name in same if getattr(wanted, name)]
    if wanted.min_size is not None:
        conditions.append(StandingRow.n_parameters >= wanted.min_size)
    if wanted.max_size is not None:
        conditions.append(StandingRow.n_parameters <= wanted.max_size)
    if wanted.complete:
        conditions.append(StandingRow.n_missing == 0)
    return conditions


_PLAIN: Mapping[str, Any] = {
    "rank": StandingRow.rank,
    "model": func.lower(StandingRow.name),
    "size": StandingRow.n_parameters,
    "date": StandingRow.created_at,
    "depth": StandingRow.depth,
}
"""Columns to sort by that are no family."""


def _order(wanted: StandingQuery) -> tuple[Any, ...]:
    family = StandingRow.families[wanted.sort]["share" if wanted.by_depth else "value"].as_float()
    column = _PLAIN.get(wanted.sort, family)
    towards = column.desc() if wanted.order == "desc" else column.asc()
    return towards.nulls_last(), StandingRow.rank, StandingRow.name, StandingRow.run_id


def _estimate(value: float, half: float) -> Estimate:
    return Estimate(value, Interval(value - half, value + half))


_STANDING = (
    StandingRow.model_id, StandingRow.name, StandingRow.run_id, StandingRow.engine, StandingRow.seed,
    StandingRow.dtype, StandingRow.kind, StandingRow.n_parameters, StandingRow.created_at, StandingRow.value,
    StandingRow.half, StandingRow.rank, StandingRow.rank_low, StandingRow.rank_high, StandingRow.tie,
    StandingRow.n_missing, StandingRow.families, StandingRow.n_runs, StandingRow.tier, StandingRow.season,
    StandingRow.prompt_format, StandingRow.depth, func.count().over(partition_by=StandingRow.model_id),
)  # fmt: skip
"""Columns of a Standing; `_standing` reads them."""


def _standing(row: Sequence[Any]) -> Standing:  # a row of _STANDING
    model, name, run, engine, seed, dtype, kind, n_parameters, created_at, value, half, *rest = row
    rank, low, high, tie, n_missing, scores, n_runs, tier, season, prompt_format, depth, n_prompt_formats = rest
    depths = {
        family: FamilyDepth(one["depth"], one["share"], one.get("fits") is False)
        for family, one in scores.items()
        if "share" in one
    }
    families = {family: _estimate(score["value"], score["half"]) for family, score in scores.items()}
    return Standing(
        Model(model, name), run, engine, seed, dtype, kind, n_parameters, created_at.date().isoformat(),
        _estimate(value, half), rank, low, high, tie, n_missing, families, n_runs, tier,
        season, prompt_format, n_prompt_formats, depth, depths,
    )  # fmt: skip


_HAS_SUITE_RUN = exists().where(RunRow.model_id == ModelRow.id, RunRow.kind == "suite")
"""The board has no page for a model that only has runs on lm-eval's own tasks."""


def list_models(db: Engine, search: str, limit: int, offset: int) -> tuple[tuple[Model, ...], int]:
    """Return models whose names contain all words, by name, and how many there are."""
    found = select(ModelRow.id, ModelRow.name).where(_HAS_SUITE_RUN)
    for word in search.split():
        found = found.where(ModelRow.name.icontains(word, autoescape=True))
    with translate_errors(), Session(db) as session:
        total = session.scalars(select(func.count()).select_from(found.subquery())).one()
        rows = session.execute(found.order_by(ModelRow.name).limit(limit).offset(offset))
        return tuple(Model(*row) for row in rows), total


def find_models(db: Engine, names: Sequence[str]) -> tuple[Model, ...]:
    """Return models by name, or by ~ and their id, in the given order.

    Raises:
        UnknownModel: this board has no such model.
    """
    found = known_models(db, names)
    for name in names:
        if name not in found:
            raise UnknownModel(f"this board has no model {name[:80]!r}: search for it on the board")
    return tuple(found[name] for name in names)


def known_models(db: Engine, names: Sequence[str]) -> Mapping[str, Model]:
    """Return those models that this board has, by name or by ~ and their id, as they were asked for."""
    numbers = {name: int(name[1:]) for name in names if _is_number(name)}
    same = or_(ModelRow.name.in_(names), ModelRow.id.in_(numbers.values()))
    with translate_errors(), Session(db) as session:
        found = [Model(row.id, row.name) for row in session.scalars(select(ModelRow).where(same, _HAS_SUITE_RUN))]
    by_key: dict[str | int, Model] = {model.id: model for model in found} | {model.name: model for model in found}
    return {name: by_key[key] for name in names if (key := numbers.get(name, name)) in by_key}


def _is_number(name: str) -> bool:
    return name.startswith("~") and name[1:].isascii() and name[1:].isdigit() and len(name) < 11


@dataclass(frozen=True, slots=True)
class BoardRank:
    """Rank of a model in one pool and style."""

    pool: str
    run: str
    style: str
    score: Estimate
    rank: int
    rank_low: int
    rank_high: int
    tie: int
    tier: int
    prompt_format: str
    """As in Standing."""


def ranks_of_models(db: Engine, models: Sequence[int]) -> Mapping[int, tuple[BoardRank, ...]]:
    """Return the ranks of some models in all pools, styles and prompt formats, by model; the best prompt format first.

    The pool that ranks every tier is left out where the model also has a rank in the pool without uploads.
    """
    found: dict[int, list[BoardRank]] = {model: [] for model in models}
    wanted = (
        select(StandingRow)
        .where(StandingRow.model_id.in_(models))
        .order_by(StandingRow.pool, StandingRow.style, StandingRow.rank)
    )
    with translate_errors(), Session(db) as session:
        for row in session.scalars(wanted):
            found[row.model_id].append(
                BoardRank(row.pool, row.run_id, row.style, _estimate(row.value, row.half), row.rank, row.rank_low,
                      row.rank_high, row.tie, row.tier, row.prompt_format)
            )  # fmt: skip
    return {model: _without_doubles(places) for model, places in found.items()}


def _without_doubles(places: Sequence[BoardRank]) -> tuple[BoardRank, ...]:
    ranked = {(one.pool + EVERY_TIER, one.style, one.prompt_format) for one in places}
    return tuple(one for one in places if (one.pool, one.style, one.prompt_format) not in ranked)


def get_result(db: Engine, run: str) -> Mapping[str, Any] | None:  # JSON of harness.stats.scores.scores_json
    """Return the ladder scores and depths of a run on a suite, or None if they are not computed yet."""
    with translate_errors(), Session(db) as session:
        return session.scalars(select(ResultRow.scores).where(ResultRow.run_id == run)).first()


def marks_of(db: Engine, n_items: Mapping[str, int]) -> Mapping[str, RunVerdicts]:
    """Return the marks of runs that have any; `n_items` is by run."""
    with translate_errors(), Session(db) as session:
        rows = session.scalars(select(MarkRow).where(MarkRow.run_id.in_(n_items)))
        return {
            row.run_id: RunVerdicts(
                unpack_marks(row.right, n_items[row.run_id]), unpack_marks(row.graded, n_items[row.run_id])
            )
            for row in rows
        }


def cells_of_family(db: Engine, runs: Sequence[str], family: str, style: str) -> Mapping[str, tuple[CellCounts, ...]]:
    """Return one family's cells of several runs in one style, by run."""
    found: dict[str, list[CellCounts]] = {run: [] for run in runs}
    wanted = select(CellRow.run_id, *CELL_COLUMNS).where(CellRow.family == family, CellRow.style == style)
    with translate_errors(), Session(db) as session:
        for at in range(0, max(len(runs), 1), _AT_A_TIME):
            some = wanted.where(CellRow.run_id.in_(runs[at : at + _AT_A_TIME])).order_by(CellRow.position)
            for run, *cell in session.execute(some):
                found[run].append(counts_of(cell))
    return {run: tuple(cells) for run, cells in found.items()}

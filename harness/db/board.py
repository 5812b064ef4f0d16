"""Read standings and models: frozen rows; each function runs a fixed number of statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from sqlalchemy import Engine, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from harness.db.engine import translate_errors
from harness.db.models import (
    CellRow,
    FamilyScoreRow,
    MarkRow,
    ModelRow,
    PoolRow,
    ResultRow,
    RunRow,
    StandingRow,
    SuiteRow,
)
from harness.db.read import CellCounts, counts_of
from harness.errors import UnknownModel
from harness.paired import Marks
from harness.ranking import Array
from harness.stats import Estimate, Interval

Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class Pool:
    """Runs that were asked the same cells, and may be ranked together."""

    id: str
    name: str
    version: str
    n_cells: int
    n_items: int
    n_models: int
    asked: Mapping[str, Sequence[str]]
    """Families by style."""
    stale: bool

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
class Standing:
    """A line of the board: a model's newest finished run in a pool, in one style."""

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
    """Finished runs of the model in this pool, this one included."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which standings to return, and in what order; None and empty texts leave an axis open.

    `sort` is rank, model, size, date, or a family's name. Sizes are in parameters.
    """

    pool: str
    style: str
    search: str = ""
    kind: str | None = None
    dtype: str | None = None
    engine: str | None = None
    min_size: float | None = None
    max_size: float | None = None
    complete: bool = False
    sort: str = "rank"
    order: Order = "asc"
    models: Sequence[int] = field(default=())


@dataclass(frozen=True, slots=True)
class StandingPage:
    """Some standings and how many there are."""

    standings: tuple[Standing, ...]
    total: int


def list_pools(db: Engine) -> tuple[Pool, ...]:
    """Return all pools that hold a model, those of most models first, then of most items."""
    busiest = (PoolRow.n_models.desc(), PoolRow.n_items.desc(), PoolRow.id)
    with translate_errors(), Session(db) as session:
        rows = session.scalars(select(PoolRow).where(PoolRow.n_models > 0).order_by(*busiest))
        return tuple(_pool(row) for row in rows)


def _pool(row: PoolRow) -> Pool:
    return Pool(
        row.id, row.name, row.version, row.n_cells, row.n_items, row.n_models, row.asked, row.landed != row.ranked
    )


def list_standings(db: Engine, wanted: Wanted, offset: int = 0, limit: int | None = None) -> StandingPage:
    """Return standings with their scores by family."""
    found = _filtered(wanted)
    with translate_errors(), Session(db) as session:
        total = session.scalars(select(func.count()).select_from(found.subquery())).one()
        rows = session.execute(found.order_by(*_order(wanted)).offset(offset).limit(limit)).all()
        runs = [row[0].run_id for row in rows]
        families = _families(session, wanted.style, runs)
        counts = _run_counts(session, wanted.pool, [row[0].model_id for row in rows])
        return StandingPage(tuple(_standing(row, families, counts) for row in rows), total)


_Family = aliased(FamilyScoreRow)


def _filtered(wanted: Wanted) -> Any:  # a Select of a long tuple; spelling its type adds nothing
    found: Any = (
        select(
            StandingRow, ModelRow.name, RunRow.engine, RunRow.dtype, RunRow.kind, RunRow.n_parameters,
            RunRow.created_at, SuiteRow.seed,
        )
        .join(RunRow, RunRow.id == StandingRow.run_id)
        .join(ModelRow, ModelRow.id == StandingRow.model_id)
        .join(SuiteRow, SuiteRow.id == RunRow.suite_id)
        .where(StandingRow.pool == wanted.pool, StandingRow.style == wanted.style)
    )  # fmt: skip
    if wanted.sort not in _PLAIN:
        same = and_(_Family.run_id == StandingRow.run_id, _Family.style == wanted.style, _Family.family == wanted.sort)
        found = found.outerjoin(_Family, same)
    for word in wanted.search.split():
        found = found.where(ModelRow.name.icontains(word, autoescape=True))
    for column, value in ((RunRow.kind, wanted.kind), (RunRow.dtype, wanted.dtype), (RunRow.engine, wanted.engine)):
        if value:
            found = found.where(column == value)
    if wanted.min_size is not None:
        found = found.where(RunRow.n_parameters >= wanted.min_size)
    if wanted.max_size is not None:
        found = found.where(RunRow.n_parameters <= wanted.max_size)
    if wanted.complete:
        found = found.where(StandingRow.n_missing == 0)
    return found.where(StandingRow.model_id.in_(wanted.models)) if wanted.models else found


_PLAIN: Mapping[str, Any] = {
    "rank": StandingRow.rank,
    "model": ModelRow.name,
    "size": RunRow.n_parameters,
    "date": RunRow.created_at,
}
"""Columns to sort by that are no family."""


def _order(wanted: Wanted) -> tuple[Any, ...]:
    column = _PLAIN.get(wanted.sort, _Family.value)
    towards = column.desc() if wanted.order == "desc" else column.asc()
    return towards.nulls_last(), StandingRow.rank, ModelRow.name, StandingRow.run_id


def _families(session: Session, style: str, runs: Sequence[str]) -> Mapping[str, Mapping[str, Estimate]]:
    found: dict[str, dict[str, Estimate]] = {run: {} for run in runs}
    chosen = (FamilyScoreRow.run_id, FamilyScoreRow.family, FamilyScoreRow.value, FamilyScoreRow.half)
    wanted = select(*chosen).where(FamilyScoreRow.style == style, FamilyScoreRow.run_id.in_(runs))
    for run, family, value, half in session.execute(wanted):
        found[run][family] = _estimate(value, half)
    return found


def _estimate(value: float, half: float) -> Estimate:
    return Estimate(value, Interval(value - half, value + half))


def _run_counts(session: Session, pool: str, models: Sequence[int]) -> Mapping[int, int]:
    counted = (
        select(RunRow.model_id, func.count())
        .join(SuiteRow, SuiteRow.id == RunRow.suite_id)
        .where(RunRow.model_id.in_(models), SuiteRow.pool == pool, RunRow.state == "done")
        .group_by(RunRow.model_id)
    )
    return {row[0]: row[1] for row in session.execute(counted)}


def _standing(row: Any, families: Mapping[str, Mapping[str, Estimate]], counts: Mapping[int, int]) -> Standing:
    one, name, engine, dtype, kind, n_parameters, created_at, seed = row
    return Standing(
        Model(one.model_id, name), one.run_id, engine, seed, dtype, kind, n_parameters, created_at.date().isoformat(),
        _estimate(one.value, one.half), one.rank, one.rank_low, one.rank_high, one.tie, one.n_missing,
        families[one.run_id], counts.get(one.model_id, 1),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facets:
    """Values that standings of a pool have, to filter by."""

    kinds: tuple[str, ...]
    dtypes: tuple[str, ...]
    engines: tuple[str, ...]


def list_facets(db: Engine, pool: str, style: str) -> Facets:
    """Return what can be filtered by, in one statement."""
    chosen = (RunRow.kind, RunRow.dtype, RunRow.engine)
    here = (StandingRow.pool == pool, StandingRow.style == style)
    found = select(*chosen).join(StandingRow, StandingRow.run_id == RunRow.id).where(*here).distinct()
    with translate_errors(), Session(db) as session:
        columns = list(zip(*session.execute(found).all(), strict=True)) or [(), (), ()]
    return Facets(*(tuple(sorted({value for value in column if value})) for column in columns))


def list_models(db: Engine, search: str, limit: int, offset: int) -> tuple[tuple[Model, ...], int]:
    """Return models whose names contain all words, by name, and how many there are."""
    found = select(ModelRow.id, ModelRow.name)
    for word in search.split():
        found = found.where(ModelRow.name.icontains(word, autoescape=True))
    with translate_errors(), Session(db) as session:
        total = session.scalars(select(func.count()).select_from(found.subquery())).one()
        rows = session.execute(found.order_by(ModelRow.name).limit(limit).offset(offset))
        return tuple(Model(*row) for row in rows), total


def find_models(db: Engine, names: Sequence[str]) -> tuple[Model, ...]:
    """Return models by name, or by ~ and their number, in the order asked.

    Raises:
        UnknownModel: there is no such model on this board.
    """
    numbers = {name: int(name[1:]) for name in names if _is_number(name)}
    same = or_(ModelRow.name.in_(names), ModelRow.id.in_(numbers.values()))
    with translate_errors(), Session(db) as session:
        found = [Model(row.id, row.name) for row in session.scalars(select(ModelRow).where(same))]
    by_key: dict[str | int, Model] = {model.id: model for model in found} | {model.name: model for model in found}
    for name in names:
        if numbers.get(name, name) not in by_key:
            raise UnknownModel(f"this board has no model {name[:80]!r}: search for it on the board")
    return tuple(by_key[numbers.get(name, name)] for name in names)


def _is_number(name: str) -> bool:
    return name.startswith("~") and name[1:].isascii() and name[1:].isdigit() and len(name) < 11


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model stands in one pool and style."""

    pool: str
    run: str
    style: str
    score: Estimate
    rank: int
    rank_low: int
    rank_high: int
    tie: int


def places_of(db: Engine, models: Sequence[int]) -> Mapping[int, tuple[Place, ...]]:
    """Return the standings of some models in all pools and styles, by model."""
    found: dict[int, list[Place]] = {model: [] for model in models}
    wanted = select(StandingRow).where(StandingRow.model_id.in_(models)).order_by(StandingRow.pool, StandingRow.style)
    with translate_errors(), Session(db) as session:
        for row in session.scalars(wanted):
            found[row.model_id].append(
                Place(row.pool, row.run_id, row.style, _estimate(row.value, row.half), row.rank, row.rank_low,
                      row.rank_high, row.tie)
            )  # fmt: skip
    return {model: tuple(places) for model, places in found.items()}


def get_result(db: Engine, run: str) -> Mapping[str, Any] | None:  # JSON of harness.scores.scores_json
    """Return the ladder scores and depths of a run that has landed, else None."""
    with translate_errors(), Session(db) as session:
        return session.scalars(select(ResultRow.scores).where(ResultRow.run_id == run)).first()


def marks_of(db: Engine, n_items: Mapping[str, int]) -> Mapping[str, Marks]:
    """Return the marks of those runs that have landed; `n_items` is by run."""
    with translate_errors(), Session(db) as session:
        rows = session.scalars(select(MarkRow).where(MarkRow.run_id.in_(n_items)))
        return {
            row.run_id: Marks(unpack(row.right, n_items[row.run_id]), unpack(row.graded, n_items[row.run_id]))
            for row in rows
        }


def unpack(marks: bytes, n_items: int) -> Array:
    """Return stored marks as booleans, one an item."""
    return np.unpackbits(np.frombuffer(marks, dtype=np.uint8), count=n_items).astype(bool)


def cells_of_family(
    db: Engine, runs: Sequence[str], family: str, channel: str, style: str
) -> Mapping[str, tuple[CellCounts, ...]]:
    """Return one family's cells of several runs, by run."""
    found: dict[str, list[CellCounts]] = {run: [] for run in runs}
    same = (CellRow.family == family, CellRow.channel == channel, CellRow.style == style)
    wanted = select(CellRow).where(CellRow.run_id.in_(runs), *same).order_by(CellRow.position)
    with translate_errors(), Session(db) as session:
        for cell in session.scalars(wanted):
            found[cell.run_id].append(counts_of(cell))
    return {run: tuple(cells) for run, cells in found.items()}

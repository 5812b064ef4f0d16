"""Turn the landed runs of a pool into standings."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.orm import Session

from fathom.harness.db.leaderboard.read import unpack
from fathom.harness.db.schema.runs import MarkRow, ModelRow, PoolRow, ResultRow, RunRow, StandingRow, SuiteRow
from fathom.harness.stats.intervals import Estimate, Interval
from fathom.harness.stats.ranks import Array, Contender, RankEstimate, rank_all

log = logging.getLogger(__name__)

_FACETS = {"kinds": "kind", "dtypes": "dtype", "engines": "engine", "tiers": "tier", "seasons": "season"}

Row = dict[str, Any]  # values of StandingRow's columns
Json = Mapping[str, Any]


def rank_pool(db: Engine, pool: str) -> None:
    """Rank the newest finished run of each model of a pool, style by style.

    What lands meanwhile makes the result stale, and it is worked out again: nothing is locked while it is computed.
    """
    while True:
        with Session(db) as session:
            row = session.get_one(PoolRow, pool)
            landed, rows = row.landed, _standings(session, row)
        if _replace(db, pool, landed, rows):
            log.info("pool %s: %d standings", pool, len(rows))
            return


def _replace(db: Engine, pool: str, landed: int, rows: Sequence[Row]) -> bool:
    """Store standings unless another run has landed since; say whether they are stored."""
    n_models = len({row["model_id"] for row in rows})
    facets = {name: sorted({str(row[column]) for row in rows if row[column]}) for name, column in _FACETS.items()}
    same = (PoolRow.id == pool, PoolRow.landed == landed)
    current = update(PoolRow).where(*same).values(ranked=landed, n_models=n_models, facets=facets)
    with Session(db) as session, session.begin():
        if session.execute(current.returning(PoolRow.id)).first() is None:
            return False
        session.execute(delete(StandingRow).where(StandingRow.pool == pool))
        if rows:
            session.execute(insert(StandingRow), rows)
        return True


@dataclass(frozen=True, slots=True)
class _Entry:
    """A model's newest finished run of the best tier in a pool."""

    row: Row
    """Columns of its standings that are the same in all styles."""
    scores: Json
    """JSON of harness.scores.scores_json."""
    right: Array
    graded: Array


def _standings(session: Session, pool: PoolRow) -> list[Row]:
    asked = session.scalars(select(SuiteRow.cells).where(SuiteRow.pool == pool.cells_of).limit(1)).one()
    of_item = np.repeat([cell["style"] for cell in asked], [cell["n"] for cell in asked])
    entries = _entries(session, pool, len(of_item))
    rows: list[Row] = []
    for style in dict.fromkeys(cell["style"] for cell in asked):
        mine = of_item == style
        ranked = [one for one in entries if style in one.scores["overall"]]
        contenders = [
            Contender(one.row["seed"], _estimate(one.scores["overall"][style]), one.right[mine], one.graded[mine])
            for one in ranked
        ]
        rows += [_row(style, one, place) for one, place in zip(ranked, rank_all(contenders), strict=True)]
    return rows


def _estimate(score: Json) -> Estimate:
    return Estimate(score["score"], Interval(score["low"], score["high"]))


def _row(style: str, one: _Entry, place: RankEstimate) -> Row:
    families = {score["family"]: _value_of(score) for score in one.scores["families"] if score["style"] == style}
    return {
        **one.row, "style": style, **_value_of(one.scores["overall"][style]), "families": families,
        "rank": place.rank, "rank_low": place.low, "rank_high": place.high, "tie": place.tie,
    }  # fmt: skip


def _value_of(score: Json) -> dict[str, float]:
    return {"value": score["score"], "half": (score["high"] - score["low"]) / 2}


def _newest(pool: PoolRow) -> Any:  # a subquery of (id, place, n_runs); its type names no column
    # the tier first: whoever sends results under a model's name must not displace what our workers found
    best_first = (RunRow.tier.desc(), RunRow.created_at.desc(), RunRow.id)
    place = func.row_number().over(partition_by=RunRow.model_id, order_by=best_first).label("place")
    n_runs = func.count().over(partition_by=RunRow.model_id).label("n_runs")
    return (
        select(RunRow.id, place, n_runs)
        .join(SuiteRow, SuiteRow.id == RunRow.suite_id)
        .join(MarkRow, MarkRow.run_id == RunRow.id)
        .where(
            SuiteRow.pool == pool.cells_of,
            RunRow.kind == "suite",
            RunRow.state == "done",
            RunRow.tier >= pool.tier,
            RunRow.layer == "main",
            RunRow.hidden_at.is_(None),
        )
        .subquery()
    )


def _entries(session: Session, pool: PoolRow, n_items: int) -> list[_Entry]:
    newest = _newest(pool)
    wanted = (
        select(
            RunRow.id, RunRow.model_id, ModelRow.name, RunRow.engine, SuiteRow.seed, RunRow.dtype, RunRow.model_kind,
            RunRow.tier, SuiteRow.season, RunRow.n_parameters, RunRow.created_at, newest.c.n_runs,
            ResultRow.scores, MarkRow.right, MarkRow.graded,
        )
        .join(newest, newest.c.id == RunRow.id)
        .join(ModelRow, ModelRow.id == RunRow.model_id)
        .join(SuiteRow, SuiteRow.id == RunRow.suite_id)
        .join(MarkRow, MarkRow.run_id == RunRow.id)
        .join(ResultRow, ResultRow.run_id == RunRow.id)
        .where(newest.c.place == 1)
        .order_by(RunRow.model_id)
    )  # fmt: skip
    return [_entry(pool.id, n_items, row) for row in session.execute(wanted)]


_COPIED = (
    "run_id", "model_id", "name", "engine", "seed", "dtype", "kind", "tier", "season", "n_parameters", "created_at",
    "n_runs",
)  # fmt: skip


def _entry(pool: str, n_items: int, row: Iterable[Any]) -> _Entry:
    *copied, scores, right, graded = row
    done = unpack(graded, n_items)
    own: Row = dict(zip(_COPIED, copied, strict=True))
    return _Entry({**own, "pool": pool, "n_missing": int(n_items - done.sum())}, scores, unpack(right, n_items), done)

"""Turn finished runs into what the board shows: marks, scores, and standings in their pools."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.orm import Session

from harness.db.board import unpack
from harness.db.dialect import insert_if_new
from harness.db.engine import translate_errors
from harness.db.models import (
    CellRow,
    FamilyScoreRow,
    MarkRow,
    PoolRow,
    ResultRow,
    RunRow,
    SampleRow,
    StandingRow,
    SuiteRow,
    Table,
)
from harness.db.read import CellCounts, counts_of
from harness.paired import Marks
from harness.ranking import Array, Contender, Place, rank_all
from harness.scores import family_scores, ladder_scores, scores_json
from harness.stats import Estimate, Interval, mean_of

log = logging.getLogger(__name__)

_AT_A_TIME = 500


def land_runs(db: Engine) -> int:
    """Work out marks and scores of done runs that have none yet, and rank stale pools; return how many landed.

    Each run is one transaction. Whatever is cut off here is made good by the next call.
    """
    with translate_errors():
        landed = 0
        while run := _next_run(db):
            _land(db, run)
            landed += 1
        for pool in _stale_pools(db):
            rank_pool(db, pool)
    return landed


def _next_run(db: Engine) -> str | None:
    with Session(db) as session:
        waiting = select(RunRow.id).outerjoin(MarkRow, MarkRow.run_id == RunRow.id)
        return session.scalars(waiting.where(RunRow.state == "done", MarkRow.run_id.is_(None)).limit(1)).first()


def _land(db: Engine, run: str) -> None:
    with Session(db) as session, session.begin():
        # the write comes first: it holds back another process that would land the same run
        session.execute(update(RunRow).where(RunRow.id == run).values(state=RunRow.state))
        if session.scalars(select(MarkRow.run_id).where(MarkRow.run_id == run)).first() is not None:
            return
        rows = session.scalars(select(CellRow).where(CellRow.run_id == run).order_by(CellRow.position))
        cells = [counts_of(row) for row in rows]
        land_run(session, run, cells, _marks(session, cells))


def _marks(session: Session, cells: Sequence[CellCounts]) -> Marks:
    starts = dict(zip((cell.id for cell in cells), _starts(cell.n_planned for cell in cells), strict=True))
    n = sum(cell.n_planned for cell in cells)
    right, graded = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    for some in _chunks(list(starts)):
        found = session.execute(
            select(SampleRow.cell_id, SampleRow.index, SampleRow.correct, SampleRow.finish_reason).where(
                SampleRow.cell_id.in_(some), SampleRow.repeat == 0
            )
        )
        for cell, index, correct, reason in found:
            right[starts[cell] + index] = correct
            graded[starts[cell] + index] = reason != "error"
    return Marks(right, graded)


def _starts(sizes: Iterable[int]) -> list[int]:
    return [0, *np.cumsum(list(sizes)).tolist()][:-1]


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[at : at + _AT_A_TIME] for at in range(0, len(values), _AT_A_TIME))


@dataclass(frozen=True, slots=True)
class Landed:
    """What is stored of a run that has landed, as values of columns."""

    run: str
    mark: Mapping[str, Any]
    result: Mapping[str, Any]
    families: Sequence[Mapping[str, Any]]


def work_out(run: str, cells: Sequence[CellCounts], marks: Marks) -> Landed:
    """Score a run; asks no database."""
    families = [
        {"run_id": run, "style": one.style, "family": one.family, **_value_of(one.mean)}
        for one in family_scores(ladder_scores(cells))
    ]
    mark = {"run_id": run, "right": _pack(marks.right), "graded": _pack(marks.graded)}
    return Landed(run, mark, {"run_id": run, "scores": scores_json(cells)}, families)


def land_run(session: Session, run: str, cells: Sequence[CellCounts], marks: Marks) -> None:
    """Store marks and scores of a run, and make its pool stale. Landing again writes the same."""
    for table in (MarkRow, ResultRow, FamilyScoreRow):
        session.execute(delete(table).where(table.run_id == run))
    store_landed(session, [work_out(run, cells, marks)])


def store_landed(session: Session, landed: Sequence[Landed]) -> None:
    """Store what was worked out of runs of which nothing of it is stored yet, and make their pools stale."""
    columns: tuple[tuple[type[Table], list[Mapping[str, Any]]], ...] = (
        (MarkRow, [one.mark for one in landed]),
        (ResultRow, [one.result for one in landed]),
        (FamilyScoreRow, [row for one in landed for row in one.families]),
    )
    for table, rows in columns:
        if rows:
            session.execute(insert(table), rows)
    _disturb_pools(session, [one.run for one in landed])


def _pack(marks: Array) -> bytes:
    return np.packbits(marks).tobytes()


def _value_of(one: Estimate) -> dict[str, float]:
    return {"value": one.value, "half": (one.interval.high - one.interval.low) / 2}


def _disturb_pools(session: Session, runs: Sequence[str]) -> None:
    counted = select(RunRow.suite_id, func.count()).where(RunRow.id.in_(runs)).group_by(RunRow.suite_id)
    for suite, n_runs in session.execute(counted).all():
        _disturb_pool(session, session.get_one(SuiteRow, suite), n_runs)


def _disturb_pool(session: Session, suite: SuiteRow, n_runs: int) -> None:
    asked: dict[str, list[str]] = {}
    for cell in suite.cells:
        families = asked.setdefault(cell["style"], [])
        if cell["family"] not in families:
            families.append(cell["family"])
    fresh = {
        "id": suite.pool, "name": suite.name, "version": suite.version, "n_cells": len(suite.cells), "asked": asked,
        "n_items": sum(cell["n"] for cell in suite.cells), "n_models": 0, "landed": 0, "ranked": 0,
    }  # fmt: skip
    session.execute(insert_if_new(session.get_bind(), PoolRow).values(**fresh))
    session.execute(update(PoolRow).where(PoolRow.id == suite.pool).values(landed=PoolRow.landed + n_runs))


def _stale_pools(db: Engine) -> list[str]:
    with Session(db) as session:
        return list(session.scalars(select(PoolRow.id).where(PoolRow.landed != PoolRow.ranked)))


def rank_pool(db: Engine, pool: str) -> None:
    """Rank the newest finished run of each model of a pool, style by style.

    What lands meanwhile makes the result stale, and it is worked out again: nothing is locked while it is computed.
    """
    while True:
        with Session(db) as session:
            landed = session.scalars(select(PoolRow.landed).where(PoolRow.id == pool)).one()
            rows = _standings(session, pool)
        with Session(db) as session, session.begin():
            current = (
                update(PoolRow)
                .where(PoolRow.id == pool, PoolRow.landed == landed)
                .values(ranked=landed, n_models=len({row["model_id"] for row in rows}))
            )
            if session.execute(current.returning(PoolRow.id)).first() is None:
                continue
            session.execute(delete(StandingRow).where(StandingRow.pool == pool))
            for some in _chunks(rows):
                session.execute(insert(StandingRow), some)
            log.info("pool %s: %d standings", pool, len(rows))
            return


@dataclass(frozen=True, slots=True)
class _Entry:
    """A model's newest finished run in a pool."""

    run: str
    model: int
    seed: str
    n_missing: int
    right: Array
    graded: Array


def _standings(session: Session, pool: str) -> list[dict[str, Any]]:  # values of StandingRow's columns
    asked = session.scalars(select(SuiteRow.cells).where(SuiteRow.pool == pool).limit(1)).one()
    of_item = np.repeat([cell["style"] for cell in asked], [cell["n"] for cell in asked])
    entries = _entries(session, pool, len(of_item))
    scores = _overall_scores(session, pool)
    rows: list[dict[str, Any]] = []
    for style in dict.fromkeys(cell["style"] for cell in asked):
        mine = of_item == style
        ranked = [one for one in entries if style in scores.get(one.run, {})]
        contenders = [Contender(one.seed, scores[one.run][style], one.right[mine], one.graded[mine]) for one in ranked]
        rows += [
            _row(pool, style, one, scores[one.run][style], place)
            for one, place in zip(ranked, rank_all(contenders), strict=True)
        ]
    return rows


def _row(pool: str, style: str, one: _Entry, score: Estimate, place: Place) -> dict[str, Any]:
    return {
        "run_id": one.run, "style": style, "pool": pool, "model_id": one.model, **_value_of(score),
        "n_missing": one.n_missing, "rank": place.rank, "rank_low": place.low, "rank_high": place.high,
        "tie": place.tie,
    }  # fmt: skip


def _newest(pool: str) -> Any:  # a subquery of (id, place); its type names no column
    place = func.row_number().over(partition_by=RunRow.model_id, order_by=(RunRow.created_at.desc(), RunRow.id))
    ranked = (
        select(RunRow.id, RunRow.model_id, RunRow.n_items, SuiteRow.seed, place.label("place"))
        .join(SuiteRow, SuiteRow.id == RunRow.suite_id)
        .join(MarkRow, MarkRow.run_id == RunRow.id)
        .where(SuiteRow.pool == pool, RunRow.state == "done")
        .subquery()
    )
    return select(ranked).where(ranked.c.place == 1).subquery()


def _entries(session: Session, pool: str, n_items: int) -> list[_Entry]:
    newest = _newest(pool)
    rows = session.execute(
        select(newest.c.id, newest.c.model_id, newest.c.seed, MarkRow.right, MarkRow.graded)
        .join(MarkRow, MarkRow.run_id == newest.c.id)
        .order_by(newest.c.model_id)
    )
    return [_entry(*row, n_items=n_items) for row in rows]


def _entry(run: str, model: int, seed: str, right: bytes, graded: bytes, *, n_items: int) -> _Entry:
    done = unpack(graded, n_items)
    return _Entry(run, model, seed, int(n_items - done.sum()), unpack(right, n_items), done)


def _overall_scores(session: Session, pool: str) -> Mapping[str, Mapping[str, Estimate]]:
    newest = _newest(pool)
    found: dict[str, dict[str, list[Estimate]]] = {}
    rows = session.execute(
        select(FamilyScoreRow.run_id, FamilyScoreRow.style, FamilyScoreRow.value, FamilyScoreRow.half).join(
            newest, newest.c.id == FamilyScoreRow.run_id
        )
    )
    for run, style, value, half in rows:
        estimate = Estimate(value, Interval(value - half, value + half))
        found.setdefault(run, {}).setdefault(style, []).append(estimate)
    return {run: {style: mean_of(means) for style, means in styles.items()} for run, styles in found.items()}

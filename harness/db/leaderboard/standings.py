"""Rank finished runs: the marks and scores of each run, and the standings of each pool."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Engine, case, delete, func, insert, select, update
from sqlalchemy.orm import Session

from fathom.harness.db.engine import insert_if_new, translate_errors
from fathom.harness.db.read import CELL_COLUMNS, counts_of
from fathom.harness.db.schema.runs import (
    EVERY_TIER,
    RANKED_TIER,
    CellRow,
    MarkRow,
    ModelRow,
    PoolRow,
    ResultRow,
    RunRow,
    SampleRow,
    StandingRow,
    SuiteRow,
    Table,
)
from fathom.harness.stats.intervals import Estimate, Interval
from fathom.harness.stats.paired import RunVerdicts
from fathom.harness.stats.ranks import Array, Contender, RankEstimate, rank_all
from fathom.harness.stats.scores import CellCounts, depth_share, scores_json

log = logging.getLogger(__name__)

_AT_A_TIME = 500
_FACETS = {"kinds": "kind", "dtypes": "dtype", "engines": "engine", "tiers": "tier", "seasons": "season"}
_Row = dict[str, Any]  # values of StandingRow's columns
_Json = Mapping[str, Any]
_COPIED = (
    "run_id", "model_id", "name", "engine", "seed", "dtype", "kind", "tier", "season", "n_parameters", "created_at",
    "n_runs", "prompt_format",
)  # fmt: skip


def update_leaderboard(db: Engine) -> int:
    """Compute marks and scores of done runs without any, and rank stale pools; return the number of such runs.

    Each run is one transaction. If this process is killed here, the next call does the rest.
    """
    with translate_errors():
        n_runs = 0
        while run := _next_run(db):
            _score_run(db, run)
            n_runs += 1
        for pool in _stale_pools(db):
            rank_pool(db, pool)
    return n_runs


def _next_run(db: Engine) -> str | None:
    with Session(db) as session:
        done = select(RunRow.id).where(RunRow.kind == "suite", RunRow.state == "done")
        waiting = done.outerjoin(MarkRow, MarkRow.run_id == RunRow.id).where(MarkRow.run_id.is_(None))
        return session.scalars(waiting.limit(1)).first()


def _score_run(db: Engine, run: str) -> None:
    with Session(db) as session, session.begin():
        # the write comes first: another process that scores the same run waits for it
        session.execute(update(RunRow).where(RunRow.id == run).values(state=RunRow.state))
        if session.scalars(select(MarkRow.run_id).where(MarkRow.run_id == run)).first() is not None:
            return
        rows = session.execute(select(*CELL_COLUMNS).where(CellRow.run_id == run).order_by(CellRow.position))
        cells = [counts_of(row) for row in rows]
        _replace_results(session, run, cells, _marks(session, cells))


def _marks(session: Session, cells: Sequence[CellCounts]) -> RunVerdicts:
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
    return RunVerdicts(right, graded)


def _starts(sizes: Iterable[int]) -> list[int]:
    return [0, *np.cumsum(list(sizes)).tolist()][:-1]


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[at : at + _AT_A_TIME] for at in range(0, len(values), _AT_A_TIME))


@dataclass(frozen=True, slots=True)
class RunResults:
    """Marks and scores of a run, as values of columns."""

    run: str
    mark: Mapping[str, Any]
    result: Mapping[str, Any]


def compute_results(run: str, cells: Sequence[CellCounts], marks: RunVerdicts) -> RunResults:
    """Pack marks and compute scores; needs no database."""
    mark = {"run_id": run, "right": _pack(marks.right), "graded": _pack(marks.graded)}
    return RunResults(run, mark, {"run_id": run, "scores": scores_json(cells)})


def _replace_results(session: Session, run: str, cells: Sequence[CellCounts], marks: RunVerdicts) -> None:
    """Store marks and scores of a run in place of earlier ones, and make its pool stale."""
    for table in (MarkRow, ResultRow):
        session.execute(delete(table).where(table.run_id == run))
    store_results(session, [compute_results(run, cells, marks)])


def store_results(session: Session, results: Sequence[RunResults]) -> None:
    """Store marks and scores of runs without any, and make their pools stale."""
    columns: tuple[tuple[type[Table], list[Mapping[str, Any]]], ...] = (
        (MarkRow, [one.mark for one in results]),
        (ResultRow, [one.result for one in results]),
    )
    for table, rows in columns:
        if rows:
            session.execute(insert(table), rows)
    mark_pools_stale(session, [one.run for one in results])


def _pack(marks: Array) -> bytes:
    return np.packbits(marks).tobytes()


def unpack_marks(marks: bytes, n_items: int) -> Array:
    """Return stored marks as booleans, one an item."""
    return np.unpackbits(np.frombuffer(marks, dtype=np.uint8), count=n_items).astype(bool)


def mark_pools_stale(session: Session, runs: Sequence[str]) -> None:
    """Make the pools of runs stale, after a run was hidden or got another tier; `update_leaderboard` ranks them again.

    Runs of tier 1 are ranked only in the pool that ranks every tier; runs of the layer `fresh` in none.
    """
    ranked = case((RunRow.tier >= RANKED_TIER, 1), else_=0)
    same = (RunRow.id.in_(runs), RunRow.kind == "suite", RunRow.layer == "main")
    counted = select(RunRow.suite_id, ranked, func.count()).where(*same).group_by(RunRow.suite_id, ranked)
    for number, is_ranked, n_runs in session.execute(counted).all():
        suite = session.get_one(SuiteRow, number)
        _make_pool(session, suite, RANKED_TIER if is_ranked else 1)
        moved = (PoolRow.cells_of == suite.pool, PoolRow.tier <= (RANKED_TIER if is_ranked else 1))
        session.execute(update(PoolRow).where(*moved).values(landed=PoolRow.landed + n_runs))


def _make_pool(session: Session, suite: SuiteRow, tier: int) -> None:
    asked: dict[str, list[str]] = {}
    for cell in suite.cells:
        families = asked.setdefault(cell["style"], [])
        if cell["family"] not in families:
            families.append(cell["family"])
    name = suite.pool if tier == RANKED_TIER else suite.pool + EVERY_TIER
    fresh = {
        "id": name, "cells_of": suite.pool, "tier": tier, "name": suite.name, "version": suite.version,
        "n_cells": len(suite.cells), "n_items": sum(cell["n"] for cell in suite.cells), "n_models": 0, "asked": asked,
        "landed": 0, "ranked": 0, "facets": {},
    }  # fmt: skip
    session.execute(insert_if_new(session.get_bind(), PoolRow).values(**fresh))


def _stale_pools(db: Engine) -> list[str]:
    with Session(db) as session:
        return list(session.scalars(select(PoolRow.id).where(PoolRow.landed != PoolRow.ranked)))


def rank_pool(db: Engine, pool: str) -> None:
    """Rank the newest finished run of each model of a pool in each prompt format, style by style.

    Nothing is locked meanwhile: a run that is stored in this time makes the result stale, and it is computed again.
    """
    while True:
        with Session(db) as session:
            row = session.get_one(PoolRow, pool)
            landed, rows = row.landed, _standings(session, row)
        if _replace(db, pool, landed, rows):
            log.info("pool %s: %d standings", pool, len(rows))
            return


def _replace(db: Engine, pool: str, landed: int, rows: Sequence[_Row]) -> bool:
    """Store standings unless a pool's runs have changed since; say whether they are stored."""
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

    row: _Row
    """Columns of its standings that are the same in all styles."""
    scores: _Json
    """JSON of harness.stats.scores.scores_json."""
    right: Array
    graded: Array


def _standings(session: Session, pool: PoolRow) -> list[_Row]:
    asked = session.scalars(select(SuiteRow.cells).where(SuiteRow.pool == pool.cells_of).limit(1)).one()
    of_item = np.repeat([cell["style"] for cell in asked], [cell["n"] for cell in asked])
    entries = _entries(session, pool, len(of_item))
    rows: list[_Row] = []
    for style in dict.fromkeys(cell["style"] for cell in asked):
        mine = of_item == style
        ranked = [one for one in entries if style in one.scores["overall"]]
        contenders = [
            Contender(one.row["seed"], _estimate(one.scores["overall"][style]), one.right[mine], one.graded[mine])
            for one in ranked
        ]
        rows += [_row(style, one, place) for one, place in zip(ranked, rank_all(contenders), strict=True)]
    return rows


def _estimate(score: _Json) -> Estimate:
    return Estimate(score["score"], Interval(score["low"], score["high"]))


def _row(style: str, one: _Entry, place: RankEstimate) -> _Row:
    families = {
        score["family"]: _value_of(score) | _depth_of(one.scores, score["family"], style)
        for score in one.scores["families"] if score["style"] == style
    }  # fmt: skip
    shares = [family["share"] for family in families.values() if "share" in family]
    return {
        **one.row, "style": style, **_value_of(one.scores["overall"][style]), "families": families,
        "depth": sum(shares) / len(shares) if shares else None,
        "rank": place.rank, "rank_low": place.low, "rank_high": place.high, "tie": place.tie,
    }  # fmt: skip


def _value_of(score: _Json) -> dict[str, float]:
    return {"value": score["score"], "half": (score["high"] - score["low"]) / 2}


def _depth_of(scores: _Json, family: str, style: str) -> dict[str, Any]:  # JSON values
    """Return a family's depth on its main ladder, or on the first that was asked at two levels; else nothing."""
    mine = [one for one in scores["ladders"] if (one["family"], one["style"]) == (family, style)]
    for one in sorted(mine, key=lambda one: bool(one["ladder"] != "main")):
        if (share := depth_share(one)) is not None:
            depth = one["depth50"]
            text = f"{depth['text'].partition(' (')[0]} {depth['unit']}"
            return {"depth": text, "share": share, **({"fits": False} if one.get("fits") is False else {})}
    return {}


def _newest(pool: PoolRow) -> Any:  # a subquery of (id, place, n_runs); its type names no column
    # the tier first: results that a user sends under a model's name must not displace those of our workers
    best_first = (RunRow.tier.desc(), RunRow.created_at.desc(), RunRow.id)
    asked = (RunRow.model_id, RunRow.prompt_format)
    place = func.row_number().over(partition_by=asked, order_by=best_first).label("place")
    n_runs = func.count().over(partition_by=asked).label("n_runs")
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
            RunRow.tier, SuiteRow.season, RunRow.n_parameters, RunRow.created_at, newest.c.n_runs, RunRow.prompt_format,
            ResultRow.scores, MarkRow.right, MarkRow.graded,
        )
        .join(newest, newest.c.id == RunRow.id)
        .join(ModelRow, ModelRow.id == RunRow.model_id)
        .join(SuiteRow, SuiteRow.id == RunRow.suite_id)
        .join(MarkRow, MarkRow.run_id == RunRow.id)
        .join(ResultRow, ResultRow.run_id == RunRow.id)
        .where(newest.c.place == 1)
        .order_by(RunRow.model_id, RunRow.prompt_format)
    )  # fmt: skip
    return [_entry(pool.id, n_items, row) for row in session.execute(wanted)]


def _entry(pool: str, n_items: int, row: Iterable[Any]) -> _Entry:
    *copied, scores, right, graded = row
    done = unpack_marks(graded, n_items)
    own: _Row = dict(zip(_COPIED, copied, strict=True))
    return _Entry(
        {**own, "pool": pool, "n_missing": int(n_items - done.sum())}, scores, unpack_marks(right, n_items), done
    )

"""Read runs: frozen rows, never ORM objects; each function runs a fixed number of statements."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, case, func, select
from sqlalchemy.orm import Session

from harness.db.engine import translate_errors
from harness.db.models import CellRow, ModelRow, RunRow, SampleRow, SuiteRow
from harness.engines.base import Completion, FinishReason
from harness.errors import UnknownRun
from harness.stats import Interval, wilson
from harness.suite import Suite, SuiteCell


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of `fathom runs`."""

    run: str
    model: str
    suite: str
    seed: str
    engine: str
    state: str
    n_items: int
    n_done: int
    k: int
    n_generated: int
    attempts: int
    seconds: int
    created_at: dt.datetime
    error: str | None


@dataclass(frozen=True, slots=True)
class CellCounts:
    """Counts of one cell of a run."""

    id: int
    family: str
    version: int
    level: str
    channel: str
    style: str
    n_planned: int
    n: int
    k: int
    n_errors: int
    labels: Mapping[str, int]

    @property
    def interval(self) -> Interval:
        """Wilson's 95% interval of k of n."""
        return wilson(self.k, self.n)


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run with all that decides its numbers."""

    summary: RunSummary
    suite: Suite
    suite_digest: str
    manifest: Mapping[str, Any]  # JSON of provenance.Manifest
    manifest_digest: str
    log: str | None
    cells: tuple[CellCounts, ...]


@dataclass(frozen=True, slots=True)
class SampleView:
    """A stored sample and the id of its item."""

    id: int
    item: str
    style: str
    index: int
    completion: str
    finish_reason: str
    scores: tuple[float, ...] | None
    parsed: str | None
    label: str
    fault_at: int | None
    note: str
    correct: bool
    prompt_tokens: int
    completion_tokens: int
    milliseconds: int
    error: str | None


@dataclass(frozen=True, slots=True)
class SamplePage:
    """Some samples of a run and how many there are."""

    samples: tuple[SampleView, ...]
    total: int


@dataclass(frozen=True, slots=True)
class SampleFilter:
    """Which samples of a run to show; None leaves an axis open."""

    cell: int | None = None
    label: str | None = None
    correct: bool | None = None


def _summaries() -> Any:  # a Select of a long tuple; spelling its type adds nothing
    done = (
        select(
            CellRow.run_id,
            func.sum(CellRow.n + CellRow.n_errors).label("n_done"),
            func.sum(CellRow.k).label("k"),
        )
        .group_by(CellRow.run_id)
        .subquery()
    )
    return (
        select(RunRow, ModelRow.name, SuiteRow.name, SuiteRow.seed, done.c.n_done, done.c.k)
        .join(ModelRow, ModelRow.id == RunRow.model_id)
        .join(SuiteRow, SuiteRow.id == RunRow.suite_id)
        .join(done, done.c.run_id == RunRow.id)
    )


def _summary(row: Sequence[Any]) -> RunSummary:  # a row of _summaries()
    run, model, suite, seed, n_done, k = row
    return RunSummary(
        run.id, model, suite, seed, run.engine, run.state, run.n_items, int(n_done), int(k), run.n_generated,
        run.attempts, run.seconds, run.created_at, run.error,
    )  # fmt: skip


def list_runs(db: Engine, limit: int = 1000) -> tuple[RunSummary, ...]:
    """Return the newest runs, newest first."""
    with translate_errors(), Session(db) as session:
        rows = session.execute(_summaries().order_by(RunRow.created_at.desc(), RunRow.id).limit(limit))
        return tuple(_summary(row) for row in rows)


def board_runs(db: Engine) -> tuple[RunSummary, ...]:
    """Return one run a model, by model: the newest done one; where none is done, the newest running one."""
    order = (case((RunRow.state == "done", 0), else_=1), RunRow.created_at.desc(), RunRow.id)
    place = func.row_number().over(partition_by=RunRow.model_id, order_by=order).label("place")
    ranked = select(RunRow.id, place).where(RunRow.state.in_(("done", "running"))).subquery()
    chosen = _summaries().join(ranked, ranked.c.id == RunRow.id).where(ranked.c.place == 1).order_by(ModelRow.name)
    with translate_errors(), Session(db) as session:
        return tuple(_summary(row) for row in session.execute(chosen))


def get_run(db: Engine, run: str) -> RunDetail:
    """Return a run by its id or a beginning of it that is unique.

    Raises:
        UnknownRun: no run begins so, or several do.
    """
    with translate_errors(), Session(db) as session:
        pattern = run.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        rows = session.execute(_summaries().where(RunRow.id.like(pattern, escape="\\")).limit(2)).all()
        if len(rows) != 1 or not run:
            what = "no run" if not rows else "more than one run"
            raise UnknownRun(f"{what} begins with {run[:40]!r}: `fathom runs` lists them")
        row: RunRow = rows[0][0]
        stored = session.get_one(SuiteRow, row.suite_id)
        cells = session.scalars(select(CellRow).where(CellRow.run_id == row.id).order_by(CellRow.position))
        suite = Suite(stored.name, stored.version, stored.seed, tuple(SuiteCell(**cell) for cell in stored.cells))
        return RunDetail(
            _summary(rows[0]), suite, stored.digest, row.manifest, row.manifest_digest, row.log,
            tuple(_counts(cell) for cell in cells),
        )  # fmt: skip


def _counts(cell: CellRow) -> CellCounts:
    return CellCounts(
        cell.id, cell.family, cell.version, cell.level, cell.channel, cell.style, cell.n_planned, cell.n, cell.k,
        cell.n_errors, dict(cell.labels),
    )  # fmt: skip


def cells_of_runs(db: Engine, runs: Sequence[str]) -> Mapping[str, tuple[CellCounts, ...]]:
    """Return the cells of several runs in one statement, by run."""
    found: dict[str, list[CellCounts]] = {run: [] for run in runs}
    with translate_errors(), Session(db) as session:
        statement = select(CellRow).where(CellRow.run_id.in_(runs)).order_by(CellRow.run_id, CellRow.position)
        for cell in session.scalars(statement):
            found[cell.run_id].append(_counts(cell))
    return {run: tuple(cells) for run, cells in found.items()}


def journaled(db: Engine, run: str) -> dict[str, Completion]:
    """Return every completion of a run that need not be generated again, by its key."""
    with translate_errors(), Session(db) as session:
        rows = session.execute(
            select(
                SampleRow.key, SampleRow.completion, SampleRow.finish_reason, SampleRow.prompt_tokens,
                SampleRow.completion_tokens, SampleRow.milliseconds, SampleRow.scores,
            )
            .join(CellRow, CellRow.id == SampleRow.cell_id)
            .where(CellRow.run_id == run, SampleRow.finish_reason != "error")
        )  # fmt: skip
        return {row[0]: _completion(row) for row in rows}


def _completion(row: Sequence[Any]) -> Completion:  # a row of journaled()
    key, text, reason, prompt_tokens, tokens, milliseconds, scores = row
    finish: FinishReason = reason
    return Completion(
        key, text, finish, prompt_tokens, tokens, milliseconds / 1000, None if scores is None else tuple(scores)
    )


def count_samples(db: Engine, run: str) -> int:
    """Return how many samples a run has stored."""
    with translate_errors(), Session(db) as session:
        statement = select(func.count()).select_from(SampleRow).join(CellRow).where(CellRow.run_id == run)
        return session.scalars(statement).one()


def get_samples(db: Engine, detail: RunDetail, wanted: SampleFilter, offset: int = 0, limit: int = 50) -> SamplePage:
    """Return a page of a run's samples in the order of cells and indices."""
    conditions = [CellRow.run_id == detail.summary.run]
    if wanted.cell is not None:
        conditions.append(SampleRow.cell_id == wanted.cell)
    if wanted.label is not None:
        conditions.append(SampleRow.label == wanted.label)
    if wanted.correct is not None:
        conditions.append(SampleRow.correct == wanted.correct)
    joined = select(SampleRow, CellRow).join(CellRow, CellRow.id == SampleRow.cell_id).where(*conditions)
    with translate_errors(), Session(db) as session:
        total = session.scalars(select(func.count()).select_from(joined.subquery())).one()
        ordered = joined.order_by(CellRow.position, SampleRow.index, SampleRow.repeat)
        rows = session.execute(ordered.offset(offset).limit(limit))
        return SamplePage(tuple(_view(sample, cell, detail.suite.seed) for sample, cell in rows), total)


def _view(sample: SampleRow, cell: CellRow, seed: str) -> SampleView:
    item = f"{cell.family}@{cell.version}/{cell.level}/{cell.channel}/{seed}/{sample.index}"
    return SampleView(
        sample.id, item, cell.style, sample.index, sample.completion, sample.finish_reason,
        None if sample.scores is None else tuple(sample.scores), sample.parsed, sample.label, sample.fault_at,
        sample.note, sample.correct, sample.prompt_tokens, sample.completion_tokens, sample.milliseconds, sample.error,
    )  # fmt: skip

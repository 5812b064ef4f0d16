"""Read runs: frozen rows, never ORM objects; each function runs a fixed number of statements."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.runs import CellRow, ModelRow, RunRow, SampleRow, SuiteRow
from fathom.harness.db.sealing import SEALED, check_unsealed, redact
from fathom.harness.errors import UnknownRun
from fathom.harness.records import RunDetail, RunSummary, SampleFilter, SamplePage, SampleView
from fathom.harness.stats.counts import CellCounts
from fathom.harness.stats.repeats import read_spread
from fathom.tasks.suites import Suite, SuiteCell

_HEX = re.compile(r"[0-9a-f]{1,32}")


def counts_of(row: Sequence[Any]) -> CellCounts:
    """Read a row of CELL."""
    return replace(CellCounts(*row[:-1]), spread=read_spread(row[-1]))


CELL = (
    CellRow.id, CellRow.family, CellRow.version, CellRow.level, CellRow.channel, CellRow.style, CellRow.n_planned,
    CellRow.n, CellRow.k, CellRow.n_errors, CellRow.labels, CellRow.spread,
)  # fmt: skip
"""Columns of CellCounts, in its order, for `counts_of`."""


SAMPLE = (
    SampleRow.id, SampleRow.index, SampleRow.completion, SampleRow.finish_reason, SampleRow.scores, SampleRow.parsed,
    SampleRow.label, SampleRow.fault_at, SampleRow.note, SampleRow.correct, SampleRow.prompt_tokens,
    SampleRow.completion_tokens, SampleRow.milliseconds, SampleRow.error, SampleRow.repeat,
    CellRow.id, CellRow.family, CellRow.version, CellRow.level, CellRow.channel, CellRow.style,
)  # fmt: skip
"""Columns of which `view` makes a SampleView."""


_SUMMARY = (
    RunRow.id, ModelRow.name, ModelRow.id, SuiteRow.name, SuiteRow.seed, RunRow.engine, RunRow.state, RunRow.n_items,
    RunRow.n_done, RunRow.k, RunRow.n_generated, RunRow.attempts, RunRow.seconds, RunRow.created_at, RunRow.error,
    RunRow.tier, RunRow.layer, SuiteRow.season, SuiteRow.sealed, RunRow.hidden_at, RunRow.n_repeats,
)  # fmt: skip
"""Columns of a RunSummary, in its order; a list of runs loads no manifest."""


def _summaries() -> Any:  # a Select of a long tuple; spelling its type adds nothing
    whole = select(*_SUMMARY).where(RunRow.layer != "upload")  # an upload that is not whole yet is shown nowhere
    return whole.join(ModelRow, ModelRow.id == RunRow.model_id).join(SuiteRow, SuiteRow.id == RunRow.suite_id)


def list_runs(db: Engine, limit: int = 1000, offset: int = 0) -> tuple[RunSummary, ...]:
    """Return the newest runs, newest first."""
    newest = _summaries().order_by(RunRow.created_at.desc(), RunRow.id).limit(limit).offset(offset)
    with translate_errors(), Session(db) as session:
        return tuple(_summary(row) for row in session.execute(newest))


def _summary(row: Sequence[Any]) -> RunSummary:  # a row of _SUMMARY
    one = RunSummary(*row)
    return replace(one, error=f"the run failed; its log is {SEALED}") if one.sealed and one.error else one


def count_runs(db: Engine) -> int:
    """Return the number of runs."""
    with translate_errors(), Session(db) as session:
        return session.scalars(select(func.count()).select_from(RunRow).where(RunRow.layer != "upload")).one()


def count_by_state(db: Engine) -> dict[str, int]:
    """Return the number of runs by state."""
    with translate_errors(), Session(db) as session:
        rows = session.execute(select(RunRow.state, func.count()).group_by(RunRow.state))
        return {row[0]: row[1] for row in rows}


def runs_of_model(db: Engine, model: int, limit: int = 200) -> tuple[RunSummary, ...]:
    """Return a model's newest runs, newest first."""
    newest = _summaries().where(RunRow.model_id == model).order_by(RunRow.created_at.desc(), RunRow.id).limit(limit)
    with translate_errors(), Session(db) as session:
        return tuple(_summary(row) for row in session.execute(newest))


def get_summary(db: Engine, run: str) -> RunSummary:
    """Return a run in short, by its id or a beginning of it that is unique.

    Raises:
        UnknownRun: no run begins so, or several do.
    """
    with translate_errors(), Session(db) as session:
        return _find(session, run)


def _find(session: Session, run: str) -> RunSummary:
    start = run.lower()
    # ids are hex digits, so that all that begin with these lie before them and a "g"
    near = _summaries().where(RunRow.id >= start, RunRow.id < start + "g").limit(2)
    rows = session.execute(near).all() if _HEX.fullmatch(start) else []
    if len(rows) != 1:
        what = "no run" if not rows else "more than one run"
        raise UnknownRun(f"{what} begins with {run[:40]!r}: `fathom runs` lists them")
    return _summary(rows[0])


def get_run(db: Engine, run: str) -> RunDetail:
    """Return a run whole, by its id or a beginning of it that is unique.

    Raises:
        UnknownRun: no run begins so, or several do.
    """
    with translate_errors(), Session(db) as session:
        summary = _find(session, run)
        row = session.get_one(RunRow, summary.run)
        stored = session.get_one(SuiteRow, row.suite_id)
        cells = session.execute(select(*CELL).where(CellRow.run_id == row.id).order_by(CellRow.position))
        suite = Suite(stored.name, stored.version, stored.seed, tuple(SuiteCell(**cell) for cell in stored.cells))
        found = RunDetail(
            summary, suite, stored.digest, stored.pool, row.manifest, row.manifest_digest, row.log,
            tuple(counts_of(cell) for cell in cells),
        )  # fmt: skip
        return _sealed(found) if summary.sealed else found


def _sealed(one: RunDetail) -> RunDetail:
    """Take out what tells of the items; an engine's log may quote a prompt."""
    log = None if one.log is None else SEALED
    return replace(one, suite_digest=SEALED, manifest=redact(one.manifest), manifest_digest=SEALED, log=log)


def summaries_of(db: Engine, runs: Sequence[str]) -> tuple[RunSummary, ...]:
    """Return runs by their whole ids, in the order asked.

    Raises:
        UnknownRun: one of them is not there.
    """
    with translate_errors(), Session(db) as session:
        found = {row[0]: _summary(row) for row in session.execute(_summaries().where(RunRow.id.in_(runs)))}
    for run in runs:
        if run not in found:
            raise UnknownRun(f"no run {run[:40]!r}: `fathom runs` lists them")
    return tuple(found[run] for run in runs)


def cells_of_runs(db: Engine, runs: Sequence[str], family: str | None = None) -> Mapping[str, tuple[CellCounts, ...]]:
    """Return the cells of several runs, all or one family's, in one statement, by run."""
    found: dict[str, list[CellCounts]] = {run: [] for run in runs}
    with translate_errors(), Session(db) as session:
        statement = select(CellRow.run_id, *CELL).where(CellRow.run_id.in_(runs))
        if family is not None:
            statement = statement.where(CellRow.family == family)
        for run, *cell in session.execute(statement.order_by(CellRow.run_id, CellRow.position)):
            found[run].append(counts_of(cell))
    return {run: tuple(cells) for run, cells in found.items()}


def count_samples(db: Engine, run: str) -> int:
    """Return how many samples a run has stored."""
    with translate_errors(), Session(db) as session:
        statement = select(func.count()).select_from(SampleRow).join(CellRow).where(CellRow.run_id == run)
        return session.scalars(statement).one()


def get_samples(db: Engine, detail: RunDetail, wanted: SampleFilter, offset: int = 0, limit: int = 50) -> SamplePage:
    """Return a page of a run's samples in the order of cells and indices.

    Raises:
        SealedRun: they may not be seen yet.
    """
    check_unsealed(detail.summary.sealed, detail.summary.season)
    conditions = [CellRow.run_id == detail.summary.run]
    if wanted.cell is not None:
        conditions.append(SampleRow.cell_id == wanted.cell)
    if wanted.label is not None:
        conditions.append(SampleRow.label == wanted.label)
    if wanted.correct is not None:
        conditions.append(SampleRow.correct == wanted.correct)
    counted = select(func.count()).select_from(SampleRow).join(CellRow).where(*conditions)
    wanted_rows = select(*SAMPLE).join(CellRow, CellRow.id == SampleRow.cell_id).where(*conditions)
    ordered = wanted_rows.order_by(CellRow.position, SampleRow.index, SampleRow.repeat)
    with translate_errors(), Session(db) as session:
        total = session.scalars(counted).one()
        rows = session.execute(ordered.offset(offset).limit(limit))
        return SamplePage(tuple(view(row, detail.suite.seed) for row in rows), total)


def get_sample(db: Engine, detail: RunDetail, sample: int) -> SampleView:
    """Return one sample of a run.

    Raises:
        UnknownRun: the run has no such sample.
        SealedRun: it may not be seen yet.
    """
    check_unsealed(detail.summary.sealed, detail.summary.season)
    same = (SampleRow.id == sample, CellRow.run_id == detail.summary.run)
    wanted = select(*SAMPLE).join(CellRow, CellRow.id == SampleRow.cell_id).where(*same)
    with translate_errors(), Session(db) as session:
        row = session.execute(wanted).first()
        if row is None:
            raise UnknownRun(f"run {detail.summary.run} has no sample {sample}: its page of samples lists them")
        return view(row, detail.suite.seed)


def view(row: Sequence[Any], seed: str) -> SampleView:
    """Read a row of SAMPLE."""
    number, index, completion, reason, scores, *rest = row[:15]
    _, family, version, level, channel, style = row[15:]
    item = f"{family}@{version}/{level}/{channel}/{seed}/{index}"
    likelihoods = None if scores is None else tuple(scores)
    return SampleView(number, item, style, index, completion, reason, likelihoods, *rest)

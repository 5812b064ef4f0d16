"""Read runs of both kinds as frozen values; each function runs a fixed number of statements."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.runs import OWN_TIER, CellRow, ModelRow, ResultRow, RunKind, RunRow, SampleRow, SuiteRow
from fathom.harness.db.schema.service import JobRow, SubmissionRow
from fathom.harness.db.schema.task_samples import TaskSampleRow
from fathom.harness.db.seal import SEALED, check_unsealed, redact
from fathom.harness.errors import UnknownRun
from fathom.harness.format import count, plural
from fathom.harness.records import (
    NO_READING,
    Manifest,
    Reading,
    RunDetail,
    RunSummary,
    SampleFilter,
    SamplePage,
    SampleView,
    TaskRunDetail,
    TaskRunSummary,
)
from fathom.harness.stats.repeats import read_spread
from fathom.harness.stats.scores import CellCounts, FoundCounts
from fathom.tasks.suites import Suite, SuiteCell

_HEX = re.compile(r"[0-9a-f]{1,32}")

_TEXTS = 1000
"""Different errors that are read, the most frequent ones."""
_LISTED = 20
_LONGEST = 500


CELL_COLUMNS = (
    CellRow.id, CellRow.family, CellRow.version, CellRow.level, CellRow.channel, CellRow.style, CellRow.n_planned,
    CellRow.n, CellRow.k, CellRow.n_errors, CellRow.labels, CellRow.spread, CellRow.n_asked, CellRow.n_unread,
    CellRow.n_cut,
)  # fmt: skip
"""Columns of CellCounts, in its order; `counts_of` reads them."""


SAMPLE_COLUMNS = (
    SampleRow.id, SampleRow.index, SampleRow.completion, SampleRow.finish_reason, SampleRow.scores, SampleRow.parsed,
    SampleRow.label, SampleRow.fault_at, SampleRow.note, SampleRow.correct, SampleRow.prompt_tokens,
    SampleRow.completion_tokens, SampleRow.milliseconds, SampleRow.error, SampleRow.repeat, SampleRow.found,
    CellRow.id, CellRow.family, CellRow.version, CellRow.level, CellRow.channel, CellRow.style,
)  # fmt: skip
"""Columns of a SampleView; `view` reads them."""


def _has_job(state: str) -> ColumnElement[bool]:
    """Say whether a submission's run has a job in this state; by the submission, since jobs have no index of runs."""
    of_run = or_(SubmissionRow.run_id == RunRow.id, SubmissionRow.fresh_run_id == RunRow.id)
    mine = and_(JobRow.submission_id == SubmissionRow.id, JobRow.run_id == RunRow.id, JobRow.state == state)
    return exists().where(of_run, mine)


_STATE = case((and_(RunRow.state == "running", _has_job("queued"), ~_has_job("leased")), "waiting"), else_=RunRow.state)
"""A run's state; one whose jobs no worker holds is stored as running, and waits."""

_SUMMARY = (
    RunRow.id, ModelRow.name, ModelRow.id, SuiteRow.name, SuiteRow.seed, RunRow.engine, _STATE, RunRow.n_items,
    RunRow.n_done, RunRow.k, RunRow.n_generated, RunRow.attempts, RunRow.seconds, RunRow.created_at, RunRow.error,
    RunRow.tier, RunRow.layer, SuiteRow.season, SuiteRow.sealed, RunRow.hidden_at, RunRow.n_repeats, RunRow.n_asked,
    RunRow.n_unread, RunRow.n_cut, RunRow.prompt_format,
)  # fmt: skip
"""Columns of a RunSummary, in its order; a list of runs loads no manifest."""

_TASK_SUMMARY = (
    RunRow.id, ModelRow.name, RunRow.engine, RunRow.settings, RunRow.state, RunRow.n_items, RunRow.n_done,
    RunRow.n_generated, RunRow.attempts, RunRow.seconds, RunRow.created_at, RunRow.error,
)  # fmt: skip
"""Columns of a TaskRunSummary, in its order; the settings name the tasks."""

_SHOWN = (RunRow.kind == "suite", RunRow.layer != "upload")
"""Runs on suites that lists may show: an incomplete upload is shown nowhere."""


def counts_of(row: Sequence[Any]) -> CellCounts:
    """Read a row of CELL_COLUMNS."""
    *counts, spread, n_asked, n_unread, n_cut = row
    return replace(
        CellCounts(*counts),
        spread=None if spread is None else read_spread(spread),
        found=None if n_asked is None else FoundCounts(n_asked, n_unread, n_cut),
    )


def _summaries() -> Any:  # a Select of a long tuple; spelling its type adds nothing
    whole = select(*_SUMMARY).where(*_SHOWN)
    return whole.join(ModelRow, ModelRow.id == RunRow.model_id).join(SuiteRow, SuiteRow.id == RunRow.suite_id)


def _task_summaries() -> Any:  # as of _summaries
    return select(*_TASK_SUMMARY).join(ModelRow, ModelRow.id == RunRow.model_id).where(RunRow.kind == "tasks")


def list_runs(db: Engine, limit: int = 1000, offset: int = 0) -> tuple[RunSummary, ...]:
    """Return the newest runs on suites, newest first."""
    newest = _summaries().order_by(RunRow.created_at.desc(), RunRow.id).limit(limit).offset(offset)
    with translate_errors(), Session(db) as session:
        return tuple(_summary(row) for row in session.execute(newest))


def _summary(row: Sequence[Any]) -> RunSummary:  # a row of _SUMMARY
    one = RunSummary(*row)
    return replace(one, error=f"the run failed; its log is {SEALED}") if one.sealed and one.error else one


def list_task_runs(db: Engine, limit: int = 1000) -> tuple[TaskRunSummary, ...]:
    """Return the newest runs on lm-eval's own tasks, newest first."""
    newest = _task_summaries().order_by(RunRow.created_at.desc(), RunRow.id).limit(limit)
    with translate_errors(), Session(db) as session:
        return tuple(_task_summary(row) for row in session.execute(newest))


def _task_summary(row: Sequence[Any]) -> TaskRunSummary:  # a row of _TASK_SUMMARY
    run, model, engine, settings, *rest = row
    return TaskRunSummary(run, model, engine, tuple(settings.get("tasks", ())), *rest)


def tags_by_run(db: Engine) -> dict[str, tuple[str, ...]]:
    """Return the tags of runs by run, of those of `fathom run` only: uploads may say anything.

    Reads a part of every manifest, so it is for the command line, not for pages.
    """
    stated = RunRow.manifest["context"]["tags"]
    wanted = select(RunRow.id, stated).where(RunRow.tier == OWN_TIER, RunRow.layer != "upload")
    with translate_errors(), Session(db) as session:
        return {run: tuple(map(str, tags)) for run, tags in session.execute(wanted) if isinstance(tags, list)}


def count_runs(db: Engine) -> int:
    """Return the number of runs on suites."""
    with translate_errors(), Session(db) as session:
        return session.scalars(select(func.count()).select_from(RunRow).where(*_SHOWN)).one()


def count_by_state(db: Engine) -> dict[str, int]:
    """Return the number of runs on suites by state, incomplete uploads included."""
    by_state = select(_STATE.label("shown"), func.count()).where(RunRow.kind == "suite").group_by("shown")
    with translate_errors(), Session(db) as session:
        rows = session.execute(by_state)
        return {row[0]: row[1] for row in rows}


def runs_of_model(db: Engine, model: int, limit: int = 200) -> tuple[RunSummary, ...]:
    """Return a model's newest runs, newest first."""
    newest = _summaries().where(RunRow.model_id == model).order_by(RunRow.created_at.desc(), RunRow.id).limit(limit)
    with translate_errors(), Session(db) as session:
        return tuple(_summary(row) for row in session.execute(newest))


def get_summary(db: Engine, run: str) -> RunSummary:
    """Return a run on a suite in short, by its id or a unique prefix of it.

    Raises:
        UnknownRun: no run or several runs have this prefix.
    """
    with translate_errors(), Session(db) as session:
        return _summary(_find(session, _summaries(), run))


def _find(session: Session, wanted: Any, run: str) -> Sequence[Any]:  # wanted: a Select of runs
    """Return the one row of `wanted` whose run has this prefix."""
    start = run.lower()
    # ids are hex digits, so every id with this prefix sorts before the prefix and a "g"
    near = wanted.where(RunRow.id >= start, RunRow.id < start + "g").limit(2)
    rows = session.execute(near).all() if _HEX.fullmatch(start) else []
    if len(rows) != 1:
        what = "no run" if not rows else "more than one run"
        raise UnknownRun(f"{what} begins with {run[:40]!r}: `fathom runs` lists them")
    found: Sequence[Any] = rows[0]
    return found


def kind_of_run(db: Engine, run: str) -> RunKind:
    """Return the kind of a run, by its id or a unique prefix of it.

    Raises:
        UnknownRun: no run or several runs have this prefix.
    """
    with translate_errors(), Session(db) as session:
        kind: RunKind = _find(session, select(RunRow.kind).where(RunRow.layer != "upload"), run)[0]
        return kind


def get_run(db: Engine, run: str) -> RunDetail:
    """Return a run on a suite with manifest and cells, by its id or a unique prefix of it.

    Raises:
        UnknownRun: no run or several runs have this prefix.
    """
    with translate_errors(), Session(db) as session:
        summary = _summary(_find(session, _summaries(), run))
        both = select(RunRow, SuiteRow).join(SuiteRow, SuiteRow.id == RunRow.suite_id)
        row, stored = session.execute(both.where(RunRow.id == summary.run)).one()
        cells = session.execute(select(*CELL_COLUMNS).where(CellRow.run_id == row.id).order_by(CellRow.position))
        suite = Suite(stored.name, stored.version, stored.seed, tuple(SuiteCell(**cell) for cell in stored.cells))
        found = RunDetail(
            summary, suite, stored.digest, stored.pool, Manifest.read(row.manifest), row.manifest_digest, row.log,
            tuple(counts_of(cell) for cell in cells), row.model_path,
        )  # fmt: skip
        return _sealed(found) if summary.sealed else found


def get_task_run(db: Engine, run: str) -> TaskRunDetail:
    """Return a run on lm-eval's own tasks with settings and results, by its id or a unique prefix of it.

    Raises:
        UnknownRun: no run or several runs have this prefix.
    """
    with translate_errors(), Session(db) as session:
        summary = _task_summary(_find(session, _task_summaries(), run))
        row = session.get_one(RunRow, summary.run)
        results = session.scalars(select(ResultRow.scores).where(ResultRow.run_id == row.id)).first()
        reason = TaskSampleRow.finish_reason
        counted = select(reason, func.count()).where(TaskSampleRow.run_id == row.id).group_by(reason).order_by(reason)
        by_reason = {found[0]: found[1] for found in session.execute(counted)}
        manifest = Manifest.read(row.manifest)
        return TaskRunDetail(
            summary, row.settings or {}, manifest, row.manifest_digest, results, row.log, by_reason, row.model_path
        )


def _sealed(one: RunDetail) -> RunDetail:
    """Remove what could reveal the items; an engine's log may quote a prompt."""
    log = None if one.log is None else SEALED
    manifest = Manifest.read(redact(one.manifest.stored))
    return replace(one, suite_digest=SEALED, manifest=manifest, manifest_digest=SEALED, log=log)


def summaries_of(db: Engine, runs: Sequence[str]) -> tuple[RunSummary, ...]:
    """Return runs on suites by their whole ids, in the given order.

    Raises:
        UnknownRun: one of them does not exist.
    """
    with translate_errors(), Session(db) as session:
        found = {row[0]: _summary(row) for row in session.execute(_summaries().where(RunRow.id.in_(runs)))}
    for run in runs:
        if run not in found:
            raise UnknownRun(f"no run {run[:40]!r}: `fathom runs` lists them")
    return tuple(found[run] for run in runs)


def cells_of_runs(
    db: Engine, runs: Sequence[str], family: str | None = None, style: str | None = None
) -> Mapping[str, tuple[CellCounts, ...]]:
    """Return the cells of several runs by run, all cells or those of one family or style, in one statement."""
    found: dict[str, list[CellCounts]] = {run: [] for run in runs}
    with translate_errors(), Session(db) as session:
        statement = select(CellRow.run_id, *CELL_COLUMNS).where(CellRow.run_id.in_(runs))
        if family is not None:
            statement = statement.where(CellRow.family == family)
        if style is not None:
            statement = statement.where(CellRow.style == style)
        for run, *cell in session.execute(statement.order_by(CellRow.run_id, CellRow.position)):
            found[run].append(counts_of(cell))
    return {run: tuple(cells) for run, cells in found.items()}


def count_samples(db: Engine, run: str) -> int:
    """Return the number of a run's stored samples."""
    with translate_errors(), Session(db) as session:
        statement = select(func.count()).select_from(SampleRow).join(CellRow).where(CellRow.run_id == run)
        return session.scalars(statement).one()


def count_kept(db: Engine, run: str) -> dict[int, int]:
    """Return the number of a run's completions by id of their cell, without those on which the engine failed."""
    with translate_errors(), Session(db) as session:
        rows = session.execute(
            select(SampleRow.cell_id, func.count().label("n"))
            .join(CellRow, CellRow.id == SampleRow.cell_id)
            .where(CellRow.run_id == run, SampleRow.finish_reason != "error")
            .group_by(SampleRow.cell_id)
        )
        return {row.cell_id: row.n for row in rows}


def get_marks(db: Engine, run: str) -> list[tuple[int, int, bool | None]]:
    """Return (id of the cell, index of the item, whether it was right) of a run's samples; None on a failed request."""
    with translate_errors(), Session(db) as session:
        rows = session.execute(
            select(SampleRow.cell_id, SampleRow.index, SampleRow.correct, SampleRow.finish_reason)
            .join(CellRow, CellRow.id == SampleRow.cell_id)
            .where(CellRow.run_id == run)
        )
        return [(cell, index, None if reason == "error" else correct) for cell, index, correct, reason in rows]


def get_samples(db: Engine, detail: RunDetail, wanted: SampleFilter, offset: int = 0, limit: int = 50) -> SamplePage:
    """Return a page of a run's samples in the order of cells and indices.

    Raises:
        SealedRun: the season has not revealed its seed.
    """
    check_unsealed(detail.summary.sealed, detail.summary.season)
    conditions: list[Any] = [CellRow.run_id == detail.summary.run]
    if wanted.cell is not None:
        conditions.append(SampleRow.cell_id == wanted.cell)
    conditions += chosen_samples(wanted)
    counted = select(func.count()).select_from(SampleRow).join(CellRow).where(*conditions)
    wanted_rows = select(*SAMPLE_COLUMNS).join(CellRow, CellRow.id == SampleRow.cell_id).where(*conditions)
    ordered = wanted_rows.order_by(CellRow.position, SampleRow.index, SampleRow.repeat)
    with translate_errors(), Session(db) as session:
        total = session.scalars(counted).one()
        rows = session.execute(ordered.offset(offset).limit(limit))
        return SamplePage(tuple(view(row, detail.suite.seed) for row in rows), total)


def chosen_samples(wanted: SampleFilter) -> list[Any]:  # SQL conditions; SQLAlchemy's own types name no column
    """Return the conditions on samples of a filter, without that on the cell."""
    conditions: list[Any] = []
    if wanted.label is not None:
        conditions.append(SampleRow.label == wanted.label)
    if wanted.correct is not None:
        conditions.append(SampleRow.correct == wanted.correct)
    if wanted.readings:
        conditions.append(or_(*map(_reading_is, wanted.readings)))
    return conditions


def _reading_is(reading: Reading) -> Any:  # an SQL condition, as above
    """Return the condition that a sample has this reading; samples of older versions have none."""
    if reading == "cut":
        return (SampleRow.label == "cut_off") & SampleRow.found.is_not(None)
    if reading == "unread":
        return (SampleRow.found == "none") & SampleRow.label.not_in(NO_READING)
    return SampleRow.found == reading


def get_sample(db: Engine, detail: RunDetail, sample: int) -> SampleView:
    """Return one sample of a run.

    Raises:
        UnknownRun: the run has no such sample.
        SealedRun: the season has not revealed its seed.
    """
    check_unsealed(detail.summary.sealed, detail.summary.season)
    same = (SampleRow.id == sample, CellRow.run_id == detail.summary.run)
    wanted = select(*SAMPLE_COLUMNS).join(CellRow, CellRow.id == SampleRow.cell_id).where(*same)
    with translate_errors(), Session(db) as session:
        row = session.execute(wanted).first()
        if row is None:
            raise UnknownRun(f"run {detail.summary.run} has no sample {sample}: its page of samples lists them")
        return view(row, detail.suite.seed)


def view(row: Sequence[Any], seed: str) -> SampleView:
    """Read a row of SAMPLE_COLUMNS."""
    number, index, completion, reason, scores, *rest = row[:16]
    _, family, version, level, channel, style = row[16:]
    item = f"{family}@{version}/{level}/{channel}/{seed}/{index}"
    likelihoods = None if scores is None else tuple(scores)
    return SampleView(number, item, style, index, completion, reason, likelihoods, *rest)


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed requests of a run, by reason; errors that differ in numbers only are one reason."""

    n_samples: int
    n_failed: int
    reasons: tuple[tuple[str, int], ...]
    """An example of each reason, and how often it occurred; the most frequent first."""

    @property
    def is_total(self) -> bool:
        """Whether no request at all was answered."""
        return self.n_failed == self.n_samples > 0

    def __str__(self) -> str:
        """Say how many failed, and the most frequent reason; empty where none did."""
        if not self.n_failed:
            return ""
        reason, n = self.reasons[0] if self.reasons else ("no reason given", self.n_failed)
        how_often = "each time" if n == self.n_failed else f"{plural(n, 'time')}"
        said = f"{count(self.n_failed)} of {plural(self.n_samples, 'request')} failed, {how_often} with: {reason}"
        return f"no request was answered: {said}" if self.is_total else said

    def log(self) -> str:
        """List the reasons, one a line."""
        return "\n".join(f"{count(n)} x {reason}" for reason, n in self.reasons[:_LISTED])


def failures_of(db: Engine, run: str) -> Failures:
    """Return the failed requests of a run of either kind, by its whole id."""
    with translate_errors(), Session(db) as session:
        return _read(session, run)


def total_failure(db: Engine, run: str) -> Failures | None:
    """Return the failed requests of a run that has samples and no answer, else None, after a look at one sample."""
    with translate_errors(), Session(db) as session:
        return total_failure_in(session, run)


def total_failure_in(session: Session, run: str) -> Failures | None:
    """Do as `total_failure`, within the caller's transaction, so that what follows sees the same samples."""
    if any(
        session.execute(select(table.finish_reason).where(same, table.finish_reason != "error").limit(1)).first()
        for table, same in _samples_of(run)
    ):
        return None
    failures = _read(session, run)
    return failures if failures.is_total else None


def _samples_of(run: str) -> tuple[tuple[type[SampleRow] | type[TaskSampleRow], ColumnElement[bool]], ...]:
    """Return the tables that hold samples of a run of either kind, with the condition that picks them."""
    of_run = SampleRow.cell_id.in_(select(CellRow.id).where(CellRow.run_id == run).scalar_subquery())
    return (SampleRow, of_run), (TaskSampleRow, TaskSampleRow.run_id == run)


def _read(session: Session, run: str) -> Failures:
    n_samples, failed = 0, Counter[str]()
    for table, same in _samples_of(run):
        n_samples += session.execute(select(func.count()).select_from(table).where(same)).scalar_one()
        n = func.count()
        texts = select(table.error, n).where(same, table.finish_reason == "error").group_by(table.error)
        for text, times in session.execute(texts.order_by(n.desc(), table.error).limit(_TEXTS)):
            failed[text or "no reason given"] += times
    return Failures(n_samples, sum(failed.values()), tuple(_merged(failed.most_common())))


def _merged(errors: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Join errors that differ in numbers only, as the length of a prompt; keep the first text of each."""
    found: dict[str, tuple[str, int]] = {}
    for text, n in errors:
        kind = re.sub(r"\d+", "0", text[:_LONGEST])
        example, before = found.get(kind, (text[:_LONGEST], 0))
        found[kind] = (example, before + n)
    return sorted(found.values(), key=lambda one: -one[1])


def any_run(db: Engine, run: str) -> RunDetail | TaskRunDetail:
    """Return a run of either kind, by its id or a unique prefix of it.

    Raises:
        UnknownRun: no run or several runs have this prefix.
    """
    return get_task_run(db, run) if kind_of_run(db, run) == "tasks" else get_run(db, run)

"""Write runs: each public function is one transaction, or part of the caller's; writing twice changes nothing."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, case, delete, exists, func, insert, select, update
from sqlalchemy.orm import Session

from fathom.harness.db.engine import insert_if_new, translate_errors, writing
from fathom.harness.db.models import model_id
from fathom.harness.db.read import total_failure_in
from fathom.harness.db.schema.probes import ProbeRow
from fathom.harness.db.schema.runs import (
    OWN_TIER,
    CellRow,
    MarkRow,
    ModelRow,
    ResultRow,
    RunRow,
    SampleRow,
    SuiteRow,
)
from fathom.harness.db.schema.task_samples import TaskDocRow, TaskSampleRow
from fathom.harness.engines.base import Completion
from fathom.harness.records import NO_READING, prompt_format_of
from fathom.harness.stats.repeats import Spread, Tally, Vote
from fathom.tasks.base import Verdict
from fathom.tasks.suites import Suite

Clock = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    """Return the present instant."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run comes from: its process, and the files of its model. Empty for what others have run."""

    holder: str | None = None
    """Text of the `harness.db.liveness.Holder` that runs it."""
    model_path: str | None = None
    """Folder of the model on this machine."""
    model_digest: str | None = None
    """Of the files in that folder, if they decide what model it is; None where its name does."""
    is_named: bool = False
    """Whether the user named the model, so that an earlier name of the same files gives way."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run on a suite, before it starts."""

    model: str
    engine: str
    suite: Suite
    suite_digest: str
    manifest: dict[str, Any]  # JSON of harness.runs.manifest.Manifest
    manifest_digest: str
    n_parameters: int | None = None
    model_kind: str | None = None
    """chat or base; None where the model's files are not here."""
    tier: int = OWN_TIER
    layer: str = "main"
    n_repeats: int = 1
    """Answers to each item."""
    season: str = ""
    """Season whose seed the suite has, or empty."""
    sealed: bool = False
    """Whether that seed is still secret: then it is not stored."""
    origin: Origin = field(default_factory=Origin)


@dataclass(frozen=True, slots=True)
class NewTaskRun:
    """A run on lm-eval's own tasks, before it starts."""

    model: str
    engine: str
    settings: dict[str, Any]  # JSON; `tasks` names the tasks
    requests_digest: str
    """Covers every prompt."""
    lm_eval: str
    """Version of lm-eval, which defines the tasks."""
    n_requests: int
    manifest: dict[str, Any]  # JSON of harness.runs.manifest.Manifest
    manifest_digest: str
    n_parameters: int | None = None
    model_kind: str | None = None
    origin: Origin = field(default_factory=Origin)


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion of a suite's item, with its verdict."""

    cell: int
    """Position of its cell in the suite."""
    index: int
    repeat: int
    key: str
    completion: Completion
    verdict: Verdict


def start_run(db: Engine, new: NewRun, now: Clock = utc_now) -> str:
    """Store a run and its empty cells; return the run's id."""
    with writing(db) as session:
        return add_run(session, new, now)


def add_run(session: Session, new: NewRun, now: Clock = utc_now) -> str:
    """Store a run and its empty cells in the caller's transaction; return the run's id."""
    asked = {
        "suite_id": suite_id(session, new), "n_items": new.suite.n_items, "n_repeats": new.n_repeats,
        "tier": new.tier, "layer": new.layer,
    }  # fmt: skip
    run = _add_row(session, new, asked, now)
    rows = [
        {"run_id": run, "position": at, "family": cell.family, "version": cell.version, "level": cell.level,
         "channel": cell.channel, "style": cell.style, "n_planned": cell.n}
        for at, cell in enumerate(new.suite.cells)
    ]  # fmt: skip
    session.execute(insert(CellRow), rows)
    return run


def start_task_run(db: Engine, new: NewTaskRun, now: Clock = utc_now) -> str:
    """Store a run on lm-eval's own tasks; return its id."""
    tasks = {"name": "lm-eval", "version": new.lm_eval, "seed": "", "cells": []}
    with writing(db) as session:
        asked = {
            "kind": "tasks", "suite_id": _suite_of(session, new.requests_digest, tasks),
            "n_items": new.n_requests, "settings": new.settings,
        }  # fmt: skip
        return _add_row(session, new, asked, now)


def _add_row(session: Session, new: NewRun | NewTaskRun, asked: dict[str, Any], now: Clock) -> str:
    """Store a run's row; `asked` holds columns that depend on the kind."""
    run = RunRow(
        id=uuid4().hex[:12],
        model_id=_model_of(session, new),
        state="running",
        engine=new.engine,
        manifest=new.manifest,
        manifest_digest=new.manifest_digest,
        prompt_format=prompt_format_of(new.manifest),
        n_parameters=new.n_parameters,
        model_kind=new.model_kind,
        created_at=now(),
        model_path=new.origin.model_path,
        holder=new.origin.holder,
        heartbeat_at=None if new.origin.holder is None else func.now(),
        **asked,
    )
    session.add(run)
    session.flush()
    return run.id


def _model_of(session: Session, new: NewRun | NewTaskRun) -> int:
    origin, decisive = new.origin, new.manifest.get("decisive", {})
    stated = str(decisive.get("model", {}).get("digest") or "")
    return model_id(session, new.model, origin.model_digest, stated, is_named=origin.is_named)


def suite_id(session: Session, new: NewRun) -> int:
    """Return the id of a run's row in `suites`; add the row if it is missing. `new.suite_digest` must be right."""
    suite = new.suite
    rest = {
        "name": suite.name, "version": suite.version, "seed": suite.seed, "cells": suite.to_json(),
        "pool": suite.pool(), "season": new.season, "sealed": new.sealed,
    }  # fmt: skip
    if new.sealed:
        rest["seed"] = sealed_seed(new.season)
    return _suite_of(session, new.suite_digest, rest)


def sealed_seed(season: str) -> str:
    """Return the name that is stored in place of a season's seed until the seed is revealed."""
    return f"sealed-{season}"


def _suite_of(session: Session, digest: str, rest: dict[str, Any]) -> int:
    """Return the id of the suite with this digest; add it, with the columns of `rest`, if it is missing."""
    session.execute(insert_if_new(session.get_bind(), SuiteRow).values(digest=digest, **rest))
    return session.scalars(select(SuiteRow.id).where(SuiteRow.digest == digest)).one()


def resume_run(db: Engine, run: str) -> None:
    """Reopen a run that no process of this machine runs; see `reopen_run`, and `harness.db.liveness.take_over_run`."""
    with writing(db) as session:
        reopen_run(session, run)


def reopen_run(session: Session, run: str) -> None:
    """Set a run of either kind to running, and delete the samples on which the engine failed, and all scores.

    The caller's transaction does it; nobody holds the run afterwards.
    """
    of_task_run = TaskSampleRow.run_id == run
    session.execute(delete(SampleRow).where(SampleRow.cell_id.in_(_cells(run)), SampleRow.finish_reason == "error"))
    session.execute(delete(TaskSampleRow).where(of_task_run, TaskSampleRow.finish_reason == "error"))
    session.execute(delete(MarkRow).where(MarkRow.run_id == run))  # without marks, its results are computed again
    session.execute(delete(TaskDocRow).where(TaskDocRow.run_id == run))
    if session.scalars(select(RunRow.kind).where(RunRow.id == run)).one() == "tasks":
        session.execute(delete(ResultRow).where(ResultRow.run_id == run))
    session.execute(
        update(RunRow)
        .where(RunRow.id == run)
        .values(state="running", attempts=RunRow.attempts + 1, error=None, log=None, finished_at=None, **_FREE)
    )
    recount(session, run)


def record_samples(db: Engine, run: str, cell_ids: Sequence[int], samples: Sequence[Sample]) -> int:
    """Store samples that are not stored yet; return how many were new. `cell_ids` are in the suite's order."""
    with translate_errors(), db.begin() as connection:
        return add_samples(connection, run, cell_ids, samples)


def add_samples(connection: Connection, run: str, cell_ids: Sequence[int], samples: Sequence[Sample]) -> int:
    """Store samples in the caller's transaction; see `record_samples`."""
    if not samples:
        return 0
    rows = [_row(cell_ids[sample.cell], sample) for sample in samples]
    added = connection.execute(insert_if_new(connection, SampleRow).returning(SampleRow.id), rows)
    n_new = len(added.all())
    connection.execute(update(RunRow).where(RunRow.id == run).values(n_generated=RunRow.n_generated + n_new))
    return n_new


def _row(cell: int, sample: Sample) -> dict[str, Any]:  # values of SampleRow's columns
    done = sample.completion
    return {
        "cell_id": cell,
        "index": sample.index,
        "repeat": sample.repeat,
        "key": sample.key,
        "finish_reason": done.finish_reason,
        "completion": storable(done.text),
        "scores": None if done.scores is None else list(done.scores),
        "parsed": None if sample.verdict.parsed is None else storable(sample.verdict.parsed),
        "label": sample.verdict.label,
        "fault_at": sample.verdict.at,
        "note": storable(sample.verdict.note),
        "correct": sample.verdict.correct,
        "found": sample.verdict.found,
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens,
        "milliseconds": round(done.seconds * 1000),
        "error": None if done.error is None else storable(done.error),
    }


def storable(text: str) -> str:
    """Replace what PostgreSQL cannot hold: NUL and lone surrogates become U+FFFD."""
    if text.isascii():
        return text.replace("\0", "\ufffd")
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


_FREE = {"holder": None, "heartbeat_at": None}
"""Columns of a run that no process runs."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt at a run ended."""

    state: str
    seconds: float
    error: str | None = None
    log: str | None = None


def finish_run(db: Engine, run: str, ending: Ending, now: Clock = utc_now) -> None:
    """Store how an attempt at a run of either kind ended, and count its samples."""
    with writing(db) as session:
        end_run(session, run, ending, now)


def plan_cells(db: Engine, run: str, n_items: Mapping[int, int]) -> None:
    """State how many items each cell of an adaptive run has, by id of the cell: decided while the run went on."""
    with writing(db) as session:
        for cell, n in n_items.items():
            session.execute(update(CellRow).where(CellRow.id == cell, CellRow.run_id == run).values(n_planned=n))
        session.execute(update(RunRow).where(RunRow.id == run).values(n_items=sum(n_items.values())))


def end_run(session: Session, run: str, ending: Ending, now: Clock = utc_now) -> None:
    """Store how an attempt ended in the caller's transaction; see `finish_run`.

    A run without any answer, because every request failed, has failed, whatever the ending says.
    """
    if ending.state == "done" and (failures := total_failure_in(session, run)) is not None:
        ending = Ending("failed", ending.seconds, str(failures), failures.log())
    recount(session, run)
    session.execute(
        update(RunRow)
        .where(RunRow.id == run)
        .values(
            state=ending.state,
            seconds=RunRow.seconds + round(ending.seconds),
            error=ending.error,
            log=ending.log,
            finished_at=now(),
            **_FREE,
        )
    )


def note_engine(db: Engine, run: str, facts: dict[str, str], first_prompt: dict[str, Any] | None = None) -> None:
    """Add the loaded engine's facts, and the first prompt of the first attempt, to the manifest, outside its digest."""
    with writing(db) as session:
        describe_engine(session, run, facts)
        row = session.get_one(RunRow, run)
        if first_prompt and "first_prompt" not in row.manifest:
            row.manifest = {**row.manifest, "first_prompt": first_prompt}


def describe_engine(session: Session, run: str, facts: dict[str, str], worker: str = "") -> None:
    """Add an engine's facts to the manifest in the caller's transaction, under the worker's name if there is one."""
    row = session.get_one(RunRow, run, with_for_update=True)
    manifest = {**row.manifest, "engine_facts": facts}
    if worker:
        manifest["workers"] = {**manifest.get("workers", {}), worker: facts}
    row.manifest, row.dtype = manifest, facts.get("dtype")


def _cells(run: str) -> Any:  # a scalar subquery; SQLAlchemy's own type names no column
    return select(CellRow.id).where(CellRow.run_id == run).scalar_subquery()


def recount(session: Session, run: str) -> None:
    """Count a run and its cells from its samples, in the caller's transaction."""
    counts = _count_cells(session, run)
    if counts:
        session.execute(update(CellRow), counts)
        n_done = sum(row["n"] + row["n_errors"] for row in counts)
        totals = {name: _total(row[name] for row in counts) for name in ("k", *_FOUND)}
    else:
        counted = select(func.count()).select_from(TaskSampleRow).where(TaskSampleRow.run_id == run)
        n_done, totals = session.scalars(counted).one(), {"k": 0}
    session.execute(update(RunRow).where(RunRow.id == run).values(n_done=n_done, **totals))


_FOUND = ("n_asked", "n_unread", "n_cut")
"""Columns that count how answers were found; None where one of them is not known."""


def _total(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(filter(None, known))


def _count_cells(session: Session, run: str) -> list[dict[str, Any]]:
    """Return the counted columns of each cell; none for a run of tasks."""
    graded = SampleRow.finish_reason != "error"
    found = session.execute(
        select(
            SampleRow.cell_id,
            SampleRow.label,
            SampleRow.found,
            func.sum(case((graded, 1), else_=0)),
            func.sum(case((SampleRow.correct, 1), else_=0)),
            func.sum(case((graded, 0), else_=1)),
        )
        .where(SampleRow.cell_id.in_(_cells(run)))
        .group_by(SampleRow.cell_id, SampleRow.label, SampleRow.found)
        .order_by(SampleRow.cell_id, SampleRow.label)
    ).all()
    spreads = {cell: spread.to_json() for cell, spread in _spreads_of(session, run).items()}
    counts: dict[int, dict[str, Any]] = {
        cell: {
            **dict.fromkeys(("n", "k", "n_errors", *_FOUND), 0),
            "id": cell,
            "labels": {},
            "spread": spreads.get(cell),
        }
        for cell in session.scalars(select(CellRow.id).where(CellRow.run_id == run))
    }
    for cell, label, how, n, k, errors in found:
        row = counts[cell]
        row["n"], row["k"], row["n_errors"] = row["n"] + n, row["k"] + k, row["n_errors"] + errors
        if n:
            row["labels"][label] = row["labels"].get(label, 0) + n
            _count_found(row, label, how, n)
    return list(counts.values())


def _count_found(row: dict[str, Any], label: str, found: str | None, n: int) -> None:
    """Add n graded samples to a cell's counts; one that was graded by an older version makes them unknown."""
    if found is None:
        row.update(dict.fromkeys(_FOUND))
    if row["n_asked"] is None:
        return
    row["n_asked"] += n * (found == "asked")
    row["n_cut"] += n * (label == "cut_off")
    row["n_unread"] += n * (found == "none" and label not in NO_READING)


_AT_A_TIME = 2000


def _spreads_of(session: Session, run: str) -> dict[int, Spread]:
    """Count the items of each cell by their number of right answers, one item in memory at a time; no repeats: {}."""
    repeats = session.scalars(select(RunRow.n_repeats).where(RunRow.id == run)).one()
    if repeats == 1:
        return {}
    cells = session.scalars(select(CellRow.id).where(CellRow.run_id == run)).all()
    return {cell: _spread(session, cell, repeats) for cell in cells}


def _spread(session: Session, cell: int, repeats: int) -> Spread:
    tally = Tally(repeats)
    for item in _items(session, cell):
        tally.add(item)
    return tally.spread


def _items(session: Session, cell: int) -> Iterator[list[Vote]]:
    """Yield the graded answers to each item."""
    columns = (SampleRow.index, SampleRow.correct, SampleRow.parsed)
    wanted = select(*columns).where(SampleRow.cell_id == cell, SampleRow.finish_reason != "error")
    # this is the order of the table's unique index: the database sorts nothing and sends rows as it reads them
    ordered = wanted.order_by(SampleRow.index, SampleRow.repeat).execution_options(yield_per=_AT_A_TIME)
    for _, rows in groupby(session.execute(ordered), key=lambda row: row[0]):
        yield [Vote(row.correct, row.parsed) for row in rows]


_NOT_YET = "upload"
"""Digest of the row in `suites` that an upload points to until its own suite's digest is checked."""


def add_incomplete(session: Session, new: NewRun, dtype: str | None, now: Clock) -> str:
    """Store a run of tier 1 in the caller's transaction, shown nowhere and without a suite so far; return its id."""
    nothing = {"name": "", "version": "", "seed": "", "cells": [], "pool": ""}
    _suite_of(session, _NOT_YET, nothing)
    run = add_run(session, replace(new, suite_digest=_NOT_YET, tier=1, layer="upload"), now)
    session.execute(update(RunRow).where(RunRow.id == run).values(dtype=dtype))
    return run


def remove_incomplete(session: Session, run: str) -> None:
    """Delete an incomplete run, and its model if that has no other run."""
    model = session.scalars(select(RunRow.model_id).where(RunRow.id == run)).first()
    session.execute(delete(RunRow).where(RunRow.id == run, RunRow.layer == "upload"))
    unused = (~exists().where(used.model_id == ModelRow.id) for used in (RunRow, ProbeRow))
    session.execute(delete(ModelRow).where(ModelRow.id == model, *unused))

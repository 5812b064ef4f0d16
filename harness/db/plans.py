"""Turn accepted submissions into runs and jobs, and done jobs into finished submissions: one transaction a step."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, func, insert, select
from sqlalchemy.orm import Session

from harness.db import audit
from harness.db.engine import translate_errors, writing
from harness.db.models import RunRow
from harness.db.service import JobRow, SubmissionRow
from harness.db.settling import ACTIVE, OVER, RUNNING_KINDS, end_runs
from harness.db.write import Clock, Ending, NewRun, add_run, end_run, utc_now
from harness.faults import fault_of


@dataclass(frozen=True, slots=True)
class Asked:
    """A submission of a model that waits to be planned."""

    id: str
    model: str
    revision: str
    sha: str
    dtype: str
    style: str
    chat_template: bool
    suite: str
    season: str
    engine: str
    n_parameters: int | None
    model_kind: str | None


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run to be made, and its shards as positions of cells; `kind` is that of its jobs, run or fresh."""

    kind: str
    new: NewRun
    shards: Sequence[Sequence[int]]


def list_unplanned(db: Engine) -> list[Asked]:
    """Return the submissions of models that have no jobs yet, oldest first."""
    columns = [getattr(SubmissionRow, name) for name in Asked.__slots__]
    waiting = select(*columns).where(SubmissionRow.state == "validating", SubmissionRow.kind == "model")
    with translate_errors(), Session(db) as session:
        return [Asked(*row) for row in session.execute(waiting.order_by(SubmissionRow.created_at, SubmissionRow.id))]


def store_plan(db: Engine, submission: str, runs: Sequence[PlannedRun], now: Clock = utc_now) -> bool:
    """Store runs and jobs and queue the submission; return False where another process did, or it was cancelled."""
    at = now()
    with writing(db) as session:
        row = session.get(SubmissionRow, submission, with_for_update=True)
        if row is None or row.state != "validating":
            return False
        for planned in runs:
            run = add_run(session, planned.new, now)
            if planned.kind == "run":
                row.run_id = run
            else:
                row.fresh_run_id = run
            session.execute(
                insert(JobRow), [_job(row, planned, run, shard, at) for shard in range(len(planned.shards))]
            )
        row.state, row.changed_at = "queued", at
        return True


def _job(row: SubmissionRow, planned: PlannedRun, run: str, shard: int, at: dt.datetime) -> dict[str, object]:
    cells = list(planned.shards[shard])
    return {
        "submission_id": row.id, "owner_id": row.owner_id, "kind": planned.kind, "run_id": run, "shard": shard,
        "cells": cells, "state": "queued", "priority": row.priority, "not_before": at, "created_at": at,
        "progress_total": sum(planned.new.suite.cells[cell].n for cell in cells),
    }  # fmt: skip


def refuse_plan(db: Engine, submission: str, code: str, tail: str, now: Clock = utc_now) -> None:
    """Note that a submission cannot be planned."""
    with writing(db) as session:
        row = session.get(SubmissionRow, submission, with_for_update=True)
        if row is None or row.state != "validating":
            return
        row.state, row.error_code, row.error_tail, row.fingerprint = "failed", code, tail[-8000:], None
        row.quota_returned = row.quota_returned or fault_of(code).ours
        row.changed_at = row.finished_at = now()
        audit.record(session, "system", "submission.failed", f"submission/{submission}", code=code)


def list_generated(db: Engine) -> list[str]:
    """Return the submissions of models all of whose jobs are done, oldest first."""
    unfinished = select(JobRow.id).where(
        JobRow.submission_id == SubmissionRow.id, JobRow.kind.in_(RUNNING_KINDS), JobRow.state != "done"
    )
    waiting = select(SubmissionRow.id).where(SubmissionRow.kind == "model", SubmissionRow.state.in_(ACTIVE))
    with translate_errors(), Session(db) as session:
        return list(session.scalars(waiting.where(~unfinished.exists()).order_by(SubmissionRow.created_at)))


def close_runs(db: Engine, submission: str, now: Clock = utc_now) -> None:
    """End the runs of a submission as done, and count their cells."""
    with writing(db) as session:
        row = session.get(SubmissionRow, submission, with_for_update=True)
        if row is None or row.state not in ACTIVE:
            return
        row.state = "scoring"
        spent = select(func.coalesce(func.sum(JobRow.seconds), 0.0))
        for run in (row.run_id, row.fresh_run_id):
            if run is not None and session.get_one(RunRow, run).state == "running":
                seconds = session.execute(spent.where(JobRow.run_id == run)).scalar_one()
                end_run(session, run, Ending("done", float(seconds)), now)


def finish_submission(db: Engine, submission: str, now: Clock = utc_now) -> bool:
    """Say that a submission's runs are done and have landed; return False where that was said before."""
    with writing(db) as session:
        row = session.get(SubmissionRow, submission, with_for_update=True)
        if row is None or row.state != "scoring":
            return False
        row.state = "finished"
        row.changed_at = row.finished_at = now()
        audit.record(session, "system", "submission.finished", f"submission/{submission}", run=row.run_id)
        return True


def end_stopped_runs(db: Engine, now: Clock = utc_now) -> int:
    """End the runs of submissions that were cancelled, superseded or failed while they went on; return how many."""
    going = select(RunRow.id).where(RunRow.state == "running")
    stopped = select(SubmissionRow.id).where(
        SubmissionRow.state.in_(OVER), SubmissionRow.run_id.in_(going) | SubmissionRow.fresh_run_id.in_(going)
    )
    with translate_errors(), Session(db) as session:
        found = list(session.scalars(stopped))
    for submission in found:
        with writing(db) as session:
            row = session.get_one(SubmissionRow, submission, with_for_update=True)
            end_runs(session, row, Ending("interrupted", 0, f"the submission was {row.state}"), now())
    return len(found)

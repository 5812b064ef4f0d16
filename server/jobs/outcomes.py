"""The state of a submission, derived from the states of its jobs.

Every change of a job is followed by `update_submission`, in a transaction of its own. It locks the submission first and
its jobs after it, so that two workers never wait for each other. If a process is killed in between, a background task
of the server catches up.
"""

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from fathom.harness.db import audit
from fathom.harness.db.engine import writing
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.db.schema.service import JobRow, SubmissionRow
from fathom.harness.db.write import Clock, Ending, end_run, utc_now
from fathom.harness.service.faults import fault_of

WAITING = ("validating", "queued")
"""States of a submission that no worker has claimed."""
ACTIVE = ("queued", "leased", "downloading", "loading", "generating", "scoring")
"""States of a submission that has jobs and has not ended."""
OVER = ("failed", "cancelled", "superseded")
"""States of a submission none of whose jobs may continue."""
_PHASES = ("leased", "downloading", "loading", "generating")
RUNNING_KINDS = ("run", "fresh")
"""Kinds of job that decide whether a submitted model succeeds."""


def update_submission(db: Engine, submission: str, now: Clock = utc_now) -> None:
    """Set a model submission's state from its jobs; one failed job fails it and cancels the others."""
    with writing(db) as session:
        row = session.get(SubmissionRow, submission, with_for_update=True)
        if row is None or row.kind != "model" or row.state not in ACTIVE:
            return
        jobs = session.scalars(
            select(JobRow).where(JobRow.submission_id == submission, JobRow.kind.in_(RUNNING_KINDS)).order_by(JobRow.id)
        ).all()
        failed = next((job for job in jobs if job.state == "failed"), None)
        if failed is not None:
            _fail(session, row, failed, now())
            return
        state = _state_of(jobs)
        if state != row.state:
            row.state, row.changed_at = state, now()


def _state_of(jobs: Sequence[JobRow]) -> str:
    """Return the phase of the most advanced job; `queued` while none is leased."""
    if jobs and all(job.state == "done" for job in jobs):
        return "scoring"
    phases = [job.phase for job in jobs if job.state == "leased"]
    return max((phase for phase in phases if phase in _PHASES), key=_PHASES.index, default="queued")


def _fail(session: Session, row: SubmissionRow, job: JobRow, at: dt.datetime) -> None:
    code = job.error_code or "engine_failed"
    fault = fault_of(code)
    row.state, row.error_code, row.error_tail = "failed", code, job.error_tail
    row.fingerprint = None  # the same may be submitted again
    row.quota_returned = row.quota_returned or fault.ours
    row.changed_at = row.finished_at = at
    cancel_jobs(session, row.id)
    end_runs(session, row, Ending("failed", 0, f"{code}: {fault.words}", job.error_tail), at)
    audit.record(session, "system", "submission.failed", f"submission/{row.id}", code=code, job=job.id)


def cancel_jobs(session: Session, submission: str) -> None:
    """Cancel a submission's queued and leased jobs, in the caller's transaction."""
    session.execute(
        update(JobRow)
        .where(JobRow.submission_id == submission, JobRow.state.in_(("queued", "leased")))
        .values(state="cancelled", lease_token=None, lease_expires_at=None)
        .execution_options(synchronize_session=False)
    )


def end_runs(session: Session, row: SubmissionRow, ending: Ending, at: dt.datetime) -> None:
    """End the running runs of a submission, in the caller's transaction."""
    named = [run for run in (row.run_id, row.fresh_run_id) if run is not None]
    for run in session.scalars(select(RunRow.id).where(RunRow.id.in_(named), RunRow.state == "running")).all():
        end_run(session, run, ending, lambda: at)


def list_outdated(db: Engine) -> list[str]:
    """Return submissions that have a failed job but have not failed yet."""
    with Session(db) as session:
        failed = select(JobRow.submission_id).where(JobRow.state == "failed", JobRow.kind.in_(RUNNING_KINDS))
        waiting = select(SubmissionRow.id).where(SubmissionRow.kind == "model", SubmissionRow.state.in_(ACTIVE))
        return list(session.scalars(waiting.where(SubmissionRow.id.in_(failed))))

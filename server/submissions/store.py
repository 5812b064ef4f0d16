"""What owners do with their submissions: create, cancel, retry, withdraw. Each is one transaction."""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from fathom.harness.db import audit
from fathom.harness.db.engine import insert_if_new, writing
from fathom.harness.db.leaderboard.standings import mark_pools_stale
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.db.schema.service import JobRow, SeasonRow, SubmissionRow, UserRow
from fathom.harness.db.write import Clock, Ending, reopen_run, storable, utc_now
from fathom.harness.errors import AlreadySubmitted, Conflict, TooMany, UnknownSubmission
from fathom.harness.service.faults import fault_of
from fathom.server.jobs.outcomes import cancel_jobs, end_runs
from fathom.server.jobs.shards import missing_items

_DAY = dt.timedelta(hours=24)
CANCELLABLE = ("validating", "queued", "leased", "downloading", "loading", "generating")
"""States in which a model submission can be cancelled."""


@dataclass(frozen=True, slots=True)
class NewSubmission:
    """A model that passed all checks, at the commit that was checked."""

    model: str
    revision: str
    sha: str
    suite: str
    dtype: str = "auto"
    style: str = ""
    chat_template: bool = False
    n_shots: int = 0
    season: str = ""
    note: str = ""
    contact: str = ""
    engine: str = "vllm"
    folder: str = ""
    """Folder on this machine, whose files' digest is `sha`."""
    n_parameters: int | None = None
    n_bytes: int | None = None
    model_kind: str | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)  # JSON values, by name


def _fingerprint(new: NewSubmission | SubmissionRow) -> str:
    """Hash what identifies a submission: two with one fingerprint cannot both be active."""
    same = [new.model, new.sha, new.dtype, new.style, new.chat_template, new.suite, new.season]
    same += [new.n_shots] if new.n_shots else []  # without shots, as before there were any
    return blake2b(json.dumps(same).encode(), digest_size=16).hexdigest()


def create(db: Engine, new: NewSubmission, owner_id: int, quota: int | None, now: Clock = utc_now) -> str:
    """Store a submission, which a background task plans; return its id. With `quota` None there is no limit.

    Raises:
        AlreadySubmitted: the same was submitted before.
        Conflict: its season is not open.
        TooMany: the owner has made `quota` submissions within 24 hours.
    """
    at, mark = now(), _fingerprint(new)
    row = {
        "id": uuid4().hex[:12], "kind": "model", "owner_id": owner_id, "fingerprint": mark, "model": new.model,
        "revision": new.revision, "sha": new.sha, "dtype": new.dtype, "style": new.style, "suite": new.suite,
        "chat_template": new.chat_template, "n_shots": new.n_shots, "season": new.season, "tier": 3,
        "note": storable(new.note), "contact": storable(new.contact), "state": "validating", "engine": new.engine,
        "folder": new.folder, "n_parameters": new.n_parameters, "n_bytes": new.n_bytes, "model_kind": new.model_kind,
        "flags": dict(new.flags), "created_at": at, "changed_at": at,
    }  # fmt: skip
    with writing(db) as session:
        session.get(
            UserRow, owner_id, with_for_update=True
        )  # locked, so that two requests cannot both use up the quota
        _check_season(session, new.season)
        _check_new(session, mark)
        if quota is not None:
            _check_quota(session, owner_id, quota, at)
        added = insert_if_new(db, SubmissionRow).values(**row).returning(SubmissionRow.id)
        if session.execute(added).first() is None:
            _check_new(session, mark)
            raise Conflict("the same was being submitted just now: try again")
        about = {"model": new.model, "sha": new.sha, "suite": new.suite, "season": new.season}
        audit.record(session, f"user/{owner_id}", "submission.created", f"submission/{row['id']}", **about)
    return str(row["id"])


def _check_season(session: Session, season: str) -> None:
    """Refuse a submission to a season that is not open; the row lock keeps the season open until the commit."""
    held_row = session.get(SeasonRow, season, with_for_update=True) if season else None
    if held_row is not None and held_row.state != "open":
        raise Conflict(f"season {season} is {held_row.state} and takes no submissions: choose one that is open")


def _check_new(session: Session, mark: str) -> None:
    found = session.scalars(select(SubmissionRow.id).where(SubmissionRow.fingerprint == mark)).first()
    if found is not None:
        raise AlreadySubmitted(found)


def _check_quota(session: Session, owner_id: int, quota: int, at: dt.datetime) -> None:
    own = (SubmissionRow.owner_id == owner_id, SubmissionRow.kind == "model", SubmissionRow.created_at > at - _DAY)
    counted = select(func.count(), func.min(SubmissionRow.created_at)).where(*own, ~SubmissionRow.quota_returned)
    n, first = session.execute(counted).one()
    if n >= quota:
        wait = max(dt.timedelta(0), first + _DAY - at) if first else _DAY
        hours = -(-wait.seconds // 3600) or 24
        raise TooMany(f"you have made {n} submissions within 24 hours, which is the limit: submit again in {hours} h")


def _locked(session: Session, submission: str) -> SubmissionRow:
    """Return a submission's row, locked until the transaction ends.

    Raises:
        UnknownSubmission: there is no such submission.
    """
    row = session.get(SubmissionRow, submission, with_for_update=True)
    if row is None:
        raise UnknownSubmission(f"there is no submission {submission[:40]!r}: the queue lists them")
    return row


def cancel(db: Engine, submission: str, actor: str, now: Clock = utc_now) -> None:
    """Stop a submission; its samples so far stay, as an interrupted run.

    Raises:
        UnknownSubmission: there is no such submission.
        Conflict: it has ended, or is not a model.
    """
    at = now()
    with writing(db) as session:
        row = _locked(session, submission)
        if row.kind != "model" or row.state not in CANCELLABLE:
            raise Conflict(f"submission {row.id} can no longer be cancelled: it is {row.state}")
        before, row.state, row.fingerprint = row.state, "cancelled", None
        row.changed_at = row.finished_at = at
        cancel_jobs(session, row.id)
        end_runs(session, row, Ending("interrupted", 0, "the submission was cancelled"), at)
        audit.record(session, actor, "submission.cancelled", f"submission/{row.id}", state=before)


def retry(db: Engine, submission: str, actor: str, is_admin: bool, now: Clock = utc_now) -> None:
    """Queue the missing items of a failed submission again; stored samples are kept.

    A permanent fault lies in the pinned commit, so the owner has to submit another commit. Admins may retry all the
    same, since the server may have changed.

    Raises:
        UnknownSubmission: there is no such submission.
        Conflict: it has not failed, its fault is permanent, or its season is over.
        AlreadySubmitted: the same was submitted again.
    """
    at = now()
    with writing(db) as session:
        row = _locked(session, submission)
        if row.kind != "model" or row.state != "failed":
            raise Conflict(f"only a failed submission can be retried: {row.id} is {row.state}")
        fault = fault_of(row.error_code or "")
        if fault.permanent and not is_admin:
            raise Conflict(f"a retry would fail again. {fault.words} {fault.fix}")
        if row.season and session.scalar(select(SeasonRow.state).where(SeasonRow.id == row.season)) != "open":
            raise Conflict(f"season {row.season} is no longer open: submit the model to another one")
        mark = _fingerprint(row)
        _check_new(session, mark)
        row.fingerprint = mark
        row.error_code = row.error_tail = row.finished_at = None
        row.quota_returned, row.changed_at = False, at
        row.state = "queued" if _queue_again(session, row, at) else "validating"
        audit.record(session, actor, "submission.retried", f"submission/{row.id}", code=fault.code)


def _queue_again(session: Session, row: SubmissionRow, at: dt.datetime) -> int:
    """Queue the unfinished jobs and reopen the runs; return how many jobs there are."""
    for run in (row.run_id, row.fresh_run_id):
        if run is not None and session.get_one(RunRow, run).state != "done":
            reopen_run(session, run)
    jobs = session.scalars(select(JobRow).where(JobRow.submission_id == row.id).with_for_update()).all()
    for job in jobs:
        if job.state == "done":
            continue
        job.state = job.phase = "queued"
        job.attempt, job.not_before = 0, at
        job.lease_owner = job.lease_token = job.lease_expires_at = None
        job.error_code = job.error_tail = job.finished_at = None
        job.progress_done = job.progress_total - len(missing_items(session, job))
    return len(jobs)


def withdraw(db: Engine, submission: str, actor: str, now: Clock = utc_now) -> None:
    """Take a finished submission's runs off the board; their pages stay.

    Raises:
        UnknownSubmission: there is no such submission.
        Conflict: it has not finished, or is withdrawn already.
    """
    at = now()
    with writing(db) as session:
        row = _locked(session, submission)
        if row.state != "finished" or row.run_id is None:
            raise Conflict(f"only a finished submission can be withdrawn: {row.id} is {row.state}")
        runs = [run for run in (row.run_id, row.fresh_run_id) if run is not None]
        if session.get_one(RunRow, row.run_id).hidden_at is not None:
            raise Conflict(f"submission {row.id} is off the board already")
        session.execute(update(RunRow).where(RunRow.id.in_(runs)).values(hidden_at=at))
        mark_pools_stale(session, runs)
        row.fingerprint, row.changed_at = None, at
        row.flags = {**row.flags, "withdrawn": {"at": at.isoformat(), "by": actor}}
        audit.record(session, actor, "submission.withdrawn", f"submission/{row.id}", run=row.run_id)

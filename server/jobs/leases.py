"""The job queue: workers claim jobs, hold them by leases, and store results.

A lease lasts 90 seconds and is held by a token. Each function but `claim_job` and `expire_leases` first checks, in the
transaction that writes, whether the token still holds the job: what a worker sends after it lost its lease is refused.

Order of the queue: the owner with the fewest leased jobs; then the submission whose model the worker has loaded; then
priority; then the owner who was served longest ago; then the oldest submission, shard by shard.
"""

import datetime as dt
import secrets
from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from sqlalchemy import Engine, case, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from fathom.harness.db.engine import insert_if_new, translate_errors, writing
from fathom.harness.db.schema.service import JobRow, SubmissionRow, WorkerRow
from fathom.harness.db.write import Clock, Sample, describe_engine, storable, utc_now
from fathom.harness.errors import LeaseLost, UnknownSubmission
from fathom.harness.service.faults import fault_of
from fathom.harness.service.worker.protocol import (
    LOG_TAIL,
    BatchReceipt,
    ClaimedJob,
    ClaimRequest,
    Lease,
    Phase,
)
from fathom.server.jobs.outcomes import OVER, update_submission
from fathom.server.jobs.shards import Shard, add_to_shard, forget_errors, missing_items, read_shard

LEASE = dt.timedelta(seconds=90)
_MAX_ERROR_SHARE = 0.1
"""A shard fails if the engine failed on more than this share of its items."""


def backoff(attempt: int) -> dt.timedelta:
    """Return how long a job waits after its n-th attempt (n = 1, 2, ...) has failed."""
    return dt.timedelta(seconds=min(2**attempt * 5, 300))


def note_worker(db: Engine, worker: ClaimRequest, now: Clock = utc_now) -> None:
    """Store that a worker is there, and its facts."""
    at, name, facts = now(), storable(worker.name), dict(worker.facts)
    with writing(db) as session:
        new = {"name": name, "engine": worker.engine, "facts": facts, "first_seen_at": at, "seen_at": at}
        session.execute(insert_if_new(db, WorkerRow).values(**new))
        known = update(WorkerRow).where(WorkerRow.name == name)
        session.execute(known.values(engine=worker.engine, facts=facts, seen_at=at))


def claim_job(db: Engine, worker: ClaimRequest, now: Clock = utc_now) -> ClaimedJob | None:
    """Lease the next job to a worker; None where there is none for it."""
    at, token = now(), secrets.token_urlsafe(24)
    with writing(db) as session:
        lent = {
            "state": "leased", "phase": "leased", "lease_owner": storable(worker.name), "lease_token": _digest(token),
            "lease_expires_at": at + LEASE, "heartbeat_at": at,
        }  # fmt: skip
        taken = update(JobRow).where(JobRow.id == _next_job(worker, at)).values(**lent).returning(JobRow.id)
        job_id = session.execute(taken.execution_options(synchronize_session=False)).scalar()
        if job_id is None:
            return None
        job = session.get_one(JobRow, job_id)
        asked = session.get_one(SubmissionRow, job.submission_id)
        claimed = ClaimedJob(
            job=job.id, token=token, lease_seconds=LEASE.total_seconds(), submission=asked.id, kind=job.kind,
            model=asked.model, sha=asked.sha, dtype=asked.dtype, chat_template=asked.chat_template,
            n_items=job.progress_total, n_done=job.progress_done, attempt=job.attempt, folder=asked.folder,
        )  # fmt: skip
    update_submission(db, claimed.submission, now)
    return claimed


def _next_job(worker: ClaimRequest, at: dt.datetime) -> Any:  # a scalar subquery; SQLAlchemy's own type names no column
    job = aliased(JobRow)
    leased = select(JobRow.owner_id, func.count().label("n")).where(JobRow.state == "leased").group_by(JobRow.owner_id)
    turns = select(JobRow.owner_id, func.max(JobRow.heartbeat_at).label("at")).group_by(JobRow.owner_id)
    held, turn = leased.subquery(), turns.subquery()
    most = (1 << 62) if worker.max_bytes is None else worker.max_bytes
    fits = or_(SubmissionRow.n_bytes.is_(None), SubmissionRow.n_bytes <= most)
    here = () if worker.folders else (SubmissionRow.folder == "",)
    return (
        select(job.id)
        .join(SubmissionRow, SubmissionRow.id == job.submission_id)
        .outerjoin(held, held.c.owner_id == job.owner_id)
        .outerjoin(turn, turn.c.owner_id == job.owner_id)
        .where(job.state == "queued", job.not_before <= at, job.kind.in_(worker.kinds), fits, *here)
        .where(SubmissionRow.engine == worker.engine, SubmissionRow.state.not_in(OVER))
        .order_by(
            func.coalesce(held.c.n, 0),
            case((job.submission_id == worker.loaded, 0), else_=1),
            job.priority.desc(),
            turn.c.at.asc().nulls_first(),
            SubmissionRow.created_at,
            SubmissionRow.id,
            job.kind.desc(),  # run before fresh
            job.shard,
        )
        .limit(1)
        .with_for_update(of=job, skip_locked=True)
        .scalar_subquery()
    )


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _fits(lease: Lease, job: JobRow) -> bool:
    return compare_digest(job.lease_token or "", _digest(lease.token))


def _held_job(session: Session, lease: Lease) -> JobRow:
    """Return the job that a lease holds, locked until the transaction ends.

    Raises:
        UnknownSubmission: there is no such job.
        LeaseLost: another worker has it, or nobody.
    """
    job = session.get(JobRow, lease.job, with_for_update=True)
    if job is None:
        raise UnknownSubmission(f"there is no job {lease.job}")
    if job.state == "cancelled":
        raise LeaseLost(f"job {job.id} was cancelled with its submission: drop it, and claim another")
    if job.state != "leased" or not _fits(lease, job):
        raise LeaseLost(f"job {job.id} is no longer yours: drop it, and claim another")
    return job


def _extend(job: JobRow, at: dt.datetime) -> None:
    if job.phase == "generating" and job.heartbeat_at is not None:
        job.seconds += max(0.0, min(at - job.heartbeat_at, LEASE).total_seconds())
    job.heartbeat_at, job.lease_expires_at = at, at + LEASE


def open_shard(db: Engine, lease: Lease) -> Shard:
    """Return the items of a leased job.

    Raises:
        LeaseLost: another worker has the job, or nobody.
        UnknownSubmission: there is no such job.
    """
    with translate_errors(), Session(db) as session:
        return read_shard(session, _held_job(session, lease))


def extend_lease(
    db: Engine, lease: Lease, phase: Phase, facts: dict[str, str] | None = None, now: Clock = utc_now
) -> dt.datetime:
    """Extend a lease; store the phase and the facts of the loaded engine. Return when the lease ends.

    Raises:
        LeaseLost, UnknownSubmission: as `open_shard`.
    """
    at = now()
    with writing(db) as session:
        job = _held_job(session, lease)
        _extend(job, at)
        session.execute(update(WorkerRow).where(WorkerRow.name == job.lease_owner).values(seen_at=at))
        has_new_phase, job.phase, submission = job.phase != phase, phase, job.submission_id
        if facts and job.run_id is not None:
            describe_engine(session, job.run_id, facts, job.lease_owner or "")
    if has_new_phase:
        update_submission(db, submission, now)
    return at + LEASE


def store_samples(db: Engine, lease: Lease, samples: Sequence[Sample], now: Clock = utc_now) -> BatchReceipt:
    """Store samples of the job's cells; samples stored before stay as they are.

    Raises:
        LeaseLost, UnknownSubmission: as `open_shard`.
    """
    at = now()
    with writing(db) as session:
        job = _held_job(session, lease)
        has_new_phase, job.phase, submission = job.phase != "generating", "generating", job.submission_id
        _extend(job, at)
        n_new = add_to_shard(session, job, [sample for sample in samples if sample.cell in job.cells])
        if n_new:
            job.tokens += sum(one.completion.prompt_tokens + one.completion.completion_tokens for one in samples)
        receipt = BatchReceipt(n_new=n_new, n_done=job.progress_done, n_items=job.progress_total)
    if has_new_phase:
        update_submission(db, submission, now)
    return receipt


def finish_job(db: Engine, lease: Lease, now: Clock = utc_now) -> list[tuple[int, int]]:
    """End a job if all of its items are stored; else return (cell, index) of the missing ones.

    A shard on which the engine failed too often counts as failed. Finishing a finished job does nothing.

    Raises:
        LeaseLost, UnknownSubmission: as `open_shard`.
    """
    at = now()
    with writing(db) as session:
        ended = session.get(JobRow, lease.job, with_for_update=True)
        if ended is not None and ended.state == "done" and _fits(lease, ended):
            return []
        job = _held_job(session, lease)
        if missing := missing_items(session, job):
            return missing
        _extend(job, at)
        if errors := forget_errors(session, job, _MAX_ERROR_SHARE):
            oom = any("out of memory" in error.lower() for error in errors)
            _fail_attempt(job, "out_of_memory" if oom else "engine_failed", "\n".join(errors[:20]), at)
        else:
            job.state = job.phase = "done"
            job.lease_expires_at = job.error_code = job.error_tail = None
            job.finished_at = at
        submission = job.submission_id
    update_submission(db, submission, now)
    return []


def fail_job(db: Engine, lease: Lease, code: str, tail: str, now: Clock = utc_now) -> None:
    """End an attempt with a code of `harness.service.faults`: the job is tried again, or fails with its submission.

    Raises:
        LeaseLost, UnknownSubmission: as `open_shard`.
    """
    with writing(db) as session:
        job = _held_job(session, lease)
        _fail_attempt(job, code, tail, now())
        submission = job.submission_id
    update_submission(db, submission, now)


def _fail_attempt(job: JobRow, code: str, tail: str, at: dt.datetime) -> None:
    fault = fault_of(code)
    is_again = fault.code == "out_of_memory" and job.error_code == fault.code
    job.attempt += 1
    is_over = fault.permanent or is_again or job.attempt >= job.max_attempts
    job.error_code, job.error_tail = fault.code, storable(tail[-LOG_TAIL:])
    _free(job, "failed" if is_over else "queued", at + backoff(job.attempt))
    if is_over:
        job.finished_at = at


def _free(job: JobRow, state: str, not_before: dt.datetime) -> None:
    job.state, job.phase, job.not_before = state, "queued", not_before
    job.lease_token = job.lease_expires_at = None


def release_job(db: Engine, lease: Lease, now: Clock = utc_now) -> None:
    """Put a job back into the queue without counting an attempt: its worker stops.

    Raises:
        LeaseLost, UnknownSubmission: as `open_shard`.
    """
    with writing(db) as session:
        job = _held_job(session, lease)
        _extend(job, now())
        _free(job, "queued", now())
        submission = job.submission_id
    update_submission(db, submission, now)


def release_jobs_of(db: Engine, worker: str, now: Clock = utc_now) -> int:
    """Put the jobs of a worker that has ended back into the queue, without counting an attempt; return how many."""
    with writing(db) as session:
        held = select(JobRow).where(JobRow.state == "leased", JobRow.lease_owner == storable(worker))
        jobs = session.scalars(held.with_for_update()).all()
        for job in jobs:
            _free(job, "queued", now())
        submissions = sorted({job.submission_id for job in jobs})
    for submission in submissions:
        update_submission(db, submission, now)
    return len(jobs)


def expire_leases(db: Engine, now: Clock = utc_now) -> int:
    """Take back expired leases; return how many."""
    at = now()
    with translate_errors(), Session(db) as session:  # most rounds find none, and need not wait for writers
        late = (JobRow.state == "leased", JobRow.lease_expires_at < at)
        if session.scalars(select(JobRow.id).where(*late).limit(1)).first() is None:
            return 0
    with writing(db) as session:
        jobs = session.scalars(select(JobRow).where(*late).with_for_update(skip_locked=True)).all()
        for job in jobs:
            _fail_attempt(
                job, "worker_lost", f"the worker {job.lease_owner} sent its last heartbeat at {job.heartbeat_at}", at
            )
        submissions = sorted({job.submission_id for job in jobs})
    for submission in submissions:
        update_submission(db, submission, now)
    return len(jobs)

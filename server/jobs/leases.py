"""Turn queued jobs into leases and leases into stored results: a queue that workers pull from.

A lease lasts 90 seconds and is held by a token; each function but `claim` and `reap` first looks, in the transaction
that writes, whether the token still holds the job, so what a worker sends after it lost its lease is refused.

Who is next: the owner with the fewest leased jobs; then the submission whose model the worker has loaded; then
priority; then the owner whose last turn is the longest ago; then the oldest submission, shard by shard.
"""

import datetime as dt
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from sqlalchemy import Engine, case, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from fathom.harness.db.engine import translate_errors, writing
from fathom.harness.db.schema.service import JobRow, SubmissionRow, WorkerRow
from fathom.harness.db.sql import insert_if_new
from fathom.harness.db.write import Clock, Sample, describe_engine, storable, utc_now
from fathom.harness.errors import LeaseLost, UnknownSubmission
from fathom.harness.service.faults import fault_of
from fathom.server.jobs.settling import OVER, settle
from fathom.server.jobs.shards import Shard, add_to_shard, forget_errors, read_shard_of, wanted_of

LEASE = dt.timedelta(seconds=90)
KINDS = ("run", "fresh", "replay")
TAIL = 8000
"""Characters of a log that are kept."""
_ERRORS_BORNE = 0.1
"""A shard on more of whose items than this the engine failed has failed."""


@dataclass(frozen=True, slots=True)
class Seeker:
    """A worker that asks for work; `loaded` is the submission whose model it holds."""

    name: str
    engine: str
    max_bytes: int | None = None
    kinds: tuple[str, ...] = KINDS
    loaded: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a worker shows for its right to a job."""

    job: int
    token: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A leased job and the model to be loaded for it."""

    lease: Lease
    submission: str
    kind: str
    model: str
    sha: str
    dtype: str
    chat_template: bool
    n_items: int
    n_done: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Stored:
    """How many of a batch were new, and how far the job is."""

    n_new: int
    n_done: int
    n_items: int


def backoff(attempt: int) -> dt.timedelta:
    """Return how long a job waits after its attempt of that number, counted from 1, has failed."""
    return dt.timedelta(seconds=min(2**attempt * 5, 300))


def note_worker(db: Engine, seeker: Seeker, facts: Mapping[str, Any], now: Clock = utc_now) -> None:
    """Note that a worker is there, and what it says of itself."""
    at, name = now(), storable(seeker.name)
    with writing(db) as session:
        new = {"name": name, "engine": seeker.engine, "facts": facts, "first_seen_at": at, "seen_at": at}
        session.execute(insert_if_new(db, WorkerRow).values(**new))
        known = update(WorkerRow).where(WorkerRow.name == name)
        session.execute(known.values(engine=seeker.engine, facts=facts, seen_at=at))


def claim(db: Engine, seeker: Seeker, now: Clock = utc_now) -> Claim | None:
    """Lease the next job to a worker, or return None where there is none for it."""
    at, token = now(), secrets.token_urlsafe(24)
    with writing(db) as session:
        lent = {
            "state": "leased", "phase": "leased", "lease_owner": storable(seeker.name), "lease_token": _digest(token),
            "lease_expires_at": at + LEASE, "heartbeat_at": at,
        }  # fmt: skip
        taken = update(JobRow).where(JobRow.id == _next_job(seeker, at)).values(**lent).returning(JobRow.id)
        job_id = session.execute(taken.execution_options(synchronize_session=False)).scalar()
        if job_id is None:
            return None
        job = session.get_one(JobRow, job_id)
        asked = session.get_one(SubmissionRow, job.submission_id)
        claimed = Claim(
            Lease(job.id, token), asked.id, job.kind, asked.model, asked.sha, asked.dtype, asked.chat_template,
            job.progress_total, job.progress_done, job.attempt,
        )  # fmt: skip
    settle(db, claimed.submission, now)
    return claimed


def _next_job(seeker: Seeker, at: dt.datetime) -> Any:  # a scalar subquery; SQLAlchemy's own type names no column
    job = aliased(JobRow)
    leased = select(JobRow.owner_id, func.count().label("n")).where(JobRow.state == "leased").group_by(JobRow.owner_id)
    turns = select(JobRow.owner_id, func.max(JobRow.heartbeat_at).label("at")).group_by(JobRow.owner_id)
    held, turn = leased.subquery(), turns.subquery()
    most = (1 << 62) if seeker.max_bytes is None else seeker.max_bytes
    fits = or_(SubmissionRow.n_bytes.is_(None), SubmissionRow.n_bytes <= most)
    return (
        select(job.id)
        .join(SubmissionRow, SubmissionRow.id == job.submission_id)
        .outerjoin(held, held.c.owner_id == job.owner_id)
        .outerjoin(turn, turn.c.owner_id == job.owner_id)
        .where(job.state == "queued", job.not_before <= at, job.kind.in_(seeker.kinds), fits)
        .where(SubmissionRow.engine == seeker.engine, SubmissionRow.state.not_in(OVER))
        .order_by(
            func.coalesce(held.c.n, 0),
            case((job.submission_id == seeker.loaded, 0), else_=1),
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


def held_job(session: Session, lease: Lease) -> JobRow:
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
    """Return what a held job asks for.

    Raises:
        LeaseLost, UnknownSubmission: see `held_job`.
    """
    with translate_errors(), Session(db) as session:
        return read_shard_of(session, held_job(session, lease))


def beat(
    db: Engine, lease: Lease, phase: str, facts: dict[str, str] | None = None, now: Clock = utc_now
) -> dt.datetime:
    """Prolong a lease, and note the phase and what the loaded engine says of itself; return when the lease ends.

    Raises:
        LeaseLost, UnknownSubmission: see `held_job`.
    """
    at = now()
    with writing(db) as session:
        job = held_job(session, lease)
        _extend(job, at)
        is_news, job.phase, submission = job.phase != phase, phase, job.submission_id
        if facts and job.run_id is not None:
            describe_engine(session, job.run_id, facts, job.lease_owner or "")
    if is_news:
        settle(db, submission, now)
    return at + LEASE


def store(db: Engine, lease: Lease, samples: Sequence[Sample], now: Clock = utc_now) -> Stored:
    """Store samples of the job's cells; those that are there already change nothing.

    Raises:
        LeaseLost, UnknownSubmission: see `held_job`.
    """
    at = now()
    with writing(db) as session:
        job = held_job(session, lease)
        is_news, job.phase, submission = job.phase != "generating", "generating", job.submission_id
        _extend(job, at)
        n_new = add_to_shard(session, job, [sample for sample in samples if sample.cell in job.cells])
        if n_new:
            job.tokens += sum(one.completion.prompt_tokens + one.completion.completion_tokens for one in samples)
        stored = Stored(n_new, job.progress_done, job.progress_total)
    if is_news:
        settle(db, submission, now)
    return stored


def finish(db: Engine, lease: Lease, now: Clock = utc_now) -> list[tuple[int, int]]:
    """End a job if all of its items are stored; else return (cell, index) of those that are missing.

    A shard on which the engine failed too often counts as failed. Finishing twice is finishing once.

    Raises:
        LeaseLost, UnknownSubmission: see `held_job`.
    """
    at = now()
    with writing(db) as session:
        ended = session.get(JobRow, lease.job, with_for_update=True)
        if ended is not None and ended.state == "done" and _fits(lease, ended):
            return []
        job = held_job(session, lease)
        if missing := wanted_of(session, job):
            return missing
        _extend(job, at)
        if errors := forget_errors(session, job, _ERRORS_BORNE):
            oom = any("out of memory" in error.lower() for error in errors)
            _give_up(job, "out_of_memory" if oom else "engine_failed", "\n".join(errors[:20]), at)
        else:
            job.state = job.phase = "done"
            job.lease_expires_at = job.error_code = job.error_tail = None
            job.finished_at = at
        submission = job.submission_id
    settle(db, submission, now)
    return []


def fail(db: Engine, lease: Lease, code: str, tail: str, now: Clock = utc_now) -> None:
    """End an attempt with a fault of harness.faults: the job is tried again, or it and its submission have failed.

    Raises:
        LeaseLost, UnknownSubmission: see `held_job`.
    """
    with writing(db) as session:
        job = held_job(session, lease)
        _give_up(job, code, tail, now())
        submission = job.submission_id
    settle(db, submission, now)


def _give_up(job: JobRow, code: str, tail: str, at: dt.datetime) -> None:
    fault = fault_of(code)
    is_again = fault.code == "out_of_memory" and job.error_code == fault.code
    job.attempt += 1
    is_over = fault.permanent or is_again or job.attempt >= job.max_attempts
    job.error_code, job.error_tail = fault.code, storable(tail[-TAIL:])
    _let_go(job, "failed" if is_over else "queued", at + backoff(job.attempt))
    if is_over:
        job.finished_at = at


def _let_go(job: JobRow, state: str, not_before: dt.datetime) -> None:
    job.state, job.phase, job.not_before = state, "queued", not_before
    job.lease_token = job.lease_expires_at = None


def release(db: Engine, lease: Lease, now: Clock = utc_now) -> None:
    """Give a job back as it was, without counting an attempt: the worker stops.

    Raises:
        LeaseLost, UnknownSubmission: see `held_job`.
    """
    with writing(db) as session:
        job = held_job(session, lease)
        _extend(job, now())
        _let_go(job, "queued", now())
        submission = job.submission_id
    settle(db, submission, now)


def reap(db: Engine, now: Clock = utc_now) -> int:
    """Take back the leases that have run out; return how many."""
    at = now()
    with translate_errors(), Session(db) as session:  # most rounds find none, and need not wait for writers
        late = (JobRow.state == "leased", JobRow.lease_expires_at < at)
        if session.scalars(select(JobRow.id).where(*late).limit(1)).first() is None:
            return 0
    with writing(db) as session:
        jobs = session.scalars(select(JobRow).where(*late).with_for_update(skip_locked=True)).all()
        for job in jobs:
            _give_up(job, "worker_lost", f"the worker {job.lease_owner} was last heard of at {job.heartbeat_at}", at)
        submissions = sorted({job.submission_id for job in jobs})
    for submission in submissions:
        settle(db, submission, now)
    return len(jobs)

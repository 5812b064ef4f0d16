"""Reads of submissions: their state, position in the queue and progress, as frozen values."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Select, Text, and_, cast, func, or_, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.db.schema.service import JobRow, SeasonRow, SubmissionRow, UserRow
from fathom.harness.errors import UnknownSubmission
from fathom.harness.stats.overfit import OVERFIT_FLAG
from fathom.server.jobs.outcomes import WAITING
from fathom.server.jobs.workers import WorkerStatus, list_workers

RUNNING = ("leased", "downloading", "loading", "generating", "scoring")
ENDED = ("finished", "failed", "cancelled", "superseded")
_JOINED = ("owner", "hidden_at", "season_state")
"""Fields of `Submission` that come from other tables, in this order."""
_MAX_ROWS = 100
"""Rows of one part of the queue that are shown."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission. `contact` is for its owner and admins only."""

    id: str
    kind: str
    owner_id: int
    model: str
    revision: str
    sha: str
    dtype: str
    style: str
    chat_template: bool
    suite: str
    season: str
    engine: str
    note: str
    contact: str
    state: str
    tier: int
    priority: int
    n_parameters: int | None
    n_bytes: int | None
    model_kind: str | None
    run_id: str | None
    fresh_run_id: str | None
    flags: Mapping[str, Any]  # JSON values, by name
    error_code: str | None
    error_tail: str | None
    created_at: dt.datetime
    changed_at: dt.datetime
    finished_at: dt.datetime | None
    owner: str
    """Name that the owner's sign-in provider states: foreign text."""
    hidden_at: dt.datetime | None
    """When its run was taken off the board."""
    season_state: str | None

    @property
    def sealed(self) -> bool:
        """Whether its items are still secret."""
        return self.season_state not in (None, "revealed")

    @property
    def is_over(self) -> bool:
        """Whether its state is final."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Progress of a submission's jobs; phase, workers, heartbeat and speed are those of the leased jobs."""

    done: int = 0
    total: int = 0
    n_jobs: int = 0
    n_jobs_done: int = 0
    tokens_per_second: float | None = None
    phase: str = ""
    workers: tuple[str, ...] = ()
    heartbeat_at: dt.datetime | None = None
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class SubmissionStatus:
    """A submission with its progress, and its position among the waiting ones, from 1."""

    submission: Submission
    progress: JobProgress
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """Running, waiting and recently ended submissions, and the workers."""

    running: tuple[SubmissionStatus, ...]
    waiting: tuple[SubmissionStatus, ...]
    n_waiting: int
    ended: tuple[SubmissionStatus, ...]
    workers: tuple[WorkerStatus, ...]


def _submissions() -> Select[Any]:  # one entity for each column of Submission
    own = [getattr(SubmissionRow, name) for name in Submission.__slots__ if name not in _JOINED]
    joined = select(*own, UserRow.name, RunRow.hidden_at, SeasonRow.state).join(
        UserRow, UserRow.id == SubmissionRow.owner_id
    )
    with_run = joined.outerjoin(RunRow, RunRow.id == SubmissionRow.run_id)
    return with_run.outerjoin(SeasonRow, SeasonRow.id == SubmissionRow.season)


def get_status(db: Engine, submission: str) -> SubmissionStatus:
    """Return one submission with its progress and position.

    Raises:
        UnknownSubmission: there is no such submission.
    """
    with translate_errors(), Session(db) as session:
        row = session.execute(_submissions().where(SubmissionRow.id == submission)).first()
        if row is None:
            raise UnknownSubmission(f"there is no submission {submission[:40]!r}: the queue lists them")
        found = Submission(*row)
        return SubmissionStatus(found, _progress(session, [found.id])[found.id], _position(session, found))


def _position(session: Session, found: Submission) -> int | None:
    if found.state not in WAITING or found.kind != "model":
        return None
    same = SubmissionRow.priority == found.priority
    earlier = or_(
        SubmissionRow.created_at < found.created_at,
        and_(SubmissionRow.created_at == found.created_at, SubmissionRow.id < found.id),
    )
    ahead = or_(SubmissionRow.priority > found.priority, and_(same, earlier))
    waiting = (SubmissionRow.kind == "model", SubmissionRow.state.in_(WAITING))
    return 1 + session.execute(select(func.count()).where(*waiting, ahead)).scalar_one()


def _progress(session: Session, submissions: Sequence[str]) -> dict[str, JobProgress]:
    """Return the progress of each submission, in two statements."""
    mine = JobRow.submission_id.in_(submissions)
    sums = select(
        JobRow.submission_id, func.sum(JobRow.progress_done), func.sum(JobRow.progress_total), func.count(),
        func.count().filter(JobRow.state == "done"), func.sum(JobRow.tokens), func.sum(JobRow.seconds),
        func.max(JobRow.attempt),
    )  # fmt: skip
    totals = {row[0]: row[1:] for row in session.execute(sums.where(mine).group_by(JobRow.submission_id))}
    held = select(
        JobRow.submission_id, JobRow.lease_owner, JobRow.phase, JobRow.heartbeat_at, JobRow.tokens, JobRow.seconds
    )
    leased: dict[str, list[Any]] = {}
    for row in session.execute(held.where(mine, JobRow.state == "leased").order_by(JobRow.id)):
        leased.setdefault(row.submission_id, []).append(row)
    return {one: _sum_up(totals.get(one), leased.get(one, [])) for one in submissions}


def _sum_up(totals: Any, leased: Sequence[Any]) -> JobProgress:  # rows of the two statements
    if totals is None:
        return JobProgress()
    done, total, n_jobs, n_jobs_done, tokens, seconds, attempt = totals
    rates = [job.tokens / job.seconds for job in leased if job.seconds > 0]
    return JobProgress(
        int(done), int(total), n_jobs, n_jobs_done,
        sum(rates) if rates else (float(tokens) / seconds if seconds else None),
        max((job.phase for job in leased), key=("leased", "downloading", "loading", "generating").index, default=""),
        tuple(sorted({job.lease_owner for job in leased if job.lease_owner})),
        max((job.heartbeat_at for job in leased if job.heartbeat_at is not None), default=None), attempt,
    )  # fmt: skip


def read_queue(db: Engine, now: dt.datetime, n_ended: int = 30) -> Queue:
    """Return the queue, in a fixed number of statements."""
    models, all_of = SubmissionRow.kind == "model", _submissions()
    order = (SubmissionRow.priority.desc(), SubmissionRow.created_at, SubmissionRow.id)
    with translate_errors(), Session(db) as session:
        running = all_of.where(models, SubmissionRow.state.in_(RUNNING)).order_by(*order).limit(_MAX_ROWS)
        waiting = all_of.where(models, SubmissionRow.state.in_(WAITING)).order_by(*order).limit(_MAX_ROWS)
        ended = all_of.where(SubmissionRow.state.in_(ENDED)).order_by(
            SubmissionRow.finished_at.desc(), SubmissionRow.id
        )
        parts = [
            [Submission(*row) for row in session.execute(part)] for part in (running, waiting, ended.limit(n_ended))
        ]
        counted = select(func.count()).where(models, SubmissionRow.state.in_(WAITING))
        n_waiting = session.execute(counted).scalar_one()
        progress = _progress(session, [one.id for part in parts for one in part])
        parts_with_progress = [[SubmissionStatus(one, progress[one.id]) for one in part] for part in parts]
        waiting_in_order = tuple(
            SubmissionStatus(one.submission, one.progress, at) for at, one in enumerate(parts_with_progress[1], 1)
        )
        return Queue(
            tuple(parts_with_progress[0]), waiting_in_order, n_waiting, tuple(parts_with_progress[2]),
            list_workers(session, now),
        )  # fmt: skip


def list_submissions(
    db: Engine, state: str | None, owner_id: int | None, limit: int, offset: int
) -> tuple[list[SubmissionStatus], int]:
    """Return submissions, newest first, and their total number; all, or those in a state or of an owner."""
    wanted = [] if state is None else [SubmissionRow.state == state]
    wanted += [] if owner_id is None else [SubmissionRow.owner_id == owner_id]
    with translate_errors(), Session(db) as session:
        total = session.execute(select(func.count()).select_from(SubmissionRow).where(*wanted)).scalar_one()
        order = (SubmissionRow.created_at.desc(), SubmissionRow.id)
        rows = session.execute(_submissions().where(*wanted).order_by(*order).limit(limit).offset(offset))
        found = [Submission(*row) for row in rows]
        progress = _progress(session, [one.id for one in found])
        return [SubmissionStatus(one, progress[one.id]) for one in found], total


ADMIN_FLAG = "admin"
"""The flag that admins set by hand."""
REMOVABLE_FLAGS = (ADMIN_FLAG, OVERFIT_FLAG)
"""Flags that admins can remove."""


@dataclass(frozen=True, slots=True)
class ListedSubmission:
    """One row of a list of submissions."""

    id: str
    kind: str
    owner_id: int
    model: str
    suite: str
    season: str
    state: str
    tier: int
    run_id: str | None
    flags: dict[str, Any]  # JSON values, by the flag's name
    error_code: str | None
    created_at: Any


_LISTED = tuple(getattr(SubmissionRow, name) for name in ListedSubmission.__slots__)


def list_own(db: Engine, owner: int, limit: int = 100) -> list[ListedSubmission]:
    """Return the newest submissions of a user, newest first."""
    own = select(*_LISTED).where(SubmissionRow.owner_id == owner)
    with translate_errors(), Session(db) as session:
        newest = own.order_by(SubmissionRow.created_at.desc(), SubmissionRow.id).limit(limit)
        return [ListedSubmission(*row) for row in session.execute(newest)]


def list_needing_attention(db: Engine, limit: int = 100) -> list[ListedSubmission]:
    """Return the newest submissions that are flagged, failed, or unverified uploads."""
    flagged = cast(SubmissionRow.flags, Text) != "{}"
    wanted = or_(flagged, SubmissionRow.state == "failed", SubmissionRow.tier == 1)
    with translate_errors(), Session(db) as session:
        found = select(*_LISTED).where(wanted).order_by(SubmissionRow.created_at.desc(), SubmissionRow.id).limit(limit)
        return [ListedSubmission(*row) for row in session.execute(found)]


def get_listed(db: Engine, submission: str) -> ListedSubmission:
    """Return the row of one submission.

    Raises:
        UnknownSubmission: there is no such submission.
    """
    with translate_errors(), Session(db) as session:
        row = session.execute(select(*_LISTED).where(SubmissionRow.id == submission)).first()
        if row is None:
            raise UnknownSubmission(f"there is no submission {submission[:40]!r}")
        return ListedSubmission(*row)

"""Turn the queue into the few numbers that an operator watches."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from harness.db.engine import translate_errors
from harness.db.models import RunRow
from harness.db.service import JobRow, SubmissionRow, WorkerRow
from harness.db.write import utc_now

SEEN = dt.timedelta(minutes=1)
"""How long ago a worker may have asked for work to count as there."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits, what is worked on, and by how many."""

    submissions: Mapping[str, int]
    """Number by state; as with jobs, those of the past included."""
    jobs: Mapping[str, int]
    oldest_waiting: float
    """Seconds since the oldest queued job was made; 0 where none waits."""
    oldest_beat: float
    """Seconds since the leased job that has been silent longest was heard of."""
    overdue: float
    """Seconds that the longest expired lease has not been taken back."""
    n_workers: int
    """Workers seen in the last minute."""
    n_uploads: int
    """Uploads that have begun and are not whole."""


def read_queue(db: Engine, now: dt.datetime | None = None) -> Queue:
    """Read all of it, in five statements."""
    now = now or utc_now()
    waiting = select(func.min(JobRow.created_at)).where(JobRow.state == "queued").scalar_subquery()
    leased = JobRow.state == "leased"
    beat = select(func.min(func.coalesce(JobRow.heartbeat_at, JobRow.created_at))).where(leased).scalar_subquery()
    expired = select(func.min(JobRow.lease_expires_at)).where(leased).scalar_subquery()
    uploads = select(func.count()).select_from(RunRow).where(RunRow.layer == "upload").scalar_subquery()
    with translate_errors(), Session(db) as session:
        submissions = session.execute(select(SubmissionRow.state, func.count()).group_by(SubmissionRow.state)).all()
        jobs = session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).all()
        times = session.execute(select(waiting, beat, expired)).one()
        n_workers = session.scalar(select(func.count()).where(WorkerRow.seen_at >= now - SEEN)) or 0
        n_uploads = session.scalar(select(uploads)) or 0
    return Queue(
        submissions={row[0]: row[1] for row in submissions},
        jobs={row[0]: row[1] for row in jobs},
        oldest_waiting=_since(times[0], now),
        oldest_beat=_since(times[1], now),
        overdue=_since(times[2], now),
        n_workers=n_workers,
        n_uploads=n_uploads,
    )


def _since(at: dt.datetime | None, now: dt.datetime) -> float:
    if at is None:
        return 0.0
    return max(0.0, (now - at).total_seconds())

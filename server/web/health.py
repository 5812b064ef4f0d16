"""`/healthz`: whether the server is healthy, and the state of the queue."""

import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from fathom.harness.db.engine import HEAD, current_version, translate_errors
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.db.schema.service import JobRow, SubmissionRow, WorkerRow
from fathom.harness.db.write import utc_now
from fathom.harness.errors import FathomError
from fathom.server.web.background import EVERY
from fathom.server.web.render import READ, SiteOf

router = APIRouter(include_in_schema=False)
_log = logging.getLogger(__name__)
_LONG = 600.0
"""Seconds that a job may wait without a worker."""
_LATE = 8 * EVERY
"""Seconds after which a round of background tasks, or the expiry of a lease, is late."""


@router.api_route("/healthz", methods=READ)
def show_health(request: Request, site: SiteOf) -> JSONResponse:
    """Answer ok, degraded (works, but somebody should look) or down (503), with the reasons."""
    try:
        version = current_version(site.db)
        if version != HEAD:
            return _answer("down", [f"the database is at version {version}, this server needs {HEAD}"])
        queue = count_queue(site.db)
    except (FathomError, SQLAlchemyError) as error:
        _log.error("health: %s", error)  # the driver's message may name hosts, so it goes to the log only
        return _answer("down", ["the database does not answer"])
    age = request.app.state.background.age()
    reasons = _reasons(queue, age)
    return _answer("degraded" if reasons else "ok", reasons, queue)


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Numbers of submissions, jobs, workers and uploads, and the longest waits."""

    submissions: Mapping[str, int]
    """By state, past ones included; the same for jobs."""
    jobs: Mapping[str, int]
    oldest_waiting: float
    """Seconds since the oldest queued job was created; 0 where none waits."""
    oldest_heartbeat: float
    """Seconds since the last heartbeat, of the leased job that has been silent longest."""
    overdue: float
    """Seconds since the longest expired lease ran out."""
    n_workers: int
    """Workers seen in the last minute."""
    n_uploads: int
    """Uploads that have started and are not complete."""


def _reasons(queue: QueueCounts, age: float) -> list[str]:
    found = []
    if queue.oldest_waiting > _LONG and not queue.n_workers:
        found.append(f"a job has waited for {queue.oldest_waiting:.0f} s, and there is no worker")
    if queue.overdue > _LATE:
        found.append(f"a lease expired {queue.overdue:.0f} s ago and its job is not queued again")
    if age > _LATE:
        found.append(f"the background tasks have not finished a round for {age:.0f} s")
    return found


def _answer(status: str, reasons: list[str], queue: QueueCounts | None = None) -> JSONResponse:
    body: dict[str, object] = {"status": status, "reasons": reasons}
    if queue is not None:
        body |= {
            "workers": queue.n_workers,
            "waiting": queue.jobs.get("queued", 0),
            "leased": queue.jobs.get("leased", 0),
        }
    return JSONResponse(body, 503 if status == "down" else 200, {"Cache-Control": "no-store"})


_WORKER_SEEN = dt.timedelta(minutes=1)
"""A worker counts if it asked for a job within this time."""


def count_queue(db: Engine, now: dt.datetime | None = None) -> QueueCounts:
    """Read the counts, in five statements."""
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
        n_workers = session.scalar(select(func.count()).where(WorkerRow.seen_at >= now - _WORKER_SEEN)) or 0
        n_uploads = session.scalar(select(uploads)) or 0
    return QueueCounts(
        submissions={row[0]: row[1] for row in submissions},
        jobs={row[0]: row[1] for row in jobs},
        oldest_waiting=_since(times[0], now),
        oldest_heartbeat=_since(times[1], now),
        overdue=_since(times[2], now),
        n_workers=n_workers,
        n_uploads=n_uploads,
    )


def _since(at: dt.datetime | None, now: dt.datetime) -> float:
    if at is None:
        return 0.0
    return max(0.0, (now - at).total_seconds())

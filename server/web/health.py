"""Say whether the server is well, for whoever watches over it."""

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
from fathom.server.web.housekeeping import EVERY
from fathom.server.web.render import READ, SiteOf

router = APIRouter(include_in_schema=False)


log = logging.getLogger(__name__)


_LONG = 600.0
"""Seconds that a job may wait while no worker is there."""


_LATE = 8 * EVERY
"""Seconds after which the housekeeper ought to have ended a round, or taken back a lease."""


@router.api_route("/healthz", methods=READ)
def show_health(request: Request, site: SiteOf) -> JSONResponse:
    """Say ok, degraded (it answers, but somebody should look) or down (503), and why."""
    try:
        version = current_version(site.db)
        if version != HEAD:
            return _answer("down", [f"the database is at version {version}, this server needs {HEAD}"])
        queue = read_queue(site.db)
    except (FathomError, SQLAlchemyError) as error:
        log.error("health: %s", error)  # the driver's words may name hosts: they are for the log
        return _answer("down", ["the database does not answer"])
    age = request.app.state.housekeeper.age()
    reasons = _reasons(queue, age)
    return _answer("degraded" if reasons else "ok", reasons, queue)


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


def _reasons(queue: Queue, age: float) -> list[str]:
    found = []
    if queue.oldest_waiting > _LONG and not queue.n_workers:
        found.append(f"a job has waited for {queue.oldest_waiting:.0f} s, and no worker is there")
    if queue.overdue > _LATE:
        found.append(f"an expired lease has not been taken back for {queue.overdue:.0f} s")
    if age > _LATE:
        found.append(f"the housekeeper has not ended a round for {age:.0f} s")
    return found


def _answer(status: str, reasons: list[str], queue: Queue | None = None) -> JSONResponse:
    body: dict[str, object] = {"status": status, "reasons": reasons}
    if queue is not None:
        body |= {
            "workers": queue.n_workers,
            "waiting": queue.jobs.get("queued", 0),
            "leased": queue.jobs.get("leased", 0),
        }
    return JSONResponse(body, 503 if status == "down" else 200, {"Cache-Control": "no-store"})


SEEN = dt.timedelta(minutes=1)
"""How long ago a worker may have asked for work to count as there."""


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

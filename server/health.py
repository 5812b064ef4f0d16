"""Say whether the server is well, for whoever watches over it."""

import logging

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from harness.db.engine import HEAD, current_version
from harness.db.health import Queue, read_queue
from harness.errors import FathomError
from server.housekeeping import EVERY
from server.render import READ, SiteOf

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

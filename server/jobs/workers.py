"""Which workers are there, and what each is doing; and the command that starts one."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import Engine, Select, func, select, true
from sqlalchemy.orm import Session

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.service import JobRow, SubmissionRow, WorkerRow
from fathom.harness.db.write import utc_now
from fathom.harness.engines.options import ENGINE_WORDS, installed_engine
from fathom.harness.settings import ServiceSettings
from fathom.server.jobs.outcomes import WAITING
from fathom.server.web.addresses import own_address
from fathom.server.web.render import READ, SiteOf, page

router = APIRouter(include_in_schema=False)

DEFAULT_ENGINE = "vllm"
"""Engine of submissions to a board with accounts, and of `fathom worker`."""
LIVE = dt.timedelta(minutes=1)
"""Time after which a worker that says nothing counts as gone; it speaks every two seconds, or every 23 during a job."""
_LISTED = dt.timedelta(days=1)
_MAX_ROWS = 100


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker: when it last said something, and the submission it is working on, if any."""

    name: str
    engine: str
    seen_at: dt.datetime
    is_live: bool
    submission: str | None = None
    model: str = ""
    percent: int = 0
    """Share of the submission's items that are stored."""

    @property
    def engine_words(self) -> str:
        """The engine's name for people."""
        return ENGINE_WORDS.get(self.engine, self.engine)


@dataclass(frozen=True, slots=True)
class WorkerAdvice:
    """What a page says where no worker is there: its engine, and the command that starts one."""

    engine: str
    command: str
    needs_token: bool
    """Whether a token of scope worker goes with it; on a board without accounts the command finds the key."""


def _workers(now: dt.datetime) -> Select[tuple[str, str, dt.datetime, str | None, str | None, int | None]]:
    """Select the workers seen within a day, those seen last first, with what they work on."""
    of_submission = JobRow.__table__.alias()
    share = (
        select(100 * func.sum(of_submission.c.progress_done) / func.sum(of_submission.c.progress_total))
        .where(of_submission.c.submission_id == SubmissionRow.id)
        .scalar_subquery()
    )
    return (
        select(
            WorkerRow.name, WorkerRow.engine, WorkerRow.seen_at, SubmissionRow.id, SubmissionRow.model,
            share.label("percent"),
        )
        .outerjoin(JobRow, (JobRow.lease_owner == WorkerRow.name) & (JobRow.state == "leased"))
        .outerjoin(SubmissionRow, SubmissionRow.id == JobRow.submission_id)
        .where(WorkerRow.seen_at > now - _LISTED)
        .order_by(WorkerRow.seen_at.desc(), WorkerRow.name)
        .limit(_MAX_ROWS)
    )  # fmt: skip


def list_workers(session: Session, now: dt.datetime) -> tuple[WorkerStatus, ...]:
    """Return the workers seen within a day, those seen last first, in one statement."""
    return tuple(_worker(row, now) for row in session.execute(_workers(now)))


def _worker(row: Sequence[Any], now: dt.datetime) -> WorkerStatus:  # a row of _workers
    name, engine, seen_at, submission, model, percent = row
    return WorkerStatus(name, engine, seen_at, now - seen_at <= LIVE, submission, model or "", int(percent or 0))


def read_workers(db: Engine) -> tuple[WorkerStatus, ...]:
    """Return the workers that are there now."""
    with translate_errors(), Session(db) as session:
        return tuple(one for one in list_workers(session, utc_now()) if one.is_live)


def read_head(db: Engine) -> tuple[tuple[WorkerStatus, ...], int]:
    """Return the workers that are there now, and how many submissions wait, in one statement."""
    now, model = utc_now(), SubmissionRow.kind == "model"
    waiting = select(func.count().label("n")).where(model, SubmissionRow.state.in_(WAITING)).subquery()
    workers = _workers(now).subquery()
    newest = (workers.c.seen_at.desc(), workers.c.name)
    found = select(waiting.c.n, *workers.c).select_from(waiting.outerjoin(workers, true())).order_by(*newest)
    with translate_errors(), Session(db) as session:
        (n_waiting, *first), *others = session.execute(found).all()
    seen = (_worker(row, now) for row in (first, *(rest for _, *rest in others)) if row[0] is not None)
    return tuple(one for one in seen if one.is_live), n_waiting


def engine_of_board(service: ServiceSettings, workers: Collection[WorkerStatus]) -> str:
    """Return the engine of new submissions: without accounts, that of a worker that is there, else of this machine."""
    if service.oidc is not None:
        return DEFAULT_ENGINE
    there = {one.engine for one in workers if one.is_live} & set(ENGINE_WORDS)
    return min(there, key=list(ENGINE_WORDS).index, default=installed_engine() or DEFAULT_ENGINE)


def advise(request: Request, workers: Collection[WorkerStatus], engine: str = "") -> WorkerAdvice | None:
    """Return what to say where no worker with an engine is there; None where one is. Without an engine: any worker."""
    if any(one.is_live and engine in ("", one.engine) for one in workers):
        return None
    service: ServiceSettings = request.app.state.service
    wanted = engine or engine_of_board(service, workers)
    chosen = "" if wanted == DEFAULT_ENGINE else f" --engine {wanted}"
    command = f"fathom worker --server {own_address(request)}{chosen}"
    needs_token = service.oidc is not None
    return WorkerAdvice(
        ENGINE_WORDS.get(wanted, wanted), command + (" --token-file FILE" if needs_token else ""), needs_token
    )


@router.api_route("/worker", methods=READ)
def show_worker_line(site: SiteOf) -> HTMLResponse:
    """Show in one line what the workers do, for the head of every page, and how many submissions wait."""
    workers, n_waiting = read_head(site.db)
    return page(site, "worker_line", workers=workers, n_waiting=n_waiting)

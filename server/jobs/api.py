"""The API that `fathom worker` calls: claim a job, read its requests, send completions.

A worker gets prompts, never a seed, an item's id or a right answer; its completions are graded here.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from sqlalchemy import Engine

from fathom.harness.engines.base import Request as Prompt
from fathom.harness.errors import TooLarge, TooSlow
from fathom.harness.service.faults import FAULTS
from fathom.harness.service.worker.protocol import (
    BatchReceipt,
    ClaimedJob,
    ClaimRequest,
    CompletionBatch,
    Failure,
    FinishReceipt,
    Heartbeat,
    Lease,
    LeaseEnd,
    RequestMessage,
)
from fathom.server.jobs import leases as jobs
from fathom.server.jobs.grader import grade_completions, missing_requests
from fathom.server.jobs.shards import Shard
from fathom.server.web.actor import ActorOf, actor_of, require
from fathom.server.web.render import SiteOf

_MAX_BODY, _MAX_SECONDS = 2 << 20, 60.0
_LINES = 64
"""Requests that are generated and sent together."""
_NAMED = 100
"""Missing items that an answer names."""


class _BoundedRoute(APIRoute):
    """Refuses a body before it is read: from anybody but a worker, too large, without its size; and one too slow."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's own handler behind a check of Content-Length."""
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            length = request.headers.get("content-length", "0")
            require(actor_of(request), "worker")
            if not length.isascii() or not length.isdigit() or len(length) > 18 or int(length) > _MAX_BODY:
                raise TooLarge(f"a request may have {_MAX_BODY >> 20} MB: send fewer completions at a time")
            if "transfer-encoding" in request.headers:
                raise TooLarge("state the size of the body: send Content-Length instead of chunks")
            try:
                async with asyncio.timeout(_MAX_SECONDS):
                    await request.body()  # FastAPI reads it from here
            except TimeoutError as error:
                raise TooSlow("the request body came too slowly: send it again") from error
            return await handle(request)

        return bounded


router = APIRouter(prefix="/api/v1/jobs", route_class=_BoundedRoute, include_in_schema=False)

_JobId = Annotated[int, Path(ge=1, le=2**31 - 1)]
_LeaseToken = Annotated[str, Header(alias="X-Fathom-Lease", max_length=100)]


@router.post("/claim", response_model=None)
def take_claim(request: Request, site: SiteOf, actor: ActorOf, body: ClaimRequest) -> ClaimedJob | Response:
    """Lease the next job to a worker; 204 where there is none."""
    require(actor, "worker")
    jobs.note_worker(site.db, body)
    found = jobs.claim_job(site.db, body)
    if found is None:
        return Response(status_code=204)
    return found.model_copy(update={"hub": request.app.state.service.hub})


@router.get("/{job}/requests")
def send_requests(request: Request, site: SiteOf, actor: ActorOf, job: _JobId, token: _LeaseToken) -> StreamingResponse:
    """Send the requests that have no completion yet, one JSON object a line."""
    require(actor, "worker")
    shard = jobs.open_shard(site.db, Lease(job, token))
    lines = _lines(missing_requests(shard, _seed(request, site.db, shard)))
    return StreamingResponse(lines, media_type="application/jsonl", headers={"Cache-Control": "no-store"})


def _lines(prompts: Iterator[Prompt]) -> Iterator[str]:
    while some := list(islice(prompts, _LINES)):
        yield "".join(RequestMessage.of(one).model_dump_json() + "\n" for one in some)


def _seed(request: Request, db: Engine, shard: Shard) -> str:
    seed: str = request.app.state.seed_of(db, shard.season) if shard.sealed else shard.seed
    return seed


@router.post("/{job}/beat")
def take_heartbeat(site: SiteOf, actor: ActorOf, job: _JobId, token: _LeaseToken, body: Heartbeat) -> LeaseEnd:
    """Extend a lease."""
    require(actor, "worker")
    facts = None if body.facts is None else dict(body.facts)
    end = jobs.extend_lease(site.db, Lease(job, token), body.phase, facts)
    return LeaseEnd(lease_expires_at=end.isoformat())


@router.post("/{job}/completions")
def take_completions(  # one parameter a thing that FastAPI reads
    request: Request, site: SiteOf, actor: ActorOf, job: _JobId, token: _LeaseToken, body: CompletionBatch
) -> BatchReceipt:
    """Grade and store completions."""
    require(actor, "worker")
    lease = Lease(job, token)
    shard = jobs.open_shard(site.db, lease)
    completions = [one.completion() for one in body.completions]
    samples = grade_completions(shard, _seed(request, site.db, shard), completions)
    return jobs.store_samples(site.db, lease, samples)


@router.post("/{job}/finish")
def take_finish(request: Request, site: SiteOf, actor: ActorOf, job: _JobId, token: _LeaseToken) -> FinishReceipt:
    """End a job, or name its missing items."""
    require(actor, "worker")
    missing = jobs.finish_job(site.db, Lease(job, token))
    request.app.state.background.wake()
    return FinishReceipt(done=not missing, n_missing=len(missing), missing=tuple(missing[:_NAMED]))


@router.post("/{job}/fail", status_code=204)
def take_failure(site: SiteOf, actor: ActorOf, job: _JobId, token: _LeaseToken, body: Failure) -> None:
    """End an attempt that failed."""
    require(actor, "worker")
    code = body.code if body.code in FAULTS else "engine_failed"
    jobs.fail_job(site.db, Lease(job, token), code, body.tail)


@router.post("/{job}/release", status_code=204)
def take_release(site: SiteOf, actor: ActorOf, job: _JobId, token: _LeaseToken) -> None:
    """Put a job back into the queue: its worker stops."""
    require(actor, "worker")
    jobs.release_job(site.db, Lease(job, token))

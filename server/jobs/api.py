"""Turn what workers ask and send into leases and graded samples: the API that `fathom worker` speaks.

A worker gets prompts, never a seed, an item's id or a gold; what it sends back is graded here.
"""

import json
from collections.abc import Callable, Coroutine, Iterator
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine

from fathom.harness.engines.base import Completion, Sampling
from fathom.harness.engines.base import Request as Prompt
from fathom.harness.errors import TooLarge
from fathom.harness.service.faults import FAULTS
from fathom.harness.settings import ServiceSettings
from fathom.server.jobs import grading as asking
from fathom.server.jobs import leases as jobs
from fathom.server.jobs.leases import LEASE, Lease, Seeker
from fathom.server.jobs.shards import Shard
from fathom.server.web.actor import ActorOf, require
from fathom.server.web.render import SiteOf

MAX_BODY = 2 << 20
MAX_COMPLETIONS = 512
_LINES = 64
"""Requests that are made and sent together."""
_SHOWN = 100
"""Missing items that are named."""


class BoundedRoute(APIRoute):
    """Refuse a body before it is read, if it is too large or does not say how large it is."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's own handler."""
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            length = request.headers.get("content-length", "0")
            if not length.isascii() or not length.isdigit() or int(length[:20]) > MAX_BODY:
                raise TooLarge(f"a request may have {MAX_BODY >> 20} MB: send fewer completions at a time")
            if "transfer-encoding" in request.headers:
                raise TooLarge("say how large the body is: send Content-Length, not chunks")
            return await handle(request)

        return bounded


router = APIRouter(prefix="/api/v1/jobs", route_class=BoundedRoute, include_in_schema=False)

JobId = Annotated[int, Path(ge=1, le=2**31 - 1)]
Token = Annotated[str, Header(alias="X-Fathom-Lease", max_length=100)]


class Strict(BaseModel):
    """What workers send: nothing that is not named here."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Facts = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=500)]], Field(max_length=50)
]


class ClaimIn(Strict):
    """A worker that wants work."""

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]{0,63}$")
    engine: str = Field(max_length=32)
    max_bytes: int | None = Field(None, ge=0, le=2**62)
    kinds: tuple[Literal["run", "fresh", "replay"], ...] = Field(("run", "fresh", "replay"), min_length=1, max_length=3)
    loaded: str = Field("", max_length=64)
    facts: Facts = {}


class BeatIn(Strict):
    """A worker that is alive."""

    phase: Literal["leased", "downloading", "loading", "generating"]
    facts: Facts | None = None


class CompletionIn(Strict):
    """A completion, as harness.engines.base has it."""

    key: str = Field(max_length=40)
    text: str = Field(max_length=1 << 20)
    finish_reason: Literal["stop", "length", "too_long", "error"]
    prompt_tokens: int = Field(ge=0, le=2**31 - 1)
    completion_tokens: int = Field(ge=0, le=2**31 - 1)
    seconds: float = Field(ge=0, le=10**6, allow_inf_nan=False)
    scores: tuple[float, ...] | None = Field(None, max_length=64)
    greedy: tuple[bool, ...] | None = Field(None, max_length=64)
    error: str | None = Field(None, max_length=2000)


class CompletionsIn(Strict):
    """Some completions."""

    completions: tuple[CompletionIn, ...] = Field(max_length=MAX_COMPLETIONS)


class FailIn(Strict):
    """Why a worker gives up."""

    code: str = Field(max_length=32)
    tail: str = Field("", max_length=jobs.TAIL)


def _service(request: Request) -> ServiceSettings:
    service: ServiceSettings = request.app.state.service
    return service


def _seed(request: Request, db: Engine, shard: Shard) -> str:
    seed: str = request.app.state.seed_of(db, shard.season) if shard.sealed else shard.seed
    return seed


@router.post("/claim", response_model=None)
def claim(request: Request, site: SiteOf, actor: ActorOf, body: ClaimIn) -> Any:  # 204, or a job as JSON
    """Lease the next job to a worker."""
    require(actor, "worker")
    seeker = Seeker(body.name, body.engine, body.max_bytes, body.kinds, body.loaded)
    jobs.note_worker(site.db, seeker, body.facts)
    found = jobs.claim(site.db, seeker)
    if found is None:
        return Response(status_code=204)
    return {
        "job": found.lease.job, "token": found.lease.token, "lease_seconds": LEASE.total_seconds(),
        "submission": found.submission, "kind": found.kind, "model": found.model, "sha": found.sha,
        "dtype": found.dtype, "chat_template": found.chat_template, "n_items": found.n_items, "n_done": found.n_done,
        "attempt": found.attempt, "hub": _service(request).hub,
    }  # fmt: skip


@router.get("/{job}/requests")
def requests(request: Request, site: SiteOf, actor: ActorOf, job: JobId, token: Token) -> StreamingResponse:
    """Send the requests whose completions are missing, one JSON object a line."""
    require(actor, "worker")
    shard = jobs.open_shard(site.db, Lease(job, token))
    lines = _lines(asking.ask(shard, _seed(request, site.db, shard)))
    return StreamingResponse(lines, media_type="application/jsonl", headers={"Cache-Control": "no-store"})


def _lines(asked: Iterator[Prompt]) -> Iterator[str]:
    while some := list(islice(asked, _LINES)):
        yield "".join(json.dumps(_prompt(one), ensure_ascii=False) + "\n" for one in some)


def _prompt(one: Prompt) -> dict[str, Any]:  # JSON values
    sampling: Sampling = one.sampling
    return {
        "key": one.key, "item": one.item, "prompt": one.prompt, "max_tokens": sampling.max_tokens,
        "stop": sampling.stop, "temperature": sampling.temperature, "choices": one.choices, "chat": bool(one.turns),
    }  # fmt: skip


@router.post("/{job}/beat")
def beat(site: SiteOf, actor: ActorOf, job: JobId, token: Token, body: BeatIn) -> dict[str, str]:
    """Prolong a lease."""
    require(actor, "worker")
    end = jobs.beat(site.db, Lease(job, token), body.phase, None if body.facts is None else dict(body.facts))
    return {"lease_expires_at": end.isoformat()}


@router.post("/{job}/completions")
def completions(  # one parameter a thing that FastAPI reads
    request: Request, site: SiteOf, actor: ActorOf, job: JobId, token: Token, body: CompletionsIn
) -> dict[str, int]:
    """Grade and store completions."""
    require(actor, "worker")
    lease = Lease(job, token)
    shard = jobs.open_shard(site.db, lease)
    made = [Completion(**one.model_dump()) for one in body.completions]
    samples = asking.grade(shard, _seed(request, site.db, shard), made)
    stored = jobs.store(site.db, lease, samples)
    return {"n_new": stored.n_new, "n_done": stored.n_done, "n_items": stored.n_items}


@router.post("/{job}/finish")
def finish(request: Request, site: SiteOf, actor: ActorOf, job: JobId, token: Token) -> dict[str, Any]:
    """End a job, or say which of its items are missing."""
    require(actor, "worker")
    missing = jobs.finish(site.db, Lease(job, token))
    request.app.state.housekeeper.wake()
    return {"done": not missing, "n_missing": len(missing), "missing": [list(pair) for pair in missing[:_SHOWN]]}


@router.post("/{job}/fail", status_code=204)
def fail(site: SiteOf, actor: ActorOf, job: JobId, token: Token, body: FailIn) -> None:
    """End an attempt."""
    require(actor, "worker")
    code = body.code if body.code in FAULTS else "engine_failed"
    jobs.fail(site.db, Lease(job, token), code, body.tail)


@router.post("/{job}/release", status_code=204)
def release(site: SiteOf, actor: ActorOf, job: JobId, token: Token) -> None:
    """Take a job back from a worker that stops."""
    require(actor, "worker")
    jobs.release(site.db, Lease(job, token))

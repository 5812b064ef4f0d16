"""Live updates of a submission's page: server-sent events that occupy no thread."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from fathom.harness.db.write import utc_now
from fathom.harness.errors import Busy, TooMany
from fathom.harness.format import count, plural
from fathom.server.submissions.status import SubmissionStatus, get_status
from fathom.server.web.addresses import SubmissionId
from fathom.server.web.rate_limits import network_key, visitor_address
from fathom.server.web.render import SiteOf

router = APIRouter(include_in_schema=False)


@dataclass(slots=True)
class StreamTimes:
    """Times of a stream, in seconds."""

    every: float = 1.0
    silence: float = 15.0
    """After this time without news a comment is sent, so that no proxy closes the connection."""
    longest: float = 600.0
    """The stream ends after this time; browsers reconnect."""


@dataclass(slots=True)
class _Recent:
    """The last status read of a submission, shared by all of its streams."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    at: float = float("-inf")
    status: SubmissionStatus | None = None


@dataclass(slots=True)
class EventStreams:
    """The open streams of this process; used on the event loop only."""

    most: int = 100
    each: int = 6
    """Streams of one address."""
    times: StreamTimes = field(default_factory=StreamTimes)
    _open: Counter[str] = field(default_factory=Counter)
    _seen: dict[str, _Recent] = field(default_factory=dict)

    def enter(self, address: str) -> None:
        """Count a new stream of an address.

        Raises:
            TooMany: this address has too many streams.
            Busy: there are too many streams in all.
        """
        if self._open[address] >= self.each:
            raise TooMany(f"{self.each} pages are updated live for you already: close one of them")
        if self.n_open >= self.most:
            raise Busy("too many pages are updated live: load this one again by hand")
        self._open[address] += 1

    def leave(self, address: str) -> None:
        """Count the end of a stream."""
        self._open[address] -= 1
        self._open += Counter()
        if not self._open:
            self._seen.clear()

    @property
    def n_open(self) -> int:
        """The number of open streams."""
        return self._open.total()

    async def read(self, db: Engine, submission: str) -> SubmissionStatus:
        """Return a submission; the database is read at most once a second, whatever the number of streams.

        Raises:
            UnknownSubmission: there is no such submission.
        """
        seen = self._seen.setdefault(submission, _Recent())
        async with seen.lock:
            now = asyncio.get_running_loop().time()
            if seen.status is None or now - seen.at >= 0.9 * self.times.every:
                seen.status, seen.at = await run_in_threadpool(get_status, db, submission), now
            return seen.status


class _EventResponse(StreamingResponse):
    """Counts the end of its stream in every case, even if it never started."""

    streams: EventStreams
    address: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.streams.leave(self.address)


@router.get("/submissions/{submission}/events")
async def stream_events(request: Request, site: SiteOf, submission: SubmissionId) -> StreamingResponse:
    """Send a submission's state and progress, now and at each change, until the state is final."""
    streams: EventStreams = request.app.state.streams
    await run_in_threadpool(get_status, site.db, submission)
    address = network_key(visitor_address(request.scope, request.app.state.service.proxies))
    streams.enter(address)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx would hold events back
    answer = _EventResponse(_stream(streams, site.db, submission), media_type="text/event-stream", headers=headers)
    answer.streams, answer.address = streams, address
    return answer


async def _stream(streams: EventStreams, db: Engine, submission: str) -> AsyncIterator[str]:
    clock, times = asyncio.get_running_loop().time, streams.times
    began = spoke = clock()
    told: dict[str, Any] = {}
    while clock() - began < times.longest:
        status = await streams.read(db, submission)
        news = live_values(status)
        if news != told:
            told, spoke = news, clock()
            yield _event("progress", {**news, "age": _age(status)})
        if status.submission.is_over:
            yield _event("over", {})
            return
        if clock() - spoke >= times.silence:
            spoke = clock()
            yield ": nothing new\n\n"
        await asyncio.sleep(times.every)


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def live_values(status: SubmissionStatus) -> dict[str, Any]:
    """Return the changing values of a submission's page, in the words of the page."""
    progress, rate = status.progress, status.progress.tokens_per_second
    return {
        "state": status.submission.state,
        "position": status.position,
        "done": progress.done,
        "total": progress.total,
        "items": f"{count(progress.done)} of {plural(progress.total, 'item')}" if progress.total else "",
        "rate": f"{rate:,.0f} tokens/s" if rate else "",
        "workers": ", ".join(progress.workers),
        "beat": progress.heartbeat_at.isoformat() if progress.heartbeat_at else "",
    }


def _age(status: SubmissionStatus) -> float | None:
    beat = status.progress.heartbeat_at
    return None if beat is None else max(0.0, round((utc_now() - beat).total_seconds(), 1))

"""Send what changes about a submission while it changes: server-sent events that hold no thread."""

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
from fathom.server.submissions.api import SubmissionId
from fathom.server.submissions.status import Place, get_place
from fathom.server.web.limits import address_of, bucket
from fathom.server.web.render import SiteOf

router = APIRouter(include_in_schema=False)


@dataclass(slots=True)
class Pulse:
    """Times of a stream, in seconds."""

    every: float = 1.0
    silence: float = 15.0
    """A comment is sent after so long without news, so that nothing on the way closes the connection."""
    longest: float = 600.0
    """A browser asks again by itself."""


@dataclass(slots=True)
class _Seen:
    """A submission as it was a moment ago, for all who watch it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    at: float = float("-inf")
    place: Place | None = None


@dataclass(slots=True)
class Watch:
    """Who watches submissions through this process; used on the event loop alone."""

    most: int = 100
    each: int = 6
    """Streams of one address."""
    pulse: Pulse = field(default_factory=Pulse)
    _open: Counter[str] = field(default_factory=Counter)
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def enter(self, address: str) -> None:
        """Hold a place for a stream.

        Raises:
            TooMany, Busy: this address, or everybody together, has as many as there may be.
        """
        if self._open[address] >= self.each:
            raise TooMany(f"{self.each} pages are being kept up to date for you already: close one of them")
        if self.n_open >= self.most:
            raise Busy("too many pages are being kept up to date: this one has to be loaded again")
        self._open[address] += 1

    def leave(self, address: str) -> None:
        """Give a place back."""
        self._open[address] -= 1
        self._open += Counter()
        if not self._open:
            self._seen.clear()

    @property
    def n_open(self) -> int:
        """Streams that are open."""
        return self._open.total()

    async def look(self, db: Engine, submission: str) -> Place:
        """Return a submission, asking the database once a second at most, however many watch.

        Raises:
            UnknownSubmission: there is none such.
        """
        seen = self._seen.setdefault(submission, _Seen())
        async with seen.lock:
            now = asyncio.get_running_loop().time()
            if seen.place is None or now - seen.at >= 0.9 * self.pulse.every:
                seen.place, seen.at = await run_in_threadpool(get_place, db, submission), now
            return seen.place


class _Events(StreamingResponse):
    """Gives the place back however the stream ends, even if it never began."""

    watch: Watch
    address: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.watch.leave(self.address)


@router.get("/submissions/{submission}/events")
async def stream_events(request: Request, site: SiteOf, submission: SubmissionId) -> StreamingResponse:
    """Send a submission's state and progress, first as they are, then whenever they change, until it is over."""
    watch: Watch = request.app.state.watch
    await run_in_threadpool(get_place, site.db, submission)
    address = bucket(address_of(request.scope, request.app.state.service.proxies))
    watch.enter(address)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx would hold events back
    answer = _Events(_stream(watch, site.db, submission), media_type="text/event-stream", headers=headers)
    answer.watch, answer.address = watch, address
    return answer


async def _stream(watch: Watch, db: Engine, submission: str) -> AsyncIterator[str]:
    clock, pulse = asyncio.get_running_loop().time, watch.pulse
    began = spoke = clock()
    told: dict[str, Any] = {}
    while clock() - began < pulse.longest:
        place = await watch.look(db, submission)
        news = facts_of(place)
        if news != told:
            told, spoke = news, clock()
            yield _event("progress", {**news, "age": _age(place)})
        if place.submission.is_over:
            yield _event("over", {})
            return
        if clock() - spoke >= pulse.silence:
            spoke = clock()
            yield ": nothing new\n\n"
        await asyncio.sleep(pulse.every)


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def facts_of(place: Place) -> dict[str, Any]:
    """Return what a page shows of a submission that changes, in the words in which it is shown."""
    progress, rate = place.progress, place.progress.tokens_per_second
    return {
        "state": place.submission.state,
        "position": place.position,
        "done": progress.done,
        "total": progress.total,
        "items": f"{count(progress.done)} of {plural(progress.total, 'item')}" if progress.total else "",
        "rate": f"{rate:,.0f} tokens/s" if rate else "",
        "workers": ", ".join(progress.workers),
        "beat": progress.heartbeat_at.isoformat() if progress.heartbeat_at else "",
    }


def _age(place: Place) -> float | None:
    beat = place.progress.heartbeat_at
    return None if beat is None else max(0.0, round((utc_now() - beat).total_seconds(), 1))

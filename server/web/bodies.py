"""Take bodies of requests in while they arrive: a few at a time, at a walking pace at least, off the event loop."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from anyio import CancelScope, CapacityLimiter, fail_after, move_on_after, to_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from fathom.harness.errors import BadInput, Busy, FathomError, TooLarge, TooSlow
from fathom.tasks.errors import TaskError

T = TypeVar("T")


Made = TypeVar("Made", covariant=True)


class Taker(Protocol[Made]):
    """What bytes are given to, from threads, one call after the other."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""

    def close(self) -> Made:
        """End, and return what came of it."""

    def drop(self, reason: str) -> None:
        """Leave nothing behind; the reason is for a log, and empty where the sender is simply gone."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a sender may be waited for in all: `grace` seconds, and one more for each `rate` bytes that came."""

    grace: float = 30.0
    rate: float = 8192.0

    def left(self, waited: float, n_bytes: int) -> float:
        """Return the seconds that the sender has left."""
        return max(0.0, self.grace + n_bytes / self.rate - waited)


@dataclass(slots=True)
class Reception:
    """Who is sending something to this process; used on the event loop alone."""

    most: int = 4
    each: int = 2
    """Of one user."""
    hourly: int = 60
    """Uploads that a user may begin within an hour."""
    pace: Pace = field(default_factory=Pace)
    _senders: Counter[int] = field(default_factory=Counter)
    _threads: CapacityLimiter | None = None

    @contextmanager
    def enter(self, user: int) -> Iterator[None]:
        """Hold a place while something is taken in.

        Raises:
            Busy: there is none.
        """
        if self._senders.total() >= self.most or self._senders[user] >= self.each:
            raise Busy("other results are being taken in just now: try again in half a minute")
        self._senders[user] += 1
        try:
            yield
        finally:
            self._senders[user] -= 1

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run something in a thread of its own kind, so that pages never wait for uploads."""
        if self._threads is None:
            self._threads = CapacityLimiter(self.most)
        return await to_thread.run_sync(call, limiter=self._threads)

    async def take(self, request: Request, taker: Taker[T]) -> T:
        """Give a request's body to a taker and return what it made of it; where that fails, whatever for, it drops it.

        Raises:
            TooSlow, BadInput: the sender is too slow, or gone; and whatever the taker raises.
        """
        body = _Body(request, self.pace)
        try:
            async for chunk in body.chunks():
                await self.in_thread(partial(taker.feed, chunk))
            return await self.in_thread(taker.close)
        except BaseException as error:
            is_refused = isinstance(error, FathomError | TaskError)
            with CancelScope(shield=True):
                await self.in_thread(partial(taker.drop, str(error) if is_refused else ""))
            if isinstance(error, ClientDisconnect):
                raise BadInput("the connection broke off") from error
            if is_refused:
                await body.drain()
            raise


@dataclass(slots=True)
class _Body:
    """A request's body, chunk by chunk."""

    request: Request
    pace: Pace
    ended: bool = False
    waited: float = 0.0
    n_bytes: int = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        while not self.ended:
            began = time.monotonic()
            try:
                with fail_after(self.pace.left(self.waited, self.n_bytes)):
                    chunk = await self._next()
            except TimeoutError as error:
                self.ended = True
                raise TooSlow("the results came too slowly: send them again over a faster line") from error
            self.waited += time.monotonic() - began
            if chunk:
                yield chunk

    async def drain(self) -> None:
        """Read a little on, so that most senders see why they were refused rather than a broken connection."""
        most = self.n_bytes + _DRAIN_BYTES
        with move_on_after(_DRAIN_SECONDS), suppress(ClientDisconnect):
            while not self.ended and self.n_bytes < most:
                await self._next()

    async def _next(self) -> bytes:
        message = await self.request.receive()
        if message["type"] != "http.request":
            self.ended = True
            raise ClientDisconnect
        self.ended = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        self.n_bytes += len(chunk)
        return chunk


_DRAIN_BYTES, _DRAIN_SECONDS = 4 << 20, 1.0


def check_length(request: Request, most: int) -> None:
    """Raise TooLarge where a request says itself that it has more than `most` bytes."""
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdigit() and (len(said) > 18 or int(said) > most):
        raise TooLarge(f"more than {most >> 20} MB: pack it with gzip, or send a smaller run")


_MOST = 64 << 10


_SECONDS = 20.0


async def read_body(request: Request) -> bytes:
    """Return the body.

    Raises:
        TooLarge, TooSlow: it is longer than 64 kB, or takes longer than 20 s.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MOST:
                    raise TooLarge(f"this takes {_MOST >> 10} kB at most: shorten what you send")
    except TimeoutError as error:
        raise TooSlow("the body came too slowly: send it again") from error
    return bytes(body)

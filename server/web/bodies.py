"""Request bodies: uploads that are processed while they arrive, and small bodies that are read whole."""

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
Result = TypeVar("Result", covariant=True)


class BodyReceiver(Protocol[Result]):
    """Receives the bytes of a body; called from threads, one call at a time."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""

    def close(self) -> Result:
        """Handle the end of the body; return the result."""

    def drop(self, reason: str) -> None:
        """Undo everything; `reason` goes to the audit log and is empty where the connection broke."""


@dataclass(frozen=True, slots=True)
class MinimumRate:
    """The slowest upload that is accepted: `grace` seconds, and one more for each `rate` bytes received."""

    grace: float = 30.0
    rate: float = 8192.0

    def seconds_left(self, waited: float, n_bytes: int) -> float:
        """Return the seconds that the sender has left."""
        return max(0.0, self.grace + n_bytes / self.rate - waited)


@dataclass(slots=True)
class UploadSlots:
    """Limits how many uploads this process receives at once; used on the event loop only."""

    most: int = 4
    each: int = 2
    """Uploads of one user."""
    hourly: int = 60
    """Uploads that a user may start within an hour."""
    rate: MinimumRate = field(default_factory=MinimumRate)
    _senders: Counter[int] = field(default_factory=Counter)
    _threads: CapacityLimiter | None = None

    @contextmanager
    def enter(self, user: int) -> Iterator[None]:
        """Hold a slot during an upload.

        Raises:
            Busy: no slot is free.
        """
        if self._senders.total() >= self.most or self._senders[user] >= self.each:
            raise Busy("other uploads are running: try again in half a minute")
        self._senders[user] += 1
        try:
            yield
        finally:
            self._senders[user] -= 1

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run a call in threads reserved for uploads, so that pages never wait for them."""
        if self._threads is None:
            self._threads = CapacityLimiter(self.most)
        return await to_thread.run_sync(call, limiter=self._threads)

    async def receive(self, request: Request, receiver: BodyReceiver[T]) -> T:
        """Pass a request's body to a receiver and return its result; after any failure the receiver drops everything.

        Raises:
            TooSlow: the body comes too slowly.
            BadInput: the connection broke, or the receiver refuses the body.
        """
        body = _Body(request, self.rate)
        try:
            async for chunk in body.chunks():
                await self.in_thread(partial(receiver.feed, chunk))
            return await self.in_thread(receiver.close)
        except BaseException as error:
            is_refused = isinstance(error, FathomError | TaskError)
            with CancelScope(shield=True):
                await self.in_thread(partial(receiver.drop, str(error) if is_refused else ""))
            if isinstance(error, ClientDisconnect):
                raise BadInput("the connection was lost") from error
            if is_refused:
                await body.drain()
            raise


@dataclass(slots=True)
class _Body:
    """A request's body, chunk by chunk."""

    request: Request
    rate: MinimumRate
    ended: bool = False
    waited: float = 0.0
    n_bytes: int = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        while not self.ended:
            began = time.monotonic()
            try:
                with fail_after(self.rate.seconds_left(self.waited, self.n_bytes)):
                    chunk = await self._next()
            except TimeoutError as error:
                self.ended = True
                raise TooSlow("the upload was too slow: send it again over a faster connection") from error
            self.waited += time.monotonic() - began
            if chunk:
                yield chunk

    async def drain(self) -> None:
        """Read a little more, so that most senders see the refusal instead of a broken connection."""
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
    """Raise TooLarge where Content-Length is above `most` bytes."""
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdigit() and (len(said) > 18 or int(said) > most):
        raise TooLarge(f"more than {most >> 20} MB: pack it with gzip, or send a smaller run")


_MAX_BYTES, _MAX_SECONDS = 64 << 10, 20.0


async def read_body(request: Request) -> bytes:
    """Return the whole body.

    Raises:
        TooLarge: it has more than 64 kB.
        TooSlow: it takes longer than 20 s.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(_MAX_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise TooLarge(f"at most {_MAX_BYTES >> 10} kB are accepted here: send less")
    except TimeoutError as error:
        raise TooSlow("the request body came too slowly: send it again") from error
    return bytes(body)

"""Turn a server's answers into how many calls it gets at a time: additive increase, multiplicative decrease.

Source: Chiu and Jain, Analysis of the Increase and Decrease Algorithms for Congestion Avoidance (1989); the quick
start that doubles until the first complaint is TCP's (RFC 5681, section 3.1).
"""

import asyncio
import time
from collections import deque

_START = 16
"""Calls at a time before anything is known of the server."""


class ConcurrencyLimit:
    """Admits as many calls at a time as the server bears; used from one event loop."""

    def __init__(self, ceiling: int, start: int = _START) -> None:
        """Begin with `start` calls at a time and never admit more than `ceiling`."""
        self._ceiling = float(ceiling)
        self._limit = float(min(start, ceiling))
        self._easy = float(ceiling)  # up to here each answer admits one more
        self._was_praised = True
        self._round = 0
        self._not_before = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.n_under_way = 0

    @property
    def limit(self) -> int:
        """Return how many calls may be under way."""
        return int(self._limit)

    async def enter(self) -> int:
        """Wait for room; return the round, to be handed back with what became of the call."""
        while True:
            pause = self._not_before - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            elif self.n_under_way < self.limit:
                self.n_under_way += 1
                return self._round
            else:
                room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(room)
                await room

    def leave(self) -> None:
        """Make room for the next ones."""
        self.n_under_way -= 1
        n_free = self.limit - self.n_under_way
        while n_free > 0 and self._waiting:
            room = self._waiting.popleft()
            if not room.done():  # as it is where the caller gave up
                room.set_result(None)
                n_free -= 1

    def praise(self) -> None:
        """Admit more after an answer, if the limit was in use."""
        self._was_praised = True
        if self.n_under_way >= self.limit:
            more = 1.0 if self._limit < self._easy else 1.0 / self._limit
            self._limit = min(self._ceiling, self._limit + more)

    def blame(self, entered: int) -> bool:
        """Admit half as many after a failure, once for all calls that were under way together.

        Return whether it was the first of these. A server that comes back is soon asked half as much as before.
        """
        if entered != self._round:
            return False
        self._round += 1
        if self._was_praised:
            self._easy = self._limit / 2
        self._was_praised = False
        self._limit = max(1.0, self._limit / 2)
        return True

    def hold(self, seconds: float) -> None:
        """Admit nobody for so long."""
        self._not_before = max(self._not_before, time.monotonic() + seconds)

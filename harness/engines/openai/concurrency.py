"""Adaptive limit on concurrent calls: additive increase, multiplicative decrease.

Source: Chiu and Jain, Analysis of the Increase and Decrease Algorithms for Congestion Avoidance (1989); the slow start,
which doubles until the first failure, is TCP's (RFC 5681, section 3.1).
"""

import asyncio
import time
from collections import deque

_START = 16
"""Limit before the first answer."""


class ConcurrencyLimit:
    """Limits concurrent calls to what the server can handle; for use in one event loop."""

    def __init__(self, ceiling: int, start: int = _START) -> None:
        """Start with `start` calls at a time; the limit never exceeds `ceiling`."""
        self._ceiling = float(ceiling)
        self._limit = float(min(start, ceiling))
        self._slow_start_end = float(ceiling)  # slow start up to here: each answer raises the limit by one
        self._was_increased = True
        self._round = 0
        self._not_before = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.n_in_progress = 0

    @property
    def limit(self) -> int:
        """Return how many calls may be in progress."""
        return int(self._limit)

    async def acquire(self) -> int:
        """Wait for a free slot; return the round, which `decrease` needs."""
        while True:
            pause = self._not_before - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            elif self.n_in_progress < self.limit:
                self.n_in_progress += 1
                return self._round
            else:
                room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(room)
                await room

    def release(self) -> None:
        """Free a slot and wake waiting calls."""
        self.n_in_progress -= 1
        n_free = self.limit - self.n_in_progress
        while n_free > 0 and self._waiting:
            room = self._waiting.popleft()
            if not room.done():  # a cancelled call
                room.set_result(None)
                n_free -= 1

    def increase(self) -> None:
        """Raise the limit after an answer, if it was reached."""
        self._was_increased = True
        if self.n_in_progress >= self.limit:
            more = 1.0 if self._limit < self._slow_start_end else 1.0 / self._limit
            self._limit = min(self._ceiling, self._limit + more)

    def decrease(self, entered: int) -> bool:
        """Halve the limit after a failure, once for all calls of the same round.

        Return whether it was the first failure of its round. After a restart of the server, slow start ends at half of
        the earlier limit.
        """
        if entered != self._round:
            return False
        self._round += 1
        if self._was_increased:
            self._slow_start_end = self._limit / 2
        self._was_increased = False
        self._limit = max(1.0, self._limit / 2)
        return True

    def pause(self, seconds: float) -> None:
        """Admit no call for so many seconds."""
        self._not_before = max(self._not_before, time.monotonic() + seconds)

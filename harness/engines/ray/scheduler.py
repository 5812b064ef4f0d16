"""Distribution of requests among replicas that come and go: none is lost, none is answered twice.

Replicas are names here; there is no clock and no Ray.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from fathom.harness.engines.base import Completion, Request, failed
from fathom.harness.errors import EngineFailed

_RESERVE = 2
"""Batches that a replica holds at most: one that it works on, and one in reserve."""
_PORTIONS = 4
"""Portions of a batch; small portions balance the load."""
_SUSPECT, _DEATHS = 2, 4
"""Deaths of replicas after which a request is sent apart from others, and after which it is given up."""


class Scheduler:
    """Distributes one stream of requests; `width` is how many a replica works on at once."""

    def __init__(self, requests: Iterator[Request], width: int) -> None:
        """Pull nothing yet."""
        self._source, self._is_ended = requests, False
        self._width = max(1, width)
        self._ahead: deque[Request] = deque()
        self._suspects: deque[Request] = deque()
        self._out: dict[str, dict[str, Request]] = {}
        self._holder: dict[str, str] = {}
        self._deaths: dict[str, int] = {}

    @property
    def done(self) -> bool:
        """Return whether every request is answered; may pull the next one."""
        self._look_ahead()
        return not (self._ahead or self._suspects or self._holder)

    def join(self, replica: str) -> None:
        """Add a replica."""
        self._out.setdefault(replica, {})

    def n_held(self, replica: str) -> int:
        """Return the number of requests that a replica has not answered."""
        return len(self._out.get(replica, ()))

    def give(self, replica: str) -> list[Request]:
        """Return the next requests of a replica; none while it has enough."""
        held = self._out[replica]
        some = self._portion(held) or self._portion_of_suspects(held)
        for request in some:
            held[request.key] = request
            self._holder[request.key] = replica
        return some

    def take(self, completions: Sequence[Completion]) -> list[Completion]:
        """Return the completions that are the first of their request; drop the others."""
        fresh = []
        for one in completions:
            replica = self._holder.pop(one.key, None)
            if replica is not None:
                del self._out[replica][one.key]
                self._deaths.pop(one.key, None)
                fresh.append(one)
        return fresh

    def lose(self, replica: str) -> list[Completion]:
        """Remove a dead replica and requeue its requests. Return those given up after too many deaths, as failed."""
        given_up, again = [], []
        for key, request in self._out.pop(replica, {}).items():
            del self._holder[key]
            deaths = self._deaths[key] = self._deaths.get(key, 0) + 1
            if deaths >= _DEATHS:
                given_up.append(
                    failed(
                        request,
                        EngineFailed(f"{deaths} replicas died while they worked on it, the last one on it alone"),
                    )
                )
            elif deaths >= _SUSPECT:
                self._suspects.append(request)
            else:
                again.append(request)
        self._ahead.extendleft(reversed(again))
        return given_up

    def _portion(self, held: dict[str, Request]) -> list[Request]:
        if any(self._is_suspect(request) for request in held.values()):
            return []
        self._look_ahead()
        size = max(1, self._width // _PORTIONS)
        if self._is_ended:  # near the end: smaller portions, so that all replicas end together
            size = min(size, -(-len(self._ahead) // (2 * max(1, len(self._out)))))
        if not size or _RESERVE * self._width - len(held) < size:
            return []
        return [self._ahead.popleft() for _ in range(min(size, len(self._ahead)))]

    def _portion_of_suspects(self, held: dict[str, Request]) -> list[Request]:
        """Return a few suspects, later a single one, for an idle replica, so that the cause is found."""
        if held or not self._suspects:
            return []
        alone = self._deaths[self._suspects[0].key] >= _DEATHS - 1
        size = 1 if alone else max(1, self._width // 8)
        return [self._suspects.popleft() for _ in range(min(size, len(self._suspects)))]

    def _is_suspect(self, request: Request) -> bool:
        return self._deaths.get(request.key, 0) >= _SUSPECT

    def _look_ahead(self) -> None:
        """Pull one batch for each replica, so that the end of the stream is known in time."""
        while len(self._ahead) < self._width * max(1, len(self._out)):
            one = next(self._source, None)
            self._is_ended = one is None
            if one is None:
                return
            self._ahead.append(one)

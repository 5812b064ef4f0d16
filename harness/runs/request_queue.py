"""Put the requests of several waves through one engine, and what comes back into the journal and to its wave.

Three kinds of threads meet here. Waves, a thread each, hand in requests and wait. The caller's own thread drives the
engine. A writer grades and commits, so that neither the engine nor a wave waits for the disk.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from fathom.harness.engines.base import Completion, Engine, Request
from fathom.harness.errors import EngineFailed
from fathom.harness.runs.grading import Answer, Reading
from fathom.tasks.base import Instance

_ROOM = 2048
"""Requests that wait for the engine, below which another wave may be built."""
_COMMIT = 4096
"""Completions a transaction at most."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and the place where its sample belongs."""

    request: Request
    cell: int
    index: int
    repeat: int
    item: Instance
    reading: Reading

    def answer(self, completion: Completion) -> Answer:
        """Read the answer, which is what lm-eval and we grade."""
        return self.reading.answer(completion)


Answered = tuple[Asked, Completion]
Keep = Callable[[Sequence[Answered]], None]
"""Grades and commits answers."""


class Stopped(Exception):
    """Another thread ended the run; it has said why."""


class _Ticket:
    """What a wave waits for."""

    def __init__(self, n: int) -> None:
        self.left = n
        self.done: dict[str, Completion] = {}
        self.ready = threading.Event()


class Feed:
    """One engine for several waves; `drive` ends when `close` was called and all is answered and kept."""

    def __init__(self, keep: Keep) -> None:
        """Take what keeps answers; it is called from one thread."""
        self._keep = keep
        self._changed = threading.Condition()
        self._waiting: deque[Asked] = deque()
        self._asked: dict[str, tuple[Asked, _Ticket]] = {}
        self._tickets: set[_Ticket] = set()
        self._n_out = 0  # requests inside the engine
        self._arrived: SimpleQueue[list[Completion] | None] = SimpleQueue()
        self._error: BaseException | None = None
        self._closed = False

    def complete(self, asked: Sequence[Asked], queued: Callable[[], None]) -> dict[str, Completion]:
        """Hand in requests, call `queued`, wait, and return the completions by key; for waves.

        Raises:
            Stopped: the run was ended meanwhile.
        """
        ticket = _Ticket(len(asked))
        with self._changed:
            self._check()
            self._tickets.add(ticket)
            self._waiting.extend(asked)
            self._asked.update((one.request.key, (one, ticket)) for one in asked)
            self._changed.notify_all()
        queued()
        ticket.ready.wait()
        with self._changed:
            self._tickets.discard(ticket)
        if ticket.left:
            raise Stopped
        return ticket.done

    def wait_for_room(self) -> None:
        """Return once the engine will soon want more; for waves.

        Raises:
            Stopped: the run was ended meanwhile.
        """
        with self._changed:
            while len(self._waiting) >= _ROOM:
                self._check()
                self._changed.wait()
            self._check()

    def first(self) -> Request | None:
        """Return the request that the engine will get next, if one waits."""
        with self._changed:
            return self._waiting[0].request if self._waiting else None

    def close(self) -> None:
        """Say that no more requests will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """End everything; `drive` raises the first error that was given, unless it raises its own."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()
            for ticket in self._tickets:
                ticket.ready.set()

    def drive(self, engine: Callable[[], Engine]) -> None:
        """Open the engine once there is a request, and run it until `close`; for the thread that owns the engine.

        Raises:
            BaseException: what the engine, the writer or a wave raised; everything that came back is kept by then.
        """
        writer = threading.Thread(target=self._write, name="fathom-writer", daemon=True)
        writer.start()
        try:
            while self._wait_for_request():
                self._run(engine())
        except BaseException as error:
            self.fail(error)
            raise
        finally:
            self._arrived.put(None)
            writer.join()
        if self._error:
            raise self._error

    def _run(self, engine: Engine) -> None:
        for batch in engine.stream(self._pull()):
            with self._changed:
                self._n_out -= len(batch)
            self._arrived.put(batch)
            if self._error:
                return
        if self._n_out > 0:
            raise EngineFailed(f"the engine {engine.name} left {self._n_out} requests unanswered")

    def _wait_for_request(self) -> bool:
        """Say whether there is a request; wait while there may yet be one."""
        with self._changed:
            while not (self._waiting or self._closed or self._error):
                self._changed.wait(1.0)  # a lock without a time-out would keep Ctrl-C waiting on some systems
            return bool(self._waiting) and self._error is None

    def _pull(self) -> Iterator[Request]:
        """Yield requests until there are none just now; while the engine is empty, wait for more."""
        while True:
            with self._changed:
                while not self._waiting:
                    if self._n_out or self._closed or self._error:
                        return
                    self._changed.wait(1.0)
                one = self._waiting.popleft()
                self._n_out += 1
                if len(self._waiting) == _ROOM - 1:
                    self._changed.notify_all()
            yield one.request

    def _check(self) -> None:
        if self._error:
            raise Stopped

    def _write(self) -> None:
        """Keep what arrives, as much at a time as there is; then tell the waves."""
        going = True
        while going:
            batches = [self._arrived.get()]
            while not self._arrived.empty() and sum(len(one or ()) for one in batches) < _COMMIT:
                batches.append(self._arrived.get())
            going = None not in batches
            try:
                self._take([one for batch in batches if batch for one in batch])
            except BaseException as error:  # it is raised where the engine is driven
                self.fail(error)
                return

    def _take(self, done: list[Completion]) -> None:
        if not done:
            return
        with self._changed:
            known = [one for one in done if one.key in self._asked]
            found = [(*self._asked.pop(one.key), one) for one in {one.key: one for one in known}.values()]
        self._keep([(asked, one) for asked, _, one in found])
        for _, ticket, one in found:
            ticket.done[one.key] = one
            ticket.left -= 1
            if not ticket.left:
                ticket.ready.set()
        if len(found) < len(done):
            raise EngineFailed("the engine answered a request twice, or one that nobody asked")

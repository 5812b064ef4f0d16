"""One queue of requests between lm-eval and an engine, so that the engine never waits for lm-eval or for the disk.

Three kinds of threads use it. Waves, one thread each, add requests and wait for their completions. The caller's own
thread drives the engine. A writer commits completions.
"""

import gc
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

from fathom.harness.engines.base import Completion, Engine, Request
from fathom.harness.errors import EngineFailed

WAVE = 2048
"""Samples of a wave: lm-eval builds and scores so many at a time."""

_ROOM = 2048
"""Waiting requests, below which another wave may be built."""
_COMMIT = 4096
"""Completions a transaction at most."""
_WAVES = 8
"""Waves in memory at most; there are more than two only where a few answers take very long."""


class QueuedRequest(Protocol):
    """A request to the engine that knows which sample it makes."""

    @property
    def request(self) -> Request:
        """What the engine gets."""

    @property
    def position(self) -> int:
        """Position of its cell in the suite, or of its task in the run."""


_R = TypeVar("_R", bound=QueuedRequest)


class RunStopped(Exception):
    """Another thread ended the run, and its error says why."""


class _WaveState:
    """Requests of a wave that are not answered yet, and its completions."""

    def __init__(self, n: int) -> None:
        self.n_left = n
        self.done: dict[str, Completion] = {}
        self.ended = threading.Event()


class _Waiting:
    """The waiting requests as an iterator that may go on after it has ended: while an engine works, more may come."""

    def __init__(self, pull: Callable[[], Request | None]) -> None:
        self._pull = pull

    def __iter__(self) -> Iterator[Request]:
        return self

    def __next__(self) -> Request:
        if (one := self._pull()) is None:
            raise StopIteration
        return one


class RequestQueue(Generic[_R]):
    """One engine for several waves; `drive` returns when `close` was called and every completion is stored."""

    def __init__(self, store: Callable[[Sequence[tuple[_R, Completion]]], None]) -> None:
        """Take a function that commits completions; one thread calls it."""
        self._store = store
        self._changed = threading.Condition()
        self._waiting: deque[_R] = deque()
        self._unanswered: dict[str, tuple[_R, _WaveState]] = {}
        self._waves: set[_WaveState] = set()
        self._n_in_engine = 0
        self._arrived: SimpleQueue[list[Completion] | None] = SimpleQueue()
        self._error: BaseException | None = None
        self._is_closed = False

    def complete(self, requests: Sequence[_R], queued: Callable[[], None] = lambda: None) -> dict[str, Completion]:
        """Add requests, call `queued`, wait, and return the completions by key; called by waves.

        Raises:
            RunStopped: the run was ended meanwhile.
        """
        wave = _WaveState(len(requests))
        with self._changed:
            self._check()
            self._waves.add(wave)
            self._waiting.extend(requests)
            self._unanswered.update((one.request.key, (one, wave)) for one in requests)
            self._changed.notify_all()
        queued()
        if requests:
            wave.ended.wait()
        with self._changed:
            self._waves.discard(wave)
        if wave.n_left:
            raise RunStopped
        return wave.done

    def wait_for_room(self) -> None:
        """Return once the engine will soon need more requests; called by waves.

        Raises:
            RunStopped: the run was ended meanwhile.
        """
        with self._changed:
            while len(self._waiting) >= _ROOM:
                self._check()
                self._changed.wait()
            self._check()

    def first(self) -> Request | None:
        """Return the next request for the engine, if one waits."""
        with self._changed:
            return self._waiting[0].request if self._waiting else None

    def close(self) -> None:
        """End the queue: no more requests will come."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Stop every thread; `drive` raises the first error that was given, unless it raises its own."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()
            for wave in self._waves:
                wave.ended.set()

    def drive(self, engine: Callable[[], Engine]) -> None:
        """Open the engine once there is a request, and run it until `close`; called by the thread that owns it.

        Raises:
            BaseException: the error of the engine, the writer or a wave; all completions so far are stored by then.
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
        for batch in engine.stream(_Waiting(self._pull)):
            with self._changed:
                self._n_in_engine -= len(batch)
            self._arrived.put(batch)
            if self._error:
                return
        if self._n_in_engine > 0:
            raise EngineFailed(f"the engine {engine.name} left {self._n_in_engine} requests unanswered")

    def _wait_for_request(self) -> bool:
        """Wait while a request may still come; say whether there is one."""
        with self._changed:
            while not (self._waiting or self._is_closed or self._error):
                self._changed.wait(1.0)  # without a time-out, Ctrl-C would wait too on some systems
            return bool(self._waiting) and self._error is None

    def _pull(self) -> Request | None:
        """Return a waiting request, or None; wait for one only while the engine has none."""
        with self._changed:
            while not self._waiting:
                if self._n_in_engine or self._is_closed or self._error:
                    return None
                self._changed.wait(1.0)
            one = self._waiting.popleft()
            self._n_in_engine += 1
            if len(self._waiting) == _ROOM - 1:
                self._changed.notify_all()
            return one.request

    def _check(self) -> None:
        if self._error:
            raise RunStopped

    def _write(self) -> None:
        """Store what arrives, all that is there at a time; then release the waves."""
        is_open = True
        while is_open:
            batches = [self._arrived.get()]
            while not self._arrived.empty() and sum(len(one or ()) for one in batches) < _COMMIT:
                batches.append(self._arrived.get())
            is_open = None not in batches
            try:
                self._take([one for batch in batches if batch for one in batch])
            except BaseException as error:  # raised again where the engine is driven
                self.fail(error)
                return

    def _take(self, done: list[Completion]) -> None:
        if not done:
            return
        with self._changed:
            known = [one for one in done if one.key in self._unanswered]
            found = [(*self._unanswered.pop(one.key), one) for one in {one.key: one for one in known}.values()]
        self._store([(request, one) for request, _, one in found])
        for _, wave, one in found:
            wave.done[one.key] = one
            wave.n_left -= 1
            if not wave.n_left:
                wave.ended.set()
        if len(found) < len(done):
            raise EngineFailed("the engine answered a request twice, or one that it did not get")


def run_waves(queue: RequestQueue[_R], waves: Iterable[Callable[[], None]], engine: Callable[[], Engine]) -> None:
    """Run waves in threads while this thread drives the engine; `engine` is called here, if a wave adds a request.

    Raises:
        BaseException: the first error of the engine, the writer or a wave; all completions so far are stored by then.
    """
    feeder = threading.Thread(target=_feed, args=(queue, waves), name="fathom-waves")
    with _rare_garbage_collection():
        feeder.start()
        try:
            queue.drive(engine)
        except BaseException as error:
            queue.fail(error)
            raise
        finally:
            feeder.join()


def _feed(queue: RequestQueue[_R], waves: Iterable[Callable[[], None]]) -> None:
    def attempt(wave: Callable[[], None]) -> None:
        try:
            wave()
        except BaseException as error:  # raised again where the engine is driven
            queue.fail(error)

    try:
        with ThreadPoolExecutor(_WAVES, thread_name_prefix="fathom-wave") as pool:
            for wave in waves:
                pool.submit(attempt, wave)
    except BaseException as error:
        queue.fail(error)
    finally:
        queue.close()


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Collect cyclic garbage less often: with thousands of live items it took a third of a run's time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()

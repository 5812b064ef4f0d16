"""Calls to the child processes of a worker: the fetcher, which downloads, and the runner, which holds the model."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from fathom.harness.errors import EngineFailed
from fathom.harness.service.worker.failures import JobFailed, code_in
from fathom.harness.service.worker.protocol import (
    CompletionMessage,
    FetchedFiles,
    FilesToFetch,
    ModelToLoad,
    RequestMessage,
    RunnerInput,
    RunnerOutput,
    RunnerStart,
)
from fathom.harness.settings import fetcher_environment, runner_environment

CheckLease = Callable[[], None]
"""Raises LeaseLost or WorkerStopped where waiting makes no sense any more."""

_POLL_SECONDS = 0.2
_MAX_SILENCE = 3600.0
"""Seconds without any output after which a runner counts as broken."""
_MAX_FETCH = 6 * 3600.0


class RunnerProcess:
    """A runner; must be started from a thread that lives as long as the process (see `die_with_parent`)."""

    def __init__(self, home: Path, isolate: bool, talk: Callable[[str], None]) -> None:
        """Start the process; each line of its log goes to `talk`.

        Raises:
            EngineFailed: the process cannot be cut off from the network.
        """
        home.mkdir(parents=True, exist_ok=True)
        self._talk = talk
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fathom.harness.service.worker.runner"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, encoding="utf-8", errors="replace",
            env=runner_environment(home, isolate), cwd=home, start_new_session=True,
        )  # fmt: skip
        self._tail: deque[str] = deque(maxlen=100)
        self._said: queue.Queue[RunnerOutput | None] = queue.Queue()
        self._readers = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._keep_log)]
        for reader in self._readers:
            reader.start()
        self._write([RunnerInput(start=RunnerStart(isolate=isolate, parent=os.getpid()))])
        first = self._next(lambda: None)
        if not first.ready:
            self.kill()
            raise EngineFailed(first.refused or "the runner did not start")

    def load(self, model: ModelToLoad, check: CheckLease) -> dict[str, str]:
        """Load a model; return what the engine says about itself.

        Raises:
            JobFailed: the model could not be loaded.
        """
        self._write([RunnerInput(load=model)])
        return self._next(check).loaded or {}

    def complete(
        self, requests: Sequence[RequestMessage], check: CheckLease
    ) -> Iterator[tuple[CompletionMessage, ...]]:
        """Yield completions as they come, and an empty tuple while none comes.

        Raises:
            JobFailed: the engine broke.
        """
        lines = [*(RunnerInput(request=one) for one in requests), RunnerInput(end=True)]
        threading.Thread(target=self._write, args=(lines,), daemon=True).start()
        last = time.monotonic()
        while True:
            message = self._poll()
            check()
            if message is None:
                if time.monotonic() - last > _MAX_SILENCE:
                    raise JobFailed("engine_failed", f"no completion for {_MAX_SILENCE:.0f} s\n{self._log()}")
                yield ()
                continue
            last = time.monotonic()
            if message.end:
                return
            yield message.completions or ()

    def kill(self) -> None:
        """End the process and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for reader in self._readers:  # a process that left the group may keep a stream open
            reader.join(_POLL_SECONDS)
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]  # it is a pipe

    def _next(self, check: CheckLease) -> RunnerOutput:
        end = time.monotonic() + _MAX_SILENCE
        while (message := self._poll()) is None:
            check()
            if time.monotonic() > end:
                raise JobFailed("engine_failed", f"no output for {_MAX_SILENCE:.0f} s\n{self._log()}")
        return message

    def _poll(self) -> RunnerOutput | None:
        try:
            message = self._said.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            return None
        if message is None:
            raise self._why_ended()
        if message.failure is not None:
            raise JobFailed(message.failure.code, message.failure.tail)
        return message

    def _why_ended(self) -> JobFailed:
        code = self._process.wait()
        time.sleep(_POLL_SECONDS)  # the last lines of the log
        tail = f"{self._log()}\nthe runner ended with {code}"
        if code == -signal.SIGKILL:  # this worker did not send it: the kernel ran out of memory
            return JobFailed("out_of_memory", tail)
        return JobFailed("out_of_memory" if code_in(tail) == "out_of_memory" else "engine_failed", tail)

    def _log(self) -> str:
        return "\n".join(self._tail)

    def _write(self, messages: Iterable[RunnerInput]) -> None:
        stream = self._process.stdin
        with suppress(BrokenPipeError, ValueError):  # the process has ended: the reader of its output finds out
            for message in messages:
                stream.write(message.model_dump_json(exclude_defaults=True) + "\n")  # type: ignore[union-attr]  # it is a pipe
            stream.flush()  # type: ignore[union-attr]

    def _listen(self) -> None:
        with self._process.stdout as stream:  # type: ignore[union-attr]
            for line in stream:
                try:
                    self._said.put(RunnerOutput.model_validate_json(line))
                except ValidationError:
                    self._tail.append(line.rstrip()[:500])
        self._said.put(None)

    def _keep_log(self) -> None:
        with self._process.stderr as stream:  # type: ignore[union-attr]
            for line in stream:
                self._tail.append(line.rstrip()[:500])
                self._talk(line.rstrip()[:500])


def fetch_files(wanted: FilesToFetch, check: CheckLease) -> Path:
    """Download a commit in a process of its own; return the folder.

    Raises:
        JobFailed: the hub refused, failed, or took too long.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "fathom.harness.service.worker.fetcher"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        env=fetcher_environment(), start_new_session=True,
    )  # fmt: skip
    try:
        process.stdin.write(wanted.model_dump_json() + "\n")  # type: ignore[union-attr]  # a pipe
        process.stdin.close()  # type: ignore[union-attr]
        end = time.monotonic() + _MAX_FETCH
        while process.poll() is None:
            check()
            if time.monotonic() > end:
                raise JobFailed("hub_timeout", f"fetching took more than {_MAX_FETCH:.0f} s")
            time.sleep(_POLL_SECONDS)
        said = process.stdout.read()  # type: ignore[union-attr]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    try:
        found = FetchedFiles.model_validate_json(said)
    except ValidationError as error:
        raise JobFailed("engine_failed", f"the fetcher ended with {process.returncode}: its log is above") from error
    if found.failure is not None or found.path is None:
        raise JobFailed(*((found.failure.code, found.failure.tail) if found.failure else ("engine_failed", "no path")))
    return Path(found.path)

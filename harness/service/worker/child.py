"""Turn the fetcher and the runner, which are processes of their own, into calls."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fathom.harness.errors import EngineFailed
from fathom.harness.service.worker.faulty import JobFailed, code_in
from fathom.harness.service.worker.wire import Message
from fathom.harness.settings import fetcher_environment, runner_environment

Check = Callable[[], None]
"""Raises what should end the waiting: the lease is lost, or the worker stops."""

_TICK = 0.2
_SILENCE = 3600.0
"""Seconds without a word after which a runner is given up."""
_FETCH = 6 * 3600.0


class RunnerProcess:
    """A runner; must be started from a thread that lives as long as it."""

    def __init__(self, home: Path, isolate: bool, talk: Callable[[str], None]) -> None:
        """Start the process; each line of its log goes to `talk`.

        Raises:
            EngineFailed: it cannot be cut off from the network.
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
        self._said: queue.Queue[Message | None] = queue.Queue()
        for work in (self._listen, self._keep_log):
            threading.Thread(target=work, daemon=True).start()
        self._write([{"start": {"isolate": isolate, "parent": os.getpid()}}])
        first = self._next(lambda: None)
        if "ready" not in first:
            self.kill()
            raise EngineFailed(str(first.get("refused", "the runner did not start")))

    def load(self, wanted: Message, check: Check) -> dict[str, str]:
        """Load a model; return what the engine says of itself.

        Raises:
            JobFailed: it could not be loaded.
        """
        self._write([{"load": wanted}])
        loaded: dict[str, str] = self._next(check)["loaded"]
        return loaded

    def ask(self, requests: Iterable[Message], check: Check) -> Iterator[list[Message]]:
        """Yield completions as they come, and an empty list now and then.

        Raises:
            JobFailed: the engine broke.
        """
        threading.Thread(target=self._write, args=([*requests, {"end": True}],), daemon=True).start()
        last = time.monotonic()
        while True:
            message = self._poll()
            check()
            if message is None:
                if time.monotonic() - last > _SILENCE:
                    raise JobFailed("engine_failed", f"no completion for {_SILENCE:.0f} s\n{self._log()}")
                yield []
                continue
            last = time.monotonic()
            if "end" in message:
                return
            yield message["completions"]

    def kill(self) -> None:
        """End the process and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _next(self, check: Check) -> Message:
        end = time.monotonic() + _SILENCE
        while (message := self._poll()) is None:
            check()
            if time.monotonic() > end:
                raise JobFailed("engine_failed", f"nothing happened for {_SILENCE:.0f} s\n{self._log()}")
        return message

    def _poll(self) -> Message | None:
        try:
            message = self._said.get(timeout=_TICK)
        except queue.Empty:
            return None
        if message is None:
            raise self._death()
        if "fault" in message:
            raise JobFailed(message["fault"], message["tail"])
        return message

    def _death(self) -> JobFailed:
        code = self._process.wait()
        time.sleep(_TICK)  # the last lines of the log
        tail = f"{self._log()}\nthe runner ended with {code}"
        if code == -signal.SIGKILL:  # nobody here sent it: the kernel ran out of memory
            return JobFailed("out_of_memory", tail)
        return JobFailed("out_of_memory" if code_in(tail) == "out_of_memory" else "engine_failed", tail)

    def _log(self) -> str:
        return "\n".join(self._tail)

    def _write(self, messages: Iterable[Message]) -> None:
        stream = self._process.stdin
        with suppress(BrokenPipeError, ValueError):  # it has ended: the reader of its output says so
            for message in messages:
                stream.write(json.dumps(message) + "\n")  # type: ignore[union-attr]  # it is a pipe
            stream.flush()  # type: ignore[union-attr]

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            try:
                self._said.put(json.loads(line))
            except ValueError:
                self._tail.append(line.rstrip()[:500])
        self._said.put(None)

    def _keep_log(self) -> None:
        for line in self._process.stderr or ():
            self._tail.append(line.rstrip()[:500])
            self._talk(line.rstrip()[:500])


def fetch(wanted: Mapping[str, Any], check: Check) -> Path:  # JSON: see harness.worker.fetcher
    """Download a commit in a process of its own; return its folder.

    Raises:
        JobFailed: the hub would not, or could not.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "fathom.harness.service.worker.fetcher"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        env=fetcher_environment(), start_new_session=True,
    )  # fmt: skip
    try:
        process.stdin.write(json.dumps({**wanted, "parent": os.getpid()}) + "\n")  # type: ignore[union-attr]  # a pipe
        process.stdin.close()  # type: ignore[union-attr]
        end = time.monotonic() + _FETCH
        while process.poll() is None:
            check()
            if time.monotonic() > end:
                raise JobFailed("hub_timeout", f"fetching took more than {_FETCH:.0f} s")
            time.sleep(_TICK)
        said = process.stdout.read()  # type: ignore[union-attr]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    try:
        found = json.loads(said)
    except ValueError as error:
        raise JobFailed("engine_failed", f"the fetcher ended with {process.returncode}: its log is above") from error
    if "path" not in found:
        raise JobFailed(found["code"], found["tail"])
    return Path(found["path"])

"""An engine in a process of its own: a crash of its native code ends the engine, and not the run that uses it.

The two processes exchange pickled messages over a socket. The engine's process ends when the other one does.
"""

import faulthandler
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, NoReturn

from fathom.harness.engines.base import Completion, Engine, EngineSettings, RenderedPrompt, RendersPrompts, Request
from fathom.harness.engines.model import ModelSource
from fathom.harness.engines.stepper import stepper_of
from fathom.harness.errors import EngineFailed, FathomError

_AHEAD = 2048
"""Largest number of requests that were sent and are not completed; the engine takes what it has room for."""
_BATCH = 256
"""Requests in a message, at most."""
_ROOM = 1024
"""Largest number of requests in the engine."""
_PATIENCE = 30.0
"""Seconds for a process to end by itself."""
_LOG_LINES = 300
_CHILD = "from fathom.harness.engines.factory import serve_engine; serve_engine({})"
_CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a loaded engine says about itself."""

    name: str
    context: int
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Failure:
    """The error that ended an engine, and its traceback, which is lost where an error is pickled."""

    error: FathomError
    trace: str


class EngineLog(Exception):
    """The cause of an engine's failure in its own process: a traceback, or the end of what the process wrote."""


class EngineProcess:
    """The process of an engine, which imports the engine's packages until a ProcessEngine loads a model into it."""

    def __init__(self, engine: EngineSettings) -> None:
        """Start the process."""
        self._engine = engine.name
        self._link, theirs = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-X", "faulthandler", "-c", _CHILD.format(theirs.fileno())],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
            errors="replace", pass_fds=(theirs.fileno(),), start_new_session=True,
        )  # fmt: skip  # in a session of its own, which Ctrl-C does not reach
        theirs.close()
        self._lines: deque[str] = deque(maxlen=_LOG_LINES)
        self._reader = threading.Thread(target=self._read_log, name="fathom-engine-log", daemon=True)
        self._reader.start()
        self.send(engine)

    def send(self, message: object) -> None:
        """Send a message; that a process has ended is noticed where its answer is awaited."""
        with suppress(OSError):
            self._link.send(message)

    def receive(self) -> Any:  # _Opened, RenderedPrompt or a list of completions
        """Return the next message.

        Raises:
            FathomError: as the engine raised it.
            EngineFailed: the process ended.
        """
        try:
            message = self._link.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            self._explain_end()
        if isinstance(message, _Failure):
            raise message.error from EngineLog(message.trace)
        return message

    def finish(self) -> None:
        """Let the engine free its devices, then end the process."""
        self.send(None)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        self.kill()

    def kill(self) -> None:
        """End the process and all that it started."""
        if self._link.closed:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        self._link.close()

    def _explain_end(self) -> NoReturn:
        """Raise EngineFailed with how the process ended, and with its log."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        code = self._process.poll()
        self.kill()
        log = list(self._lines)
        dump = next((at for at, line in enumerate(log) if line.startswith("Fatal Python error:")), len(log))
        raise EngineFailed(f"the engine {self._engine} {_how_ended(code, log[:dump])}") from EngineLog("\n".join(log))

    def _read_log(self) -> None:
        """Pass on what the process writes, and keep its end."""
        with self._process.stdout as lines:  # type: ignore[union-attr]  # a pipe
            for line in lines:
                self._lines.append(line.rstrip("\n")[:2000])
                sys.stderr.write(line)


class ProcessEngine:
    """A model in an engine that runs in a process of its own."""

    def __init__(self, process: EngineProcess, model: ModelSource) -> None:
        """Load the model.

        Raises:
            FathomError: as the engine raised it.
            EngineFailed: the process ended.
        """
        self._process = process
        try:
            process.send(model)
            self._opened: _Opened = process.receive()
        except BaseException:
            process.kill()
            raise

    @property
    def name(self) -> str:
        """Return the name used on the command line."""
        return self._opened.name

    @property
    def context(self) -> int:
        """Return the engine's context in tokens."""
        return self._opened.context

    def facts(self) -> Mapping[str, str]:
        """Return what the engine says about itself."""
        return self._opened.facts

    def render(self, request: Request) -> RenderedPrompt:
        """Return what the model reads for a request; not while a stream runs."""
        self._process.send(request)
        rendered: RenderedPrompt = self._process.receive()
        return rendered

    def stream(self, requests: Iterator[Request]) -> Iterator[list[Completion]]:
        """Complete requests; leaving the stream early ends the process.

        Raises:
            EngineFailed: the engine broke, or its process ended.
        """
        more, n_ahead, is_whole = True, 0, False
        try:
            while more or n_ahead:
                while more and n_ahead < _AHEAD:
                    batch = list(islice(requests, _BATCH))
                    more = len(batch) == _BATCH
                    self._process.send(batch)
                    n_ahead += len(batch)
                if n_ahead:
                    done: list[Completion] = self._process.receive()
                    n_ahead -= len(done)
                    yield done
            is_whole = True
        finally:
            if not is_whole:
                self._process.kill()

    def close(self) -> None:
        """Let the engine free its devices, then end its process."""
        self._process.finish()


_NATIVE = re.compile(r"free\(\)|malloc|realloc|double free|corrupt|munmap_chunk|terminate called|what\(\)|[Aa]ssert")
"""What the C and C++ libraries write before they abort a process."""


def _how_ended(code: int | None, lines: Sequence[str]) -> str:
    """Say in one line how a process ended, from its exit code and what it wrote."""
    if code is None or code >= 0:
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")
        return f"ended without an answer, with exit code {code}: {last[:300]}"
    name = signal.Signals(-code).name
    if name == "SIGKILL":
        return "was killed (SIGKILL), most often because memory ran out"
    said = next((f": {line.strip()[:300]}" for line in reversed(lines) if _NATIVE.search(line)), "")
    return f"crashed in native code ({name}){said}" if name in _CRASHES else f"was ended by {name}"


def serve_requests(
    descriptor: int, prepare: Callable[[EngineSettings], None], load: Callable[[ModelSource, EngineSettings], Engine]
) -> None:
    """Load a model and answer requests until the other process ends or says so; called in the engine's process."""
    link = Connection(descriptor)
    inbox: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(link, inbox), daemon=True).start()
    try:
        settings = inbox.get()
        prepare(settings)
        engine = load(inbox.get(), settings)
        faulthandler.disable()
        faulthandler.enable()  # again, as vLLM took the signal for itself: its dump does not tell where Python was
        link.send(_Opened(engine.name, engine.context, dict(engine.facts())))
        _work(engine, link, inbox)
    except Exception as error:
        known = error if isinstance(error, FathomError) else EngineFailed(f"{type(error).__name__}: {error}")
        link.send(_Failure(known, traceback.format_exc()))
        raise


def _listen(link: Connection, inbox: "SimpleQueue[Any]") -> None:
    """Take messages at once, so that the sender never waits; end this process and its children with the sender."""
    while True:
        try:
            inbox.put(link.recv())
        except (EOFError, OSError):
            os.killpg(os.getpgrp(), signal.SIGKILL)


def _work(engine: Engine, link: Connection, inbox: "SimpleQueue[Any]") -> None:
    """Answer messages: requests to complete, a request to render, or None for the end."""
    stepper = stepper_of(engine)
    waiting: deque[Request] = deque()
    n_inside = 0
    while True:
        while not inbox.empty() or not (waiting or n_inside):
            message = inbox.get()
            if message is None:
                engine.close()
                sys.stdout.flush()
                os._exit(0)  # Python takes seconds to take vLLM's modules apart
            if isinstance(message, Request):
                link.send(engine.render(message) if isinstance(engine, RendersPrompts) else None)
            else:
                waiting.extend(message)
        room = min(len(waiting), max(0, _ROOM - n_inside))
        done = stepper.add([waiting.popleft() for _ in range(room)])
        n_inside += room
        done += stepper.step()
        n_inside -= len(done)
        if done:
            link.send(done)

"""Turn calls into HTTP requests that outlive restarts of the server."""

import json
import logging
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from fathom.harness.errors import BadInput, FathomError, LeaseLost, NotAllowed
from fathom.harness.service.worker.wire import Message

log = logging.getLogger(__name__)

_WAIT = httpx.Timeout(60, connect=10)
_FIRST, _LONGEST = 0.25, 15.0
"""Seconds before the second try, and at most; in between they double."""
_AGAIN = (408, 425, 429)
_BATCH_BYTES = 1_500_000
_BATCH = 64


class Stopped(FathomError):
    """The worker was told to stop."""


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job, as the server writes it."""

    job: int
    token: str
    lease_seconds: float
    submission: str
    kind: str
    model: str
    sha: str
    dtype: str
    chat_template: bool
    n_items: int
    n_done: int
    attempt: int
    hub: str


class Client:
    """Speaks to one server; safe to use from several threads."""

    def __init__(self, server: str, token: str, stop: threading.Event, alive: Path | None = None) -> None:
        """Connect at the first call; touch the file `alive` at each one that is answered."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=f"{server.rstrip('/')}/api/v1/jobs", headers=headers, timeout=_WAIT)
        self._stop, self._alive = stop, alive

    def claim(self, wanted: Message) -> Job | None:
        """Ask for work; None: there is none for this worker now."""
        answer = self._call("POST", "/claim", None, wanted)
        return None if answer.status_code == httpx.codes.NO_CONTENT else Job(**answer.json())

    def requests(self, job: Job) -> list[Message]:
        """Return the requests of a job that are missing."""
        answer = self._call("GET", f"/{job.job}/requests", job)
        return [json.loads(line) for line in answer.text.split("\n") if line]

    def beat(self, job: Job, phase: str, facts: dict[str, str] | None = None) -> None:
        """Prolong the lease."""
        self._call("POST", f"/{job.job}/beat", job, {"phase": phase, "facts": facts})

    def send(self, job: Job, completions: Sequence[Message], patience: float | None = None) -> None:
        """Send completions, in as many requests as it takes."""
        some: list[str] = []
        size = 0
        for one in completions:
            text = json.dumps(one)
            if some and (len(some) == _BATCH or size + len(text) > _BATCH_BYTES):
                self._send(job, some, patience)
                some, size = [], 0
            some.append(text)
            size += len(text)
        if some:
            self._send(job, some, patience)

    def finish(self, job: Job) -> int:
        """End the job; return how many of its items are missing."""
        return int(self._call("POST", f"/{job.job}/finish", job).json()["n_missing"])

    def fail(self, job: Job, code: str, tail: str) -> None:
        """Give the job up."""
        self._call("POST", f"/{job.job}/fail", job, {"code": code, "tail": tail[-8000:]})

    def release(self, job: Job, patience: float) -> None:
        """Give the job back."""
        self._call("POST", f"/{job.job}/release", job, patience=patience)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send(self, job: Job, some: Sequence[str], patience: float | None) -> None:
        self._call("POST", f"/{job.job}/completions", job, '{"completions":[' + ",".join(some) + "]}", patience)

    def _call(
        self, method: str, path: str, job: Job | None, body: Message | str | None = None, patience: float | None = None
    ) -> httpx.Response:
        """Call until there is an answer; with `patience`, for so many seconds, stopped or not.

        Raises:
            LeaseLost: 404 or 409. NotAllowed: 401 or 403. BadInput: anything else that will not change.
            Stopped: the worker stops, or the patience is at its end.
        """
        end = None if patience is None else time.monotonic() + patience
        wait = _FIRST
        while True:
            said = self._try(method, path, job, body)
            if isinstance(said, httpx.Response):
                return said
            wait = min(wait * 2, _LONGEST)
            pause = wait * (0.5 + secrets.randbelow(1000) / 1000)
            log.warning("retry path=%s in=%.1fs reason=%s", path, pause, said)
            if end is not None and time.monotonic() + pause > end:
                raise Stopped(f"the server did not answer in time: {said}")
            if self._stop.wait(pause if end is None else 0) and end is None:
                raise Stopped("stopped while the server was away")
            if end is not None:
                time.sleep(pause)

    def _try(self, method: str, path: str, job: Job | None, body: Message | str | None) -> httpx.Response | str:
        headers = {} if job is None else {"X-Fathom-Lease": job.token}
        content = None if body is None else body if isinstance(body, str) else json.dumps(body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            answer = self._http.request(method, path, content=content, headers=headers)
        except httpx.TransportError as error:
            return f"{type(error).__name__}: {error}"
        if answer.is_success:
            if self._alive is not None:
                self._alive.touch()
            return answer
        detail = _detail(answer)
        if answer.status_code in _AGAIN or answer.is_server_error:
            return f"{answer.status_code} {detail}"
        if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.CONFLICT) and job is not None:
            raise LeaseLost(detail)
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise NotAllowed(f"the server refuses this worker: {detail}")
        raise BadInput(f"the server does not take what this worker sends ({answer.status_code}): {detail}")


def _detail(answer: httpx.Response) -> str:
    try:
        said: Any = answer.json()
    except ValueError:
        return answer.text[:200]
    return str(said.get("detail", said))[:600] if isinstance(said, dict) else str(said)[:200]

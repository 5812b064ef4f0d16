"""HTTP calls of a worker, repeated until the server answers: a restart of the server costs nothing."""

import logging
import secrets
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from fathom.harness.errors import BadInput, FathomError, LeaseLost, NotAllowed
from fathom.harness.service.worker.protocol import (
    BatchReceipt,
    ClaimedJob,
    ClaimRequest,
    CompletionBatch,
    CompletionMessage,
    Failure,
    FinishReceipt,
    Heartbeat,
    Phase,
    RequestMessage,
    WorkerMessage,
)

log = logging.getLogger(__name__)

_WAIT = httpx.Timeout(60, connect=10)
_FIRST, _LONGEST = 0.25, 15.0
"""Seconds before the second attempt, and at most; they double in between."""
_REPEATED = (408, 425, 429)
"""Status codes after which a call is repeated, beside 5xx."""
_BATCH_BYTES = 1_500_000
_BATCH = 64


class WorkerStopped(FathomError):
    """The worker was told to stop."""


class JobClient:
    """Calls the API of one server; safe to use from several threads."""

    def __init__(self, server: str, token: str, stop: threading.Event, alive: Path | None = None) -> None:
        """Connect at the first call; touch the file `alive` after each call that is answered."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=f"{server.rstrip('/')}/api/v1/jobs", headers=headers, timeout=_WAIT)
        self._stop, self._alive = stop, alive

    def claim(self, wanted: ClaimRequest) -> ClaimedJob | None:
        """Ask for a job; None where there is none for this worker now."""
        answer = self._call("POST", "/claim", None, wanted)
        return None if answer.status_code == httpx.codes.NO_CONTENT else ClaimedJob.model_validate_json(answer.content)

    def requests(self, job: ClaimedJob) -> list[RequestMessage]:
        """Return the requests of a job that have no completion yet."""
        answer = self._call("GET", f"/{job.job}/requests", job)
        return [RequestMessage.model_validate_json(line) for line in answer.text.split("\n") if line]

    def send_heartbeat(self, job: ClaimedJob, phase: Phase, facts: dict[str, str] | None = None) -> None:
        """Extend the lease."""
        self._call("POST", f"/{job.job}/beat", job, Heartbeat(phase=phase, facts=facts))

    def send(self, job: ClaimedJob, completions: Sequence[CompletionMessage], patience: float | None = None) -> None:
        """Send completions, in as many requests as their number and size need."""
        batch: list[CompletionMessage] = []
        size = 0
        for one in completions:
            n_bytes = len(one.model_dump_json().encode())
            if batch and (len(batch) == _BATCH or size + n_bytes > _BATCH_BYTES):
                self._send_batch(job, batch, patience)
                batch, size = [], 0
            batch.append(one)
            size += n_bytes
        if batch:
            self._send_batch(job, batch, patience)

    def finish(self, job: ClaimedJob) -> int:
        """End the job; return how many of its items are missing."""
        answer = self._call("POST", f"/{job.job}/finish", job)
        return FinishReceipt.model_validate_json(answer.content).n_missing

    def fail(self, job: ClaimedJob, failure: Failure) -> None:
        """Report that the job failed."""
        self._call("POST", f"/{job.job}/fail", job, failure)

    def release(self, job: ClaimedJob, patience: float) -> None:
        """Give the job back unfinished."""
        self._call("POST", f"/{job.job}/release", job, patience=patience)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send_batch(self, job: ClaimedJob, batch: Sequence[CompletionMessage], patience: float | None) -> None:
        body = CompletionBatch(completions=tuple(batch))
        answer = self._call("POST", f"/{job.job}/completions", job, body, patience)
        BatchReceipt.model_validate_json(answer.content)

    def _call(
        self,
        method: str,
        path: str,
        job: ClaimedJob | None,
        body: WorkerMessage | None = None,
        patience: float | None = None,
    ) -> httpx.Response:
        """Repeat a call until there is an answer; with `patience`, for that many seconds even if told to stop.

        Raises:
            LeaseLost: the server answers 404 or 409.
            NotAllowed: the server answers 401 or 403.
            BadInput: the server refuses the message itself.
            WorkerStopped: the worker was told to stop, or `patience` has run out.
        """
        end = None if patience is None else time.monotonic() + patience
        wait = _FIRST
        while True:
            said = self._call_once(method, path, job, body)
            if isinstance(said, httpx.Response):
                return said
            wait = min(wait * 2, _LONGEST)
            pause = wait * (0.5 + secrets.randbelow(1000) / 1000)
            log.warning("retry path=%s in=%.1fs reason=%s", path, pause, said)
            if end is not None and time.monotonic() + pause > end:
                raise WorkerStopped(f"the server did not answer in time: {said}")
            if self._stop.wait(pause if end is None else 0) and end is None:
                raise WorkerStopped("told to stop while the server did not answer")
            if end is not None:
                time.sleep(pause)

    def _call_once(
        self, method: str, path: str, job: ClaimedJob | None, body: WorkerMessage | None
    ) -> httpx.Response | str:
        """Return the answer, or why the call should be repeated."""
        headers = {} if job is None else {"X-Fathom-Lease": job.token}
        content = None if body is None else body.model_dump_json()
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
        if answer.status_code in _REPEATED or answer.is_server_error:
            return f"{answer.status_code} {detail}"
        if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.CONFLICT) and job is not None:
            raise LeaseLost(detail)
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise NotAllowed(f"the server refuses this worker: {detail}")
        raise BadInput(f"the server refuses what this worker sends ({answer.status_code}): {detail}")


def _detail(answer: httpx.Response) -> str:
    try:
        said: Any = answer.json()
    except ValueError:
        return answer.text[:200]
    return str(said.get("detail", said))[:600] if isinstance(said, dict) else str(said)[:200]

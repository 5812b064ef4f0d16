"""Messages between a board's server, its workers, and a worker's child processes: one pydantic model each.

Server and worker import the same models, so both sides always agree. A message is one JSON object: the body of an HTTP
request or answer, or one line on a pipe. A field that a model does not name is refused.
"""

from dataclasses import dataclass
from math import inf, isfinite, isnan
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fathom.harness.engines.base import Completion, FinishReason, Request, Sampling, Turn
from fathom.harness.service.worker.failures import JobFailed

LOG_TAIL = 8000
"""Characters from the end of a log that are sent and stored."""
MAX_COMPLETIONS = 512
"""Completions in one message."""
_MAX_ERROR = 2000
_LOWEST_SCORE = -1e9
"""Stands for a log-likelihood of minus infinity, which JSON cannot express."""

JobKind = Literal["run", "fresh", "replay"]
"""run: the shared seed; fresh: a seed of the submission's own; replay: items of an upload once more."""
Phase = Literal["leased", "downloading", "loading", "generating"]
"""What a worker does with its job, in this order."""
EngineFacts = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=500)]], Field(max_length=50)
]
"""Versions, hardware and settings by name."""


class WorkerMessage(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ClaimRequest(WorkerMessage):
    """Worker to server: give me a job. `loaded` is the submission whose model the worker holds."""

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]{0,63}$")
    engine: str = Field(max_length=32)
    max_bytes: int | None = Field(default=None, ge=0, le=2**62)
    kinds: tuple[JobKind, ...] = Field(default=("run", "fresh", "replay"), min_length=1, max_length=3)
    loaded: str = Field(default="", max_length=64)
    folders: bool = False
    """Whether the worker reads folders that the server names: only one of the same user on the same machine does."""
    facts: EngineFacts = {}


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's right to a job: the job's number and a secret token."""

    job: int
    token: str


class ClaimedJob(WorkerMessage):
    """Server to worker: a leased job, and the model to load for it."""

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
    hub: str = ""
    """Address of the hub that the server reads models from."""
    folder: str = ""
    """Folder of the model on the machine of server and worker; `sha` is then the digest of its files."""

    @property
    def lease(self) -> Lease:
        """The right to this job."""
        return Lease(self.job, self.token)


class RequestMessage(WorkerMessage):
    """Server to worker: one prompt to complete or, with `choices`, to score. `item` is empty unless it is public."""

    key: str
    item: str
    prompt: str
    max_tokens: int
    stop: tuple[str, ...]
    temperature: float
    choices: tuple[str, ...]
    chat: bool
    """Whether the prompt goes through the model's chat template, as the user's turn."""

    @classmethod
    def of(cls, request: Request) -> "RequestMessage":
        """Write an engine's request."""
        sampling = request.sampling
        return cls(
            key=request.key, item=request.item, prompt=request.prompt, max_tokens=sampling.max_tokens,
            stop=sampling.stop, temperature=sampling.temperature, choices=request.choices, chat=bool(request.turns),
        )  # fmt: skip

    def request(self) -> Request:
        """Return the request for an engine."""
        turns = (Turn("user", self.prompt),) if self.chat else ()
        sampling = Sampling(self.max_tokens, self.stop, self.temperature)
        return Request(self.key, self.item, self.prompt, sampling, self.choices, turns)


class Heartbeat(WorkerMessage):
    """Worker to server: I am alive. `facts` describe the loaded engine and come once for each model."""

    phase: Phase
    facts: EngineFacts | None = None


class LeaseEnd(WorkerMessage):
    """Server to worker: when the lease ends unless another heartbeat comes, as ISO 8601."""

    lease_expires_at: str


class CompletionMessage(WorkerMessage):
    """Worker to server: one completion, with the fields of `harness.engines.base.Completion`."""

    key: str = Field(max_length=40)
    text: str = Field(max_length=1 << 20)
    finish_reason: FinishReason
    prompt_tokens: int = Field(ge=0, le=2**31 - 1)
    completion_tokens: int = Field(ge=0, le=2**31 - 1)
    seconds: float = Field(ge=0, le=10**6, allow_inf_nan=False)
    scores: tuple[float, ...] | None = Field(default=None, max_length=64)
    greedy: tuple[bool, ...] | None = Field(default=None, max_length=64)
    error: str | None = Field(default=None, max_length=_MAX_ERROR)

    @classmethod
    def of(cls, one: Completion) -> "CompletionMessage":
        """Write an engine's completion.

        Raises:
            JobFailed: a score is NaN or plus infinity, so the model's logits are broken.
        """
        if one.scores is not None and any(isnan(score) or score == inf for score in one.scores):
            raise JobFailed("nan_logits", f"the model scores the candidates of {one.key} as {one.scores}")
        return cls(
            key=one.key,
            text=one.text.encode("utf-8", "replace").decode("utf-8"),  # JSON has no lone surrogates
            finish_reason=one.finish_reason,
            prompt_tokens=one.prompt_tokens,
            completion_tokens=one.completion_tokens,
            seconds=one.seconds,
            scores=None
            if one.scores is None
            else tuple(score if isfinite(score) else _LOWEST_SCORE for score in one.scores),
            greedy=one.greedy,
            error=None if one.error is None else one.error.encode("utf-8", "replace").decode("utf-8")[:_MAX_ERROR],
        )

    def completion(self) -> Completion:
        """Return the completion as an engine gives it."""
        return Completion(
            self.key, self.text, self.finish_reason, self.prompt_tokens, self.completion_tokens, self.seconds,
            self.scores, self.greedy, self.error,
        )  # fmt: skip


class CompletionBatch(WorkerMessage):
    """Worker to server: some completions of one job."""

    completions: tuple[CompletionMessage, ...] = Field(max_length=MAX_COMPLETIONS)


class BatchReceipt(WorkerMessage):
    """Server to worker: how many completions of a batch were new, and how far the job is."""

    n_new: int
    n_done: int
    n_items: int


class FinishReceipt(WorkerMessage):
    """Server to worker: the job is done, or (cell, index) of the first items that are missing."""

    done: bool
    n_missing: int
    missing: tuple[tuple[int, int], ...]


class Failure(WorkerMessage):
    """Worker to server, and child process to worker: why a job fails, as a code of `harness.service.faults`."""

    code: str = Field(max_length=32)
    tail: str = Field(default="", max_length=LOG_TAIL)
    """The end of the log."""


class RunnerStart(WorkerMessage):
    """Worker to runner: whether to leave the network, and the process to end with."""

    isolate: bool
    parent: int


class ModelToLoad(WorkerMessage):
    """Worker to runner: a model, and the engine to load it with. `path` is None where the engine needs no files."""

    engine: str
    model: str
    sha: str
    dtype: str
    chat: bool
    path: str | None
    options: dict[str, Any] = {}  # JSON values, as in EngineSettings


class RunnerInput(WorkerMessage):
    """A line that a runner reads; exactly one field is set. After `end` no request follows."""

    start: RunnerStart | None = None
    load: ModelToLoad | None = None
    request: RequestMessage | None = None
    end: bool = False


class RunnerOutput(WorkerMessage):
    """A line that a runner writes; exactly one field is set. `end` follows the last completion."""

    ready: bool = False
    refused: str | None = None
    """Why the runner could not be isolated."""
    loaded: dict[str, str] | None = None
    """What the engine says about itself."""
    completions: tuple[CompletionMessage, ...] | None = None
    end: bool = False
    failure: Failure | None = None


class FilesToFetch(WorkerMessage):
    """Worker to fetcher: a commit of a model on a hub."""

    model: str
    sha: str
    endpoint: str
    send_token: bool
    """Whether this hub may see the worker's own token."""
    max_bytes: int | None
    parent: int
    """The process to end with."""


class FetchedFiles(WorkerMessage):
    """Fetcher to worker: the folder with the files, or why there is none."""

    path: str | None = None
    failure: Failure | None = None


def failure_of(code: str, log: str) -> Failure:
    """Return a failure with the end of a log that fits into the message."""
    return Failure(code=code, tail=log.encode("utf-8", "replace").decode("utf-8")[-LOG_TAIL:])

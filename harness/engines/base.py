"""The interface of an engine: requests stream in, completions stream out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from math import isfinite
from typing import Any, Literal, Protocol, runtime_checkable

FinishReason = Literal["stop", "length", "looped", "too_long", "error"]
"""stop: the model ended or wrote a stop text; length: the token budget ran out; looped: the text repeated itself, so
that the rest of the budget was spared; too_long: the prompt does not fit the context, so nothing was generated; error:
the engine failed on this request."""
CUT = ("length", "looped")
"""How a text ends that the model did not end."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to generate; temperature 0 is greedy. Stop texts act after the first visible character."""

    max_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = field(default=1.0, repr=False)  # keys of stored completions hash this repr


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt to complete or, with `choices`, to score; each choice is appended to the prompt unchanged.

    `item` is the id of the item behind it, empty for prompts of other sources. If there are `turns`, they replace the
    prompt: they go into the model's chat template, with `template_options`. `prefill` is the given start of the answer.
    `marks` are special tokens, or texts that contain some, that must stay in the text of the completion.
    """

    key: str
    item: str
    prompt: str
    sampling: Sampling
    choices: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    template_options: tuple[tuple[str, Any], ...] = ()  # JSON values
    prefill: str = ""
    marks: tuple[str, ...] = ()
    repeat: int = 0
    """Number of earlier requests for the same item; each has a key of its own."""


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer to a request. `text` is unchanged model output, or the most likely choice.

    `scores` are log-likelihoods in nats, one a choice; `greedy` says for each whether greedy decoding would
    have written it.
    """

    key: str
    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    scores: tuple[float, ...] | None = None
    greedy: tuple[bool, ...] | None = None
    error: str | None = None
    cached_tokens: int = 0
    """Tokens of the prompt that came from the prefix cache."""


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A request as the model reads it: as text, with the chat template applied, and as token ids."""

    text: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Which engine runs a model, and how; `metadata` names the flag of `fathom run`."""

    name: str = field(default="vllm", metadata={"flag": "--engine"})
    dtype: str = field(default="auto", metadata={"flag": "--dtype"})
    options: Mapping[str, Any] = field(default_factory=dict, metadata={"flag": "--engine-arg"})  # JSON values
    """By the engine's own names: those of vllm.EngineArgs, or those that the engine's module lists."""


class Engine(Protocol):
    """A loaded model."""

    @property
    def name(self) -> str:
        """Return the name used on the command line."""

    @property
    def context(self) -> int:
        """Return the largest number of tokens of prompt and completion together."""

    def facts(self) -> Mapping[str, str]:
        """Return versions and settings that can change the results, for the manifest."""

    def stream(self, requests: Iterator[Request]) -> Iterator[list[Completion]]:
        """Yield completions in the order in which they finish, one for each request.

        Requests are pulled when there is room. An iterator that has ended may have more later, while others are being
        answered, and is asked again. A request that fails yields a Completion with an error.

        Raises:
            EngineFailed: the whole engine broke; the completions so far were yielded.
        """

    def close(self) -> None:
        """Free memory and devices."""


@runtime_checkable
class RendersPrompts(Protocol):
    """An engine that can show what the model reads; engines behind a server may not know it."""

    def render(self, request: Request) -> RenderedPrompt:
        """Return a request as the model reads it."""


class RequestFailed(Exception):
    """An engine has no true answer to a request; the message says why."""


def sampling_seed(request: Request) -> int:
    """Return the seed for sampling a request, so that the same request gives the same text."""
    return int.from_bytes(blake2b(request.key.encode(), digest_size=4).digest(), "big")


def too_long(request: Request, prompt_tokens: int) -> Completion:
    """Return the completion of a prompt that leaves no room for a token."""
    return Completion(request.key, "", "too_long", prompt_tokens, 0, 0.0)


def failed(request: Request, error: Exception) -> Completion:
    """Return the completion of a request on which the engine failed."""
    said = str(error) if isinstance(error, RequestFailed) else f"{type(error).__name__}: {error}"
    return Completion(request.key, "", "error", 0, 0, 0.0, error=said[:2000])


NO_NUMBERS = "its weights are broken, or its dtype is too narrow (try --dtype float32)"
"""Why a model computes what is no number."""


def best_choice(request: Request, scores: list[float], greedy: list[bool], tokens: int, seconds: float) -> Completion:
    """Return the completion with the most likely choice, of equal ones the first; `failed` unless all are numbers."""
    if len(scores) != len(request.choices) or not all(map(isfinite, scores)):
        said = ", ".join(f"{score:.4g}" for score in scores[:8])
        return failed(request, RequestFailed(f"the model scores the candidates as {said}: {NO_NUMBERS}"))
    text = request.choices[max(range(len(scores)), key=scores.__getitem__)]
    return Completion(request.key, text, "stop", tokens, 0, seconds, tuple(scores), tuple(greedy))

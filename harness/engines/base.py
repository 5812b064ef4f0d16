"""Say what an engine is: requests stream in, completions stream out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, Protocol, runtime_checkable

FinishReason = Literal["stop", "length", "too_long", "error"]
"""stop: the model ended or met a stop text; length: the budget ran out; too_long: the prompt does
not fit the context, so nothing was generated; error: the engine failed on this request."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to generate; temperature 0 is greedy."""

    max_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = field(default=1.0, repr=False)  # keys of stored completions digest the text of the others


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to complete, or with `choices` to score: each choice follows the prompt as it stands.

    `item` is the id of the item behind it, empty for prompts that are not ours. Where there are `turns`, these go
    into the model's chat template, with `template_options`, and the prompt only stands for them. `prefill` is what
    the answer begins with, said for the model. `marks` are special tokens, or texts with such in them, that must
    stay in the completion: without them it is read like any other.
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
    """How many answers to the same item were asked for before; the key is another each time."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back. `text` is raw; for choices it is the likeliest one.

    `scores` are log-likelihoods in nats, one a choice; `greedy` says whether the model, decoding
    greedily, would have written that choice.
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
    """Tokens of the prompt that the engine had worked out before, for another prompt that begins alike."""


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """What a model reads: a request as text, its chat template applied, and as token ids."""

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
        """Name as on the command line."""

    @property
    def context(self) -> int:
        """Tokens that prompt and completion may take together."""

    def facts(self) -> Mapping[str, str]:
        """Return versions and settings that decide the numbers, for the manifest."""

    def stream(self, requests: Iterator[Request]) -> Iterator[list[Completion]]:
        """Yield completions in the order in which they finish, each request once.

        Requests are pulled as room appears. A request that fails yields a Completion with an error.

        Raises:
            EngineFailed: the engine broke as a whole; the completions so far were yielded.
        """

    def close(self) -> None:
        """Free memory and devices."""


@runtime_checkable
class RendersPrompts(Protocol):
    """An engine that can show what it reads; one that asks a server elsewhere may not know."""

    def render(self, request: Request) -> RenderedPrompt:
        """Return what the model reads for a request."""


def sampling_seed(request: Request) -> int:
    """Return the seed of a request that is sampled, so that asking it again gives the same text."""
    return int.from_bytes(blake2b(request.key.encode(), digest_size=4).digest(), "big")


def too_long(request: Request, prompt_tokens: int) -> Completion:
    """Say that a prompt leaves no room for a single token."""
    return Completion(request.key, "", "too_long", prompt_tokens, 0, 0.0)


def failed(request: Request, error: Exception) -> Completion:
    """Say that the engine failed on this request alone."""
    return Completion(request.key, "", "error", 0, 0, 0.0, error=f"{type(error).__name__}: {error}"[:2000])


def best_choice(request: Request, scores: list[float], greedy: list[bool], tokens: int, seconds: float) -> Completion:
    """Say which choice is likeliest; the first one on a tie."""
    text = request.choices[max(range(len(scores)), key=scores.__getitem__)]
    return Completion(request.key, text, "stop", tokens, 0, seconds, tuple(scores), tuple(greedy))

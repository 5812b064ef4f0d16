"""The protocol of OpenAI's interface: bodies of requests, and completions from answers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fathom.harness.engines.base import Completion, FinishReason, Request, sampling_seed
from fathom.harness.engines.loops import ends_in_loop
from fathom.harness.engines.openai.client import JsonObject, RequestRefused
from fathom.harness.engines.tokens import cut_at_stop

_ENDS: Mapping[Any, FinishReason] = {
    "stop": "stop", "eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "length": "length",
    "max_tokens": "length",
}  # fmt: skip
_THOUGHT = ("<think>", "</think>")
_OVERFLOW = re.compile(
    r"maximum context|context.{0,10}(length|window|size)|prompt is too long|max_model_len|maximum input length"
    r"|input is too long",
    re.IGNORECASE,
)
_CONTEXT = re.compile(r"(?:context length is|context window of|max_model_len=)\s*(\d+)", re.IGNORECASE)
_PROMPT = re.compile(
    r"(\d+) in (?:the|your) (?:messages|prompt)|resulted in (\d+) tokens|contains (?:at least )?(\d+) input tokens",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """Facts about a served model on which bodies of requests depend."""

    name: str
    """Name of the model on the server."""
    context: int | None = None
    is_vllm: bool = False


class MalformedAnswer(Exception):
    """The server's answer violates the interface."""


def completion_body(model: ServedModel, request: Request, budget: int) -> JsonObject:
    """Return the body that requests a completion of at most `budget` tokens, from the unchanged distribution.

    vLLM takes top_k, min_p and repetition_penalty from the model's generation_config.json unless they are sent.
    """
    sampling = request.sampling
    body: JsonObject = {"model": model.name, "max_tokens": budget, "temperature": sampling.temperature}
    body["top_p"] = sampling.top_p
    if request.turns:
        body |= chat_body(request, request.prefill)
    else:
        body["prompt"] = request.prompt + request.prefill
    if request.marks and model.is_vllm:
        body["skip_special_tokens"] = False  # a mark may be a special token
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.temperature > 0:
        body["seed"] = sampling_seed(request)
    return body | neutral_sampling(model)


def neutral_sampling(model: ServedModel) -> JsonObject:
    """Return the settings that switch off the model's own sampling defaults in vLLM."""
    return {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0} if model.is_vllm else {}


def chat_body(request: Request, begun: str = "") -> JsonObject:
    """Return the body of a chat; `begun` is the start of the answer, to be continued."""
    turns = [{"role": turn.role, "content": turn.content} for turn in request.turns]
    if begun:
        turns.append({"role": "assistant", "content": begun})
    found: JsonObject = {"messages": turns}
    if turns[-1]["role"] == "assistant":
        found |= {"add_generation_prompt": False, "continue_final_message": True}
    if request.template_options:
        found["chat_template_kwargs"] = dict(request.template_options)
    return found


def read_completion(request: Request, answer: JsonObject, seconds: float) -> Completion:
    """Return the completion in an answer.

    Raises:
        MalformedAnswer: it violates the interface, or was cut off.
        RequestRefused: the server withholds the text.
    """
    choice = _first(answer)
    text, has_thought = _chat_text(request, choice) if request.turns else (_text(choice.get("text")), False)
    prompt_tokens, tokens = _count_tokens(answer)
    end = choice.get("finish_reason")
    if end == "content_filter":
        raise RequestRefused(0, "the server withholds this answer (content_filter)")
    if end is None:
        end = "length" if tokens >= request.sampling.max_tokens else "stop"
    if not isinstance(end, str) or end not in _ENDS:  # abort: vLLM was shut down during the request
        raise MalformedAnswer(f"the answer was cut off ({str(end)[:40]})")
    reason = _ENDS[end]
    if not has_thought:
        text, is_cut = cut_at_stop(text, request.sampling.stop)
        reason = "stop" if is_cut else reason
    if reason == "length" and ends_in_loop(text):  # a server generates to the end of the budget all the same
        reason = "looped"
    return Completion(
        request.key, text, reason, prompt_tokens, tokens, seconds, cached_tokens=_cached(answer, prompt_tokens)
    )


def _count_tokens(answer: JsonObject) -> tuple[int, int]:
    """Return the tokens of prompt and completion according to the server; 0 if unknown."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return 0, 0
    return _number(usage.get("prompt_tokens")), _number(usage.get("completion_tokens"))


def _cached(answer: JsonObject, prompt_tokens: int) -> int:
    usage = answer.get("usage")
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    return min(prompt_tokens, _number(details.get("cached_tokens"))) if isinstance(details, dict) else 0


def is_overflow(error: RequestRefused) -> bool:
    """Return whether a refusal says that prompt and budget do not fit the context."""
    return error.code == "context_length_exceeded" or (
        error.status in (400, 413, 422) and _OVERFLOW.search(error.message) is not None
    )


def overflow_sizes(error: RequestRefused) -> tuple[int | None, int | None]:
    """Return (context, tokens of the prompt) from a refusal; None for a number that it does not name."""
    context, prompt = _CONTEXT.search(error.message), _PROMPT.search(error.message)
    return (
        int(context[1]) if context else None,
        int(next(found for found in prompt.groups() if found)) if prompt else None,
    )


def _first(answer: JsonObject) -> JsonObject:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise MalformedAnswer("the answer contains no choices")
    return choices[0]


def _chat_text(request: Request, choice: JsonObject) -> tuple[str, bool]:
    """Return the text with its separate thought in front; a thought without text was never finished."""
    message = choice.get("message")
    if not isinstance(message, dict):
        raise MalformedAnswer("the answer contains no message")
    content = message.get("content")
    text = _text(message.get("refusal") or "") if content is None else _text(content)
    thought = message.get("reasoning") or message.get("reasoning_content")
    if not isinstance(thought, str) or not thought:
        return text, False
    start, end = request.marks if len(request.marks) == 2 else _THOUGHT
    return (f"{start}{thought}{end}{text}" if text.strip() else f"{start}{thought}"), True


def _text(found: Any) -> str:  # a JSON value
    if not isinstance(found, str):
        raise MalformedAnswer("the answer contains no text")
    return found


def _number(found: Any) -> int:  # a JSON value
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 1 << 31 else 0

"""The protocol of OpenAI's interface: bodies of requests, and completions from answers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fathom.harness.engines.base import Completion, FinishReason, Request, sampling_seed
from fathom.harness.engines.loops import ends_in_loop
from fathom.harness.engines.openai.client import JsonObject, RequestRefused
from fathom.harness.engines.providers import Dialect
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
    kind: str = ""
    """Who owns the model, as the server says: vllm, sglang, llamacpp; of others anything."""
    dialect: Dialect | None = None
    """How its provider differs, where one is named."""
    effort: str = ""
    """Of the thought, for a server without a named provider."""

    @property
    def is_vllm(self) -> bool:
        """Say whether the server is vLLM's."""
        return self.kind == "vllm"


class MalformedAnswer(Exception):
    """The server's answer violates the interface."""


def completion_body(model: ServedModel, request: Request, budget: int) -> JsonObject:
    """Return the body that requests a completion of at most `budget` tokens, from the unchanged distribution.

    Servers take top_k, min_p and repetition_penalty from the model's generation_config.json unless they are sent.
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
    if model.dialect is not None:
        return model.dialect.adapt(body, sampling_seed(request) if sampling.temperature > 0 else None)
    if model.effort:
        body["reasoning_effort"] = model.effort
    if sampling.temperature > 0:
        body["seed"] = sampling_seed(request)
    if model.is_vllm:  # it refuses to send a log-probability that is no number, and generates on without being asked
        body |= {"logprobs": True, "top_logprobs": 0} if request.turns else {"logprobs": 0}
    return body | neutral_sampling(model)


OPTIONAL = frozenset(
    ("top_k", "min_p", "repetition_penalty", "repeat_penalty", "frequency_penalty", "presence_penalty", "logprobs",
     "top_logprobs")
)  # fmt: skip
"""Parts of a body that are left out where a server does not take them."""


_FILTERS: JsonObject = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
_NEUTRAL: Mapping[str, JsonObject] = {
    "vllm": _FILTERS,
    "sglang": _FILTERS,
    "llamacpp": {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0},
}
_NEUTRAL_ELSEWHERE: JsonObject = {"frequency_penalty": 0, "presence_penalty": 0, "repetition_penalty": 1.0}
"""For a server of unknown kind."""


def neutral_sampling(model: ServedModel) -> JsonObject:
    """Return the settings that switch off the penalties and filters that a server takes from the model's files."""
    return dict(_NEUTRAL.get(model.kind, _NEUTRAL_ELSEWHERE))


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


def has_stopped_early(request: Request, answer: JsonObject) -> bool:
    """Return whether a stop text ended an answer before its first visible character, where a server tells it."""
    if not request.sampling.stop or request.turns:
        return False
    choice = _first(answer)
    return isinstance(choice.get("stop_reason"), str) and not _text(choice.get("text")).strip()


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
    """Return the tokens of prompt and completion according to the server; 0 if unknown.

    Some providers leave thoughts out of the completion's tokens, which the total has.
    """
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return 0, 0
    prompt, written = _number(usage.get("prompt_tokens")), _number(usage.get("completion_tokens"))
    return prompt, max(written, _number(usage.get("total_tokens")) - prompt)


def _cached(answer: JsonObject, prompt_tokens: int) -> int:
    usage = answer.get("usage")
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    return min(prompt_tokens, _number(details.get("cached_tokens"))) if isinstance(details, dict) else 0


def is_no_number(error: RequestRefused) -> bool:
    """Return whether a refusal says that a log-probability was no number, which JSON cannot express."""
    return "not json compliant" in error.message.lower()


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
    text, thought = _read_content(message.get("content"))
    if not text:
        text = _text(message.get("refusal") or "")
    named = message.get("reasoning") or message.get("reasoning_content")
    thought = named if isinstance(named, str) and named else thought
    if not thought:
        return text, False
    start, end = request.marks if len(request.marks) == 2 else _THOUGHT
    return (f"{start}{thought}{end}{text}" if text.strip() else f"{start}{thought}"), True


def _read_content(content: Any) -> tuple[str, str]:  # a JSON value
    """Return text and thought of a message: the content is a text, or a list of parts of several types."""
    if content is None:
        return "", ""
    if not isinstance(content, list):
        return _text(content), ""
    texts: dict[bool, list[str]] = {False: [], True: []}
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        is_thought = kind in ("thinking", "reasoning")
        if kind in ("text", "output_text", "refusal") or is_thought:
            found = next((part[name] for name in (kind, "text", "summary") if part.get(name)), "")
            texts[is_thought].append(_read_content(found)[0])
        elif not isinstance(part, dict):
            texts[False].append(_text(part))
    return "".join(texts[False]), "".join(texts[True])


def _text(found: Any) -> str:  # a JSON value
    if not isinstance(found, str):
        raise MalformedAnswer("the answer contains no text")
    return found


def _number(found: Any) -> int:  # a JSON value
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 1 << 31 else 0

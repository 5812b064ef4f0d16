"""Log-likelihoods of choices on a server with OpenAI's interface."""

import asyncio
import math
import time
from typing import Any

from fathom.harness.engines.base import Completion, Request, RequestFailed, best_choice, too_long
from fathom.harness.engines.openai.client import JsonObject, RequestRefused, UnknownAddress
from fathom.harness.engines.openai.cut_prompts import cut_reason
from fathom.harness.engines.openai.protocol import MalformedAnswer, is_overflow, neutral_sampling
from fathom.harness.engines.openai.server import ModelServer
from fathom.harness.engines.tokens import split_choices
from fathom.harness.errors import BadInput

_NO_SCORES = (
    "the style choice cannot be asked of this server, as it gives no log-probabilities of a given text: "
    "leave the style out, as in --style direct,cot"
)


async def score_choices(server: ModelServer, request: Request) -> Completion:
    """Score a request's choices: by token ids if the server has vLLM's /tokenize, else by `echo`, as in lm-eval.

    Raises:
        BadInput: the server gives no log-probabilities of a given text.
        RequestRefused, MalformedAnswer: this request failed.
    """
    began = time.perf_counter()
    if not (request.prompt or request.turns):
        raise BadInput("the engine openai cannot score whole documents: run these tasks with the engine vllm or hf")
    if server.can_tokenize:
        return await _by_tokens(server, request, began)
    if request.turns:
        raise BadInput(_NO_SCORES)
    return await _by_echo(server, request, began)


async def _by_tokens(server: ModelServer, request: Request, began: float) -> Completion:
    prompt, text = await server.request_tokens(request), request.prompt + request.prefill
    if request.turns:
        prompt, text = await _chat_text(server, request, prompt)
    whole = await asyncio.gather(
        *(server.tokenize(*_append_choice(request, text, choice)) for choice in request.choices)
    )
    given, tails = split_choices(prompt, whole)
    longest = max(map(len, tails))
    if server.model.context and len(given) + (longest + 1 if longest > 1 else 1) > server.model.context:
        return too_long(request, len(prompt))
    if longest == 1:
        answer = await server.complete({**_one_token(server, given), **_logprobs_of({tail[0] for tail in tails})})
        logprobs, first = _read_logprobs(answer)
        if all(tail[0] in logprobs for tail in tails):  # an older vLLM does not know logprob_token_ids
            scores = [logprobs[tail[0]] for tail in tails]
            return _best(request, scores, [tail[0] == first for tail in tails], len(prompt), began)
    body = _one_token(server, [given + tail for tail in tails]) | {"prompt_logprobs": 1}
    rows = _choices(await server.complete(body), len(tails))
    read = [_read_tail(row, len(given), tail) for row, tail in zip(rows, tails, strict=True)]
    return _best(request, [one[0] for one in read], [one[1] for one in read], len(prompt), began)


async def _chat_text(server: ModelServer, request: Request, prompt: list[int]) -> tuple[list[int], str]:
    """Return tokens and text of a chat, with the given start of the answer; the text is decoded from the tokens."""
    text = await server.text_of(prompt)
    if await server.tokenize(text, False) != prompt:
        raise RequestFailed("the tokens of this chat do not decode to its text, so that no choice can be appended")
    if not request.prefill:
        return prompt, text
    return await server.tokenize(text + request.prefill, False), text + request.prefill


def _append_choice(request: Request, text: str, choice: str) -> tuple[str, bool]:
    """Return a prompt with a choice, and whether special tokens are added, as `choice_tokens` does."""
    return (text + choice.lstrip(), False) if request.turns else (text + choice, True)


def _one_token(server: ModelServer, prompt: list[Any]) -> JsonObject:
    return {
        "model": server.model.name,
        "prompt": prompt,
        "max_tokens": 1,
        "temperature": 0,
        **neutral_sampling(server.model),
    }


def _logprobs_of(ids: set[int]) -> JsonObject:
    return {"logprobs": 1, "logprob_token_ids": sorted(ids), "return_tokens_as_token_ids": True}


def _read_logprobs(answer: JsonObject) -> tuple[dict[int, float], int]:
    """Return the log-probabilities by token at the first position of a completion, and the generated token."""
    try:
        found = _choices(answer, 1)[0]["logprobs"]
        logprobs = {_read_id(name): float(value) for name, value in found["top_logprobs"][0].items()}
        return logprobs, _read_id(found["tokens"][0])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise MalformedAnswer("the answer contains no log-probabilities") from error


_NO_LOGPROB = -9999.0
"""What vLLM sends in place of minus infinity."""


def _read_id(name: str) -> int:
    return int(name.removeprefix("token_id:"))


def _read_tail(row: JsonObject, n_prompt: int, tail: list[int]) -> tuple[float, bool]:
    try:
        found = [row["prompt_logprobs"][n_prompt + at][str(token)] for at, token in enumerate(tail)]
        values = [float(one["logprob"]) for one in found]
        return sum(values) if min(values) > _NO_LOGPROB else -math.inf, all(one["rank"] == 1 for one in found)
    except (LookupError, TypeError, ValueError) as error:
        raise MalformedAnswer("the answer contains no log-probabilities of the prompt") from error


async def _by_echo(server: ModelServer, request: Request, began: float) -> Completion:
    text = request.prompt + request.prefill
    prompts = [text, *(text + choice for choice in request.choices)]
    body = _one_token(server, prompts) | {"echo": True, "logprobs": 1}
    try:
        rows = _choices(await server.complete(body), len(prompts))
    except RequestRefused as error:
        if is_overflow(error):
            return too_long(request, 0)
        if isinstance(error, UnknownAddress) or "echo" in error.message or "logprobs" in error.message:
            raise BadInput(f"{_NO_SCORES} (it says: {error.message[:200]})") from error
        raise
    read = [_read_echo(row) for row in rows]
    echoed = [[token for token, _, _ in one] for one in read]
    if len(_visible("".join(echoed[0]))) < _ECHOED * len(_visible(text)):
        raise RequestFailed(cut_reason(len(echoed[0]), len(text)))
    given, _ = split_choices(echoed[0], echoed[1:])
    found = [one[len(given) :] for one in read[1:]]
    scores = [sum(value for _, value, _ in tail) for tail in found]
    return _best(request, scores, [all(best for *_, best in tail) for tail in found], len(echoed[0]), began)


_ECHOED = 0.9
"""Share of a prompt's visible characters that comes back at least; servers may write some tokens differently."""


def _visible(text: str) -> str:
    return "".join(text.split())


def _read_echo(row: JsonObject) -> list[tuple[str, float, bool]]:
    """Return (text, log-probability, whether no token is likelier) of each token but the last, which was generated.

    The first token has no log-probability.
    """
    found = row.get("logprobs")
    if found is None:
        raise BadInput(_NO_SCORES)
    try:
        return [
            (str(token), math.nan, False) if value is None else (str(token), float(value), max(top.values()) <= value)
            for token, value, top in zip(found["tokens"], found["token_logprobs"], found["top_logprobs"], strict=True)
        ][:-1]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise MalformedAnswer("the answer's log-probabilities cannot be read") from error


def _choices(answer: JsonObject, n: int) -> list[JsonObject]:
    """Return the server's choices in the order of the prompts."""
    choices = answer.get("choices")
    if not isinstance(choices, list) or len(choices) != n or not all(isinstance(one, dict) for one in choices):
        raise MalformedAnswer(f"the answer does not contain {n} choices")
    by_index = {one["index"]: one for one in choices if isinstance(one.get("index"), int)}
    if set(by_index) != set(range(n)):
        raise MalformedAnswer("the answer's choices are not numbered")
    return [by_index[at] for at in range(n)]


def _best(request: Request, scores: list[float], greedy: list[bool], n_prompt: int, began: float) -> Completion:
    if not all(map(math.isfinite, scores)):
        raise MalformedAnswer("the answer's log-probabilities are not finite")
    return best_choice(request, scores, greedy, n_prompt, time.perf_counter() - began)

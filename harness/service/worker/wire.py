"""Turn requests and completions into JSON values and back, for HTTP and for pipes."""

from dataclasses import asdict
from math import inf, isfinite, isnan
from typing import Any

from fathom.harness.engines.base import Completion, Request, Sampling, Turn
from fathom.harness.service.worker.faulty import JobFailed

Message = dict[str, Any]  # JSON values

_LEAST = -1e9
"""Stands for a log-likelihood of minus infinity, which JSON cannot say."""


def request_of(message: Message) -> Request:
    """Read a request as the server writes it."""
    sampling = Sampling(message["max_tokens"], tuple(message["stop"]), message["temperature"])
    turns = (Turn("user", message["prompt"]),) if message["chat"] else ()
    return Request(message["key"], message["item"], message["prompt"], sampling, tuple(message["choices"]), turns)


def completion_message(one: Completion) -> Message:
    """Write a completion.

    Raises:
        JobFailed: a score is not a number: the model's logits are broken.
    """
    if one.scores is not None and any(isnan(score) or score == inf for score in one.scores):
        raise JobFailed("nan_logits", f"the model scores the candidates of {one.key} as {one.scores}")
    scores = None if one.scores is None else [score if isfinite(score) else _LEAST for score in one.scores]
    text = one.text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates are no JSON
    message = {**asdict(one), "text": text, "scores": scores}
    del message["cached_tokens"]  # a server asks only for what it keeps, and refuses the rest
    return message

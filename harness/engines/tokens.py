"""Tokens of requests and completions, cut where lm-eval's own backends cut them."""

from collections.abc import Iterator, Sequence
from typing import Any

from fathom.harness.engines.base import RenderedPrompt, Request


def cut_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Return the text before the earliest stop text, and whether there was one."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def render_text(tokenizer: Any, request: Request) -> str:  # Any: transformers ships no types
    """Return the text that the model reads: the prompt, or the turns in the chat template, then the prefill."""
    if not request.turns:
        return request.prompt + request.prefill
    messages = [{"role": turn.role, "content": turn.content} for turn in request.turns]
    continues = request.turns[-1].role == "assistant"
    options = {"add_generation_prompt": not continues, "continue_final_message": continues}
    options |= dict(request.template_options)
    return f"{tokenizer.apply_chat_template(messages, tokenize=False, **options)}{request.prefill}"


def tokenize_prompts(tokenizer: Any, requests: Sequence[Request]) -> list[list[int]]:
    """Return the tokens of each prompt. Chat templates write their own special tokens, so none are added to chats.

    An empty prompt becomes the token that begins texts, or else ends them, since a model needs at least one.
    """
    ids: list[list[int]] = [[] for _ in requests]
    for chat in (False, True):
        places = [at for at, request in enumerate(requests) if bool(request.turns) is chat]
        if places:
            texts = [render_text(tokenizer, requests[at]) for at in places]
            made = tokenizer(texts, add_special_tokens=not chat)["input_ids"]
            for at, one in zip(places, made, strict=True):
                ids[at] = one or [_first_token(tokenizer)]
    return ids


def _first_token(tokenizer: Any) -> int:
    """Return the token that begins texts, or the one that ends them if there is none."""
    return int(tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id)


def render_prompt(tokenizer: Any, request: Request) -> RenderedPrompt:
    """Return a request as the model reads it."""
    (ids,) = tokenize_prompts(tokenizer, [request])
    return RenderedPrompt(render_text(tokenizer, request), tuple(ids))


def choice_tokens(tokenizer: Any, request: Request, n_prompt: int, choice: str) -> list[int]:
    """Return the tokens that a choice adds to a request's prompt of `n_prompt` tokens.

    Both are encoded as one text and split by length, as in lm-eval, so that scores agree. In a chat, the blank at the
    start of a choice is removed.
    """
    if not (request.prompt or request.turns):
        alone: list[int] = tokenizer.encode(choice, add_special_tokens=False)
        return alone[1:] if alone[:1] == [_first_token(tokenizer)] else alone
    text = choice.lstrip() if request.turns else choice
    whole: list[int] = tokenizer.encode(render_text(tokenizer, request) + text, add_special_tokens=not request.turns)
    return whole[n_prompt:]


def windows(prompt: list[int], tail: list[int], room: int) -> Iterator[tuple[list[int], list[int]]]:
    """Split a text that is too long into (context, tail) pairs, so that each token is scored once, with most context.

    `room` is the number of tokens that the model reads at once. Source: lm-eval's rolling log-likelihood.
    """
    at = min(room + 1 - len(prompt), len(tail))
    yield prompt, tail[:at]
    while at < len(tail):
        end = min(at + room, len(tail))
        yield tail[end - room - 1 : at], tail[at:end]
        at = end


def decode_completion(tokenizer: Any, request: Request, ids: Sequence[int]) -> str:
    """Return the text of generated tokens without special ones, except for those in the request's marks."""
    if not request.marks:
        return str(tokenizer.decode(ids, skip_special_tokens=True))
    added = getattr(tokenizer, "added_tokens_decoder", {})  # tokenizers of other libraries lack it
    special = {at: token.content for at, token in added.items() if token.special}
    special |= dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    dropped = {at for at, text in special.items() if not any(text in mark for mark in request.marks)}
    return str(tokenizer.decode([at for at in ids if at not in dropped], skip_special_tokens=False))

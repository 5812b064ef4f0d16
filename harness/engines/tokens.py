"""Turn requests into tokens, and cut texts and token lists where lm-eval's own backends would cut them."""

from collections.abc import Iterator, Sequence
from typing import Any

from fathom.harness.engines.base import RenderedPrompt, Request


def cut_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Return the text before the earliest stop, and whether there was one."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def render_text(tokenizer: Any, request: Request) -> str:  # Any: transformers ships no types
    """Return the text that a model reads: the prompt, or the turns in the chat template, and the prefill."""
    if not request.turns:
        return request.prompt + request.prefill
    messages = [{"role": turn.role, "content": turn.content} for turn in request.turns]
    begun = request.turns[-1].role == "assistant"  # its last words are gone on with
    how = {"add_generation_prompt": not begun, "continue_final_message": begun, **dict(request.template_options)}
    return f"{tokenizer.apply_chat_template(messages, tokenize=False, **how)}{request.prefill}"


def tokenize_prompts(tokenizer: Any, requests: Sequence[Request]) -> list[list[int]]:
    """Return the tokens of each prompt. A chat template writes its own first token, so none is added before it.

    An empty prompt becomes the token with which texts begin, or where there is none, end: a model needs something.
    """
    ids: list[list[int]] = [[] for _ in requests]
    for chat in (False, True):
        places = [at for at, request in enumerate(requests) if bool(request.turns) is chat]
        if places:
            texts = [render_text(tokenizer, requests[at]) for at in places]
            made = tokenizer(texts, add_special_tokens=not chat)["input_ids"]
            for at, one in zip(places, made, strict=True):
                ids[at] = one or [first_token(tokenizer)]
    return ids


def first_token(tokenizer: Any) -> int:
    """Return the token with which texts begin, or where there is none, end."""
    return int(tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id)


def render_prompt(tokenizer: Any, request: Request) -> RenderedPrompt:
    """Return what a model reads for a request."""
    (ids,) = tokenize_prompts(tokenizer, [request])
    return RenderedPrompt(render_text(tokenizer, request), tuple(ids))


def choice_tokens(tokenizer: Any, request: Request, n_prompt: int, choice: str) -> list[int]:
    """Return the tokens that a choice adds to a request's prompt of `n_prompt` tokens.

    The pair is encoded as one text and split by length, as lm-eval does, so that the scores agree. In a chat an
    answer begins without the blank that follows a plain prompt.
    """
    if not (request.prompt or request.turns):
        alone: list[int] = tokenizer.encode(choice, add_special_tokens=False)
        return alone[1:] if alone[:1] == [first_token(tokenizer)] else alone
    follow = choice.lstrip() if request.turns else choice
    whole: list[int] = tokenizer.encode(render_text(tokenizer, request) + follow, add_special_tokens=not request.turns)
    return whole[n_prompt:]


def windows(prompt: list[int], tail: list[int], room: int) -> Iterator[tuple[list[int], list[int]]]:
    """Split a text that is too long into (context, tail) so that each token is read once, with all context there is.

    `room` is the number of tokens that the model reads at once. Source: lm-eval's rolling log-likelihood.
    """
    at = min(room + 1 - len(prompt), len(tail))
    yield prompt, tail[:at]
    while at < len(tail):
        end = min(at + room, len(tail))
        yield tail[end - room - 1 : at], tail[at:end]
        at = end


def decode_completion(tokenizer: Any, request: Request, ids: Sequence[int]) -> str:
    """Return the text of generated tokens: without special ones, but for those that a request's marks are made of."""
    if not request.marks:
        return str(tokenizer.decode(ids, skip_special_tokens=True))
    added = getattr(tokenizer, "added_tokens_decoder", {})  # not every tokenizer is one of transformers'
    special = {at: token.content for at, token in added.items() if token.special}
    special |= dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    dropped = {at for at, text in special.items() if not any(text in mark for mark in request.marks)}
    return str(tokenizer.decode([at for at in ids if at not in dropped], skip_special_tokens=False))

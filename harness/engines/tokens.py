"""Turn requests into tokens, and cut texts and token lists where lm-eval's own backends would cut them."""

from collections.abc import Sequence
from typing import Any

from harness.engines.base import Request


def cut_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Return the text before the earliest stop, and whether there was one."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def rendered(tokenizer: Any, request: Request) -> str:  # Any: transformers ships no types
    """Return the text that a model reads: the prompt, or the turns in the tokenizer's chat template."""
    if not request.turns:
        return request.prompt
    messages = [{"role": turn.role, "content": turn.content} for turn in request.turns]
    options = dict(request.template_options)
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **options))


def prompt_tokens(tokenizer: Any, requests: Sequence[Request]) -> list[list[int]]:
    """Return the tokens of each prompt. A chat template writes its own first token, so none is added before it."""
    ids: list[list[int]] = [[] for _ in requests]
    for chat in (False, True):
        places = [at for at, request in enumerate(requests) if bool(request.turns) is chat]
        if places:
            texts = [rendered(tokenizer, requests[at]) for at in places]
            made = tokenizer(texts, add_special_tokens=not chat)["input_ids"]
            for at, one in zip(places, made, strict=True):
                ids[at] = one
    return ids


def continuation(tokenizer: Any, request: Request, n_prompt: int, choice: str) -> list[int]:
    """Return the tokens that a choice adds to a request's prompt of `n_prompt` tokens.

    The pair is encoded as one text and split by length, as lm-eval does, so that the scores agree. In a chat an
    answer begins without the blank that follows a plain prompt.
    """
    follow = choice.lstrip() if request.turns else choice
    whole: list[int] = tokenizer.encode(rendered(tokenizer, request) + follow, add_special_tokens=not request.turns)
    return whole[n_prompt:]

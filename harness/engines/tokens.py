"""Tokens of requests and completions, cut where lm-eval's own backends cut them."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from fathom.harness.engines.base import RenderedPrompt, Request, RequestFailed

_Token = TypeVar("_Token", int, str)
"""A token by its number, or by its text where a server tells no numbers."""


def cut_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Return the text before the earliest stop text after its first visible character, and whether there was one."""
    start = len(text) - len(text.lstrip()) + 1
    found = [at for stop in stops if (at := text.find(stop, start)) >= 0]
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

    An empty prompt becomes the token that begins texts, or else ends them; it stays empty if a tokenizer has neither.
    """
    ids: list[list[int]] = [[] for _ in requests]
    for chat in (False, True):
        places = [at for at, request in enumerate(requests) if bool(request.turns) is chat]
        if places:
            texts = [render_text(tokenizer, requests[at]) for at in places]
            made = tokenizer(texts, add_special_tokens=not chat)["input_ids"]
            for at, one in zip(places, made, strict=True):
                ids[at] = one or _first_token(tokenizer)
    return ids


def _first_token(tokenizer: Any) -> list[int]:
    """Return the token that begins texts, the one that ends them if there is none, or else nothing."""
    named = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    return [int(one) for one in named if one is not None][:1]


def render_prompt(tokenizer: Any, request: Request) -> RenderedPrompt:
    """Return a request as the model reads it."""
    (ids,) = tokenize_prompts(tokenizer, [request])
    return RenderedPrompt(render_text(tokenizer, request), tuple(ids))


def choice_tokens(tokenizer: Any, request: Request, prompt: list[int]) -> tuple[list[int], list[list[int]]]:
    """Return the tokens that all choices of a request follow, and the tokens of each choice behind them.

    Prompt and choice are encoded as one text. In a chat, the blank at the start of a choice is removed.

    Raises:
        RequestFailed: the tokens tell the choices, or a choice and no choice, not apart.
    """
    if not (request.prompt or request.turns):
        alone = tokenizer(list(request.choices), add_special_tokens=False)["input_ids"]
        first = _first_token(tokenizer)
        return prompt, [ids[1:] if first and ids[:1] == first else ids for ids in alone]
    text = render_text(tokenizer, request)
    texts = [text + (choice.lstrip() if request.turns else choice) for choice in request.choices]
    return split_choices(prompt, tokenizer(texts, add_special_tokens=not request.turns)["input_ids"])


def split_choices(prompt: list[_Token], texts: Sequence[list[_Token]]) -> tuple[list[_Token], list[list[_Token]]]:
    """Split the tokens of prompts with a choice: into those that all share with the prompt, and those behind.

    The first characters of a choice may become one token with the last of the prompt. Then this token is scored as
    well, and with it what the other choices have in its place: else a choice would lose its beginning, or all of it.

    Raises:
        RequestFailed: two choices, or a choice and none, are the same tokens, or nothing stands before them.
    """
    shared = min(_n_shared(prompt, ids) for ids in texts)
    tails = [ids[shared:] for ids in texts]
    if not shared:
        raise RequestFailed("the choices begin within the first token of the prompt, so that nothing precedes them")
    if not all(tails):
        raise RequestFailed("a choice adds no token to the prompt: it has no log-likelihood")
    if len({tuple(tail) for tail in tails}) < len(tails):
        raise RequestFailed("two choices become the same tokens, so that the model cannot tell them apart")
    return prompt[:shared], tails


def _n_shared(one: list[_Token], other: list[_Token]) -> int:
    """Return the length of the common beginning."""
    n = min(len(one), len(other))
    return next((at for at in range(n) if one[at] != other[at]), n)


def check_ids(tokenizer: Any, ids: Sequence[int], n_ids: int) -> None:  # Any: transformers ships no types
    """Raise RequestFailed for a text without tokens, or with one for which the model has no embedding."""
    if not ids:
        raise RequestFailed("the prompt is empty, and the tokenizer has no token that begins or ends texts")
    if (highest := max(ids)) >= n_ids:
        raise RequestFailed(
            f"the tokenizer makes token {highest} ({tokenizer.convert_ids_to_tokens(highest)}), and the model has "
            f"embeddings for {n_ids}: {RESIZE}"
        )


RESIZE = (
    "resize the embedding (resize_token_embeddings in transformers) and train it, or take the model's own tokenizer"
)
"""What to do about tokens without an embedding."""


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

"""Cut texts and token lists where lm-eval's own backends would cut them."""

from collections.abc import Sequence
from typing import Any


def cut_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Return the text before the earliest stop, and whether there was one."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def continuation(tokenizer: Any, prompt: str, n_prompt: int, choice: str) -> list[int]:
    """Return the tokens that a choice adds to a prompt of `n_prompt` tokens.

    The pair is encoded as one text and split by length, as lm-eval does, so that the scores agree.
    """
    whole: list[int] = tokenizer.encode(prompt + choice)  # Any: transformers ships no types
    return whole[n_prompt:]

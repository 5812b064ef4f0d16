"""Notice prompts that a server cuts without saying so, from its own counts of their tokens."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from fathom.harness.engines.base import Request, RequestFailed, Turn

_LONG = 2000
"""Characters from which prompts are looked at: no server has so small a context that it cuts shorter ones."""
_SUSPICIOUS = 5
"""Characters a token above which a count is checked.

Measured with the vocabularies of SmolLM2 and Mistral, Fathom's prompts have 1.4 to 4.7."""
_LEAST = 0.95
"""Share of the tokens of its halves that a whole prompt has at least."""


def cut_reason(n_tokens: int, n_characters: int) -> str:
    """Return what to tell of a prompt that a server cut."""
    return (
        f"the server read only {n_tokens:,} tokens of a prompt of {n_characters:,} characters: it cuts prompts without "
        "saying so; raise its context (Ollama: OLLAMA_CONTEXT_LENGTH; llama.cpp: --ctx-size; others: see max_model_len)"
    )


class CutPrompts:
    """Checks the counts of one server."""

    def __init__(self, count: Callable[[Request], Awaitable[int]], is_exact: bool) -> None:
        """Take a function that returns how many tokens the server counts in a request.

        `is_exact` says that it asks the tokenizer; else the server answers the request, and may cut it.
        """
        self._count, self._is_exact = count, is_exact
        self._whole = 0
        self._frame: int | None = None
        self._one_at_a_time = asyncio.Lock()

    async def check(self, request: Request, n_tokens: int) -> None:
        """Raise RequestFailed where the server read fewer tokens of a request than it has; 0 tokens are no count.

        A count that is small for the text is compared with the counts of its two halves. What has as many tokens as a
        prompt that was found whole is not checked again.
        """
        text = text_of(request)
        if not n_tokens or len(text) < max(_LONG, _SUSPICIOUS * n_tokens):
            return
        async with self._one_at_a_time:
            if n_tokens <= self._whole:
                return
            if n_tokens < _LEAST * await self._expected(request, text):
                raise RequestFailed(cut_reason(n_tokens, len(text)))
            self._whole = n_tokens

    async def _expected(self, request: Request, text: str) -> int:
        if self._is_exact:
            return await self._count(request)
        if self._frame is None:  # what a chat template adds
            self._frame = await self._count(_with_text(request, "?")) - 1 if request.turns else 0
        half = len(text) // 2
        first, second = [await self._count(_with_text(request, part)) for part in (text[:half], text[half:])]
        return first + second - self._frame


def text_of(request: Request) -> str:
    """Return the text of a request, without what a chat template adds."""
    return "\n".join(turn.content for turn in request.turns) if request.turns else request.prompt


def _with_text(request: Request, text: str) -> Request:
    return replace(request, prompt=text, turns=(Turn("user", text),) if request.turns else (), prefill="")

"""Notice a server whose chat template leaves system messages out, from its own counts of tokens."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from fathom.harness.engines.base import Request, Turn
from fathom.harness.errors import BadInput


class SystemMessages:
    """Checks a server once, before its first chat with a system message."""

    def __init__(self, count: Callable[[Request], Awaitable[int]]) -> None:
        """Take a function that returns how many tokens the server counts in a request."""
        self._count = count
        self._is_checked = False
        self._one_at_a_time = asyncio.Lock()

    async def check(self, request: Request) -> None:
        """Raise BadInput where a longer system message adds no tokens.

        Compared with no message at all, a template may write one of its own instead.
        """
        if self._is_checked or not any(turn.role == "system" for turn in request.turns):
            return
        async with self._one_at_a_time:
            if self._is_checked:
                return
            short, long = [await self._count(_with_system(request, text)) for text in ("a", "a b c d e f g h")]
            if short and short == long:  # 0 where the server does not count
                raise BadInput(
                    "the server leaves system messages out, so that the model would not read them: leave out --system, "
                    "or start the server with another chat template"
                )
            self._is_checked = True


def _with_system(request: Request, text: str) -> Request:
    return replace(request, turns=(Turn("system", text), Turn("user", "?")), prompt="?", prefill="")

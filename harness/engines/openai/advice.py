"""What to do when a server refuses or cannot be reached."""

import re
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from fathom.harness.engines.base import Request

_ADVICE = (
    (r"temperature.{0,40}(default|only|not support|unsupported)|(not support|unsupported|only).{0,60}temperature",
     "the model takes one temperature only: give --temperature 1, and its run is stored as sampled, or its --provider"),
    (r"max_(completion_)?tokens.{0,40}(too large|at most|exceed|maximum)",
     "the model takes smaller budgets only: give them with --budget, as in --budget direct=16,cot=512"),
)  # fmt: skip
"""Patterns of a server's message, and what to do."""


def with_advice(message: str) -> str:
    """Return a server's refusal, and what to do about it where that is known."""
    for pattern, said in _ADVICE:
        if re.search(pattern, message, re.IGNORECASE | re.DOTALL):
            return f"{message.rstrip('.')}: {said}"
    return message


def no_such_address(request: Request, address: str, error: Exception) -> str:
    """Say what may be wrong where a server does not know the address of a request, or its model."""
    kind, other = ("chats", "--no-chat") if request.turns else ("plain prompts", "--chat")
    return (
        f"{address} has no interface for {kind}, or no such model ({error}): check that --base-url ends where the "
        f"server's interface begins, mostly in /v1, and the model's name; if both are right, ask with {other}"
    )


def proxy_of(url: str) -> str:
    """Return the proxy that the environment names for an address, without user and password; empty if none."""
    parts = urlsplit(url)
    found = getproxies().get(parts.scheme, "")
    if not found or proxy_bypass(parts.hostname or ""):
        return ""
    proxy = urlsplit(found if "://" in found else f"http://{found}")
    return f"{proxy.hostname}:{proxy.port}" if proxy.port else str(proxy.hostname)


def proxy_hint(url: str) -> str:
    """Say that an address is reached through a proxy, and how to do without; empty where there is none."""
    proxy = proxy_of(url)
    if not proxy:
        return ""
    host = urlsplit(url).hostname
    return f" (through the proxy {proxy} that the environment names; NO_PROXY={host} goes without it)"

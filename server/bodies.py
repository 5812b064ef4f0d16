"""Read small bodies of the API: bounded in bytes and in time, before anything is made of them."""

import asyncio

from fastapi import Request

from harness.errors import TooLarge, TooSlow

_MOST = 64 << 10
_SECONDS = 20.0


async def read_body(request: Request) -> bytes:
    """Return the body.

    Raises:
        TooLarge, TooSlow: it is longer than 64 kB, or takes longer than 20 s.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MOST:
                    raise TooLarge(f"this takes {_MOST >> 10} kB at most: shorten what you send")
    except TimeoutError as error:
        raise TooSlow("the body came too slowly: send it again") from error
    return bytes(body)

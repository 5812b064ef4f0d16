"""Compress pages and files, except where a secret and a stranger's text could stand in one answer."""

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_LEAST = 1_024
"""Bytes below which compressing gains nothing."""


class Compress:
    """Compresses answers with gzip to GET and HEAD without credentials.

    A page of somebody who is signed in holds the token of its forms. Beside text that a stranger chose, the length of
    the compressed page would give it away, character by character (BREACH, 2013), so such pages go out as they are.
    """

    def __init__(self, app: ASGIApp, cookie: str) -> None:
        """`cookie` is the name of the cookie that identifies a visitor."""
        self._plain, self._packed = app, GZipMiddleware(app, minimum_size=_LEAST, compresslevel=6)
        self._cookie = f"{cookie}="

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._plain(scope, receive, send)
            return
        headers = Headers(scope=scope)
        has_secret = self._cookie in headers.get("cookie", "") or "authorization" in headers
        is_public = scope["path"].startswith("/static/") or not has_secret
        await (self._packed if is_public else self._plain)(scope, receive, send)

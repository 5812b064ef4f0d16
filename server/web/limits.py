"""Refuse requests that neither a browser nor a client of ours sends, before anything reads their parts.

A few lines of Python's and FastAPI's own take time that grows with the square of what a stranger sends: keys of an
address are looked up in a list, quoted cookies are unquoted character by character. The bounds here keep every request
below some milliseconds before it reaches a page; they are far above what forms and workers need.
"""

import re
from http import HTTPStatus

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

MOST_PATH, MOST_QUERY, MOST_KEYS = 4_096, 40_960, 128
"""Bytes of a path and of a query, and parameters of a query; an answer of 4,000 characters takes 36,000 bytes."""
MOST_HEADERS, MOST_HEADER_BYTES = 64, 16_384
MOST_COOKIE = 4_096
"""Bytes of all cookies together."""

_HOST = re.compile(rb"[A-Za-z0-9._-]{1,255}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")


def refusal(scope: Scope) -> tuple[int, str] | None:
    """Return the status and the reason for which a request is refused; None for one that is not."""
    query: bytes = scope["query_string"]
    if len(scope.get("raw_path") or scope["path"].encode()) > MOST_PATH or len(query) > MOST_QUERY:
        return 414, "the address is too long"
    if query.count(b"&") + query.count(b";") >= MOST_KEYS:
        return 414, "the address has too many parameters"
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if len(headers) > MOST_HEADERS or sum(len(name) + len(value) for name, value in headers) > MOST_HEADER_BYTES:
        return 431, "the request has too many headers, or too long ones"
    if sum(len(value) for name, value in headers if name == b"cookie") > MOST_COOKIE:
        return 431, "the request has too many cookies: delete those of this site"
    for name, value in headers:
        if name == b"host" and not _HOST.fullmatch(value):
            return 400, "the header Host is no name of a server"
        if name == b"content-length" and not _LENGTH.fullmatch(value):
            return 400, "the header Content-Length is no number"
    return None


class RequestLimits:
    """Answers requests beyond the bounds with one line of text, or under /api with problem+json."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        refused = refusal(scope) if scope["type"] == "http" else None
        if refused is None:
            await self._app(scope, receive, send)
            return
        status, reason = refused
        headers = {"Cache-Control": "no-store", "Connection": "close"}
        answer: Response = PlainTextResponse(f"{reason}\n", status, headers)
        if scope["path"].startswith("/api/"):
            body = {"title": HTTPStatus(status).phrase, "status": status, "detail": reason}
            answer = JSONResponse(body, status, headers, "application/problem+json")
        await answer(scope, receive, send)

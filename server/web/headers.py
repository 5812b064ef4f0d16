"""Headers of every response: the content security policy and its like, and ETags."""

from hashlib import blake2b

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-cache",
}


class SecureHeaders:
    """Adds HEADERS to each response; a header that the response sets itself stays."""

    def __init__(self, app: ASGIApp, *, https: bool = False) -> None:
        """With `https`, tell browsers to use nothing else for a year."""
        self._app = app
        self._headers = HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


REVALIDATE = "no-cache"
"""Cache-Control of a response that may be kept but is checked each time."""
_NOT_MODIFIED = 304


def with_etag(response: Response, tag: str) -> Response:
    """Set a response's ETag, which saves hashing its content."""
    response.headers["ETag"] = f'"{tag}"'
    return response


class ETags:
    """Gives each response to GET an ETag from its bytes, and answers 304 to visitors who have it already.

    Streamed responses, other statuses than 200 and `no-store` responses pass unchanged.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        start: Message = {}
        known = Headers(scope=scope).get("if-none-match", "")

        async def send_tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if start:
                message = _tagged(start, message, known)
                await send(start)
                start = {}
            await send(message)

        await self._app(scope, receive, send_tagged)


def _tagged(start: Message, body: Message, known: str) -> Message:
    """Set the ETag in `start`; return the body, or an empty one where the visitor has it already."""
    headers = MutableHeaders(raw=start["headers"])
    if start["status"] != 200 or body.get("more_body") or headers.get("cache-control") == "no-store":
        return body
    if "etag" not in headers:
        headers["ETag"] = f'"{blake2b(body.get("body", b""), digest_size=12).hexdigest()}"'
    start["headers"] = headers.raw
    if headers["etag"] not in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
        return body
    start["status"] = _NOT_MODIFIED
    del headers["content-length"]
    start["headers"] = headers.raw
    return {"type": "http.response.body", "body": b""}

"""Log lines as JSON, without anything personal: no token, cookie, query string or mail address."""

import datetime as dt
import ipaddress
import json
import logging
import secrets
import sys
import time
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fathom.server.web.actor import NOBODY, Actor

REQUEST_ID = "X-Request-Id"

_requests = logging.getLogger("fathom.requests")
_FIELDS = "fathom_fields"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class JsonFormatter(logging.Formatter):
    """One JSON object a line, ASCII only, so that no text can control a terminal or start a second line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as JSON."""
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "logger": record.name}  # any JSON
        line |= getattr(record, _FIELDS, None) or {"message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_as_json() -> None:
    """Write all logs of this process to stderr as JSON, requests included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(_is_new)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("alembic", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    _requests.setLevel(logging.INFO)


def _is_new(record: logging.LogRecord) -> bool:
    """Leave out uvicorn's message about an exception that `RequestLog` has logged already."""
    return not record.getMessage().startswith("Exception in ASGI application")


def request_id(scope: Scope) -> str:
    """Return the id of a request."""
    return str(scope.get("fathom.request", ""))


class RequestLog:
    """Gives each request an id, in a header and in its log line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500
        number = scope["fathom.request"] = secrets.token_hex(8)  # never taken from the sender

        async def send_numbered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = number
            await send(message)

        try:
            await self._app(scope, receive, send_numbered)
        except Exception:
            _requests.exception("failed", extra={_FIELDS: _fields(scope, 500, began)})
            raise
        _requests.info("answered", extra={_FIELDS: _fields(scope, status, began)})


def _fields(scope: Scope, status: int, began: float) -> dict[str, object]:
    actor = scope.get("fathom.actor", NOBODY)
    client = scope.get("client") or ("", 0)
    return {
        "request": request_id(scope),
        "method": scope["method"] if scope["method"] in _METHODS else "other",
        "path": getattr(scope.get("route"), "path", "other"),
        "status": status,
        "ms": round(1000 * (time.perf_counter() - began), 1),
        "actor": actor.label if isinstance(actor, Actor) else NOBODY.label,
        "address": network_of(str(client[0])),
    }


def network_of(address: str) -> str:
    """Return the network of an address: the first 24 bits of IPv4, the first 48 of IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False))

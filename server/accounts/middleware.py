"""Middleware that finds the sender of each request: by cookie, by API token, or as this machine's user."""

import ipaddress
import re
import secrets
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from fastapi import Request
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fathom.harness.errors import BadInput, FathomError, NotAllowed, NotSignedIn
from fathom.harness.settings import ServiceSettings
from fathom.server.accounts import store as accounts
from fathom.server.accounts.store import User
from fathom.server.web.actor import NOBODY, SCOPES, Actor, scopes_of
from fathom.server.web.forms import csrf_of
from fathom.server.web.problems import answer_problem

_SAFE = ("GET", "HEAD", "OPTIONS")
_ANY_HOST = ("/healthz", "/metrics")
"""Addresses that answer under any host name: monitoring asks from inside, and they hold no secret."""
_COOKIE = re.compile(r"[A-Za-z0-9._~=-]{1,2048}")
_LOGIN_SECONDS = int(accounts.LOGIN_LASTS.total_seconds())


class WrongHost(BadInput):
    """The Host header names another server, as after DNS rebinding."""

    status = 421


@dataclass(frozen=True, slots=True)
class CookiePolicy:
    """The origin of this server, and the name and attributes of its cookie."""

    origin: str
    """As in https://fathom.example; empty where only this machine is served."""
    cookie: str
    secure: bool

    def header(self, value: str, lasts: int = _LOGIN_SECONDS) -> str:
        """Return a Set-Cookie header."""
        secure = "; Secure" if self.secure else ""
        return f"{self.cookie}={value}; Path=/; Max-Age={lasts}; HttpOnly; SameSite=Lax{secure}"


def cookie_policy(service: ServiceSettings) -> CookiePolicy:
    """Return the cookie policy of a server with these settings."""
    if service.oidc is None:
        return CookiePolicy("", "fathom", False)
    secure = service.url.startswith("https://")
    return CookiePolicy(service.url, "__Host-fathom" if secure else "fathom", secure)


class Identify:
    """Sets scope["fathom.actor"]; refuses foreign hosts, foreign origins and bad tokens.

    A request without cookie and token needs no query.
    """

    def __init__(self, app: ASGIApp, db: Engine, service: ServiceSettings) -> None:
        self._app, self._db, self._service = app, db, service
        self._policy = cookie_policy(service)
        self._local: User | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        cookie, fresh = read_cookie(headers, self._policy.cookie), ""
        if self._service.oidc is None and not cookie:
            cookie = fresh = secrets.token_urlsafe(32)
        try:
            self._check_host(scope["path"], headers)
            actor = await self._identify(headers, cookie)
            _check_origin(scope["method"], headers, self._policy, actor)
        except FathomError as error:
            answer = answer_problem(Request(scope), error.status, str(error))
            if isinstance(error, NotSignedIn):
                answer.headers["WWW-Authenticate"] = "Bearer"
            await answer(scope, receive, send)
            return
        scope["fathom.actor"] = actor

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and fresh:
                found = MutableHeaders(scope=message)
                if "private" in found.get("cache-control", ""):  # only private pages, which have forms, need a cookie
                    found.append("Set-Cookie", self._policy.header(fresh))
            await send(message)

        await self._app(scope, receive, send_with_cookie)

    def _check_host(self, path: str, headers: Headers) -> None:
        host = headers.get("host", "")
        if path in _ANY_HOST or host == urlsplit(self._policy.origin).netloc != "":
            return
        if not self._policy.origin and _is_loopback(urlsplit(f"//{host}").hostname or ""):
            return
        raise WrongHost("this server has another name: use the address that it was started with")

    async def _identify(self, headers: Headers, cookie: str) -> Actor:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return await run_in_threadpool(self._by_token, token.strip())
        if self._service.oidc is None:
            if self._local is None:
                self._local = await run_in_threadpool(accounts.local_user, self._db)
            return _actor(self._local, cookie)
        if not cookie:
            return NOBODY
        user = await run_in_threadpool(accounts.user_of_login, self._db, cookie)
        return NOBODY if user is None else _actor(user, cookie)

    def _by_token(self, text: str) -> Actor:
        user, token = accounts.find_token(self._db, text)
        role = _role(user)
        return Actor(user.id, user.name, role, scopes_of(role, token.scopes), token.id)


def _role(user: User) -> Literal["user", "admin"]:
    return "admin" if user.role == "admin" else "user"


def _actor(user: User, cookie: str) -> Actor:
    role = _role(user)
    return Actor(user.id, user.name, role, scopes_of(role, SCOPES), None, cookie, csrf_of(cookie))


def read_cookie(headers: Headers, name: str) -> str:
    """Return the value of a cookie, or an empty text; ours hold letters, digits and four signs, and are never quoted.

    Python's own reader takes time with the square of a quoted value's length (CVE-2024-7592).
    """
    for part in headers.get("cookie", "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value if _COOKIE.fullmatch(value) else ""
    return ""


def _is_loopback(host: str) -> bool:
    """Say whether a host name means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_origin(method: str, headers: Headers, policy: CookiePolicy, actor: Actor) -> None:
    """Refuse changes that a page of another site asks for; requests with a token are exempt.

    Browsers state the origin of a request. A program without a token does not, and is accepted only by a server for
    this machine.

    Raises:
        NotAllowed: the request comes from another site, or does not state its origin.
    """
    if method in _SAFE or actor.token_id is not None:
        return
    own = policy.origin or f"http://{headers.get('host', '')}"
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin not in (None, own) or site not in (None, "same-origin", "none"):
        raise NotAllowed("this was sent from a page of another site: use this server's own page")
    if origin is None and site is None and policy.origin and actor.user_id is not None:
        raise NotAllowed("this request has no Origin header: programs send an API token instead of a cookie")

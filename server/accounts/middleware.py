"""Middleware that finds the sender of each request: by cookie, API token, or key of a board without accounts."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from hmac import compare_digest
from typing import Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from fastapi import Request
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fathom.harness.errors import BadInput, FathomError, NotAllowed, NotSignedIn
from fathom.harness.service.board_key import derived, is_loopback
from fathom.harness.settings import ServiceSettings
from fathom.server.accounts import store as accounts
from fathom.server.accounts.store import User
from fathom.server.web.actor import KEY, KEYLESS, NOBODY, SCOPES, Actor, scopes_of
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
    same_site: Literal["Lax", "Strict"] = "Lax"

    def header(self, value: str, lasts: int = _LOGIN_SECONDS) -> str:
        """Return a Set-Cookie header."""
        secure = "; Secure" if self.secure else ""
        return f"{self.cookie}={value}; Path=/; Max-Age={lasts}; HttpOnly; SameSite={self.same_site}{secure}"


def cookie_policy(service: ServiceSettings) -> CookiePolicy:
    """Return the cookie policy of a server with these settings."""
    if service.oidc is None:  # cookies know no ports: the name keeps boards of one machine apart
        return CookiePolicy("", f"fathom-{derived(service.key, 'cookie name')[:8]}", False, "Strict")
    secure = service.url.startswith("https://")
    return CookiePolicy(service.url, "__Host-fathom" if secure else "fathom", secure)


class Identify:
    """Sets scope["fathom.actor"]; refuses foreign hosts, foreign origins and bad tokens.

    A request without cookie and token needs no query. Without accounts, the key in an address becomes a cookie.
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
        try:
            self._check_host(scope["path"], headers)
            entered = self._take_key(scope)
            actor = await self._identify(headers)
            _check_origin(scope["method"], headers, self._policy, actor)
        except FathomError as error:
            answer = answer_problem(Request(scope), error.status, str(error))
            if isinstance(error, NotSignedIn):
                answer.headers["WWW-Authenticate"] = "Bearer"
            await answer(scope, receive, send)
            return
        scope["fathom.actor"] = actor
        await (entered or self._app)(scope, receive, send)

    def _take_key(self, scope: Scope) -> Response | None:
        """Return the redirect to the same address without the key, with the cookie; None where there is no key.

        Raises:
            NotSignedIn: it is not the key of this board.
        """
        key = self._service.key
        if not key or scope["method"] not in ("GET", "HEAD") or b"key=" not in scope["query_string"]:
            return None
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        sent = [value for name, value in pairs if name == "key"]
        if not sent:
            return None
        if not _same(sent[-1], key):
            raise NotSignedIn("this is not the key of this board: open the address that `fathom serve` printed")
        rest = urlencode([pair for pair in pairs if pair[0] != "key"])
        # one slash: two would lead to another host
        place = "/" + quote(scope["path"].lstrip("/\\")) + (f"?{rest}" if rest else "")
        answer = RedirectResponse(place, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        answer.headers.append("Set-Cookie", self._policy.header(derived(key, "cookie")))
        return answer

    def _check_host(self, path: str, headers: Headers) -> None:
        host = headers.get("host", "")
        if path in _ANY_HOST or host == urlsplit(self._policy.origin).netloc != "":
            return
        if not self._policy.origin and is_loopback(urlsplit(f"//{host}").hostname or ""):
            return
        raise WrongHost("this server has another name: use the address that it was started with")

    async def _identify(self, headers: Headers) -> Actor:
        kind, _, token = headers.get("authorization", "").partition(" ")
        cookie = read_cookie(headers, self._policy.cookie)
        if self._service.key:
            known = await self._by_key(token.strip() if kind.lower() == "bearer" else "", cookie)
            if known is not None:
                return known
        if kind.lower() == "bearer":
            return await run_in_threadpool(self._by_token, token.strip())
        if self._service.oidc is None:
            return KEYLESS
        if not cookie:
            return NOBODY
        user = await run_in_threadpool(accounts.user_of_login, self._db, cookie)
        return NOBODY if user is None else _actor(user, cookie)

    async def _by_key(self, token: str, cookie: str) -> Actor | None:
        """Return this machine's user where the key, or what is derived from it, was sent; else None."""
        key = self._service.key
        scopes: Collection[str] = SCOPES if _same(token, key) else ("worker",)
        is_program = _same(token, key) or _same(token, derived(key, "worker"))
        if not is_program and (token or not _same(cookie, derived(key, "cookie"))):
            return None
        if self._local is None:
            self._local = await run_in_threadpool(accounts.local_user, self._db)
        if not is_program:
            return _actor(self._local, cookie)
        return Actor(self._local.id, self._local.name, "admin", scopes_of("admin", scopes), KEY)

    def _by_token(self, text: str) -> Actor:
        user, token = accounts.find_token(self._db, text)
        role = _role(user)
        return Actor(user.id, user.name, role, scopes_of(role, token.scopes), token.id)


def _same(sent: str, secret: str) -> bool:
    return compare_digest(sent.encode("utf-8", "surrogatepass"), secret.encode())


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


def _check_origin(method: str, headers: Headers, policy: CookiePolicy, actor: Actor) -> None:
    """Refuse changes that a page of another site asks for; requests with a token are exempt.

    Browsers state the origin of a request. A program without a token does not, and is accepted only by a server for
    this machine, which asks it for its key.

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

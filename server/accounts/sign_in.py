"""Routes that sign a visitor in and out."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from fathom.harness.settings import OidcSettings, ServiceSettings
from fathom.server.accounts import store as accounts
from fathom.server.accounts.middleware import cookie_policy, read_cookie
from fathom.server.accounts.oidc import ATTEMPT_SECONDS, Oidc, safe_next
from fathom.server.web.actor import ActorOf, not_signed_in
from fathom.server.web.forms import FormOf
from fathom.server.web.rate_limits import count_use, network_key, visitor_address
from fathom.server.web.render import SiteOf

router = APIRouter(include_in_schema=False)

_ATTEMPTS, _WINDOW = 30, 600
"""Attempts to sign in that an address may make, and the seconds they are counted in."""


@router.get("/sign-in")
async def start_sign_in(
    request: Request,
    site: SiteOf,
    actor: ActorOf,
    next_page: Annotated[str, Query(alias="next", max_length=2000)] = "/account",
) -> Response:
    """Send a visitor to the provider; without accounts, who has the key to the account page."""
    oidc: Oidc | None = request.app.state.oidc
    if oidc is None:
        if actor.user_id is None:
            raise not_signed_in(actor)
        return RedirectResponse("/account", 303)
    service: ServiceSettings = request.app.state.service
    key = f"sign-in:{network_key(visitor_address(request.scope, service.proxies))}"
    await run_in_threadpool(count_use, site.db, key, _ATTEMPTS, _WINDOW)
    address, attempt = await oidc.begin(safe_next(next_page))
    return _with_attempt(RedirectResponse(address, 303), service, oidc.seal(attempt), ATTEMPT_SECONDS)


@router.get("/sign-in/callback")
async def finish_sign_in(request: Request, site: SiteOf) -> Response:
    """Sign the visitor in with what the provider sent back."""
    oidc: Oidc | None = request.app.state.oidc
    service: ServiceSettings = request.app.state.service
    if oidc is None or service.oidc is None:
        return RedirectResponse("/account", 303)
    attempt = oidc.unseal(read_cookie(request.headers, _attempt_name(service)))
    person = await oidc.finish(dict(request.query_params), attempt)
    enter = partial(
        accounts.sign_in, admin=person.subject in service.admins, by_name=f"@{person.name}" in service.admins
    )
    _, cookie = await run_in_threadpool(enter, site.db, _subject(service.oidc, person.subject), person.name)
    answer = _with_attempt(RedirectResponse(attempt.next, 303), service, "", 0)
    answer.headers.append("Set-Cookie", cookie_policy(service).header(cookie))
    return answer


@router.post("/sign-out")
def sign_out(request: Request, site: SiteOf, actor: ActorOf, form: FormOf) -> Response:
    """End this browser's login, or all logins of its user."""
    service: ServiceSettings = request.app.state.service
    answer = RedirectResponse("/", 303)
    if actor.user_id is not None and actor.login:
        accounts.end_logins(site.db, actor.user_id, None if form.get("everywhere") else actor.login)
        answer.headers.append("Set-Cookie", cookie_policy(service).header("", 0))
    return answer


def _subject(provider: OidcSettings, subject: str) -> str:
    """Return the subject of a user, unique across providers."""
    return f"{provider.issuer.rstrip('/')}#{subject}"


def _attempt_name(service: ServiceSettings) -> str:
    return f"{cookie_policy(service).cookie}-attempt"


def _with_attempt(answer: Response, service: ServiceSettings, value: str, lasts: int) -> Response:
    """Set the cookie of an attempt; SameSite is Lax, since the provider's redirect comes from another site."""
    secure = cookie_policy(service).secure
    answer.set_cookie(_attempt_name(service), value, max_age=lasts, secure=secure, httponly=True, samesite="lax")
    answer.headers["Cache-Control"] = "no-store"
    return answer

"""Turn a visitor into a user who has signed in, and back."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from fathom.harness.settings import OidcSettings, ServiceSettings
from fathom.server.accounts import store as accounts
from fathom.server.accounts.middleware import door_of
from fathom.server.accounts.oidc import ATTEMPT_LASTS, Oidc, safe_next
from fathom.server.web.actor import ActorOf
from fathom.server.web.forms import FormOf
from fathom.server.web.limits import address_of, bucket, spend
from fathom.server.web.render import SiteOf

router = APIRouter(include_in_schema=False)

_ATTEMPTS, _WINDOW = 30, 600
"""Attempts to sign in that an address may make, and within how many seconds."""


@router.get("/sign-in")
async def begin(
    request: Request, site: SiteOf, next_page: Annotated[str, Query(alias="next", max_length=2000)] = "/account"
) -> Response:
    """Send a visitor to the provider; where there are no accounts, to the page of this machine's user."""
    oidc: Oidc | None = request.app.state.oidc
    if oidc is None:
        return RedirectResponse("/account", 303)
    service: ServiceSettings = request.app.state.service
    key = f"sign-in:{bucket(address_of(request.scope, service.proxies))}"
    await run_in_threadpool(spend, site.db, key, _ATTEMPTS, _WINDOW)
    address, attempt = await oidc.begin(safe_next(next_page))
    return _with_attempt(RedirectResponse(address, 303), service, oidc.seal(attempt), ATTEMPT_LASTS)


@router.get("/sign-in/callback")
async def finish(request: Request, site: SiteOf) -> Response:
    """Take what the provider sent back with the visitor."""
    oidc: Oidc | None = request.app.state.oidc
    service: ServiceSettings = request.app.state.service
    if oidc is None or service.oidc is None:
        return RedirectResponse("/account", 303)
    attempt = oidc.unseal(request.cookies.get(_attempt_name(service), ""))
    person = await oidc.finish(dict(request.query_params), attempt)
    enter = partial(
        accounts.sign_in, admin=person.subject in service.admins, by_name=f"@{person.name}" in service.admins
    )
    _, cookie = await run_in_threadpool(enter, site.db, subject_of(service.oidc, person.subject), person.name)
    answer = _with_attempt(RedirectResponse(attempt.next, 303), service, "", 0)
    answer.headers.append("Set-Cookie", door_of(service).header(cookie))
    return answer


@router.post("/sign-out")
def leave(request: Request, site: SiteOf, actor: ActorOf, form: FormOf) -> Response:
    """End this browser's login, or all logins of its user."""
    service: ServiceSettings = request.app.state.service
    answer = RedirectResponse("/", 303)
    if actor.user_id is not None and actor.login:
        accounts.sign_out(site.db, actor.user_id, None if form.get("everywhere") else actor.login)
        answer.headers.append("Set-Cookie", door_of(service).header("", 0))
    return answer


def subject_of(provider: OidcSettings, subject: str) -> str:
    """Return the name of somebody that no other provider's user can have."""
    return f"{provider.issuer.rstrip('/')}#{subject}"


def _attempt_name(service: ServiceSettings) -> str:
    return f"{door_of(service).cookie}-attempt"


def _with_attempt(answer: Response, service: ServiceSettings, value: str, lasts: int) -> Response:
    """Set the cookie of an attempt. Lax, since the provider's redirect comes from another site."""
    secure = door_of(service).secure
    answer.set_cookie(_attempt_name(service), value, max_age=lasts, secure=secure, httponly=True, samesite="lax")
    answer.headers["Cache-Control"] = "no-store"
    return answer

"""The account page: a user's submissions, API tokens and sign-out."""

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from fathom.harness.errors import BadInput, NotAllowed
from fathom.server.accounts import store as accounts
from fathom.server.submissions.status import list_own
from fathom.server.web.actor import KEY, SCOPES, Actor, ActorOf, require, scopes_of
from fathom.server.web.forms import FormOf, read_form
from fathom.server.web.rate_limits import count_use
from fathom.server.web.render import READ, Site, SiteOf, page

router = APIRouter(include_in_schema=False)

_TokenId = Annotated[int, Path(ge=1, lt=1 << 31, description="A token's number.")]

_SCOPE_WORDS = {
    "read": "read public pages and data",
    "submit": "submit models and results",
    "worker": "claim jobs and send completions",
    "admin": "everything that admins may do",
}
_DAYS = {"30": "30 days", "90": "90 days", "365": "a year", "": "until it is revoked"}
_TOKENS_AN_HOUR = 20
_MAX_NAME = 60


@router.api_route("/account", methods=READ)
def show_account(site: SiteOf, actor: ActorOf, request: Request) -> Response:
    """Show the account; visitors who have not signed in are sent to sign in."""
    if actor.user_id is None:
        return RedirectResponse("/sign-in?next=/account", 303)
    return _account(site, actor, request)


def _account(site: Site, actor: Actor, request: Request, new_token: str = "") -> HTMLResponse:
    user = require(actor, "read")
    may = scopes_of(actor.role)
    return page(
        site, "account", actor=actor, submissions=list_own(site.db, user), tokens=accounts.list_tokens(site.db, user),
        new_token=new_token, scopes={name: _SCOPE_WORDS[name] for name in SCOPES if name in may}, days=_DAYS,
        now=dt.datetime.now(dt.UTC), has_accounts=request.app.state.service.oidc is not None,
    )  # fmt: skip


@router.post("/account/tokens")
def take_token_form(site: SiteOf, actor: ActorOf, form: FormOf, request: Request) -> HTMLResponse:
    """Create a token and show it this one time."""
    user = _browser_user(actor)
    name, days = form.get("name", "").strip(), form.get("days", "")
    if not 0 < len(name) <= _MAX_NAME:
        raise BadInput(f"name: give the token a name of at most {_MAX_NAME} characters")
    if days not in _DAYS:
        raise BadInput(f"days: one of {', '.join(filter(None, _DAYS))}, or empty for no end")
    wanted = [scope for scope in SCOPES if form.get(f"scope-{scope}")]
    scopes = scopes_of(actor.role, wanted)
    if not wanted or len(scopes) < len(wanted):
        raise BadInput(f"scopes: tick at least one of those allowed to you: {', '.join(scopes_of(actor.role))}")
    count_use(site.db, f"tokens:{user}", _TOKENS_AN_HOUR, 3600)
    _, token = accounts.create_token(site.db, user, name, scopes, dt.timedelta(days=int(days)) if days else None)
    return _account(site, actor, request, token)


@router.post("/account/tokens/{token}/revoke", dependencies=[Depends(read_form)])
def revoke_own_token(site: SiteOf, actor: ActorOf, token: _TokenId) -> Response:
    """Revoke one of the user's tokens."""
    accounts.revoke_token(site.db, _browser_user(actor), token)
    return RedirectResponse("/account", 303)


def _browser_user(actor: Actor) -> int:
    """Return the user in a browser; a token must not create tokens that allow more or last longer."""
    user = require(actor, "read")
    if actor.token_id not in (None, KEY):
        raise NotAllowed("tokens are created and revoked in a browser, not with a token")
    return user

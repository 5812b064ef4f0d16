"""Show a user what is theirs: submissions, API tokens, logins."""

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import Field

from fathom.harness.errors import BadInput, NotAllowed, NotSignedIn
from fathom.server.accounts import store as accounts
from fathom.server.submissions.status import list_own
from fathom.server.web.actor import SCOPES, Actor, ActorOf, require, scopes_of
from fathom.server.web.forms import FormOf, read_form
from fathom.server.web.limits import spend
from fathom.server.web.problems import Frozen
from fathom.server.web.render import READ, Site, SiteOf, page

router = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/v1")

TokenId = Annotated[int, Path(ge=1, lt=1 << 31, description="A token's number.")]

SCOPE_WORDS = {
    "read": "read what everybody may read",
    "submit": "submit models and results",
    "worker": "take jobs and send completions",
    "admin": "all that admins may do",
}
_DAYS = {"30": "30 days", "90": "90 days", "365": "a year", "": "until it is revoked"}
_TOKENS_AN_HOUR = 20
_NAME = 60


class MeOut(Frozen):
    """Who you are to this server."""

    user: int
    name: str = Field(description="As the provider says it.")
    role: str = Field(description="user or admin.")
    scopes: list[str] = Field(description="What this token, or this browser, may do.")


@api.get("/me")
def tell_who(actor: ActorOf) -> MeOut:
    """Tell whose token this is, and what it may do."""
    if actor.user_id is None:
        raise NotSignedIn("sign in first, or send an API token as `Authorization: Bearer ...`")
    return MeOut(user=actor.user_id, name=actor.name, role=actor.role, scopes=sorted(actor.scopes))


@router.api_route("/account", methods=READ)
def show_account(site: SiteOf, actor: ActorOf, request: Request) -> Response:
    """Show what is the visitor's own; strangers sign in first."""
    if actor.user_id is None:
        return RedirectResponse("/sign-in?next=/account", 303)
    return _account(site, actor, request)


def _account(site: Site, actor: Actor, request: Request, made: str = "") -> HTMLResponse:
    user = require(actor, "read")
    may = scopes_of(actor.role)
    return page(
        site, "account", actor=actor, cases=list_own(site.db, user), tokens=accounts.list_tokens(site.db, user),
        made=made, scopes={name: SCOPE_WORDS[name] for name in SCOPES if name in may}, days=_DAYS,
        now=dt.datetime.now(dt.UTC), has_accounts=request.app.state.service.oidc is not None,
    )  # fmt: skip


@router.post("/account/tokens")
def make_token(site: SiteOf, actor: ActorOf, form: FormOf, request: Request) -> HTMLResponse:
    """Make a token and show it, this once."""
    user = _person(actor)
    name, days = form.get("name", "").strip(), form.get("days", "")
    if not 0 < len(name) <= _NAME:
        raise BadInput(f"name: give the token a name of at most {_NAME} characters, so that you know it again")
    if days not in _DAYS:
        raise BadInput(f"days: how long it lasts is one of {', '.join(filter(None, _DAYS))}, or nothing for ever")
    wanted = [scope for scope in SCOPES if form.get(f"scope-{scope}")]
    scopes = scopes_of(actor.role, wanted)
    if not wanted or len(scopes) < len(wanted):
        raise BadInput(f"scopes: tick at least one of those that you may have: {', '.join(scopes_of(actor.role))}")
    spend(site.db, f"tokens:{user}", _TOKENS_AN_HOUR, 3600)
    _, token = accounts.create_token(site.db, user, name, scopes, dt.timedelta(days=int(days)) if days else None)
    return _account(site, actor, request, token)


@router.post("/account/tokens/{token}/revoke", dependencies=[Depends(read_form)])
def revoke(site: SiteOf, actor: ActorOf, token: TokenId) -> Response:
    """Make a token of the visitor's useless."""
    accounts.revoke_token(site.db, _person(actor), token)
    return RedirectResponse("/account", 303)


def _person(actor: Actor) -> int:
    """Return the user in front of a browser; a token must not make tokens that may do more, or outlast it."""
    user = require(actor, "read")
    if actor.token_id is not None:
        raise NotAllowed("tokens are made and revoked in a browser, not with a token")
    return user

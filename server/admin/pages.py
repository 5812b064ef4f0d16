"""Let admins moderate: what needs attention, one form for every deed, users, and the log of all that was done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import Engine

from fathom.harness.db import audit
from fathom.harness.db.write import storable
from fathom.harness.errors import BadInput
from fathom.server.accounts import store as accounts
from fathom.server.admin import moderation
from fathom.server.admin.moderation import Deed
from fathom.server.submissions import status
from fathom.server.web.actor import Actor, ActorOf, require
from fathom.server.web.forms import FormOf
from fathom.server.web.render import READ, SiteOf, page

router = APIRouter(include_in_schema=False)

_ENTRIES = 100
_USERS = 200
_FEW = 20


@dataclass(frozen=True, slots=True)
class _Kind:
    """A deed, and the page that it leads back to."""

    do: Callable[[Engine, Deed], object]
    back: str
    moves_board: bool = False


_CASE, _USER = "/admin/submissions/{}", "/admin/users"
DEEDS: Mapping[str, _Kind] = {
    "flag": _Kind(moderation.flag, _CASE),
    "unflag": _Kind(moderation.unflag, _CASE),
    "verify": _Kind(moderation.verify, _CASE, moves_board=True),
    "rerun": _Kind(moderation.rerun, _CASE, moves_board=True),
    "hide": _Kind(moderation.hide, "/admin", moves_board=True),
    "unhide": _Kind(moderation.unhide, "/admin", moves_board=True),
    "ban": _Kind(moderation.ban, _USER),
    "unban": _Kind(moderation.unban, _USER),
    "promote": _Kind(moderation.promote, _USER),
    "demote": _Kind(moderation.demote, _USER),
}
"""What admins may do, by the name in the form."""


def _admit(actor: Actor) -> None:
    require(actor, "admin")


@router.api_route("/admin", methods=READ)
def show_attention(site: SiteOf, actor: ActorOf) -> HTMLResponse:
    """Show what needs an admin, and the newest of the log."""
    _admit(actor)
    cases, entries = status.list_attention(site.db), audit.list_entries(site.db, limit=_FEW)
    return page(site, "admin", actor=actor, cases=cases, entries=entries)


@router.api_route("/admin/submissions/{submission}", methods=READ)
def show_case(
    site: SiteOf, actor: ActorOf, submission: Annotated[str, Path(pattern="^[0-9a-f]{1,32}$")]
) -> HTMLResponse:
    """Show one submission with what may be done about it."""
    _admit(actor)
    case = status.get_case(site.db, submission)
    entries = audit.list_entries(site.db, subject=f"submission/{case.id}", limit=_ENTRIES)
    return page(site, "case", actor=actor, case=case, entries=entries)


@router.api_route("/admin/users", methods=READ)
def show_users(site: SiteOf, actor: ActorOf, offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0) -> HTMLResponse:
    """Show who has signed in, newest first."""
    _admit(actor)
    users = accounts.list_users(site.db, _USERS, offset)
    older = offset + _USERS if len(users) == _USERS else None
    return page(site, "users", actor=actor, users=users, older=older)


@router.api_route("/admin/audit", methods=READ)
def show_log(
    site: SiteOf, actor: ActorOf, subject: Annotated[str, Query(max_length=200)] = "",
    before: Annotated[int | None, Query(ge=1, lt=1 << 62)] = None,
) -> HTMLResponse:  # fmt: skip
    """Show what was done, newest first, of one subject or of all."""
    _admit(actor)
    entries = audit.list_entries(site.db, storable(subject) or None, _ENTRIES, before)
    older = entries[-1].id if len(entries) == _ENTRIES else None
    return page(site, "audit", actor=actor, entries=entries, subject=subject, older=older)


@router.post("/admin/do")
def do(request: Request, site: SiteOf, actor: ActorOf, form: FormOf) -> Response:
    """Do one deed of DEEDS, and go back to where it shows."""
    _admit(actor)
    kind = DEEDS.get(form.get("deed", ""))
    if kind is None:
        raise BadInput(f"deed: one of {', '.join(DEEDS)}")
    subject = form.get("subject", "").strip()
    kind.do(site.db, Deed(actor.label, subject, form.get("reason", "")))
    if kind.moves_board:
        request.app.state.housekeeper.wake()
    return RedirectResponse(kind.back.format(subject), 303)

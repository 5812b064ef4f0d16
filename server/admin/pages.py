"""Pages of admins: submissions that need attention, actions on them, users, and the audit log."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import Engine

from fathom.harness.db import audit
from fathom.harness.db.write import storable
from fathom.harness.errors import BadInput
from fathom.server.accounts import store as accounts
from fathom.server.admin import moderation
from fathom.server.admin.moderation import AdminAction
from fathom.server.submissions import status
from fathom.server.web.actor import Actor, ActorOf, require
from fathom.server.web.addresses import SubmissionId
from fathom.server.web.forms import FormOf
from fathom.server.web.render import READ, SiteOf, page

router = APIRouter(include_in_schema=False)

_ENTRIES = 100
_USERS = 200
_FEW = 20


@dataclass(frozen=True, slots=True)
class _Choice:
    """An action, the page to return to, and whether ranks change."""

    run: Callable[[Engine, AdminAction], object]
    back: str
    changes_ranks: bool = False


_SUBMISSION, _USER = "/admin/submissions/{}", "/admin/users"
ADMIN_ACTIONS: Mapping[str, _Choice] = {
    "flag": _Choice(moderation.flag, _SUBMISSION),
    "unflag": _Choice(moderation.unflag, _SUBMISSION),
    "verify": _Choice(moderation.verify_upload, _SUBMISSION, changes_ranks=True),
    "rerun": _Choice(moderation.rerun, _SUBMISSION, changes_ranks=True),
    "hide": _Choice(moderation.hide, "/admin", changes_ranks=True),
    "unhide": _Choice(moderation.unhide, "/admin", changes_ranks=True),
    "ban": _Choice(moderation.ban, _USER),
    "unban": _Choice(moderation.unban, _USER),
    "promote": _Choice(moderation.promote_user, _USER),
    "demote": _Choice(moderation.demote_user, _USER),
}
"""Actions by their name in the form."""


def _admit(actor: Actor) -> None:
    require(actor, "admin")


@router.api_route("/admin", methods=READ)
def show_attention(site: SiteOf, actor: ActorOf) -> HTMLResponse:
    """Show submissions that need attention, and the newest log entries."""
    _admit(actor)
    rows, entries = status.list_needing_attention(site.db), audit.list_entries(site.db, limit=_FEW)
    return page(site, "admin", actor=actor, submissions=rows, entries=entries)


@router.api_route("/admin/submissions/{submission}", methods=READ)
def show_moderation(site: SiteOf, actor: ActorOf, submission: SubmissionId) -> HTMLResponse:
    """Show one submission with the actions on it."""
    _admit(actor)
    found = status.get_listed(site.db, submission)
    entries = audit.list_entries(site.db, subject=f"submission/{found.id}", limit=_ENTRIES)
    return page(site, "moderation", actor=actor, submission=found, entries=entries)


@router.api_route("/admin/users", methods=READ)
def show_users(site: SiteOf, actor: ActorOf, offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0) -> HTMLResponse:
    """Show the users, newest first."""
    _admit(actor)
    users = accounts.list_users(site.db, _USERS, offset)
    older = offset + _USERS if len(users) == _USERS else None
    return page(site, "users", actor=actor, users=users, older=older)


@router.api_route("/admin/audit", methods=READ)
def show_log(
    site: SiteOf, actor: ActorOf, subject: Annotated[str, Query(max_length=200)] = "",
    before: Annotated[int | None, Query(ge=1, lt=1 << 62)] = None,
) -> HTMLResponse:  # fmt: skip
    """Show the audit log, newest first, of one subject or of all."""
    _admit(actor)
    entries = audit.list_entries(site.db, storable(subject) or None, _ENTRIES, before)
    older = entries[-1].id if len(entries) == _ENTRIES else None
    return page(site, "audit", actor=actor, entries=entries, subject=subject, older=older)


@router.post("/admin/do")
def take_admin_action(request: Request, site: SiteOf, actor: ActorOf, form: FormOf) -> Response:
    """Run one of ADMIN_ACTIONS, and return to the page that shows its effect."""
    _admit(actor)
    choice = ADMIN_ACTIONS.get(form.get("action", ""))
    if choice is None:
        raise BadInput(f"action: one of {', '.join(ADMIN_ACTIONS)}")
    subject = form.get("subject", "").strip()
    choice.run(site.db, AdminAction(actor.label, subject, form.get("reason", "")))
    if choice.changes_ranks:
        request.app.state.background.wake()
    return RedirectResponse(choice.back.format(subject), 303)

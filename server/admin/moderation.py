"""Actions of admins: flag, hide, verify, rerun, ban. Each is one transaction, with its entry in the audit log."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.orm import Session

from fathom.harness.db.audit import record
from fathom.harness.db.engine import writing
from fathom.harness.db.leaderboard.standings import mark_pools_stale
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.db.schema.service import LoginRow, SeasonRow, SubmissionRow, TokenRow, UserRow
from fathom.harness.db.write import Ending, storable, utc_now
from fathom.harness.errors import BadInput, Conflict, UnknownRun, UnknownSubmission
from fathom.server.jobs.outcomes import ACTIVE, cancel_jobs, end_runs
from fathom.server.submissions.status import ADMIN_FLAG, REMOVABLE_FLAGS

_MAX_REASON = 1000
_STOPPABLE = ("validating", *ACTIVE)
_COPIED = (
    "kind", "owner_id", "fingerprint", "model", "revision", "sha", "dtype", "style", "chat_template", "suite", "season",
    "engine", "note", "contact", "tier", "priority", "n_parameters", "n_bytes", "model_kind",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AdminAction:
    """Who acts, on what, and why."""

    actor: str
    """Name in the audit log: user/7, or operator."""
    subject: str
    """Id of a submission, a run or a user."""
    reason: str


def _reason(action: AdminAction) -> str:
    if not action.reason.strip():
        raise BadInput("give a reason: it stays in the audit log")
    if len(action.reason) > _MAX_REASON:
        raise BadInput(f"a reason may have at most {_MAX_REASON} characters")
    return storable(action.reason.strip())


def _submission(session: Session, action: AdminAction) -> SubmissionRow:
    row = session.get(SubmissionRow, storable(action.subject), with_for_update=True)
    if row is None:
        raise UnknownSubmission(f"there is no submission {action.subject[:40]!r}: /admin lists them")
    return row


def _run(session: Session, run: str | None) -> RunRow:
    row = session.get(RunRow, storable(run), with_for_update=True) if run else None
    if row is None or row.kind != "suite":
        raise UnknownRun(f"there is no run {(run or '')[:40]!r}: /runs lists all")
    return row


def _user(session: Session, action: AdminAction) -> UserRow:
    known = action.subject.isascii() and action.subject.isdigit() and len(action.subject) < 10
    row = session.get(UserRow, int(action.subject), with_for_update=True) if known else None
    if row is None:
        raise UnknownSubmission(f"there is no user {action.subject[:40]!r}: /admin/users lists all")
    return row


def flag(db: Engine, action: AdminAction) -> None:
    """Flag a submission; everybody sees the flag and the reason.

    Raises:
        BadInput: the reason is missing or too long; the same for all actions.
        UnknownSubmission: there is no such submission.
    """
    reason = _reason(action)
    with writing(db) as session:
        row = _submission(session, action)
        row.flags = {**row.flags, ADMIN_FLAG: {"reason": reason}}
        record(session, action.actor, "flag", f"submission/{row.id}", flag=ADMIN_FLAG, reason=reason)


def unflag(db: Engine, action: AdminAction) -> None:
    """Remove the flags of admins and tests from a submission; the audit log keeps them."""
    reason = _reason(action)
    with writing(db) as session:
        row = _submission(session, action)
        removed = {name: value for name, value in row.flags.items() if name in REMOVABLE_FLAGS}
        if not removed:
            raise Conflict(f"submission {row.id} has no flag")
        row.flags = {name: value for name, value in row.flags.items() if name not in REMOVABLE_FLAGS}
        record(session, action.actor, "unflag", f"submission/{row.id}", flags=removed, reason=reason)


def hide(db: Engine, action: AdminAction) -> None:
    """Take a run off the board; its page and samples stay."""
    _show_or_hide(db, action, hidden=True)


def unhide(db: Engine, action: AdminAction) -> None:
    """Put a hidden run back on the board."""
    _show_or_hide(db, action, hidden=False)


def _show_or_hide(db: Engine, action: AdminAction, *, hidden: bool) -> None:
    reason = _reason(action)
    with writing(db) as session:
        row = _run(session, action.subject)
        if (row.hidden_at is not None) == hidden:
            raise Conflict(f"run {row.id} is {'hidden' if hidden else 'shown'} already")
        row.hidden_at = utc_now() if hidden else None
        session.flush()
        mark_pools_stale(session, [row.id])
        record(session, action.actor, "hide" if hidden else "unhide", f"run/{row.id}", reason=reason)


def verify_upload(db: Engine, action: AdminAction) -> None:
    """Raise an upload from tier 1 to tier 2 by hand.

    Raises:
        Conflict: it is not a finished upload of tier 1.
    """
    reason = _reason(action)
    with writing(db) as session:
        row = _submission(session, action)
        if row.kind != "upload" or row.state != "finished" or row.tier != 1:
            raise Conflict(f"only finished uploads of tier 1 can be verified: {row.id} is {row.state}, tier {row.tier}")
        run = _run(session, row.run_id)
        row.tier = run.tier = 2
        row.changed_at = utc_now()
        session.flush()
        mark_pools_stale(session, [run.id])
        record(session, action.actor, "verify", f"submission/{row.id}", run=run.id, tier=2, reason=reason)


def rerun(db: Engine, action: AdminAction) -> str:
    """Submit a finished model again for its owner; the new submission replaces the old one. Return the new id.

    Raises:
        Conflict: it has not finished, or is an upload.
    """
    reason, now, new = _reason(action), utc_now(), uuid4().hex[:12]
    with writing(db) as session:
        row = _submission(session, action)
        if row.kind != "model" or row.state != "finished" or row.fingerprint is None:
            what = "withdrawn" if row.state == "finished" else row.state
            raise Conflict(
                f"only finished submissions of models are run again: {row.id} is a {row.kind}, {what}; "
                "retry a failed one on its page"
            )
        if row.season and session.scalar(select(SeasonRow.state).where(SeasonRow.id == row.season)) != "open":
            raise Conflict(f"season {row.season} is no longer open, so it cannot be run again")
        copy: dict[str, Any] = {name: getattr(row, name) for name in _COPIED}
        row.state, row.fingerprint, row.changed_at = "superseded", None, now
        session.flush()  # the fingerprint must be free before the copy takes it
        copy |= {"id": new, "state": "validating", "flags": {}, "created_at": now, "changed_at": now}
        session.execute(insert(SubmissionRow), [copy | {"quota_returned": True}])
        record(session, action.actor, "rerun", f"submission/{row.id}", by=new, reason=reason)
        record(session, action.actor, "submission.created", f"submission/{new}", supersedes=row.id)
    return new


def ban(db: Engine, action: AdminAction) -> None:
    """Ban a user: logins end, tokens are revoked, running submissions are cancelled; finished ones stay.

    Raises:
        Conflict: the user is banned already, is the actor, or is this machine's user.
    """
    reason, now = _reason(action), utc_now()
    with writing(db) as session:
        user = _user(session, action)
        if action.actor == f"user/{user.id}" or user.subject == "local":
            raise Conflict("you cannot ban yourself or this machine's user")
        if user.banned_at is not None:
            raise Conflict(f"user {user.id} is banned already")
        user.banned_at = now
        session.execute(delete(LoginRow).where(LoginRow.user_id == user.id))
        live = (TokenRow.user_id == user.id, TokenRow.revoked_at.is_(None))
        session.execute(update(TokenRow).where(*live).values(revoked_at=now))
        cancelled = _cancel_all(session, user.id)
        record(session, action.actor, "ban", f"user/{user.id}", reason=reason, cancelled=cancelled)


def _cancel_all(session: Session, owner: int) -> list[str]:
    now = utc_now()
    waiting = select(SubmissionRow).where(SubmissionRow.owner_id == owner, SubmissionRow.state.in_(_STOPPABLE))
    rows = session.scalars(waiting.order_by(SubmissionRow.id).with_for_update()).all()
    for row in rows:
        row.state, row.fingerprint, row.changed_at, row.finished_at = "cancelled", None, now, now
        cancel_jobs(session, row.id)
        end_runs(session, row, Ending("interrupted", 0, "its owner was banned"), now)
    return [row.id for row in rows]


def unban(db: Engine, action: AdminAction) -> None:
    """Lift a ban; revoked tokens stay revoked."""
    reason = _reason(action)
    with writing(db) as session:
        user = _user(session, action)
        if user.banned_at is None:
            raise Conflict(f"user {user.id} is not banned")
        user.banned_at = None
        record(session, action.actor, "unban", f"user/{user.id}", reason=reason)


def promote_user(db: Engine, action: AdminAction) -> None:
    """Make a user an admin."""
    _set_role(db, action, "admin")


def demote_user(db: Engine, action: AdminAction) -> None:
    """Make an admin a user again; their tokens lose the scopes of admins."""
    _set_role(db, action, "user")


def _set_role(db: Engine, action: AdminAction, role: str) -> None:
    reason = _reason(action)
    with writing(db) as session:
        user = _user(session, action)
        if user.subject == "local":
            raise Conflict("this machine's user is always an admin")
        if user.role == role:
            raise Conflict(f"user {user.id} is {role} already")
        before, user.role = user.role, role
        record(session, action.actor, "role", f"user/{user.id}", role=role, before=before, reason=reason)

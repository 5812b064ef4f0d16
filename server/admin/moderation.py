"""Write what admins do: flag, hide, verify, run again, ban. Each deed and its line in the log are one transaction."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.orm import Session

from fathom.harness.db.audit import record
from fathom.harness.db.engine import writing
from fathom.harness.db.leaderboard.landing import disturb_pools
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.db.schema.service import LoginRow, SeasonRow, SubmissionRow, TokenRow, UserRow
from fathom.harness.db.write import Ending, storable, utc_now
from fathom.harness.errors import BadInput, Conflict, UnknownRun, UnknownSubmission
from fathom.server.jobs.settling import ACTIVE, cancel_jobs, end_runs
from fathom.server.submissions.status import DOUBTS, MANUAL

_MAX_REASON = 1000


_STOPPABLE = ("validating", *ACTIVE)


_COPIED = (
    "kind", "owner_id", "fingerprint", "model", "revision", "sha", "dtype", "style", "chat_template", "suite", "season",
    "engine", "note", "contact", "tier", "priority", "n_parameters", "n_bytes", "model_kind",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Deed:
    """Who does something, to what, and why."""

    actor: str
    """As in the audit log: user/7, or operator."""
    subject: str
    """Id of a submission, a run or a user."""
    reason: str


def _reason(deed: Deed) -> str:
    if not deed.reason.strip():
        raise BadInput("say why: the reason is kept in the log for good")
    if len(deed.reason) > _MAX_REASON:
        raise BadInput(f"a reason may have {_MAX_REASON} characters")
    return storable(deed.reason.strip())


def _submission(session: Session, deed: Deed) -> SubmissionRow:
    row = session.get(SubmissionRow, storable(deed.subject), with_for_update=True)
    if row is None:
        raise UnknownSubmission(f"there is no submission {deed.subject[:40]!r}: the page of admins lists them")
    return row


def _run(session: Session, run: str | None) -> RunRow:
    row = session.get(RunRow, storable(run), with_for_update=True) if run else None
    if row is None:
        raise UnknownRun(f"there is no run {(run or '')[:40]!r}: /runs lists all")
    return row


def _user(session: Session, deed: Deed) -> UserRow:
    known = deed.subject.isascii() and deed.subject.isdigit() and len(deed.subject) < 10
    row = session.get(UserRow, int(deed.subject), with_for_update=True) if known else None
    if row is None:
        raise UnknownSubmission(f"there is no user {deed.subject[:40]!r}: /admin/users lists all")
    return row


def flag(db: Engine, deed: Deed) -> None:
    """Mark a submission, so that everybody sees why to doubt it.

    Raises:
        BadInput, UnknownSubmission: no reason, no such submission; as for all deeds.
    """
    reason = _reason(deed)
    with writing(db) as session:
        row = _submission(session, deed)
        row.flags = {**row.flags, MANUAL: {"reason": reason}}
        record(session, deed.actor, "flag", f"submission/{row.id}", flag=MANUAL, reason=reason)


def unflag(db: Engine, deed: Deed) -> None:
    """Take the flags of admins and tests from a submission; the log keeps them."""
    reason = _reason(deed)
    with writing(db) as session:
        row = _submission(session, deed)
        gone = {name: value for name, value in row.flags.items() if name in DOUBTS}
        if not gone:
            raise Conflict(f"submission {row.id} has no flag")
        row.flags = {name: value for name, value in row.flags.items() if name not in DOUBTS}
        record(session, deed.actor, "unflag", f"submission/{row.id}", flags=gone, reason=reason)


def hide(db: Engine, deed: Deed) -> None:
    """Take a run off the board; its page and its samples stay."""
    _show_or_hide(db, deed, hidden=True)


def unhide(db: Engine, deed: Deed) -> None:
    """Put a hidden run back on the board."""
    _show_or_hide(db, deed, hidden=False)


def _show_or_hide(db: Engine, deed: Deed, *, hidden: bool) -> None:
    reason = _reason(deed)
    with writing(db) as session:
        row = _run(session, deed.subject)
        if (row.hidden_at is not None) == hidden:
            raise Conflict(f"run {row.id} is {'hidden' if hidden else 'shown'} already")
        row.hidden_at = utc_now() if hidden else None
        session.flush()
        disturb_pools(session, [row.id])
        record(session, deed.actor, "hide" if hidden else "unhide", f"run/{row.id}", reason=reason)


def verify(db: Engine, deed: Deed) -> None:
    """Raise an upload from tier 1 to 2 by hand.

    Raises:
        Conflict: it is no finished upload of tier 1.
    """
    reason = _reason(deed)
    with writing(db) as session:
        row = _submission(session, deed)
        if row.kind != "upload" or row.state != "finished" or row.tier != 1:
            raise Conflict(f"only finished uploads of tier 1 can be verified: {row.id} is {row.state}, tier {row.tier}")
        run = _run(session, row.run_id)
        row.tier = run.tier = 2
        row.changed_at = utc_now()
        session.flush()
        disturb_pools(session, [run.id])
        record(session, deed.actor, "verify", f"submission/{row.id}", run=run.id, tier=2, reason=reason)


def rerun(db: Engine, deed: Deed) -> str:
    """Submit a finished model again in its owner's name; the old submission is superseded. Return the new one's id.

    Raises:
        Conflict: it has not finished, or was made elsewhere.
    """
    reason, now, new = _reason(deed), utc_now(), uuid4().hex[:12]
    with writing(db) as session:
        row = _submission(session, deed)
        if row.kind != "model" or row.state != "finished" or row.fingerprint is None:
            what = "withdrawn" if row.state == "finished" else row.state
            raise Conflict(
                f"only finished submissions of models are run again: {row.id} is a {row.kind}, {what}; "
                "try a failed one again on its page"
            )
        if row.season and session.scalar(select(SeasonRow.state).where(SeasonRow.id == row.season)) != "open":
            raise Conflict(f"season {row.season} is no longer open: nothing of it can be run again")
        copy: dict[str, Any] = {name: getattr(row, name) for name in _COPIED}
        row.state, row.fingerprint, row.changed_at = "superseded", None, now
        session.flush()  # the fingerprint must be free before the copy takes it
        copy |= {"id": new, "state": "validating", "flags": {}, "created_at": now, "changed_at": now}
        session.execute(insert(SubmissionRow), [copy | {"quota_returned": True}])
        record(session, deed.actor, "rerun", f"submission/{row.id}", by=new, reason=reason)
        record(session, deed.actor, "submission.created", f"submission/{new}", supersedes=row.id)
    return new


def ban(db: Engine, deed: Deed) -> None:
    """Shut a user out: logins end, tokens are revoked, what is queued is cancelled; what has finished stays.

    Raises:
        Conflict: banned already, or it is oneself or this machine's user.
    """
    reason, now = _reason(deed), utc_now()
    with writing(db) as session:
        user = _user(session, deed)
        if deed.actor == f"user/{user.id}" or user.subject == "local":
            raise Conflict("nobody bans themselves or this machine's user")
        if user.banned_at is not None:
            raise Conflict(f"user {user.id} is banned already")
        user.banned_at = now
        session.execute(delete(LoginRow).where(LoginRow.user_id == user.id))
        live = (TokenRow.user_id == user.id, TokenRow.revoked_at.is_(None))
        session.execute(update(TokenRow).where(*live).values(revoked_at=now))
        cancelled = _cancel_all(session, user.id)
        record(session, deed.actor, "ban", f"user/{user.id}", reason=reason, cancelled=cancelled)


def _cancel_all(session: Session, owner: int) -> list[str]:
    now = utc_now()
    waiting = select(SubmissionRow).where(SubmissionRow.owner_id == owner, SubmissionRow.state.in_(_STOPPABLE))
    rows = session.scalars(waiting.order_by(SubmissionRow.id).with_for_update()).all()
    for row in rows:
        row.state, row.fingerprint, row.changed_at, row.finished_at = "cancelled", None, now, now
        cancel_jobs(session, row.id)
        end_runs(session, row, Ending("interrupted", 0, "its owner was banned"), now)
    return [row.id for row in rows]


def unban(db: Engine, deed: Deed) -> None:
    """Let a user in again; revoked tokens stay revoked."""
    reason = _reason(deed)
    with writing(db) as session:
        user = _user(session, deed)
        if user.banned_at is None:
            raise Conflict(f"user {user.id} is not banned")
        user.banned_at = None
        record(session, deed.actor, "unban", f"user/{user.id}", reason=reason)


def promote(db: Engine, deed: Deed) -> None:
    """Make a user an admin."""
    _set_role(db, deed, "admin")


def demote(db: Engine, deed: Deed) -> None:
    """Make an admin a user again; what their tokens may do shrinks with it."""
    _set_role(db, deed, "user")


def _set_role(db: Engine, deed: Deed, role: str) -> None:
    reason = _reason(deed)
    with writing(db) as session:
        user = _user(session, deed)
        if user.subject == "local":
            raise Conflict("this machine's user is always an admin")
        if user.role == role:
            raise Conflict(f"user {user.id} is {role} already")
        before, user.role = user.role, role
        record(session, deed.actor, "role", f"user/{user.id}", role=role, before=before, reason=reason)

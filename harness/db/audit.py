"""The audit log: append-only, and guarded by triggers."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.service import AuditRow
from fathom.harness.db.write import storable, utc_now


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log."""

    id: int
    at: dt.datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]  # JSON values, their shape is the action's own


def record(
    session: Session, actor: str, action: str, subject: str, **detail: Any
) -> None:  # detail: JSON values of the action's own
    """Log in the caller's transaction that `actor` did `action` to `subject`: both are committed, or neither."""
    row = {"at": utc_now(), "actor": storable(actor), "action": action, "subject": storable(subject), "detail": detail}
    session.execute(insert(AuditRow), [row])


def list_entries(db: Engine, subject: str | None = None, limit: int = 100, before: int | None = None) -> list[Entry]:
    """Return the newest entries, newest first; of one subject, or older than entry `before`."""
    found = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    if subject is not None:
        found = found.where(AuditRow.subject == subject)
    if before is not None:
        found = found.where(AuditRow.id < before)
    with translate_errors(), Session(db) as session:
        return [Entry(row.id, row.at, row.actor, row.action, row.subject, row.detail) for row in session.scalars(found)]

"""Storage of an upload while it arrives: nothing of it is visible before it is complete.

Each attempt has a run of its own, and the submission points to the newest one. An attempt may write only while the
submission points to it, so a second attempt takes over from one that hangs, on any server process.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session

from fathom.harness.db import audit
from fathom.harness.db.engine import insert_if_new, translate_errors, writing
from fathom.harness.db.schema.runs import CellRow, RunRow
from fathom.harness.db.schema.service import SubmissionRow
from fathom.harness.db.write import (
    Clock,
    Ending,
    NewRun,
    Sample,
    add_incomplete,
    add_samples,
    end_run,
    remove_incomplete,
    suite_id,
    utc_now,
)
from fathom.harness.errors import Busy, Conflict
from fathom.harness.runs.run_settings import PromptSettings

_ABANDONED = dt.timedelta(hours=1)
"""An upload without a batch for this long is deleted."""


@dataclass(frozen=True, slots=True)
class NewUpload:
    """An upload whose header was accepted."""

    run: NewRun
    """Its `suite_digest` is the sender's claim."""
    owner_id: int
    actor: str
    sha: str
    dtype: str
    asked: PromptSettings
    fingerprint: str
    seconds: int


@dataclass(frozen=True, slots=True)
class UploadAttempt:
    """An attempt to send an upload, which may write its samples."""

    submission: str
    run: str
    actor: str
    cell_ids: tuple[int, ...]


def check_new(db: Engine, new: NewUpload) -> None:
    """Raise Conflict if the same results are stored already."""
    done = (SubmissionRow.fingerprint == new.fingerprint, SubmissionRow.state != "validating")
    with translate_errors(), Session(db) as session:
        earlier = session.scalars(select(SubmissionRow.id).where(*done)).first()
    if earlier is not None:
        raise _duplicate(earlier)


def _duplicate(submission: str) -> Conflict:
    return Conflict(f"these results are stored already, as submission {submission}: see /submit/results/{submission}")


def begin_upload(db: Engine, new: NewUpload, now: Clock = utc_now) -> UploadAttempt:
    """Create the rows of an upload; an earlier attempt of the same user at the same results ends.

    Raises:
        Conflict: the same results are stored already.
        Busy: the same upload is being started at this moment.
    """
    with writing(db) as session:
        earlier = session.scalars(
            select(SubmissionRow).where(SubmissionRow.fingerprint == new.fingerprint).with_for_update()
        ).first()
        if earlier is not None and earlier.state != "validating":
            raise _duplicate(earlier.id)
        run = add_incomplete(session, new.run, new.dtype or None, now)
        if earlier is None:
            submission = _add_submission(session, new, run, now)
        else:
            submission, before = earlier.id, earlier.run_id
            earlier.run_id, earlier.changed_at = run, now()
            session.flush()
            session.execute(delete(RunRow).where(RunRow.id == before))
        cells = session.scalars(select(CellRow.id).where(CellRow.run_id == run).order_by(CellRow.position))
        return UploadAttempt(submission, run, new.actor, tuple(cells))


def _add_submission(session: Session, new: NewUpload, run: str, now: Clock) -> str:
    styles = {cell.style for cell in new.run.suite.cells}
    row = {
        "id": uuid4().hex[:12], "kind": "upload", "owner_id": new.owner_id, "fingerprint": new.fingerprint,
        "model": new.run.model, "sha": new.sha, "dtype": new.dtype or "auto", "chat_template": new.asked.chat,
        "n_shots": new.asked.n_shots,
        "style": styles.pop() if len(styles) == 1 else "", "suite": new.run.suite.name, "engine": new.run.engine,
        "state": "validating", "tier": 1, "model_kind": new.run.model_kind, "n_parameters": new.run.n_parameters,
        "run_id": run, "flags": {}, "created_at": now(), "changed_at": now(),
    }  # fmt: skip
    if not session.execute(insert_if_new(session.get_bind(), SubmissionRow).values(**row)).rowcount:  # type: ignore[attr-defined]  # a CursorResult
        raise Busy("the same results are being sent just now: try again in a moment")
    return str(row["id"])


def add_upload_samples(db: Engine, attempt: UploadAttempt, samples: Sequence[Sample], now: Clock = utc_now) -> None:
    """Store a batch of samples.

    Raises:
        Conflict: a later attempt took over, or the upload was deleted.
    """
    with writing(db) as session:
        _hold(session, attempt, changed_at=now())
        add_samples(session.connection(), attempt.run, attempt.cell_ids, samples)


def _hold(session: Session, attempt: UploadAttempt, **values: Any) -> None:  # values of SubmissionRow's columns
    """Update the submission if it still points to this attempt; locks it until the commit."""
    own = (
        SubmissionRow.id == attempt.submission,
        SubmissionRow.run_id == attempt.run,
        SubmissionRow.state == "validating",
    )
    if not session.execute(update(SubmissionRow).where(*own).values(**values)).rowcount:  # type: ignore[attr-defined]  # a CursorResult
        raise Conflict("another attempt to send these results has taken over, so this one ends")


def finish_upload(db: Engine, attempt: UploadAttempt, new: NewUpload, now: Clock = utc_now) -> None:
    """Publish a complete upload whose digest is as claimed: from now on its run is like any other.

    Raises:
        Conflict: a later attempt took over, or the upload was deleted.
    """
    with writing(db) as session:
        _hold(session, attempt, state="finished", changed_at=now(), finished_at=now())
        shown = {"suite_id": suite_id(session, new.run), "layer": "main"}
        session.execute(update(RunRow).where(RunRow.id == attempt.run).values(**shown))
        end_run(session, attempt.run, Ending("done", new.seconds), now)
        subject = f"submission/{attempt.submission}"
        audit.record(session, attempt.actor, "upload", subject, run=attempt.run, items=new.run.suite.n_items)


def delete_upload(db: Engine, attempt: UploadAttempt, reason: str = "") -> None:
    """Delete all rows of an attempt; a reason goes to the audit log."""
    with writing(db) as session:
        own = (SubmissionRow.id == attempt.submission, SubmissionRow.run_id == attempt.run)
        session.execute(delete(SubmissionRow).where(*own, SubmissionRow.state == "validating"))
        remove_incomplete(session, attempt.run)
        if reason:
            audit.record(
                session, attempt.actor, "upload-refused", f"submission/{attempt.submission}", reason=reason[:500]
            )


def record_refusal(db: Engine, new: NewUpload, reason: str) -> None:
    """Record in the audit log that an upload was refused before anything was stored."""
    with writing(db) as session:
        audit.record(session, new.actor, "upload-refused", f"model/{new.run.model}", reason=reason[:500])


def delete_abandoned_uploads(db: Engine, now: Clock = utc_now) -> int:
    """Delete uploads that stopped more than an hour ago; return how many. A background task."""
    old = (
        SubmissionRow.kind == "upload", SubmissionRow.state == "validating",
        SubmissionRow.changed_at < now() - _ABANDONED,
    )  # fmt: skip
    with translate_errors(), Session(db) as session:
        found = session.execute(select(SubmissionRow.id, SubmissionRow.run_id).where(*old)).all()
    for submission, run in found:
        delete_upload(db, UploadAttempt(submission, run or "", "system", ()), "it was abandoned")
    return len(found)

"""Store a run made elsewhere while it arrives: nothing of it is seen before it is whole.

Each attempt has a run of its own, and the submission points to the newest one. An attempt may write only as long as
the submission points to it, so a second attempt takes over from a first that hangs, on whatever server that is.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session

from fathom.harness.db import audit
from fathom.harness.db.engine import translate_errors, writing
from fathom.harness.db.schema.runs import CellRow, RunRow
from fathom.harness.db.schema.service import SubmissionRow
from fathom.harness.db.sql import insert_if_new
from fathom.harness.db.write import (
    Clock,
    Ending,
    NewRun,
    Sample,
    add_samples,
    add_unseen,
    end_run,
    remove_unseen,
    suite_id,
    utc_now,
)
from fathom.harness.errors import Busy, Conflict

STALE = dt.timedelta(hours=1)
"""After so long without a batch an upload is given up."""


@dataclass(frozen=True, slots=True)
class NewUpload:
    """What is known of an upload before its first sample."""

    run: NewRun
    """Its `suite_digest` is what the sender claims."""
    owner_id: int
    actor: str
    sha: str
    dtype: str
    chat_template: bool
    fingerprint: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that may write."""

    submission: str
    run: str
    actor: str
    cell_ids: tuple[int, ...]


def check_new(db: Engine, new: NewUpload) -> None:
    """Raise Conflict if the same stands here already."""
    done = (SubmissionRow.fingerprint == new.fingerprint, SubmissionRow.state != "validating")
    with translate_errors(), Session(db) as session:
        earlier = session.scalars(select(SubmissionRow.id).where(*done)).first()
    if earlier is not None:
        raise _known(earlier)


def _known(submission: str) -> Conflict:
    return Conflict(f"these results stand here already, as submission {submission}: see /submit/results/{submission}")


def begin_upload(db: Engine, new: NewUpload, now: Clock = utc_now) -> Begun:
    """Make the rows that an upload goes into; an earlier attempt at the same, by the same user, ends.

    Raises:
        Conflict: the same stands here already.
        Busy: the same is being begun this very moment.
    """
    with writing(db) as session:
        earlier = session.scalars(
            select(SubmissionRow).where(SubmissionRow.fingerprint == new.fingerprint).with_for_update()
        ).first()
        if earlier is not None and earlier.state != "validating":
            raise _known(earlier.id)
        run = add_unseen(session, new.run, new.dtype or None, now)
        if earlier is None:
            submission = _add_submission(session, new, run, now)
        else:
            submission, before = earlier.id, earlier.run_id
            earlier.run_id, earlier.changed_at = run, now()
            session.flush()
            session.execute(delete(RunRow).where(RunRow.id == before))
        cells = session.scalars(select(CellRow.id).where(CellRow.run_id == run).order_by(CellRow.position))
        return Begun(submission, run, new.actor, tuple(cells))


def _add_submission(session: Session, new: NewUpload, run: str, now: Clock) -> str:
    styles = {cell.style for cell in new.run.suite.cells}
    row = {
        "id": uuid4().hex[:12], "kind": "upload", "owner_id": new.owner_id, "fingerprint": new.fingerprint,
        "model": new.run.model, "sha": new.sha, "dtype": new.dtype or "auto", "chat_template": new.chat_template,
        "style": styles.pop() if len(styles) == 1 else "", "suite": new.run.suite.name, "engine": new.run.engine,
        "state": "validating", "tier": 1, "model_kind": new.run.kind, "n_parameters": new.run.n_parameters,
        "run_id": run, "flags": {}, "created_at": now(), "changed_at": now(),
    }  # fmt: skip
    if not session.execute(insert_if_new(session.get_bind(), SubmissionRow).values(**row)).rowcount:  # type: ignore[attr-defined]  # a CursorResult
        raise Busy("the same results are being sent just now: try again in a moment")
    return str(row["id"])


def take_samples(db: Engine, begun: Begun, samples: Sequence[Sample], now: Clock = utc_now) -> None:
    """Store a batch.

    Raises:
        Conflict: a later attempt took over, or the upload was given up.
    """
    with writing(db) as session:
        _hold(session, begun, changed_at=now())
        add_samples(session.connection(), begun.run, begun.cell_ids, samples)


def _hold(session: Session, begun: Begun, **values: Any) -> None:  # values of SubmissionRow's columns
    """Change the submission if it is still this attempt's, which also holds back any other until the commit."""
    own = (SubmissionRow.id == begun.submission, SubmissionRow.run_id == begun.run, SubmissionRow.state == "validating")
    if not session.execute(update(SubmissionRow).where(*own).values(**values)).rowcount:  # type: ignore[attr-defined]  # a CursorResult
        raise Conflict("another attempt to send these results has taken over, so this one ends")


def finish_upload(db: Engine, begun: Begun, new: NewUpload, now: Clock = utc_now) -> None:
    """Show a whole upload, whose digest was found to be as claimed: from here on its run is one like any other.

    Raises:
        Conflict: see take_samples.
    """
    with writing(db) as session:
        _hold(session, begun, state="finished", changed_at=now(), finished_at=now())
        shown = {"suite_id": suite_id(session, new.run), "layer": "main"}
        session.execute(update(RunRow).where(RunRow.id == begun.run).values(**shown))
        end_run(session, begun.run, Ending("done", new.seconds), now)
        subject = f"submission/{begun.submission}"
        audit.record(session, begun.actor, "upload", subject, run=begun.run, items=new.run.suite.n_items)


def drop_upload(db: Engine, begun: Begun, reason: str = "") -> None:
    """Remove all rows of an attempt that came to nothing; a reason goes into the audit log."""
    with writing(db) as session:
        own = (SubmissionRow.id == begun.submission, SubmissionRow.run_id == begun.run)
        session.execute(delete(SubmissionRow).where(*own, SubmissionRow.state == "validating"))
        remove_unseen(session, begun.run)
        if reason:
            audit.record(session, begun.actor, "upload-refused", f"submission/{begun.submission}", reason=reason[:500])


def note_refusal(db: Engine, new: NewUpload, reason: str) -> None:
    """Note in the audit log that an upload was refused before anything of it was stored."""
    with writing(db) as session:
        audit.record(session, new.actor, "upload-refused", f"model/{new.run.model}", reason=reason[:500])


def drop_stale_uploads(db: Engine, now: Clock = utc_now) -> int:
    """Remove uploads that stopped on their way more than an hour ago; return how many."""
    old = (
        SubmissionRow.kind == "upload", SubmissionRow.state == "validating", SubmissionRow.changed_at < now() - STALE
    )  # fmt: skip
    with translate_errors(), Session(db) as session:
        found = session.execute(select(SubmissionRow.id, SubmissionRow.run_id).where(*old)).all()
    for submission, run in found:
        drop_upload(db, Begun(submission, run or "", "system", ()), "it stopped on its way")
    return len(found)

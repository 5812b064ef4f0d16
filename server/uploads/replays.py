"""Replays: a worker answers random items of an upload again, and the two are compared."""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from fathom.harness.db import audit
from fathom.harness.db.engine import translate_errors, writing
from fathom.harness.db.leaderboard.standings import mark_pools_stale
from fathom.harness.db.schema.runs import CellRow, RunRow, SampleRow
from fathom.harness.db.schema.service import JobRow, ReplayedRow, ReplayRow, SubmissionRow
from fathom.harness.db.write import Clock, utc_now
from fathom.harness.errors import BadInput, Conflict, UnknownSubmission
from fathom.harness.stats.replay import REPLAY_FLAG, Replay, compare_replay, pick_items
from fathom.tasks.stream import Stream

_BATCH = 50
_MIN_ANSWERED = 0.9
"""Share of the items that the engine must have answered for a verdict."""


@dataclass(frozen=True, slots=True)
class UploadView:
    """A complete upload, for its page."""

    submission: str
    run: str
    owner_id: int
    model: str
    sha: str
    engine: str
    tier: int
    outcome: Mapping[str, Any] | None
    """Result of the replay, as JSON of `Replay`; None while there is none."""
    replay: str
    """none, waiting, running, failed (no worker could run it) or done."""
    n_done: int
    n_picked: int

    @property
    def can_replay(self) -> bool:
        """Whether a replay can be requested."""
        return bool(self.sha) and self.replay in ("none", "failed")


def get_upload(db: Engine, submission: str) -> UploadView:
    """Return a complete upload.

    Raises:
        UnknownSubmission: there is no such upload.
    """
    with translate_errors(), Session(db) as session:
        row = session.get(SubmissionRow, submission)
        if row is None or row.kind != "upload" or row.run_id is None or row.state != "finished":
            raise UnknownSubmission(f"there are no results {submission!r}: your account page lists yours")
        replay, job = session.get(ReplayRow, submission), _job_of(session, submission)
        return UploadView(
            row.id, row.run_id, row.owner_id, row.model, row.sha, row.engine, row.tier,
            None if replay is None else replay.outcome, _state(replay, job),
            0 if job is None else job.progress_done, 0 if replay is None else len(replay.picks),
        )  # fmt: skip


def _job_of(session: Session, submission: str) -> JobRow | None:
    mine = (JobRow.submission_id == submission, JobRow.kind == "replay")
    return session.scalars(select(JobRow).where(*mine)).first()


def _state(replay: ReplayRow | None, job: JobRow | None) -> str:
    if replay is None or job is None:
        return "none"
    if replay.outcome is not None:
        return "done"
    if job.state in ("failed", "cancelled"):
        return "failed"
    return "waiting" if job.state == "queued" else "running"


def request_replay(db: Engine, submission: str, actor: str, now: Clock = utc_now) -> None:
    """Draw random items of an upload and queue them for a worker.

    Raises:
        UnknownSubmission: there is no such upload.
        BadInput: it names no model at a known commit.
        Conflict: a replay was requested already.
    """
    with writing(db) as session:
        row = session.get(SubmissionRow, submission, with_for_update=True)
        if row is None or row.kind != "upload" or row.run_id is None or row.state != "finished":
            raise UnknownSubmission(f"there are no results {submission!r}: your account page lists yours")
        if not row.sha:
            raise BadInput(
                "a worker can only run a model of the hub at a known commit: send the run again with "
                "`fathom submit --sha COMMIT`"
            )
        job = _job_of(session, submission)
        if job is not None and job.state not in ("failed", "cancelled"):
            raise Conflict("a replay of these results was requested already: their page shows its progress")
        _queue(session, row, now)
        audit.record(session, actor, "replay-asked", f"submission/{submission}")


def request_replays(db: Engine, actor: str = "system") -> int:
    """Request a replay of each upload that can have one and had none; return how many. A background task."""
    with translate_errors(), Session(db) as session:
        mine = (SubmissionRow.kind == "upload", SubmissionRow.state == "finished", SubmissionRow.sha != "")
        joined = select(SubmissionRow.id).outerjoin(ReplayRow, ReplayRow.submission_id == SubmissionRow.id)
        waiting = session.scalars(joined.where(*mine, ReplayRow.submission_id.is_(None)).limit(_BATCH)).all()
    for submission in waiting:
        with suppress(Conflict):  # another server process was faster
            request_replay(db, submission, actor)
    return len(waiting)


def _queue(session: Session, row: SubmissionRow, now: Clock) -> None:
    """Replace an earlier replay by a new draw."""
    session.execute(delete(JobRow).where(JobRow.submission_id == row.id, JobRow.kind == "replay"))
    session.execute(delete(ReplayRow).where(ReplayRow.submission_id == row.id))
    sizes = session.scalars(select(CellRow.n_planned).where(CellRow.run_id == row.run_id).order_by(CellRow.position))
    picks = pick_items(sizes.all(), Stream("replay", secrets.token_hex(32)))
    session.add(ReplayRow(submission_id=row.id, picks=[[one.cell, one.index] for one in picks], created_at=now()))
    session.add(
        JobRow(
            submission_id=row.id,
            owner_id=row.owner_id,
            kind="replay",
            shard=0,
            cells=sorted({one.cell for one in picks}),
            state="queued",
            not_before=now(),
            progress_total=len(picks),
            created_at=now(),
        )
    )


def finish_replays(db: Engine, now: Clock = utc_now) -> int:
    """Compare finished replays with their uploads; return how many. A background task.

    A passed replay raises the run to tier 2, so that it is ranked; a failed one flags the submission.
    """
    with translate_errors(), Session(db) as session:
        done = (JobRow.kind == "replay", JobRow.state == "done", ReplayRow.finished_at.is_(None))
        joined = select(ReplayRow.submission_id).join(JobRow, JobRow.submission_id == ReplayRow.submission_id)
        waiting = session.scalars(joined.where(*done)).all()
    return sum(_finish(db, submission, now) for submission in waiting)


def _finish(db: Engine, submission: str, now: Clock) -> bool:
    with writing(db) as session:
        row = session.get_one(SubmissionRow, submission, with_for_update=True)
        replay, job = session.get(ReplayRow, submission), _job_of(session, submission)
        if replay is None or job is None or replay.outcome is not None or row.run_id is None:
            return False
        pairs = _pairs(session, submission, row.run_id)
        if len(pairs) < _MIN_ANSWERED * len(replay.picks):
            job.state, job.error_code = "failed", "engine_failed"
            return True
        found = compare_replay(pairs)
        replay.outcome, replay.finished_at = found.to_json(), now()
        _apply(session, row, found)
        row.changed_at = now()
        action = "replay-passed" if found.passed else "replay-failed"
        audit.record(session, "system", action, f"submission/{submission}", **found.to_json())
        return True


def _pairs(session: Session, submission: str, run: str) -> list[tuple[bool, bool]]:
    """Return (right in the upload, right in the replay) for each item that the worker's engine answered."""
    both = (
        select(SampleRow.correct, ReplayedRow.correct)
        .join(CellRow, CellRow.id == SampleRow.cell_id)
        .join(ReplayedRow, (ReplayedRow.cell == CellRow.position) & (ReplayedRow.index == SampleRow.index))
        .where(CellRow.run_id == run, SampleRow.repeat == 0)
        .where(ReplayedRow.submission_id == submission, ReplayedRow.finish_reason != "error")
    )
    return [(bool(uploaded), bool(replayed)) for uploaded, replayed in session.execute(both)]


def _apply(session: Session, row: SubmissionRow, found: Replay) -> None:
    if not found.passed:
        row.flags = {**row.flags, REPLAY_FLAG: found.to_json()}
        return
    row.tier = 2
    run = session.get_one(RunRow, row.run_id)
    run.tier = 2
    session.flush()
    mark_pools_stale(session, [run.id])

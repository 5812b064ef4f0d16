"""The items that a job asks for, and the rows that its samples become: of a run, or of an upload's replay."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import insert_if_new
from fathom.harness.db.schema.runs import CellRow, RunRow, SampleRow, SuiteRow
from fathom.harness.db.schema.service import JobRow, ReplayedRow, ReplayRow, SubmissionRow
from fathom.harness.db.write import Sample, add_samples, storable
from fathom.harness.runs.run_settings import PromptSettings
from fathom.tasks.suites import SuiteCell

CellIndex = tuple[int, int]
"""Position of a cell in its suite, and index of an item in the cell."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The items of a job. Where `sealed`, `seed` is not the true seed but a name for it."""

    cells: Mapping[int, SuiteCell]
    """By position."""
    seed: str
    season: str
    sealed: bool
    manifest_digest: str
    engine: str
    asked: PromptSettings
    missing: tuple[CellIndex, ...]
    """Items that are not stored yet, in order."""


def read_shard(session: Session, job: JobRow) -> Shard:
    """Read the shard of a job, in the caller's transaction."""
    asked = session.get_one(SubmissionRow, job.submission_id)
    run = session.get_one(RunRow, job.run_id or asked.run_id)
    suite = session.get_one(SuiteRow, run.suite_id)
    cells = {at: SuiteCell(**suite.cells[at]) for at in job.cells if at < len(suite.cells)}
    return Shard(
        cells, suite.seed, suite.season, suite.sealed, run.manifest_digest, asked.engine,
        PromptSettings(asked.n_shots, asked.chat_template), tuple(missing_items(session, job)),
    )  # fmt: skip


def missing_items(session: Session, job: JobRow) -> list[CellIndex]:
    """Return each item of a job that is not stored yet, in order."""
    asked: Iterator[CellIndex]
    if job.kind == "replay":
        picks = session.get_one(ReplayRow, job.submission_id).picks
        found = select(ReplayedRow.cell, ReplayedRow.index).where(ReplayedRow.submission_id == job.submission_id)
        known = {(cell, index) for cell, index in session.execute(found)}
        asked = ((cell, index) for cell, index in picks if cell in job.cells)
    else:
        done = select(CellRow.position, SampleRow.index).join(SampleRow, SampleRow.cell_id == CellRow.id)
        mine = (CellRow.run_id == job.run_id, CellRow.position.in_(job.cells))
        known = {(cell, index) for cell, index in session.execute(done.where(*mine, SampleRow.repeat == 0))}
        planned = session.execute(select(CellRow.position, CellRow.n_planned).where(*mine).order_by(CellRow.position))
        asked = ((cell, index) for cell, n in planned for index in range(n))
    return [pair for pair in asked if pair not in known]


def add_to_shard(session: Session, job: JobRow, samples: Sequence[Sample]) -> int:
    """Store samples of a job's cells that are not there yet, and count them; return how many were new."""
    if not samples:
        return 0
    if job.kind == "replay":
        n_new = _add_replayed(session, job, samples)
    else:
        ids = dict(_cell_ids(session, job))
        by_position = [ids.get(at, 0) for at in range(max(ids) + 1)]
        n_new = add_samples(session.connection(), str(job.run_id), by_position, samples)
    job.progress_done += n_new
    return n_new


def _add_replayed(session: Session, job: JobRow, samples: Sequence[Sample]) -> int:
    rows = [
        {"submission_id": job.submission_id, "cell": one.cell, "index": one.index, "correct": one.verdict.correct,
         "finish_reason": one.completion.finish_reason, "completion": storable(one.completion.text)}
        for one in samples
    ]  # fmt: skip
    added = session.execute(insert_if_new(session.connection(), ReplayedRow).returning(ReplayedRow.index), rows)
    return len(added.all())


def _cell_ids(session: Session, job: JobRow) -> list[tuple[int, int]]:
    """Return (position, id) of the job's cells."""
    found = select(CellRow.position, CellRow.id).where(CellRow.run_id == job.run_id, CellRow.position.in_(job.cells))
    return [(at, cell) for at, cell in session.execute(found.order_by(CellRow.position))]


def forget_errors(session: Session, job: JobRow, max_share: float) -> list[str]:
    """Delete the samples on which the engine failed and return their errors, if their share exceeds `max_share`."""
    if job.kind == "replay":
        return []
    mine = SampleRow.cell_id.in_([cell for _, cell in _cell_ids(session, job)])
    failed = (mine, SampleRow.finish_reason == "error")
    errors = [error or "" for error in session.scalars(select(SampleRow.error).where(*failed))]
    if len(errors) <= max_share * job.progress_total:
        return []
    session.execute(delete(SampleRow).where(*failed).execution_options(synchronize_session=False))
    job.progress_done -= len(errors)
    return errors

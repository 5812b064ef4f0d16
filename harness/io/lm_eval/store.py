"""Storage of imported runs: a run stays invisible until all its samples are stored."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, exists, select, update
from sqlalchemy.orm import Session

from fathom.harness.db import audit
from fathom.harness.db.engine import translate_errors, writing
from fathom.harness.db.schema.runs import CellRow, ModelRow, RunRow
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
from fathom.harness.errors import Conflict

IMPORTED_ENGINE = "lm-eval/"
"""Prefix of an imported run's engine; lm-eval's name of its backend follows."""


@dataclass(frozen=True, slots=True)
class KnownImport:
    """A run that was imported earlier."""

    run: str
    model: str


@dataclass(frozen=True, slots=True)
class PendingImport:
    """A run that is being imported."""

    run: str
    cell_ids: tuple[int, ...]


def find_import(db: Engine, digest: str) -> KnownImport | None:
    """Return the run that was imported from files with this digest, if any."""
    imported = (RunRow.engine.startswith(IMPORTED_ENGINE), RunRow.layer != "upload", RunRow.state == "done")
    same = RunRow.manifest[("decisive", "log")].as_string() == digest
    wanted = select(RunRow.id, ModelRow.name).join(ModelRow, ModelRow.id == RunRow.model_id).where(*imported, same)
    with translate_errors(), Session(db) as session:
        row = session.execute(wanted).first()
        return None if row is None else KnownImport(row[0], row[1])


def begin_import(db: Engine, new: NewRun, dtype: str | None, now: Clock = utc_now) -> PendingImport:
    """Create the rows of an import; remove what a killed import of the same files left."""
    with writing(db) as session:
        sent = exists().where(SubmissionRow.run_id == RunRow.id)
        left = (RunRow.layer == "upload", RunRow.engine == new.engine, RunRow.manifest_digest == new.manifest_digest)
        for run in session.scalars(select(RunRow.id).where(*left, ~sent)).all():
            remove_incomplete(session, run)
        run = add_incomplete(session, new, dtype, now)
        cells = session.scalars(select(CellRow.id).where(CellRow.run_id == run).order_by(CellRow.position))
        return PendingImport(run, tuple(cells))


def store_import_samples(db: Engine, begun: PendingImport, samples: Sequence[Sample]) -> None:
    """Store a batch of samples.

    Raises:
        Conflict: a later import of the same files took over.
    """
    with writing(db) as session:
        _hold(session, begun)
        add_samples(session.connection(), begun.run, begun.cell_ids, samples)


def _hold(session: Session, begun: PendingImport) -> None:
    own = (RunRow.id == begun.run, RunRow.layer == "upload")
    if not session.execute(update(RunRow).where(*own).values(state=RunRow.state)).rowcount:  # type: ignore[attr-defined]  # a CursorResult
        raise Conflict("another import of the same files has started, so this one stops")


def finish_import(db: Engine, begun: PendingImport, new: NewRun, seconds: float, now: Clock = utc_now) -> None:
    """Make a complete import visible as a run.

    Raises:
        Conflict: a later import of the same files took over.
    """
    with writing(db) as session:
        _hold(session, begun)
        shown = {"suite_id": suite_id(session, new), "layer": new.layer}
        session.execute(update(RunRow).where(RunRow.id == begun.run).values(**shown))
        end_run(session, begun.run, Ending("done", seconds), now)
        audit.record(session, "local", "run.imported", f"run/{begun.run}", items=new.suite.n_items)


def drop_import(db: Engine, begun: PendingImport) -> None:
    """Remove all rows of a failed import."""
    with writing(db) as session:
        remove_incomplete(session, begun.run)

"""Store a run that was made elsewhere and read from files: nothing of it is seen before it is whole."""

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
    add_samples,
    add_unseen,
    end_run,
    remove_unseen,
    suite_id,
    utc_now,
)
from fathom.harness.errors import Conflict

ENGINE = "lm-eval/"
"""Beginning of the engine of a run that was imported; lm-eval's own name of its backend follows."""


@dataclass(frozen=True, slots=True)
class Known:
    """A run that was imported before."""

    run: str
    model: str


@dataclass(frozen=True, slots=True)
class Import:
    """An attempt that may write."""

    run: str
    cell_ids: tuple[int, ...]


def find_import(db: Engine, digest: str) -> Known | None:
    """Return the run that was made of files with this digest."""
    imported = (RunRow.engine.startswith(ENGINE), RunRow.layer != "upload", RunRow.state == "done")
    same = RunRow.manifest[("decisive", "log")].as_string() == digest
    wanted = select(RunRow.id, ModelRow.name).join(ModelRow, ModelRow.id == RunRow.model_id).where(*imported, same)
    with translate_errors(), Session(db) as session:
        row = session.execute(wanted).first()
        return None if row is None else Known(row[0], row[1])


def begin_import(db: Engine, new: NewRun, dtype: str | None, now: Clock = utc_now) -> Import:
    """Make the rows that an import goes into; what a killed attempt at the same left is removed."""
    with writing(db) as session:
        sent = exists().where(SubmissionRow.run_id == RunRow.id)
        left = (RunRow.layer == "upload", RunRow.engine == new.engine, RunRow.manifest_digest == new.manifest_digest)
        for run in session.scalars(select(RunRow.id).where(*left, ~sent)).all():
            remove_unseen(session, run)
        run = add_unseen(session, new, dtype, now)
        cells = session.scalars(select(CellRow.id).where(CellRow.run_id == run).order_by(CellRow.position))
        return Import(run, tuple(cells))


def take_samples(db: Engine, begun: Import, samples: Sequence[Sample]) -> None:
    """Store a batch.

    Raises:
        Conflict: a later attempt took over.
    """
    with writing(db) as session:
        _hold(session, begun)
        add_samples(session.connection(), begun.run, begun.cell_ids, samples)


def _hold(session: Session, begun: Import) -> None:
    own = (RunRow.id == begun.run, RunRow.layer == "upload")
    if not session.execute(update(RunRow).where(*own).values(state=RunRow.state)).rowcount:  # type: ignore[attr-defined]  # a CursorResult
        raise Conflict("another import of the same files has taken over, so this one ends")


def finish_import(db: Engine, begun: Import, new: NewRun, seconds: float, now: Clock = utc_now) -> None:
    """Show a whole import: from here on its run is one like any other.

    Raises:
        Conflict: see take_samples.
    """
    with writing(db) as session:
        _hold(session, begun)
        shown = {"suite_id": suite_id(session, new), "layer": new.layer}
        session.execute(update(RunRow).where(RunRow.id == begun.run).values(**shown))
        end_run(session, begun.run, Ending("done", seconds), now)
        audit.record(session, "local", "run.imported", f"run/{begun.run}", items=new.suite.n_items)


def drop_import(db: Engine, begun: Import) -> None:
    """Remove all rows of an attempt that came to nothing."""
    with writing(db) as session:
        remove_unseen(session, begun.run)

"""Read what a run stored, verdicts included, in constant memory; write verdicts anew, all of a run's or none."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session

from harness.db import audit
from harness.db.engine import writing
from harness.db.journal import in_order
from harness.db.models import MarkRow, RunRow, SampleRow
from harness.db.read import RunSummary
from harness.db.write import recount, storable
from harness.engines.base import Completion
from harness.errors import Conflict
from tasks import Verdict

_AT_A_TIME = 500
_MOST_NOTES = 20


@dataclass(frozen=True, slots=True)
class Stored:
    """One sample as it is stored."""

    id: int
    index: int
    repeat: int
    completion: Completion
    verdict: Verdict


_COLUMNS = (
    SampleRow.id, SampleRow.index, SampleRow.repeat, SampleRow.key, SampleRow.completion, SampleRow.finish_reason,
    SampleRow.prompt_tokens, SampleRow.completion_tokens, SampleRow.milliseconds, SampleRow.scores, SampleRow.error,
    SampleRow.correct, SampleRow.parsed, SampleRow.label, SampleRow.fault_at, SampleRow.note,
)  # fmt: skip


def stream_stored(db: Engine, cell: int) -> Iterator[Stored]:
    """Yield the samples of a cell by index and repeat."""
    return (_stored(row) for row in in_order(db, select(*_COLUMNS).where(SampleRow.cell_id == cell)))


def _stored(row: Sequence[Any]) -> Stored:  # a row of _COLUMNS
    number, index, repeat, key, text, reason, prompt_tokens, tokens, milliseconds, scores, error, *verdict = row
    likelihoods = None if scores is None else tuple(scores)
    completion = Completion(
        key, text, reason, prompt_tokens, tokens, milliseconds / 1000, likelihoods, error=error
    )  # fmt: skip
    return Stored(number, index, repeat, completion, Verdict(*verdict))


def as_stored(verdict: Verdict) -> Verdict:
    """Return a verdict as the database gives it back."""
    parsed = None if verdict.parsed is None else storable(verdict.parsed)
    return Verdict(verdict.correct, parsed, verdict.label, verdict.at, storable(verdict.note))


@dataclass(frozen=True, slots=True)
class Changed:
    """A sample, by its number, and the verdict that it shall have."""

    id: int
    verdict: Verdict


def store_verdicts(
    db: Engine, one: RunSummary, changes: Iterable[Changed], note: Mapping[str, Any]
) -> None:  # note: JSON values
    """Give samples of a run other verdicts, count its cells, and note it in the manifest: all of it or nothing.

    The run loses its marks, so that `land_runs` works them out again.

    Raises:
        Conflict: the run is no longer as `one` says.
    """
    with writing(db) as session:
        same = (RunRow.id == one.run, RunRow.state == one.state, RunRow.attempts == one.attempts)
        held = update(RunRow).where(*same, RunRow.n_generated == one.n_generated).values(state=RunRow.state)
        if not session.execute(held).rowcount:  # type: ignore[attr-defined]  # a CursorResult
            raise Conflict(f"run {one.run} went on in the meantime: regrade it again when it has ended")
        n_changed, waiting = 0, iter(changes)
        while some := list(islice(waiting, _AT_A_TIME)):
            session.execute(update(SampleRow), [_row(change) for change in some])
            n_changed += len(some)
        if n_changed:
            session.execute(delete(MarkRow).where(MarkRow.run_id == one.run))
            recount(session, one.run)
            audit.record(session, "local", "run.regraded", f"run/{one.run}", changed=n_changed)
        _note(session, one.run, dict(note), n_changed)


def _row(change: Changed) -> dict[str, Any]:  # values of SampleRow's columns
    one = change.verdict
    return {
        "id": change.id, "correct": one.correct, "parsed": one.parsed, "label": one.label, "fault_at": one.at,
        "note": one.note,
    }  # fmt: skip


def _note(session: Session, run: str, note: dict[str, Any], n_changed: int) -> None:
    """Add a note to the manifest's context; one that changed nothing gives way to the next."""
    row = session.get_one(RunRow, run)
    context = row.manifest.get("context", {})
    earlier = context.get("regraded", [])
    if earlier and not earlier[-1]["n_changed"]:
        earlier = earlier[:-1]
    notes = [*earlier, {**note, "n_changed": n_changed}][-_MOST_NOTES:]
    row.manifest = {**row.manifest, "context": {**context, "regraded": notes}}

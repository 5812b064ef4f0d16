"""Read a cell's samples in order and in constant memory, recall completions, and store other verdicts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sqlalchemy import Engine, Row, Select, delete, select, update
from sqlalchemy.orm import Session

from fathom.harness.db import audit
from fathom.harness.db.engine import translate_errors, writing
from fathom.harness.db.read import SAMPLE_COLUMNS, chosen_samples, view
from fathom.harness.db.schema.runs import CellRow, MarkRow, RunRow, SampleRow, SuiteRow
from fathom.harness.db.seal import check_unsealed
from fathom.harness.db.write import recount, storable
from fathom.harness.engines.base import Completion, FinishReason
from fathom.harness.errors import Conflict
from fathom.harness.records import RunDetail, RunSummary, SampleFilter, SampleView
from fathom.tasks.base import Verdict

_AT_A_TIME = 500
_MOST_NOTES = 20
"""Regradings of a run that its manifest keeps."""


def _in_order(db: Engine, wanted: Select[*tuple[Any, ...]]) -> Iterator[Row[*tuple[Any, ...]]]:
    """Yield rows of samples of one cell by index and repeat, which must be among the columns that `wanted` selects.

    No statement stays open between two batches.
    """
    after = (-1, 0)
    while some := _after(db, wanted, after):
        yield from some
        last = some[-1]._mapping
        after = (last[SampleRow.index], last[SampleRow.repeat])


def _after(db: Engine, wanted: Select[*tuple[Any, ...]], after: tuple[int, int]) -> Sequence[Row[*tuple[Any, ...]]]:
    index, repeat = after
    later = (SampleRow.index > index) | ((SampleRow.index == index) & (SampleRow.repeat > repeat))
    with translate_errors(), Session(db) as session:
        ordered = wanted.where(later).order_by(SampleRow.index, SampleRow.repeat)
        return session.execute(ordered.limit(_AT_A_TIME)).all()


@dataclass(frozen=True, slots=True)
class Weights:
    """What is stored of the files of a run's model."""

    n_parameters: int | None
    kind: str | None
    dtype: str | None


def weights_of(db: Engine, run: str) -> Weights:
    """Return what is stored of the model's files, by the run's whole id."""
    with translate_errors(), Session(db) as session:
        row = session.execute(
            select(RunRow.n_parameters, RunRow.model_kind, RunRow.dtype).where(RunRow.id == run)
        ).one()
        return Weights(*row)


def recall_completions(db: Engine, cell: int, start: int, stop: int) -> dict[str, Completion]:
    """Return the completions of items start to stop of a cell by key, without those on which the engine failed."""
    with translate_errors(), Session(db) as session:
        rows = session.execute(
            select(
                SampleRow.key, SampleRow.completion, SampleRow.finish_reason, SampleRow.prompt_tokens,
                SampleRow.completion_tokens, SampleRow.milliseconds, SampleRow.scores,
            ).where(
                SampleRow.cell_id == cell, SampleRow.index >= start, SampleRow.index < stop,
                SampleRow.finish_reason != "error",
            )
        )  # fmt: skip
        return {row[0]: _completion(row) for row in rows}


def _completion(row: Sequence[Any]) -> Completion:  # a row of recall_completions()
    key, text, reason, prompt_tokens, tokens, milliseconds, scores = row
    finish: FinishReason = reason
    return Completion(
        key, text, finish, prompt_tokens, tokens, milliseconds / 1000, None if scores is None else tuple(scores)
    )


@dataclass(frozen=True, slots=True)
class StoredSample:
    """One sample: a completion and its verdict."""

    id: int
    index: int
    repeat: int
    completion: Completion
    verdict: Verdict
    knows_found: bool = True
    """Whether the database has how the answer was found; if not, the verdict says `none`."""


_STORED_COLUMNS = (
    SampleRow.id, SampleRow.index, SampleRow.repeat, SampleRow.key, SampleRow.completion, SampleRow.finish_reason,
    SampleRow.prompt_tokens, SampleRow.completion_tokens, SampleRow.milliseconds, SampleRow.scores, SampleRow.error,
    SampleRow.correct, SampleRow.parsed, SampleRow.label, SampleRow.fault_at, SampleRow.note, SampleRow.found,
)  # fmt: skip


def stream_stored(db: Engine, cell: int) -> Iterator[StoredSample]:
    """Yield the samples of a cell by index and repeat."""
    return (_stored(row) for row in _in_order(db, select(*_STORED_COLUMNS).where(SampleRow.cell_id == cell)))


def _stored(row: Sequence[Any]) -> StoredSample:  # a row of _STORED_COLUMNS
    number, index, repeat, key, text, reason, prompt_tokens, tokens, milliseconds, scores, error, *verdict, found = row
    likelihoods = None if scores is None else tuple(scores)
    completion = Completion(
        key, text, reason, prompt_tokens, tokens, milliseconds / 1000, likelihoods, error=error
    )  # fmt: skip
    graded = replace(Verdict(*verdict), found=found or "none")
    return StoredSample(number, index, repeat, completion, graded, found is not None)


def as_stored(verdict: Verdict) -> Verdict:
    """Return a verdict with its texts as the database stores them."""
    parsed = None if verdict.parsed is None else storable(verdict.parsed)
    return replace(verdict, parsed=parsed, note=storable(verdict.note))


@dataclass(frozen=True, slots=True)
class ChangedVerdict:
    """A sample's id and its new verdict."""

    id: int
    verdict: Verdict


def store_verdicts(
    db: Engine, one: RunSummary, changes: Iterable[ChangedVerdict], note: Mapping[str, Any]
) -> None:  # note: JSON values
    """Store other verdicts of a run's samples, count its cells, and note it in the manifest, in one transaction.

    The run loses its marks, so that `update_leaderboard` computes its results again.

    Raises:
        Conflict: the run has changed since `one` was read.
    """
    with writing(db) as session:
        same = (RunRow.id == one.run, RunRow.state == one.state, RunRow.attempts == one.attempts)
        held = update(RunRow).where(*same, RunRow.n_generated == one.n_generated).values(state=RunRow.state)
        if not session.execute(held).rowcount:  # type: ignore[attr-defined]  # a CursorResult
            raise Conflict(f"run {one.run} was resumed meanwhile: regrade it again when it has ended")
        n_changed, waiting = 0, iter(changes)
        while some := list(islice(waiting, _AT_A_TIME)):
            session.execute(update(SampleRow), [_row(change) for change in some])
            n_changed += len(some)
        if n_changed:
            session.execute(delete(MarkRow).where(MarkRow.run_id == one.run))
            recount(session, one.run)
            audit.record(session, "local", "run.regraded", f"run/{one.run}", changed=n_changed)
        _note(session, one.run, dict(note), n_changed)


def _row(change: ChangedVerdict) -> dict[str, Any]:  # values of SampleRow's columns
    one = change.verdict
    return {
        "id": change.id, "correct": one.correct, "parsed": one.parsed, "label": one.label, "fault_at": one.at,
        "note": one.note, "found": one.found,
    }  # fmt: skip


def _note(session: Session, run: str, note: dict[str, Any], n_changed: int) -> None:
    """Add a note to the manifest's context, in place of the last one if that changed nothing."""
    row = session.get_one(RunRow, run)
    context = row.manifest.get("context", {})
    earlier = context.get("regraded", [])
    if earlier and not earlier[-1]["n_changed"]:
        earlier = earlier[:-1]
    notes = [*earlier, {**note, "n_changed": n_changed}][-_MOST_NOTES:]
    row.manifest = {**row.manifest, "context": {**context, "regraded": notes}}


def stream_samples(db: Engine, detail: RunDetail, wanted: SampleFilter) -> Iterator[SampleView]:
    """Yield a run's samples by cell, item and repeat, in constant memory.

    Raises:
        SealedRun: the season has not revealed its seed.
    """
    check_unsealed(detail.summary.sealed, detail.summary.season)
    return _stream(db, detail, wanted)


def _stream(db: Engine, detail: RunDetail, wanted: SampleFilter) -> Iterator[SampleView]:
    for cell in detail.cells:
        if wanted.cell in (None, cell.id):
            yield from (view(row, detail.suite.seed) for row in _in_order(db, _chosen(cell.id, wanted)))


def _chosen(cell: int, wanted: SampleFilter) -> Select[*tuple[Any, ...]]:
    rows = select(*SAMPLE_COLUMNS).join(CellRow, CellRow.id == SampleRow.cell_id).where(SampleRow.cell_id == cell)
    return rows.where(*chosen_samples(wanted))


def samples_at(
    db: Engine, cells: Sequence[int], indices: Sequence[int], seed: str
) -> Mapping[tuple[int, int], SampleView]:
    """Return samples of some cells at some indices by (cell, index): first repeats only, and none of sealed runs."""
    same = (SampleRow.cell_id.in_(cells), SampleRow.index.in_(indices), SampleRow.repeat == 0, ~SuiteRow.sealed)
    of_run = (
        select(*SAMPLE_COLUMNS).join(CellRow, CellRow.id == SampleRow.cell_id).join(RunRow, RunRow.id == CellRow.run_id)
    )
    wanted = of_run.join(SuiteRow, SuiteRow.id == RunRow.suite_id).where(*same)
    with translate_errors(), Session(db) as session:
        return {(row[16], row[1]): view(row, seed) for row in session.execute(wanted)}

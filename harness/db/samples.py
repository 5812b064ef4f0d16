"""Read a cell's samples in order, whatever their number, in constant memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Engine, Row, Select, delete, func, select, update
from sqlalchemy.orm import Session

from fathom.harness.db import audit
from fathom.harness.db.engine import translate_errors, writing
from fathom.harness.db.read import SAMPLE, view
from fathom.harness.db.schema.runs import CellRow, MarkRow, RunRow, SampleRow, SuiteRow
from fathom.harness.db.sealing import check_unsealed
from fathom.harness.db.write import recount, storable
from fathom.harness.engines.base import Completion, FinishReason
from fathom.harness.errors import Conflict
from fathom.harness.records import RunDetail, RunSummary, SampleFilter, SampleView
from fathom.tasks.base import Verdict

_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class Journaled:
    """One completion as it is stored, without its verdict."""

    index: int
    repeat: int
    completion: str
    finish_reason: str
    scores: list[float] | None
    prompt_tokens: int
    completion_tokens: int
    milliseconds: int


_COLUMNS = (
    SampleRow.index, SampleRow.repeat, SampleRow.completion, SampleRow.finish_reason, SampleRow.scores,
    SampleRow.prompt_tokens, SampleRow.completion_tokens, SampleRow.milliseconds,
)  # fmt: skip


def in_order(db: Engine, wanted: Select[*tuple[Any, ...]]) -> Iterator[Row[*tuple[Any, ...]]]:
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


def stream_journal(db: Engine, cell: int) -> Iterator[Journaled]:
    """Yield the completions of a cell by index and repeat."""
    return (Journaled(*row) for row in in_order(db, select(*_COLUMNS).where(SampleRow.cell_id == cell)))


@dataclass(frozen=True, slots=True)
class Weights:
    """What a run knows of its model's files."""

    n_parameters: int | None
    kind: str | None
    dtype: str | None


def weights_of(db: Engine, run: str) -> Weights:
    """Return what is known of the files behind a run, by its whole id."""
    with translate_errors(), Session(db) as session:
        row = session.execute(select(RunRow.n_parameters, RunRow.kind, RunRow.dtype).where(RunRow.id == run)).one()
        return Weights(*row)


def count_kept(db: Engine, run: str) -> dict[int, int]:
    """Return how many completions of a run need not be generated again, by the number of their cell."""
    with translate_errors(), Session(db) as session:
        rows = session.execute(
            select(SampleRow.cell_id, func.count().label("n"))
            .join(CellRow, CellRow.id == SampleRow.cell_id)
            .where(CellRow.run_id == run, SampleRow.finish_reason != "error")
            .group_by(SampleRow.cell_id)
        )
        return {row.cell_id: row.n for row in rows}


def journaled(db: Engine, cell: int, start: int, stop: int) -> dict[str, Completion]:
    """Return the completions to items start to stop of a cell that need not be generated again, by key."""
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


def _completion(row: Sequence[Any]) -> Completion:  # a row of journaled()
    key, text, reason, prompt_tokens, tokens, milliseconds, scores = row
    finish: FinishReason = reason
    return Completion(
        key, text, finish, prompt_tokens, tokens, milliseconds / 1000, None if scores is None else tuple(scores)
    )


def count_cut(db: Engine, run: str) -> dict[str, int]:
    """Return how many completions used their budget up, by style, for styles where some did; by the run's whole id."""
    counted = (
        select(CellRow.style, func.count())
        .join(SampleRow, SampleRow.cell_id == CellRow.id)
        .where(CellRow.run_id == run, SampleRow.finish_reason == "length")
        .group_by(CellRow.style)
        .order_by(CellRow.style)
    )
    with translate_errors(), Session(db) as session:
        return {style: int(n) for style, n in session.execute(counted)}


_SAMPLES_AT_A_TIME = 500


_MOST_NOTES = 20


@dataclass(frozen=True, slots=True)
class Stored:
    """One sample as it is stored."""

    id: int
    index: int
    repeat: int
    completion: Completion
    verdict: Verdict


_STORED_COLUMNS = (
    SampleRow.id, SampleRow.index, SampleRow.repeat, SampleRow.key, SampleRow.completion, SampleRow.finish_reason,
    SampleRow.prompt_tokens, SampleRow.completion_tokens, SampleRow.milliseconds, SampleRow.scores, SampleRow.error,
    SampleRow.correct, SampleRow.parsed, SampleRow.label, SampleRow.fault_at, SampleRow.note,
)  # fmt: skip


def stream_stored(db: Engine, cell: int) -> Iterator[Stored]:
    """Yield the samples of a cell by index and repeat."""
    return (_stored(row) for row in in_order(db, select(*_STORED_COLUMNS).where(SampleRow.cell_id == cell)))


def _stored(row: Sequence[Any]) -> Stored:  # a row of _STORED_COLUMNS
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
        while some := list(islice(waiting, _SAMPLES_AT_A_TIME)):
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


def stream_samples(db: Engine, detail: RunDetail, wanted: SampleFilter) -> Iterator[SampleView]:
    """Yield a run's samples in the order of cells, items and repeats, in constant memory.

    Raises:
        SealedRun: they may not be seen yet.
    """
    check_unsealed(detail.summary.sealed, detail.summary.season)
    return _stream(db, detail, wanted)


def _stream(db: Engine, detail: RunDetail, wanted: SampleFilter) -> Iterator[SampleView]:
    for cell in detail.cells:
        if wanted.cell in (None, cell.id):
            yield from (view(row, detail.suite.seed) for row in in_order(db, _chosen(cell.id, wanted)))


def _chosen(cell: int, wanted: SampleFilter) -> Select[*tuple[Any, ...]]:
    rows = select(*SAMPLE).join(CellRow, CellRow.id == SampleRow.cell_id).where(SampleRow.cell_id == cell)
    if wanted.label is not None:
        rows = rows.where(SampleRow.label == wanted.label)
    if wanted.correct is not None:
        rows = rows.where(SampleRow.correct == wanted.correct)
    return rows


def samples_at(
    db: Engine, cells: Sequence[int], indices: Sequence[int], seed: str
) -> Mapping[tuple[int, int], SampleView]:
    """Return the stored samples of some cells at some indices, by (cell, index); first repeats only, no sealed ones."""
    same = (SampleRow.cell_id.in_(cells), SampleRow.index.in_(indices), SampleRow.repeat == 0, ~SuiteRow.sealed)
    of_run = select(*SAMPLE).join(CellRow, CellRow.id == SampleRow.cell_id).join(RunRow, RunRow.id == CellRow.run_id)
    wanted = of_run.join(SuiteRow, SuiteRow.id == RunRow.suite_id).where(*same)
    with translate_errors(), Session(db) as session:
        return {(row[15], row[1]): view(row, seed) for row in session.execute(wanted)}

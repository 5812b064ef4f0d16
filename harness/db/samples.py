"""Read many stored samples: all of a run's, or those of two runs at the same items."""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from harness.db.engine import translate_errors
from harness.db.models import CellRow, RunRow, SampleRow, SuiteRow
from harness.db.read import SAMPLE, RunDetail, SampleFilter, SampleView, view
from harness.db.sealing import check_unsealed

_AT_A_TIME = 500


def stream_samples(db: Engine, detail: RunDetail, wanted: SampleFilter) -> Iterator[SampleView]:
    """Yield a run's samples in the order of cells, items and repeats, in constant memory.

    Raises:
        SealedRun: they may not be seen yet.
    """
    check_unsealed(detail.summary.sealed, detail.summary.season)
    return _stream(db, detail, wanted)


def _stream(db: Engine, detail: RunDetail, wanted: SampleFilter) -> Iterator[SampleView]:
    for cell in detail.cells:
        if wanted.cell is not None and cell.id != wanted.cell:
            continue
        after = (-1, 0)
        while some := _after(db, SampleFilter(cell.id, wanted.label, wanted.correct), after, detail.suite.seed):
            yield from some
            after = (some[-1].index, some[-1].repeat)


def _after(db: Engine, wanted: SampleFilter, after: tuple[int, int], seed: str) -> list[SampleView]:
    index, repeat = after
    conditions = [SampleRow.cell_id == wanted.cell]
    conditions.append((SampleRow.index > index) | ((SampleRow.index == index) & (SampleRow.repeat > repeat)))
    if wanted.label is not None:
        conditions.append(SampleRow.label == wanted.label)
    if wanted.correct is not None:
        conditions.append(SampleRow.correct == wanted.correct)
    rows = select(*SAMPLE).join(CellRow, CellRow.id == SampleRow.cell_id).where(*conditions)
    with translate_errors(), Session(db) as session:
        ordered = rows.order_by(SampleRow.index, SampleRow.repeat).limit(_AT_A_TIME)
        return [view(row, seed) for row in session.execute(ordered)]


def samples_at(
    db: Engine, cells: Sequence[int], indices: Sequence[int], seed: str
) -> Mapping[tuple[int, int], SampleView]:
    """Return the stored samples of some cells at some indices, by (cell, index); first repeats only, no sealed ones."""
    same = (SampleRow.cell_id.in_(cells), SampleRow.index.in_(indices), SampleRow.repeat == 0, ~SuiteRow.sealed)
    of_run = select(*SAMPLE).join(CellRow, CellRow.id == SampleRow.cell_id).join(RunRow, RunRow.id == CellRow.run_id)
    wanted = of_run.join(SuiteRow, SuiteRow.id == RunRow.suite_id).where(*same)
    with translate_errors(), Session(db) as session:
        return {(row[15], row[1]): view(row, seed) for row in session.execute(wanted)}

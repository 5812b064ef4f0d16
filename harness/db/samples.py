"""Read many stored samples: all of a run's, or those of two runs at the same items."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, Select, select
from sqlalchemy.orm import Session

from harness.db.engine import translate_errors
from harness.db.journal import in_order
from harness.db.models import CellRow, RunRow, SampleRow, SuiteRow
from harness.db.read import SAMPLE, RunDetail, SampleFilter, SampleView, view
from harness.db.sealing import check_unsealed


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

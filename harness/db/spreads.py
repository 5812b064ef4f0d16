"""Turn the samples of a run whose items were asked several times into the spread of each cell."""

from collections.abc import Iterator
from itertools import groupby

from sqlalchemy import select
from sqlalchemy.orm import Session

from harness.db.models import CellRow, RunRow, SampleRow
from harness.spread import Spread, Tally, Vote

_AT_A_TIME = 2000


def spreads_of(session: Session, run: str) -> dict[int, Spread]:
    """Count the items of each cell by their right answers, an item in memory at a time; empty for a plain run."""
    repeats = session.scalars(select(RunRow.n_repeats).where(RunRow.id == run)).one()
    if repeats == 1:
        return {}
    cells = session.scalars(select(CellRow.id).where(CellRow.run_id == run)).all()
    return {cell: _spread(session, cell, repeats) for cell in cells}


def _spread(session: Session, cell: int, repeats: int) -> Spread:
    tally = Tally(repeats)
    for item in _items(session, cell):
        tally.add(item)
    return tally.spread


def _items(session: Session, cell: int) -> Iterator[list[Vote]]:
    """Yield the graded answers to each item."""
    columns = (SampleRow.index, SampleRow.correct, SampleRow.parsed)
    wanted = select(*columns).where(SampleRow.cell_id == cell, SampleRow.finish_reason != "error")
    # in the order of the table's own key: nothing is sorted, and the rows come as they are read
    ordered = wanted.order_by(SampleRow.index, SampleRow.repeat).execution_options(yield_per=_AT_A_TIME)
    for _, rows in groupby(session.execute(ordered), key=lambda row: row[0]):
        yield [Vote(row.correct, row.parsed) for row in rows]

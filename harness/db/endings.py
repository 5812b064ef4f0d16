"""Count how the completions of a run ended."""

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from harness.db.engine import translate_errors
from harness.db.models import CellRow, SampleRow


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

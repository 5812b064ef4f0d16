"""Where on the board a run is listed."""

from dataclasses import dataclass

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.runs import StandingRow


@dataclass(frozen=True, slots=True)
class BoardPlace:
    """The table that lists a run, and the model's name there."""

    pool: str
    style: str
    model: str
    rank: int


def place_of(db: Engine, run: str) -> BoardPlace | None:
    """Return where a run is listed, first in its own kind's table; None where a newer run has its line."""
    columns = (StandingRow.pool, StandingRow.style, StandingRow.name, StandingRow.rank)
    wanted = select(*columns).where(StandingRow.run_id == run).order_by(StandingRow.pool, StandingRow.style).limit(1)
    with translate_errors(), Session(db) as session:
        row = session.execute(wanted).first()
        return None if row is None else BoardPlace(*row)

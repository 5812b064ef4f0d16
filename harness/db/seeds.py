"""Tell the seeds of seasons from all others."""

from dataclasses import dataclass

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from harness.db.engine import translate_errors
from harness.db.models import SuiteRow


@dataclass(frozen=True, slots=True)
class SeasonOfSeed:
    """The season that a seed belongs to; `public` once it was revealed."""

    name: str
    public: bool


def season_of_seed(db: Engine, seed: str) -> SeasonOfSeed | None:
    """Return the season whose items a seed makes, or None where it is nobody's."""
    with translate_errors(), Session(db) as session:
        found = session.execute(
            select(SuiteRow.season, SuiteRow.sealed).where(SuiteRow.seed == seed, SuiteRow.season != "").limit(1)
        ).first()
    return None if found is None else SeasonOfSeed(found[0], not found[1])

"""Which season a seed belongs to, if any."""

from dataclasses import dataclass
from hmac import compare_digest

from sqlalchemy import Engine

from fathom.harness.errors import BadInput
from fathom.harness.service.seasons.store import list_seasons, season_seed


@dataclass(frozen=True, slots=True)
class SeasonOfSeed:
    """The season that a seed belongs to; `public` once it is revealed."""

    name: str
    public: bool


def season_of_seed(db: Engine, seed: str, secret_key: str) -> SeasonOfSeed | None:
    """Return the season that has this seed; None where no season has it."""
    for season in list_seasons(db):
        if season.beacon is None:
            continue
        try:
            own = season_seed(db, season.id, secret_key)
        except BadInput:  # encrypted with another key: this server cannot run that season either
            continue
        if compare_digest(own, seed):
            return SeasonOfSeed(season.id, not season.sealed)
    return None

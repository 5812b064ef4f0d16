"""Turn a committed season and a beacon into an open season, compared with the last one."""

from sqlalchemy import Engine

from fathom.harness.service.seasons import store as seasons
from fathom.harness.service.seasons.commitment import PRACTICE_SEED, suite_of
from fathom.harness.service.seasons.store import Beacon, Season
from fathom.harness.stats.equating import equate
from fathom.tasks.suites import Suite


def open_compared(db: Engine, name: str, beacon: Beacon, key: str) -> Season:
    """Open a season, and store how its items compare with those of the last one; takes seconds.

    A difference is stored and shown, but refuses nothing: whoever may try beacons until one pleases can choose items.

    Raises:
        UnknownSubmission, Conflict, BadInput: see harness.db.seasons.open_season.
    """
    against, old = _last(db, name, key)
    new = suite_of(old.name, seasons.seed_under(db, name, beacon, key), seasons.get_season(db, name).n)
    found = equate(old, new)
    return seasons.open_season(db, name, beacon, key, found.to_json(against))


def _last(db: Engine, name: str, key: str) -> tuple[str, Suite]:
    """Return the season of the same suite that was opened last, or practice, and its suite."""
    season = seasons.get_season(db, name)
    before = [one for one in seasons.list_seasons(db) if one.opened_at is not None and one.suite == season.suite]
    last = max(before, key=lambda one: str(one.opened_at), default=None)
    if last is None:
        return "practice", suite_of(season.suite, PRACTICE_SEED, season.n)
    return f"season {last.id}", seasons.season_suite(db, last.id, key)

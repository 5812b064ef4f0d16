"""Storage of seasons; each step is one guarded transaction with an entry in the audit log."""

import datetime as dt
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from fathom.harness.db.audit import record
from fathom.harness.db.engine import insert_if_new, translate_errors
from fathom.harness.db.schema.runs import PoolRow, StandingRow, SuiteRow
from fathom.harness.db.schema.service import SeasonRow, SubmissionRow
from fathom.harness.db.write import sealed_seed, storable, utc_now
from fathom.harness.errors import BadInput, Conflict, UnknownSubmission
from fathom.harness.service.seasons.commitment import (
    EXCHANGEABILITY,
    PRACTICE_SEED,
    SECRET_BYTES,
    commitment_of,
    season_seed_of,
    suite_of,
    terms_of,
)
from fathom.harness.service.seasons.vault import check_key, lock, unlock
from fathom.tasks.suites import Suite

SEASON_STATES = ("new", "committed", "open", "closed", "revealed")
_NEXT = {
    "new": "`fathom season commit {0}` comes next",
    "committed": "`fathom season open {0} --beacon TEXT --beacon-source WHERE` comes next",
    "open": "`fathom season close {0}` comes next",
    "closed": "`fathom season reveal {0}` comes next",
    "revealed": "it is over; `fathom verify-season {0}` checks it",
}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_SHORTEST_BEACON, _LONGEST_BEACON, _LONGEST_SOURCE = 16, 1000, 400
_ENDED = ("finished", "failed", "cancelled", "superseded")


@dataclass(frozen=True, slots=True)
class Beacon:
    """A public random value, unknown when the season was committed to, and where it was published."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Season:
    """The public part of a season; its secret only once it is revealed."""

    id: str
    state: str
    suite: str
    terms: Mapping[str, Any]  # JSON of Terms; before the commitment only the choice of items
    commitment: str | None
    beacon: str | None
    beacon_source: str | None
    practice_seed: str
    suite_digest: str | None
    revealed: str | None
    created_at: dt.datetime
    committed_at: dt.datetime | None
    opened_at: dt.datetime | None
    closed_at: dt.datetime | None
    revealed_at: dt.datetime | None

    @property
    def n(self) -> int | None:
        """Items per cell, where the season has fewer than its suite."""
        return self.terms.get("n")

    @property
    def sealed(self) -> bool:
        """Whether its items are still secret."""
        return self.state != "revealed"

    @property
    def next(self) -> str:
        """Say which command comes next."""
        return _NEXT[self.state].format(self.id)

    def document(self) -> dict[str, Any]:
        """Return what `fathom verify-season` reads, as JSON values."""
        times = {name: getattr(self, name) for name in _TIMES}
        return {
            "season": self.id, "state": self.state, "suite": self.suite, "terms": dict(self.terms),
            "commitment": self.commitment, "beacon": self.beacon, "beacon_source": self.beacon_source,
            "practice_seed": self.practice_seed, "suite_digest": self.suite_digest, "secret": self.revealed,
            **{name: time and time.isoformat() for name, time in times.items()},
            "exchangeability": EXCHANGEABILITY,
        }  # fmt: skip


_TIMES = ("created_at", "committed_at", "opened_at", "closed_at", "revealed_at")


def new_season(db: Engine, name: str, suite: str, key: str, n: int | None = None, actor: str = "operator") -> Season:
    """Draw a season's secret and store it encrypted; nothing is published yet.

    Raises:
        BadInput: the name or the key is invalid.
        UnknownSuite: there is no such suite.
        Conflict: there is a season of this name.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name[:60]!r} cannot name a season: take lower-case letters, digits and hyphens, as in 2026-winter"
        )
    suite_of(suite, PRACTICE_SEED, n)
    row = {
        "id": name, "state": "new", "suite": suite, "secret": lock(secrets.token_bytes(SECRET_BYTES), name, key),
        "terms": {"season": name, "suite": suite, "n": n}, "practice_seed": PRACTICE_SEED, "created_at": utc_now(),
    }  # fmt: skip
    with translate_errors(), Session(db) as session, session.begin():
        if session.execute(insert_if_new(db, SeasonRow).values(**row).returning(SeasonRow.id)).first() is None:
            raise Conflict(f"there is a season {name} already: {_next_of(session, name)}")
        record(session, actor, "season-new", f"season/{name}", suite=suite, n=n)
    return get_season(db, name)


def commit_season(db: Engine, name: str, key: str, actor: str = "operator") -> Season:
    """Fix the terms and publish the commitment to them and to the secret.

    Raises:
        UnknownSubmission: there is no such season.
        Conflict: another step comes next.
        BadInput: the key is wrong.
    """
    season = _in_state(db, name, "new")
    terms = terms_of(name, season.suite, season.n).to_json()
    commitment = commitment_of(terms, _secret(db, name, key))
    with translate_errors(), Session(db) as session, session.begin():
        _move(session, name, "new", terms=terms, commitment=commitment, committed_at=utc_now())
        record(session, actor, "season-commit", f"season/{name}", commitment=commitment)
    return get_season(db, name)


def _check_beacon(db: Engine, name: str, beacon: Beacon) -> Beacon:
    """Return the beacon without blanks around it, if it can open the season.

    Raises:
        UnknownSubmission: there is no such season.
        Conflict: another step comes next, or the beacon was used before.
        BadInput: the beacon is too short, or names no source.
    """
    _in_state(db, name, "committed")
    text, source = storable(beacon.text.strip()), storable(beacon.source.strip())
    if not _SHORTEST_BEACON <= len(text) <= _LONGEST_BEACON or not text.isprintable():
        raise BadInput(
            f"the beacon must be one line of {_SHORTEST_BEACON} to {_LONGEST_BEACON} characters: a public random value "
            "that was published after the commitment, as the output of drand or of NIST's randomness beacon"
        )
    if not source or len(source) > _LONGEST_SOURCE or not source.isprintable():
        raise BadInput("say where the beacon was published: --beacon-source 'drand round 4816212'")
    with translate_errors(), Session(db) as session:
        used = session.scalars(select(SeasonRow.id).where(func.lower(SeasonRow.beacon) == text.lower())).first()
    if used is not None:
        raise Conflict(f"season {used} was opened with this beacon, so it was known before: use a newer one")
    return Beacon(text, source)


def open_season(db: Engine, name: str, beacon: Beacon, key: str, actor: str = "operator") -> Season:
    """Mix the beacon in, which fixes the seed, and accept submissions.

    Raises:
        UnknownSubmission: there is no such season.
        Conflict: another step comes next, the beacon was used before, or the code has changed since the commitment.
        BadInput: the beacon or the key is wrong.
    """
    checked = _check_beacon(db, name, beacon)
    _check_terms(get_season(db, name))
    _secret(db, name, key)  # a wrong key should fail now, not at the first submission
    with translate_errors(), Session(db) as session, session.begin():
        _move(
            session, name, "committed", beacon=checked.text, beacon_source=checked.source, opened_at=utc_now()
        )  # fmt: skip
        record(session, actor, "season-open", f"season/{name}", beacon=checked.text, source=checked.source)
    return get_season(db, name)


def _check_terms(season: Season) -> None:
    """Raise Conflict where this Fathom would ask or grade differently than was committed to."""
    now = terms_of(season.id, season.suite, season.n).to_json()
    changed = [name for name, value in now.items() if season.terms.get(name) != value and name != "fathom"]
    if changed:
        raise Conflict(
            f"season {season.id} was committed to with another {', '.join(changed)}: use the Fathom that "
            "committed to it, or start a new season"
        )


def close_season(db: Engine, name: str, actor: str = "operator") -> Season:
    """Accept no more submissions.

    Raises:
        UnknownSubmission: there is no such season.
        Conflict: another step comes next.
    """
    with translate_errors(), Session(db) as session, session.begin():
        _move(session, name, "open", closed_at=utc_now())
        record(session, actor, "season-close", f"season/{name}")
    return get_season(db, name)


def reveal_season(db: Engine, name: str, key: str, actor: str = "operator") -> Season:
    """Publish the secret: from now on everybody may read the season's questions and answers.

    Raises:
        UnknownSubmission: there is no such season.
        Conflict: another step comes next, or submissions are still running.
        BadInput: the key is wrong.
    """
    season = _in_state(db, name, "closed")
    secret = _secret(db, name, key)
    if commitment_of(season.terms, secret) != season.commitment:
        raise Conflict(
            f"the stored terms of season {name} are not those committed to: restore the database from a backup"
        )
    suite = suite_of(*_asked(season, season_seed_of(secret, name, str(season.beacon))))
    digest = suite.digest()
    with translate_errors(), Session(db) as session, session.begin():
        _move(session, name, "closed", revealed=secret.hex(), suite_digest=digest, revealed_at=utc_now())
        _check_idle(session, name)
        _unseal(session, name, suite.seed)
        record(session, actor, "season-reveal", f"season/{name}", secret=secret.hex(), suite_digest=digest)
    return get_season(db, name)


def _check_idle(session: Session, name: str) -> None:
    going = select(func.count()).where(SubmissionRow.season == name, SubmissionRow.state.not_in(_ENDED))
    n_going = session.scalars(going).one()
    if n_going:
        are = "submission of season {} is" if n_going == 1 else "submissions of season {} are"
        raise Conflict(f"{n_going} {are.format(name)} still running: wait for them, or cancel them")


def _unseal(session: Session, name: str, seed: str) -> None:
    session.execute(update(SuiteRow).where(SuiteRow.season == name, SuiteRow.sealed).values(seed=seed, sealed=False))
    session.execute(update(StandingRow).where(StandingRow.seed == sealed_seed(name)).values(seed=seed))
    pools = list(session.scalars(select(SuiteRow.pool).where(SuiteRow.season == name).distinct()))
    # both counters go up: no pool becomes stale, but kept pages are rendered again
    changed = update(PoolRow).where(PoolRow.id.in_([*pools, *(f"{pool}-all" for pool in pools)]))
    session.execute(changed.values(landed=PoolRow.landed + 1, ranked=PoolRow.ranked + 1))


def _move(session: Session, name: str, before: str, **values: Any) -> None:  # values of SeasonRow's columns
    """Move a season to its next state, or raise Conflict; the statement itself checks the old state."""
    after = SEASON_STATES[SEASON_STATES.index(before) + 1]
    guarded = update(SeasonRow).where(SeasonRow.id == name, SeasonRow.state == before)
    if session.execute(guarded.values(state=after, **values).returning(SeasonRow.id)).first() is None:
        raise Conflict(_next_of(session, name))


def _next_of(session: Session, name: str) -> str:
    state = session.scalars(select(SeasonRow.state).where(SeasonRow.id == name)).first()
    if state is None:
        raise _unknown(name)
    return f"season {name} is {state}: {_NEXT[state].format(name)}"


def _in_state(db: Engine, name: str, state: str) -> Season:
    season = get_season(db, name)
    if season.state != state:
        raise Conflict(f"season {name} is {season.state}: {season.next}")
    return season


def _unknown(name: str) -> UnknownSubmission:
    return UnknownSubmission(f"no season {name[:60]!r}: `fathom season list` and the page of seasons list them")


def _secret(db: Engine, name: str, key: str) -> bytes:
    with translate_errors(), Session(db) as session:
        return unlock(session.get_one(SeasonRow, name).secret, name, check_key(key))


def _asked(season: Season, seed: str) -> tuple[str, str, int | None]:
    return season.suite, seed, season.n


def season_seed(db: Engine, season: str, secret_key: str) -> str:
    """Return the true seed of a season, or the practice seed where `season` is empty. Secret while sealed.

    Raises:
        UnknownSubmission: there is no such season.
        Conflict: the season has no beacon yet.
        BadInput: the key is wrong.
    """
    if not season:
        return PRACTICE_SEED
    found = get_season(db, season)
    if found.beacon is None:
        raise Conflict(f"season {season} has no seed yet, it is {found.state}: {found.next}")
    secret = bytes.fromhex(found.revealed) if found.revealed else _secret(db, season, secret_key)
    return season_seed_of(secret, season, found.beacon)


def season_suite(db: Engine, season: str, secret_key: str) -> Suite:
    """Return a season's suite under its true seed; raises as `season_seed`."""
    found = get_season(db, season)
    return suite_of(*_asked(found, season_seed(db, season, secret_key)))


def items_of(db: Engine, season: str) -> int | None:
    """Return a season's own number of items per cell; None where it has none, or there is no season."""
    with translate_errors(), Session(db) as session:
        terms = session.scalars(select(SeasonRow.terms).where(SeasonRow.id == season)).first()
    return terms.get("n") if terms else None


def get_season(db: Engine, name: str) -> Season:
    """Return a season.

    Raises:
        UnknownSubmission: there is no such season.
    """
    if not _NAME.fullmatch(name):  # PostgreSQL refuses NUL
        raise _unknown(name)
    with translate_errors(), Session(db) as session:
        row = session.get(SeasonRow, name)
        if row is None:
            raise _unknown(name)
        return _season(row)


def list_seasons(db: Engine, state: str | None = None) -> tuple[Season, ...]:
    """Return seasons, newest first; all, or those in one state."""
    found = select(SeasonRow).order_by(SeasonRow.created_at.desc(), SeasonRow.id)
    if state is not None:
        found = found.where(SeasonRow.state == state)
    with translate_errors(), Session(db) as session:
        return tuple(_season(row) for row in session.scalars(found))


def _season(row: SeasonRow) -> Season:
    return Season(**{name: getattr(row, name) for name in Season.__slots__})

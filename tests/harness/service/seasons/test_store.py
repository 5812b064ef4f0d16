"""A season goes one way, a guarded step at a time, and says which step comes next."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from fathom.harness.db import audit, read, write
from fathom.harness.db.leaderboard.read import get_revision
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.schema.runs import StandingRow, SuiteRow
from fathom.harness.db.schema.service import SeasonRow, SubmissionRow, UserRow
from fathom.harness.engines.base import Completion
from fathom.harness.errors import BadInput, Conflict, UnknownSubmission
from fathom.harness.service.seasons import store as seasons
from fathom.harness.service.seasons.commitment import PRACTICE_SEED, verify_season
from fathom.harness.service.seasons.store import Beacon
from fathom.tasks.base import Verdict

KEY = "a key of at least thirty-two characters"
BEACON = Beacon("5d1f3c0b7a9e44d0", "drand round 4816212")


def make(db, name="2026-winter", n=1):
    return seasons.new_season(db, name, "quick", KEY, n)


def opened(db, name="2026-winter", beacon=BEACON):
    make(db, name)
    seasons.commit_season(db, name, KEY)
    return seasons.open_season(db, name, beacon, KEY)


def test_a_season_goes_from_new_to_revealed_and_can_be_verified(db):
    make(db)
    committed = seasons.commit_season(db, "2026-winter", KEY)
    assert (committed.state, len(committed.commitment), committed.beacon) == ("committed", 64, None)
    assert seasons.open_season(db, "2026-winter", BEACON, KEY).beacon_source == "drand round 4816212"
    assert seasons.close_season(db, "2026-winter").revealed is None
    done = seasons.reveal_season(db, "2026-winter", KEY)
    assert done.created_at <= done.committed_at <= done.opened_at <= done.closed_at <= done.revealed_at
    assert all(check.ok for check in verify_season(done.document()))
    assert [one.action for one in audit.list_entries(db, "season/2026-winter")] == [
        "season-reveal", "season-close", "season-open", "season-commit", "season-new",
    ]  # fmt: skip


STEPS = {
    "commit": lambda db: seasons.commit_season(db, "s", KEY),
    "open": lambda db: seasons.open_season(db, "s", Beacon("another beacon 123", "x"), KEY),
    "close": lambda db: seasons.close_season(db, "s"),
    "reveal": lambda db: seasons.reveal_season(db, "s", KEY),
}
EXPECTED = {
    "new": "commit",
    "committed": "open",
    "open": "close",
    "closed": "reveal",
    "revealed": "verify-season",
}


@pytest.mark.parametrize("state", EXPECTED)
def test_a_step_out_of_turn_is_refused_and_the_next_command_named(fresh_season, state):
    fresh_season(state)
    for step, call in STEPS.items():
        if step != EXPECTED[state]:
            with pytest.raises(Conflict, match=f"is {state}: .*`fathom (season )?{EXPECTED[state]} s"):
                call(fresh_season.db)
    assert seasons.get_season(fresh_season.db, "s").state == state


@pytest.fixture
def fresh_season(db):
    def bring(state):
        make(db, "s")
        order = {"committed": "commit", "open": "open", "closed": "close", "revealed": "reveal"}
        for reached, step in order.items():
            if seasons.SEASON_STATES.index(reached) <= seasons.SEASON_STATES.index(state):
                STEPS[step](db)

    bring.db = db
    return bring


def test_of_two_who_commit_at_once_one_is_refused(db):
    make(db)

    def commit(_):
        try:
            return seasons.commit_season(db, "2026-winter", KEY).commitment
        except Conflict:
            return None

    with ThreadPoolExecutor(4) as pool:
        found = [one for one in pool.map(commit, range(4)) if one]
    entries = [one for one in audit.list_entries(db, "season/2026-winter") if one.action == "season-commit"]
    assert (len(found), len(entries)) == (1, 1)


@pytest.mark.parametrize("name", ["", "Winter", "a b", "../x", "x" * 41, "-x"])
def test_a_name_that_has_no_place_in_an_address_is_refused(db, name):
    with pytest.raises(BadInput, match="lower-case"):
        make(db, name)


def test_a_name_is_given_once(db):
    make(db)
    with pytest.raises(Conflict, match="`fathom season commit 2026-winter` comes next"):
        make(db)


@pytest.mark.parametrize(
    "beacon", [Beacon("short", "x"), Beacon(" " * 30, "x"), Beacon("x" * 1001, "x"), Beacon("line\nline 12345678", "x"),
               Beacon("5d1f3c0b7a9e44d0", "  ")],
)  # fmt: skip
def test_a_beacon_that_proves_nothing_is_refused(db, beacon):
    make(db)
    seasons.commit_season(db, "2026-winter", KEY)
    with pytest.raises(BadInput, match="beacon"):
        seasons.open_season(db, "2026-winter", beacon, KEY)


def test_a_beacon_of_an_earlier_season_is_refused(db):
    opened(db)
    with pytest.raises(Conflict, match="season 2026-winter was opened with this beacon"):
        opened(db, "2026-spring", Beacon(f" {BEACON.text.upper()} ", "elsewhere"))


def test_the_secret_is_not_in_the_database_until_it_is_revealed(db):
    opened(db)
    seed = seasons.season_seed(db, "2026-winter", KEY)
    seasons.close_season(db, "2026-winter")
    with Session(db) as session:
        row = session.get_one(SeasonRow, "2026-winter")
        stored, revealed = row.secret, row.revealed
    secret = seasons.reveal_season(db, "2026-winter", KEY).revealed
    assert revealed is None
    assert bytes.fromhex(secret) not in stored
    assert seasons.season_seed(db, "2026-winter", "") == seed


def test_another_key_opens_nothing(db):
    opened(db)
    with pytest.raises(BadInput, match="does not decrypt"):
        seasons.season_seed(db, "2026-winter", KEY[::-1])


def test_practice_needs_no_key_and_an_unopened_season_has_no_seed(db):
    make(db)
    assert seasons.season_seed(db, "", "") == PRACTICE_SEED
    with pytest.raises(Conflict, match="has no seed yet, it is new"):
        seasons.season_seed(db, "2026-winter", KEY)
    with pytest.raises(UnknownSubmission):
        seasons.season_seed(db, "2027", KEY)
    assert (seasons.items_of(db, ""), seasons.items_of(db, "2026-winter")) == (None, 1)


def test_code_that_changed_since_the_commitment_does_not_open_the_season(db):
    make(db)
    season = seasons.commit_season(db, "2026-winter", KEY)
    with Session(db) as session, session.begin():
        session.execute(update(SeasonRow).values(terms={**season.terms, "prompt_digest": "0" * 32}))
    with pytest.raises(Conflict, match="committed to with another prompt_digest"):
        seasons.open_season(db, "2026-winter", BEACON, KEY)


def test_terms_that_were_changed_afterwards_are_not_revealed(db):
    season = opened(db)
    seasons.close_season(db, "2026-winter")
    with Session(db) as session, session.begin():
        session.execute(update(SeasonRow).values(terms={**season.terms, "fathom": "other"}))
    with pytest.raises(Conflict, match="not those committed to"):
        seasons.reveal_season(db, "2026-winter", KEY)


def answer(db, style):
    """Let a model answer one item of each cell of the open season that has this style."""
    suite = seasons.season_suite(db, "2026-winter", KEY)
    suite = replace(suite, cells=tuple(cell for cell in suite.cells if cell.style == style))
    new = write.NewRun("org/model", "vllm", suite, suite.digest(), {}, "0" * 32, season="2026-winter", sealed=True)
    run = write.start_run(db, new)
    cells = [cell.id for cell in read.get_run(db, run).cells]
    samples = [
        write.Sample(at, 0, 0, f"{at}", Completion(f"{at}", "x", "stop", 1, 1, 0.1), Verdict(True, "x", "correct"))
        for at in range(len(cells))
    ]
    write.record_samples(db, run, cells, samples)
    write.finish_run(db, run, write.Ending("done", 1.0))
    update_leaderboard(db)
    return run


def test_the_reveal_gives_all_runs_and_standings_the_true_seed_and_moves_the_boards_revision(db):
    opened(db)
    runs = [answer(db, style) for style in ("direct", "cot")]
    before, sealed = get_revision(db), [read.get_summary(db, run) for run in runs]
    seasons.close_season(db, "2026-winter")
    seasons.reveal_season(db, "2026-winter", KEY)
    seed, shown = seasons.season_seed(db, "2026-winter", ""), [read.get_summary(db, run) for run in runs]
    assert {(one.seed, one.sealed) for one in sealed} == {("sealed-2026-winter", True)}
    assert {(one.seed, one.sealed) for one in shown} == {(seed, False)}
    assert get_revision(db) != before
    with Session(db) as session:
        assert set(session.scalars(select(StandingRow.seed))) == {seed}
        assert set(session.scalars(select(SuiteRow.seed))) == {seed}


def test_a_season_with_a_submission_under_way_is_not_revealed(db):
    opened(db)
    seasons.close_season(db, "2026-winter")
    now = write.utc_now()
    with Session(db) as session, session.begin():
        session.add(UserRow(id=1, subject="local", name="local", created_at=now))
        session.flush()
        session.add(SubmissionRow(
            id="5", kind="model", owner_id=1, model="org/model", suite="quick", season="2026-winter",
            state="generating", created_at=now, changed_at=now,
        ))  # fmt: skip
    with pytest.raises(Conflict, match="1 submission of season 2026-winter is still running"):
        seasons.reveal_season(db, "2026-winter", KEY)
    assert seasons.get_season(db, "2026-winter").revealed is None

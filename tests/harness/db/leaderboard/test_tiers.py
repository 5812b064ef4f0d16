"""What a run's tier, layer and tombstone do to the ranks."""

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from fathom.harness.db import read, write
from fathom.harness.db.leaderboard import read as board
from fathom.harness.db.leaderboard.standings import mark_pools_stale, update_leaderboard
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.engines.base import Completion
from fathom.tasks.base import Verdict
from fathom.tasks.suites import Selection, open_suite


def put(db, model, n_right, seed=7, **columns):
    """Write a run of ten items that got the first `n_right` of them, and land it."""
    suite = open_suite("quick", seed, Selection(levels=("n4k1",), styles=("direct",), n=10))
    run = write.start_run(db, write.NewRun(model, "vllm", suite, suite.digest(), {}, "0" * 32))
    (cell,) = read.get_run(db, run).cells
    samples = [
        write.Sample(0, at, 0, f"{run}{at}", Completion(f"{run}{at}", " AB", "stop", 1, 1, 0.1),
                     Verdict(at < n_right, "AB", "correct" if at < n_right else "start"))
        for at in range(10)
    ]  # fmt: skip
    write.record_samples(db, run, [cell.id], samples)
    write.finish_run(db, run, write.Ending("done", 1.0))
    change(db, run, **columns)
    return run


def change(db, run, **columns):
    with Session(db) as session, session.begin():
        if columns:
            session.execute(update(RunRow).where(RunRow.id == run).values(**columns))
        mark_pools_stale(session, [run])
    update_leaderboard(db)


def ranked(db):
    """Names by rank, of the pools in the order of the board."""
    return [
        [one.model.name for one in board.list_standings(db, board.StandingQuery(pool.id, "direct")).standings]
        for pool in board.list_pools(db)
    ]


def test_uploads_are_ranked_on_a_table_of_their_own(db):
    put(db, "org/ours", 5)
    assert ranked(db) == [["org/ours"]]
    put(db, "org/sent", 9, tier=1)
    assert ranked(db) == [["org/ours"], ["org/sent", "org/ours"]]
    put(db, "org/late", 7)
    assert ranked(db) == [["org/late", "org/ours"], ["org/sent", "org/late", "org/ours"]]


def test_a_board_of_uploads_alone_says_that_they_are(db):
    put(db, "org/sent", 9, tier=1)
    (pool,) = board.list_pools(db)
    assert (pool.tier, pool.id.endswith("-all"), ranked(db)) == (1, True, [["org/sent"]])


def test_sent_results_never_displace_what_our_workers_found(db):
    ours = put(db, "org/model", 2)
    put(db, "org/model", 10, tier=1)
    standings = [
        board.list_standings(db, board.StandingQuery(pool.id, "direct")).standings for pool in board.list_pools(db)
    ]
    assert {one.run for page in standings for one in page} == {ours}


def test_a_replayed_run_joins_the_ranks(db):
    put(db, "org/ours", 5)
    sent = put(db, "org/sent", 9, tier=1)
    change(db, sent, tier=2)
    assert ranked(db)[0] == ["org/sent", "org/ours"]
    facets = board.list_pools(db)[0].facets
    assert facets.tiers == ("2", "3")
    only = board.list_standings(db, board.StandingQuery(board.list_pools(db)[0].id, "direct", tier=2)).standings
    assert [one.model.name for one in only] == ["org/sent"]


def test_a_hidden_run_leaves_the_ranks_and_may_come_back(db):
    run = put(db, "org/model", 5)
    put(db, "org/other", 6)
    change(db, run, hidden_at=write.utc_now())
    assert ranked(db) == [["org/other"]]
    assert read.get_run(db, run).summary.hidden_at is not None
    change(db, run, hidden_at=None)
    assert ranked(db) == [["org/other", "org/model"]]


@pytest.mark.parametrize("layer", ["fresh", "upload"])
def test_other_layers_are_never_ranked(db, layer):
    put(db, "org/model", 5)
    put(db, "org/other", 6, layer=layer)
    assert ranked(db) == [["org/model"]]


def test_an_upload_that_is_not_whole_is_shown_nowhere(db):
    run = put(db, "org/other", 6, layer="upload")
    assert (read.list_runs(db), read.count_runs(db)) == ((), 0)
    with pytest.raises(read.UnknownRun):
        read.get_run(db, run)


def test_a_model_page_shows_the_place_among_the_ranked_only(db):
    put(db, "org/sent", 9, tier=1)
    put(db, "org/ours", 5)
    sent, ours = (one for (one,) in (board.find_models(db, [name]) for name in ("org/sent", "org/ours")))
    places = board.ranks_of_models(db, [sent.id, ours.id])
    assert [(place.tier, place.pool.endswith("-all")) for place in places[sent.id]] == [(1, True)]
    assert [(place.tier, place.pool.endswith("-all")) for place in places[ours.id]] == [(3, False)]

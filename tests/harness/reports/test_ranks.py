"""Ranks on the command line are those of the board."""

import pytest

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard import read as board
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import NotComparable
from fathom.harness.reports.ranks import rank_runs, rank_suite, ranks_json
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.suites import Selection, open_suite

KINDS = ("chance", "noisy", "perfect")


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A database with three oracles on one suite, and the runs by kind."""
    db = open_database(f"sqlite:///{tmp_path_factory.mktemp('placing') / 'runs.db'}", create=True)
    runs = {kind: play(db, kind, 12) for kind in KINDS}
    yield db, runs
    db.dispose()


def play(db, kind, n):
    suite = open_suite("quick", 7, Selection(families=("depo",), n=n))
    return evaluate(
        Plan(
            ModelSource(f"oracle/{kind}", None, f"oracle/{kind}"), suite, RunSettings(engine=EngineSettings("oracle"))
        ),
        db,
    ).run


def test_the_ranks_of_a_pool_are_those_of_the_board(played):
    db, _ = played
    (pool,) = board.list_pools(db)
    found = rank_suite(db, None, None)
    assert [style for style, _ in found.styles] == list(pool.styles)
    for style, lines in found.styles:
        stored = board.list_standings(db, board.StandingQuery(pool.id, style)).standings
        mine = [(one.model, one.rank, one.low, one.high, one.tie, one.score) for one in lines]
        assert mine == [(one.model.name, one.rank, one.rank_low, one.rank_high, one.tie, one.score) for one in stored]
        assert lines[0].model == "oracle/perfect"


def test_chosen_runs_are_ranked_as_in_their_pool(played):
    db, runs = played
    chosen, pool = rank_runs(db, list(runs.values()), None), rank_suite(db, None, None)
    for (style, mine), (other, theirs) in zip(chosen.styles, pool.styles, strict=True):
        assert style == other
        for one, there in zip(mine, theirs, strict=True):
            assert (one.run, one.rank, one.low, one.high, one.tie) == (
                there.run, there.rank, there.low, there.high, there.tie
            )  # fmt: skip
            assert one.score.value == pytest.approx(there.score.value)
    assert (
        ranks_json(chosen)["asked"]
        == f"3 runs on {len(read.get_run(db, runs['noisy']).cells)} cells that all were asked"
    )


def test_a_suite_with_several_pools_is_named_by_its_pool(played):
    db, _ = played
    play(db, "noisy", 5)
    with pytest.raises(NotComparable, match="2 pools match; name one with --suite") as caught:
        rank_suite(db, "quick", None)
    for pool in board.list_pools(db):
        assert f"{pool.id}: quick suite" in str(caught.value)
        assert rank_suite(db, pool.id, "cot").styles[0][0] == "cot"
    with pytest.raises(NotComparable, match="no style 'free' here; known: direct, cot, choice"):
        rank_suite(db, pool.id, "free")
    with pytest.raises(NotComparable, match="no pool 'standard'"):
        rank_suite(db, "standard", None)


def test_runs_are_ranked_on_the_items_that_all_were_asked(played):
    db, runs = played
    short = play(db, "perfect", 4)
    (_, lines), *_ = rank_runs(db, [runs["noisy"], short], "direct").styles
    assert [one.run for one in lines] == [short, runs["noisy"]]
    with pytest.raises(NotComparable, match="two or more runs"):
        rank_runs(db, [short, short], None)

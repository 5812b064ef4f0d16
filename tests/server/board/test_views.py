"""What pages show is worked out from counts alone."""

import shlex

import pytest

from fathom.harness.db import read
from fathom.harness.db.leaderboard import read as board
from fathom.harness.reports.reproduce import reproduce
from fathom.harness.stats.scores import CellCounts
from fathom.server.board.samples import SampleQuery
from fathom.server.board.scores import CellGroup, level_order, score_of
from fathom.tasks.registry import find_family
from fathom.tasks.suites import Selection, open_suite


def cell(level="n4k1", n=10, k=5, **rest):
    values = {
        "id": 1, "family": "depo", "version": find_family("depo").version, "channel": "symbol", "style": "direct",
        "n_planned": n, "n_errors": 0, "labels": {},
    }  # fmt: skip
    return CellCounts(level=level, n=n, k=k, **{**values, **rest})


@pytest.mark.parametrize(
    ("k", "n", "standing"), [(0, 0, "unknown"), (1, 3, "level"), (0, 50, "below"), (50, 50, "above"), (17, 50, "level")]
)
def test_a_score_stands_where_its_whole_interval_lies(k, n, standing):
    assert score_of(cell(k=k, n=n)).standing == standing


def test_no_score_is_below_a_chance_of_zero():
    brevo = {"family": "brevo", "version": find_family("brevo").version, "level": "needs8"}
    scores = [score_of(cell(k=k, n=50, **brevo)) for k in (0, 1)]
    assert [score.chance for score in scores] == [0.0] * 2
    assert [score.standing for score in scores] == ["level", "above"]


@pytest.mark.parametrize(
    "change", [{"family": "gone"}, {"version": 99}, {"level": "n5k9"}, {"style": "sung"}, {"channel": "smell"}]
)
def test_chance_of_what_is_no_longer_made_is_not_known(change):
    score = score_of(cell(**change))
    assert score.chance is None
    assert score.standing == "unknown"


def test_levels_keep_the_familys_order_and_lost_ones_come_last():
    group = CellGroup("depo", find_family("depo").version, "symbol", "direct")
    assert level_order(group, ["n16k1", "lost", "n8k2", "n8k4", "n4k1"]) == ("n4k1", "n8k2", "n8k4", "n16k1", "lost")


def standings(db, **wanted):
    (pool,) = board.list_pools(db)
    return board.list_standings(db, board.StandingQuery(pool.id, "direct", **wanted)).standings


def test_a_model_is_shown_by_its_newest_finished_run(db, write_run):
    write_run(db)
    newest = write_run(db)
    for state in ("failed", "interrupted", None):
        write_run(db, write_run.story(state=state))
    (one,) = standings(db)
    assert (one.run, one.n_runs) == (newest, 2)


def test_a_model_without_a_finished_run_is_not_ranked(db, write_run):
    for state in ("failed", "interrupted", None):
        write_run(db, write_run.story(state=state))
    assert board.list_pools(db) == ()


def test_a_narrowed_run_is_never_compared_with_a_whole_one(db, write_run):
    write_run(db, write_run.story(model="whole", texts=(" AB",) * 4))
    write_run(db, write_run.story(model="narrow"))
    pools = board.list_pools(db)
    assert [(pool.n_models, pool.n_items) for pool in pools] == [(1, 4), (1, 1)]


def test_words_of_a_search_are_found_whatever_the_case_and_wildcards_are_letters(db, write_run):
    for name in ("Org/Heron-7b", "org/tern_7b", "org/tern-7b", "org/100%"):
        write_run(db, write_run.story(model=name))
    found = {
        text: {one.model.name for one in standings(db, search=text)} for text in ("HERON", "7B org", "n_7", "%", "\\")
    }
    assert found == {
        "HERON": {"Org/Heron-7b"}, "7B org": {"Org/Heron-7b", "org/tern_7b", "org/tern-7b"},
        "n_7": {"org/tern_7b"}, "%": {"org/100%"}, "\\": set(),
    }  # fmt: skip


@pytest.mark.parametrize(
    "selection",
    [Selection(n=1), Selection(levels=("n4k1", "n8k3"), styles=("cot", "direct"), channels=("story",), n=2)],
)
def test_the_command_names_what_differs_from_the_suite(db, selection):
    from fathom.harness.db import write

    suite = open_suite("quick", "9f", selection)
    run = write.start_run(db, write.NewRun("my model", "vllm", suite, suite.digest(), {}, "0" * 32))
    words = shlex.split(reproduce(read.get_run(db, run)))
    given = dict(zip(words[2::2], words[3::2], strict=True))
    names = {
        option: tuple(given.get(f"--{option}", "").split(",")) if f"--{option}" in given else ()
        for option in given_axes()
    }
    again = Selection(names["families"], names["levels"], names["channel"], names["style"], int(given["--n"]))
    assert given["--model"] == "my model"
    assert open_suite(given["--suite"], given["--seed"], again).cells == suite.cells


def given_axes():
    return ("families", "levels", "channel", "style")


def test_a_link_keeps_the_filter_and_leaves_out_what_is_open():
    assert SampleQuery(cell=3, label="a b&c", correct=False).link(2) == "?cell=3&label=a+b%26c&correct=false&page=2"
    assert SampleQuery().link(1) == "?"

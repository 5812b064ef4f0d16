"""What pages show is worked out from counts alone."""

import shlex

import pytest

from harness.db import read
from harness.db.read import CellCounts
from harness.suite import Selection, open_suite
from server.board import make_board
from server.overview import make_overviews
from server.runs import reproduce_command
from server.samples import Query
from server.scores import Group, level_order, score_of


def cell(level="n4k1", n=10, k=5, **rest):
    values = {
        "id": 1, "family": "depo", "version": 1, "channel": "symbol", "style": "direct", "n_planned": n, "n_errors": 0,
        "labels": {},
    }  # fmt: skip
    return CellCounts(level=level, n=n, k=k, **{**values, **rest})


@pytest.mark.parametrize(
    ("k", "n", "standing"), [(0, 0, "unknown"), (1, 3, "level"), (0, 50, "below"), (50, 50, "above"), (17, 50, "level")]
)
def test_a_score_stands_where_its_whole_interval_lies(k, n, standing):
    assert score_of(cell(k=k, n=n)).standing == standing


@pytest.mark.parametrize(
    "change", [{"family": "gone"}, {"version": 99}, {"level": "n5k9"}, {"style": "sung"}, {"channel": "smell"}]
)
def test_chance_of_what_is_no_longer_made_is_not_known(change):
    score = score_of(cell(**change))
    assert score.chance is None
    assert score.standing == "unknown"


def test_levels_keep_the_familys_order_and_lost_ones_come_last():
    group = Group("depo", 1, "symbol", "direct")
    assert level_order(group, ["n16k1", "lost", "n4k2", "n8k6", "n4k1"]) == ("n4k1", "n4k2", "n8k6", "n16k1", "lost")


def test_versions_of_a_family_never_share_a_table(db, write_run):
    runs = [write_run(db, write_run.story(model=name)) for name in ("a", "b")]
    stored = read.cells_of_runs(db, runs)
    cells = {runs[0]: stored[runs[0]], runs[1]: (cell(version=99),)}
    (section,) = make_board(read.board_runs(db), cells)
    assert [table.group.version for table in section.tables] == [99, 1]


def test_rows_stand_by_mean_accuracy_and_a_missing_level_counts_nothing(db, write_run):
    runs = {name: write_run(db, write_run.story(model=name)) for name in ("half", "best", "one")}
    cells = {
        runs["half"]: (cell(k=5), cell("n8k1", k=6)),
        runs["best"]: (cell(k=9), cell("n8k1", k=9)),
        runs["one"]: (cell(k=10),),
    }
    (section,) = make_board(read.board_runs(db), cells)
    assert [row.run.model for row in section.tables[0].rows] == ["best", "half", "one"]


def test_a_narrowed_run_is_never_compared_with_a_whole_one(db, write_run):
    runs = {name: write_run(db, write_run.story(model=name)) for name in ("whole", "other", "narrow")}
    cells = {
        runs["whole"]: (cell(k=5), cell("n8k1", k=6)),
        runs["other"]: (cell("n8k1", k=9), cell(k=9)),
        runs["narrow"]: (cell(k=10),),
    }
    whole, narrow = make_overviews(read.board_runs(db), cells)
    assert [line.run.model for line in whole.lines] == ["other", "whole"]
    assert [line.run.model for line in narrow.lines] == ["narrow"]
    assert (whole.n_cells, narrow.n_cells) == (2, 1)


def test_a_running_model_stands_below_the_finished_ones(db, write_run):
    runs = {
        name: write_run(db, write_run.story(model=name, state=state)) for name, state in (("a", "done"), ("b", None))
    }
    (table,) = make_overviews(read.board_runs(db), {runs["a"]: (cell(k=1),), runs["b"]: (cell(k=10),)})
    assert [line.run.model for line in table.lines] == ["a", "b"]


def test_a_model_is_shown_by_its_newest_finished_run(db, write_run):
    write_run(db)
    newest = write_run(db)
    write_run(db, write_run.story(state="failed"))
    write_run(db, write_run.story(state="interrupted"))
    write_run(db, write_run.story(state=None))
    assert [one.run for one in read.board_runs(db)] == [newest]


def test_a_running_run_stands_in_until_one_is_finished(db, write_run):
    running = write_run(db, write_run.story(state=None))
    assert [(one.run, one.state) for one in read.board_runs(db)] == [(running, "running")]


def test_a_failed_run_alone_is_not_on_the_board(db, write_run):
    write_run(db, write_run.story(state="failed"))
    assert read.board_runs(db) == ()


@pytest.mark.parametrize(
    "selection",
    [Selection(n=1), Selection(levels=("n4k1", "n8k3"), styles=("cot", "direct"), channels=("story",), n=2)],
)
def test_the_command_names_what_differs_from_the_suite(db, selection):
    from harness.db import write

    suite = open_suite("quick", "9f", selection)
    run = write.start_run(db, write.NewRun("my model", "vllm", suite, suite.digest(), {}, "0" * 32))
    words = shlex.split(reproduce_command(read.get_run(db, run)))
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
    assert Query(cell=3, label="a b&c", correct=False).link(2) == "?cell=3&label=a+b%26c&correct=false&page=2"
    assert Query().link(1) == "?"

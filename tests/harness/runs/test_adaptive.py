"""Runs on the adaptive suite: what they ask is decided by their answers alone, however often they are killed."""

import json
import signal
import time
from dataclasses import replace

import pytest

from fathom.harness.api import Run, evaluate
from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.records import RunDetail
from fathom.harness.reports.depths import ends_of
from fathom.harness.runs.ladders import LadderProgress, design_of, open_ladders
from fathom.harness.stats.depth import Design
from fathom.harness.stats.intervals import Rung
from fathom.tasks.suites import Selection, open_suite
from tests.peeking import stored

WORDS = (
    "--model", "oracle/noisy", "--engine", "oracle", "--families", "depo,brevo", "--style", "direct,cot", "--seed", 5,
)  # fmt: skip


def asked(database, run=None):
    """Return how many items of each cell a run asked, and how many it got right, by level, channel and style."""
    db = open_database(str(database), create=False)
    detail: RunDetail = read.get_run(db, run or read.list_runs(db)[0].run)
    return {(cell.family, cell.level, cell.style): (cell.n_planned, cell.n, cell.k) for cell in detail.cells}


@pytest.fixture(scope="module")
def whole(fathom, tmp_path_factory):
    """An undisturbed run: its database, and what it printed."""
    database = tmp_path_factory.mktemp("depth") / "whole.db"
    done = fathom("depth", *WORDS, "--db", database)
    assert done.returncode == 0, done.stderr
    return database, done.stdout


def test_two_runs_of_a_seed_ask_the_same_items(whole, fathom, tmp_path):
    again = tmp_path / "again.db"
    assert fathom("depth", *WORDS, "--db", again).returncode == 0
    assert asked(again) == asked(whole[0])
    other = tmp_path / "other.db"
    assert fathom("depth", *WORDS[:-1], 6, "--db", other).returncode == 0
    assert asked(other) != asked(whole[0])


def test_what_was_asked_is_what_was_planned(whole):
    found = asked(whole[0])
    assert all(planned == n >= 2 for planned, n, _ in found.values())
    db = open_database(str(whole[0]), create=False)
    (run,) = read.list_runs(db)
    assert run.state == "done"
    assert run.n_items == run.n_done == sum(n for _, n, _ in found.values())
    assert run.layer == "adaptive"


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_batches(whole, start_fathom, fathom, tmp_path):
    database = tmp_path / "killed.db"
    process = start_fathom("depth", *WORDS, "--db", database)
    end = time.monotonic() + 120
    while stored(database)[1] < 100:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run, kept = stored(database)
    resumed = fathom("run", "--resume", run, "--db", database)
    assert resumed.returncode == 0, resumed.stderr
    assert asked(database) == asked(whole[0])
    assert f"{kept} recalled" in resumed.stdout.replace(",", "")


def test_the_terminal_shows_a_ruler_a_ladder_and_what_thinking_adds(whole):
    said = whole[1]
    assert said.count("●") >= 4
    assert "thinking adds" in said
    assert "hops" in said
    assert "items in" in said


def test_a_run_as_json_and_as_a_python_value_gives_its_depths(whole, fathom):
    db = open_database(str(whole[0]), create=False)
    (run,) = read.list_runs(db)
    shown = json.loads(fathom("show", run.run, "--db", whole[0], "--json").stdout)
    depths = {(one["family"], one["style"]): one for one in shown["depths"]}
    one = depths["depo", "direct"]
    assert one["low"] < one["depth"] < one["high"]
    assert one["fits"] is True
    assert one["ended"] == "narrow"
    frame = Run.load(run.run, whole[0]).depths
    assert set(frame["family"]) == {"depo", "brevo"}


def test_a_model_that_no_falling_curve_describes_is_told(fathom, tmp_path):
    done = fathom("depth", "--model", "oracle/even", "--engine", "oracle", "--families", "depo", "--style", "direct",
                  "--seed", 1, "--db", tmp_path / "even.db")  # fmt: skip
    assert "does not fall steadily with the number of hops" in " ".join(done.stdout.split())


def test_two_models_are_compared_by_depth(fathom, tmp_path):
    database, runs = tmp_path / "two.db", []
    for model in ("noisy-4", "noisy-8"):
        done = fathom("depth", "--model", f"oracle/{model}", "--engine", "oracle", "--families", "depo", "--style",
                      "direct", "--seed", 3, "--db", database, "--json")  # fmt: skip
        runs.append(json.loads(done.stdout)["run"])
    compared = json.loads(fathom("compare", *runs, "--db", database, "--json").stdout)
    assert compared[0]["ahead"] == 2
    assert 0.5 < compared[0]["doublings"] < 1.6
    fixed = fathom("run", "--model", "oracle/noisy-4", "--engine", "oracle", "--families", "depo", "--style", "direct",
                   "--levels", "n8k*,n16k*", "--seed", 9, "--db", database, "--json")  # fmt: skip
    said = fathom("compare", runs[0], json.loads(fixed.stdout)["run"], "--db", database)
    assert "tie" in said.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--levels", "n8k1"), "depth is found from several levels"),
        (("--precision", "9"), "give 0.01 to 4"),
        (("--families", "nope"), "no family"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(fathom, tmp_path, words, said):
    done = fathom("depth", "--model", "oracle/noisy", "--engine", "oracle", *words, "--db", tmp_path / "x.db")
    assert done.returncode == 2
    assert said in done.stderr


def test_repeats_are_refused(fathom, tmp_path):
    done = fathom("run", "--suite", "depth", "--engine", "oracle", "--repeats", 2, "--temperature", 1, "--style", "cot",
                  "--db", tmp_path / "x.db")  # fmt: skip
    assert done.returncode == 2
    assert "one answer to each question" in done.stderr


def test_a_ladder_whose_engine_only_fails_ends():
    one = LadderProgress((0, 1), [Rung(1, 0, 0, 0.1), Rung(2, 0, 0, 0.1)], [0, 0])
    for _ in range(40):
        step = one.step(Design())
        if step.reason:
            break
        for at, n in step.asks:
            one.count(at, [None] * n)
    assert step.reason == "failed"
    assert sum(one.n_asked) <= 40


def test_a_ladder_without_an_answer_is_said_to_have_failed(whole):
    db = open_database(str(whole[0]), create=False)
    detail = read.get_run(db, read.list_runs(db)[0].run)
    cells = tuple(
        replace(cell, n=0, k=0, n_errors=4) if (cell.family, cell.style) == ("brevo", "cot") else cell
        for cell in detail.cells
    )
    ends = ends_of(replace(detail, cells=cells))
    assert ends.pop("brevo main symbol cot") == "failed"
    assert set(ends.values()) <= {"narrow", "spent", "exhausted"}


def test_the_fewer_ladders_the_larger_their_batches():
    few = open_suite("depth", 1, Selection(families=("depo",), styles=("direct",)))
    assert design_of(few, 0.25).batch == 32
    assert design_of(open_suite("depth", 1), 0.25).batch == 13
    assert len(open_ladders(open_suite("depth", 1))) == 20


def test_python_measures_depth_too(tmp_path):
    words = {"engine": "oracle", "families": "depo", "style": "direct", "seed": 4, "db": tmp_path / "e.db"}
    run = evaluate("oracle/noisy", suite="depth", **words)
    assert run.depths.depth.iloc[0] == pytest.approx(3, rel=0.5)
    rough = evaluate("oracle/noisy", suite="depth", precision=1.0, **words)
    assert rough.depths.n.iloc[0] < run.depths.n.iloc[0]

"""The commands that say how sure a number is, as users call them, on real models."""

import json

import pytest
from scipy.stats import binomtest

from fathom.harness.db.engine import open_database
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import find_model
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan, resolve_model
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.suites import Selection, open_suite

N = 30


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A database file, and runs of the reference models by name; `again` is pebble in another precision."""
    path = tmp_path_factory.mktemp("stats") / "runs.db"
    db = open_database(str(path), create=True)
    suite = open_suite("quick", 2026, Selection(levels=("n8k1", "n8k2"), styles=("direct", "choice"), n=N))
    runs = {}
    for name, model, setup in (
        ("pebble", "pebble", EngineSettings("hf")),
        ("early", "pebble-early", EngineSettings("hf")),
        ("again", "pebble", EngineSettings("hf", "bfloat16")),
    ):
        plan = Plan(find_model(f"reference/{model}"), suite, RunSettings(engine=setup))
        runs[name] = evaluate(plan, db).run
    runs["oracle"] = evaluate(
        Plan(resolve_model("noisy", EngineSettings("oracle")), suite, RunSettings(engine=EngineSettings("oracle"))), db
    ).run
    yield path, db, runs
    db.dispose()


def exported(fathom, path, run, folder):
    """Export a run; return whether each answer is right, by item and style."""
    file = folder / f"{run}.jsonl"
    done = fathom("export", run, "--out", file, "--db", path)
    assert done.returncode == 0, done.stderr
    rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return {(row["item"], row["style"]): row["correct"] for row in rows}


@pytest.mark.slow
def test_p_is_scipys_exact_test_of_the_exported_samples(fathom, played, tmp_path):
    path, _, runs = played
    done = fathom("compare", runs["pebble"], "reference/pebble-early", "--json", "--db", path)
    assert done.returncode == 0, done.stderr
    first, second = (exported(fathom, path, runs[name], tmp_path) for name in ("pebble", "early"))
    assert first.keys() == second.keys()
    found = json.loads(done.stdout)["comparisons"]
    assert [(one["style"], one["family"]) for one in found] == [("direct", "depo"), ("choice", "depo")]
    for one in found:
        b = sum(right and not second[key] for key, right in first.items() if key[1] == one["style"])
        c = sum(second[key] and not right for key, right in first.items() if key[1] == one["style"])
        assert (one["n"], one["only_first"], one["only_second"]) == (2 * N, b, c)
        assert b + c
        assert one["p"] == pytest.approx(binomtest(b, b + c).pvalue, rel=1e-12)


def test_two_runs_of_one_model_are_a_tie(fathom, played):
    path, _, runs = played
    shown = fathom("compare", runs["pebble"], runs["again"], "--db", path).stdout
    assert "note: both are runs of one model" in shown
    assert "note: dtype none of A, bfloat16 of B" in shown
    assert shown.count("tie") >= 2
    assert "ahead" not in shown


def test_the_table_fits_and_says_who_is_ahead(fathom, played):
    path, _, runs = played
    shown = fathom("compare", runs["early"], runs["oracle"], "--style", "direct", "--db", path).stdout.splitlines()
    assert shown[1].split()[:4] == ["A", "reference/pebble-early", "run", runs["early"]]
    line = next(one for one in shown if one.startswith("depo  "))
    assert line.split()[-2:] == ["B", "ahead"]
    assert max(map(len, shown)) <= 120
    assert not any("…" in one for one in shown)


def test_ranks_come_as_a_table_and_as_json(fathom, played):
    path, _, runs = played
    found = json.loads(fathom("rank", runs["pebble"], runs["early"], "--json", "--db", path).stdout)
    assert found["styles"]["direct"][0]["model"] == "reference/pebble"
    shown = fathom("rank", "--db", path, "--style", "direct").stdout
    assert "quick suite, 120 items in 4 cells" in shown
    assert "reference/pebble-early" in shown


def test_what_cannot_be_done_is_said_in_a_line(fathom, played):
    path, _, runs = played
    for words in (("compare", "a", "b"), ("rank", runs["early"])):
        done = fathom(*words, "--db", path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert done.stderr.startswith("fathom: ")

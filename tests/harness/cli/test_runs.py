"""The commands about stored runs, as users call them, on runs of oracles."""

import os
import shutil

import pytest
from sqlalchemy import update

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.engines import factory
from fathom.harness.engines.base import Completion
from fathom.harness.engines.model import REFERENCE
from fathom.harness.engines.oracle import OracleEngine

ASKED = ("--families", "depo", "--levels", "n8k1", "--style", "direct", "--n", "4", "--seed", "7")
ORACLE = ("run", "--engine", "oracle", "--model", "oracle/noisy", *ASKED)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


@pytest.fixture
def runs(path):
    """Return the stored runs, newest first."""

    def get():
        db = open_database(str(path), create=False)
        found = read.list_runs(db)
        db.dispose()
        return found

    return get


def failing(monkeypatch, fails):
    """Let the oracle fail on the items whose index `fails` accepts."""

    class Failing(OracleEngine):
        def _complete(self, request):
            number = int(request.item.rpartition("/")[2])
            if not fails(number):
                return super()._complete(request)
            reason = f"MalformedAnswer: no text in answer {number}" if number else "Refused: too hot"
            return Completion(request.key, "", "error", 0, 0, 0.0, error=reason)

    monkeypatch.setattr(factory, "OracleEngine", Failing)


def test_a_run_without_any_answer_has_failed(fathom, path, runs, monkeypatch):
    failing(monkeypatch, lambda _: True)
    done = fathom(*ORACLE, "--db", path)
    (one,) = runs()
    said = "no request was answered: 4 of 4 requests failed, 3 times with: MalformedAnswer: no text in answer"
    assert (done.returncode, one.state) == (3, "failed")
    assert said in done.stderr
    assert f"fathom run --resume {one.run}" in done.stdout
    assert said in fathom("runs", "--db", path).stdout
    assert "1 x Refused: too hot" in fathom("show", one.run, "--json", "--db", path).stdout
    monkeypatch.undo()
    assert fathom("run", "--resume", one.run, "--db", path).returncode == 0
    assert [(one.state, one.error) for one in runs()] == [("done", None)]


def test_a_run_with_failed_requests_says_how_many_and_why(fathom, path, runs, monkeypatch):
    failing(monkeypatch, lambda number: number == 2)
    done = fathom(*ORACLE, "--db", path)
    said = "1 of 4 requests failed, each time with: MalformedAnswer: no text in answer 2"
    assert done.returncode == 0
    assert said in done.stdout
    assert said in fathom("show", runs()[0].run, "--db", path).stdout


def test_a_killed_run_is_listed_as_interrupted_and_resumed(fathom, path, runs):
    fathom(*ORACLE, "--db", path)
    (one,) = runs()
    db = open_database(str(path), create=False)
    with db.begin() as connection:
        holder = f"here {os.getpid()} - - gone"
        values = {"state": "running", "holder": holder, "heartbeat_at": one.created_at.replace(year=2020)}
        connection.execute(update(RunRow).values(**values))
    db.dispose()
    listed = fathom("runs", "--db", path).stdout
    assert "interrupted" in listed
    assert f"`fathom run --resume {one.run}`" in listed
    assert fathom("run", "--resume", one.run, "--db", path).returncode == 0
    assert runs()[0].state == "done"


def test_a_run_is_deleted_after_a_yes(fathom, path, runs):
    fathom(*ORACLE, "--db", path)
    (one,) = runs()
    asked = fathom("runs", "--delete", one.run[:6], "--db", path)
    assert asked.returncode == 2
    assert "4 answers, 1 rank on the board; it is the only run of oracle/noisy" in asked.stdout
    assert "--yes" in asked.stderr
    assert len(runs()) == 1
    assert fathom("runs", "--delete", one.run, "--yes", "--db", path).returncode == 0
    assert runs() == ()
    assert "--delete" in fathom("runs", "--yes", "--db", path).stderr


def test_an_export_says_which_files_it_writes(fathom, path, runs, tmp_path):
    fathom(*ORACLE, "--db", path)
    (one,) = runs()
    refused = fathom("export", one.run, "--out", tmp_path / "x.nope", "--db", path)
    assert refused.returncode == 2
    assert ".jsonl, .parquet, .csv" in refused.stderr
    assert not (tmp_path / "x.nope").exists()
    for folder, words in (("v1.2", ()), ("x.nope", ("--format", "csv")), ("plain", ())):
        assert fathom("export", one.run, "--out", tmp_path / folder, *words, "--db", path).returncode == 0
        assert (tmp_path / folder).is_dir()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("families", "nope"), "no family 'nope'"),
        (("run", "--engine", "oracle", "--seed", "7" * 150), "at most 100 digits, and this one 150"),
        (("run", "--engine", "hf", "--model", "reference/pebble", "--tensor-parallel", "2"), "--tensor-parallel"),
        (("run", "--engine", "oracle", "--name", "mine"), "organisation/name"),
        (("run", "--engine", "oracle", "--name", "reference/x"), "reserved"),
        (("run", "--engine", "oracle", "--name", "org/x"), "the oracle is no model"),
        (
            ("run", "--engine", "openai", "--model", "m", "--base-url", "http://h:1/v1/chat/completions"),
            "http://h:1/v1",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_advice_that_fits(fathom, path, words, said):
    done = fathom(*words, "--db", path) if words[0] != "families" else fathom(*words)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]


def test_no_style_is_taken_for_another_fault(fathom, path, runs):
    fathom(*ORACLE, "--db", path)
    fathom(*ORACLE, "--db", path)
    one, other = (found.run for found in runs())
    for words in (("rank",), ("rank", "--suite", "nope"), ("compare", one, other)):
        assert "no style 'nope'; known: direct, cot" in fathom(*words, "--style", "nope", "--db", path).stderr


def test_no_run_is_compared_with_itself(fathom, path, runs):
    fathom(*ORACLE, "--db", path)
    (one,) = runs()
    for words in (("oracle/noisy", one.run), ("oracle/noisy", "oracle/noisy")):
        assert f"both mean run {one.run}" in fathom("compare", *words, "--db", path).stderr
    fathom(*ORACLE, "--db", path)
    compared = fathom("compare", "oracle/noisy", one.run, "--db", path).stdout
    assert all(found.run in compared for found in runs())


def test_one_family_is_listed_by_name(fathom):
    done = fathom("families", "depo")
    assert "n8k1" in done.stdout
    assert "mano@" not in done.stdout


@pytest.mark.slow
def test_a_folder_is_one_model_however_it_is_typed_and_two_of_one_name_are_two(fathom, path, runs, tmp_path):
    for parent, model in (("a", "pebble"), ("b", "pebble-early")):
        shutil.copytree(REFERENCE / model, tmp_path / parent / "last")
    asked = ("--engine", "hf", "--families", "depo", "--levels", "n8k1", "--style", "direct", "--n", "2", "--seed", "7")
    for folder in ("a/last", "./a/last/", "b/last", tmp_path / "a" / "last"):
        done = fathom("run", "--model", folder, *asked, "--db", path, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    named = [one.model for one in runs()]
    second = named[1]
    assert named == ["last", second, "last", "last"]
    assert second.startswith("last@")
    compared = fathom("compare", "./a/last", "b/last", "--db", path, cwd=tmp_path)
    assert (compared.returncode, second in compared.stdout) == (0, True), compared.stderr
    fathom("run", "--model", "a/last", "--name", "org/mine", *asked, "--db", path, cwd=tmp_path)
    assert [one.model for one in runs()] == ["org/mine", "org/mine", second, "org/mine", "org/mine"]
    resumed = fathom("run", "--resume", runs()[-1].run, "--db", path)  # from another folder, under its first name
    assert "nothing is missing" in resumed.stdout

"""Runs of models that cannot be asked truly: refused before they start, or stored with the error of each request."""

import json

import pytest

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.records import SampleFilter
from tests.odd_model import UNKNOWN, make_broken, make_odd
from tests.thinker import ECHO

ASKED = ("--engine", "hf", "--families", "depo", "--levels", "n8k1", "--channel", "symbol", "--n", 2, "--seed", 7)
DROPS = "{% for message in messages %}{% if message.role != 'system' %}{{ message.content }}{% endif %}{% endfor %}"


def test_a_model_that_computes_no_numbers_gets_no_answers_and_no_scores(database, fathom, tmp_path):
    model = make_broken(tmp_path / "broken")
    fathom("run", "--model", model, *ASKED, "--style", "direct,choice", "--db", database)
    db = open_database(database, create=False)
    detail = read.get_run(db, read.list_runs(db)[0].run)
    samples = read.get_samples(db, detail, SampleFilter()).samples
    assert [(one.label, one.scores, one.completion, one.correct) for one in samples] == [
        ("engine_error", None, "", False)
    ] * 4
    assert all("try --dtype float32" in one.error for one in samples)
    db.dispose()


@pytest.mark.parametrize(
    ("template", "words", "reason"),
    [
        (DROPS, ("--chat", "--system", "You are a pirate."), "leaves system messages out"),
        (ECHO.replace("{% for", f"{UNKNOWN}{{% for"), ("--chat",), "the model has embeddings for 2026: resize"),
    ],
)
def test_a_chat_that_would_not_reach_the_model_is_refused_before_the_run(fathom, tmp_path, template, words, reason):
    model = make_odd(tmp_path / "odd", template)
    done = fathom("run", "--model", model, *ASKED, "--style", "direct", *words, "--db", tmp_path / "runs.db")
    assert done.returncode == 2
    assert reason in done.stderr
    assert not (tmp_path / "runs.db").exists()


def test_a_system_message_that_a_template_trims_or_moves_is_read(fathom, tmp_path):
    template = "{% for message in messages %}[{{ message.content | trim }}]{% endfor %}"
    model = make_odd(tmp_path / "odd", template)
    words = ("--chat", "--system", " Be brief. \n", "--db", tmp_path / "runs.db", "--json")
    done = fathom("run", "--model", model, *ASKED, "--style", "direct", *words)
    assert done.returncode == 0, done.stderr
    assert "[Be brief.]" in json.loads(done.stdout)["manifest"]["first_prompt"]["text"]

"""The command that does a run again leads to the same manifest."""

import shlex
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from fathom.harness.cli import run as run_command
from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.reports.reproduce import reproduce
from fathom.harness.runs.manifest import make_manifest
from fathom.harness.runs.run_settings import PromptSettings, RunSettings, SamplingSettings, Thinking
from fathom.server.cli.main import build
from fathom.tasks.suites import Selection, Suite, SuiteCell, open_suite

ORACLE = ModelSource("oracle/noisy", None, "oracle/noisy")
ON_ORACLE = RunSettings(engine=EngineSettings("oracle"))


@pytest.fixture
def db(tmp_path):
    engine = open_database(str(tmp_path / "runs.db"), create=True)
    yield engine
    engine.dispose()


def stored(db, selection=None, settings=ON_ORACLE, suite=None):
    suite = suite or open_suite("quick", 7, selection or Selection(("depo",), n=2))
    manifest = make_manifest(ORACLE, suite, settings)
    new = write.NewRun(ORACLE.name, "oracle", suite, suite.digest(), manifest.to_json(), manifest.digest())
    return read.get_run(db, write.start_run(db, new))


def test_running_the_command_gives_the_same_manifest(db, tmp_path):
    words = shlex.split(reproduce(stored(db, settings=replace(ON_ORACLE, prompt=PromptSettings(n_shots=1)))))
    done = CliRunner().invoke(build(), [*words[1:], "--db", str(tmp_path / "again.db")])
    assert done.exit_code == 0, done.output
    again = open_database(str(tmp_path / "again.db"), create=False)
    (one,) = read.list_runs(again)
    assert one.state == "done"
    (first,) = read.list_runs(db)
    digests = {read.get_run(base, run.run).manifest_digest for base, run in ((db, first), (again, one))}
    again.dispose()
    assert len(digests) == 1


SETTINGS = {
    "chat": replace(ON_ORACLE, prompt=PromptSettings(3, True, "Be brief, it's 5 o'clock.\n$HOME", "text", {"enable_thinking": False, "kind": "x y", "digits": "7"})),
    "drawn": replace(ON_ORACLE, sampling=SamplingSettings(8, 0.7, {"cot": 2048, "direct": 12}, Thinking("<t>", "</t>", 99))),
    "greedy again": replace(ON_ORACLE, sampling=SamplingSettings(2, 0.0)),
    "engine": replace(ON_ORACLE, engine=EngineSettings("oracle", "float32", {"max_model_len": 512, "quantization": "fp8", "tensor_parallel_size": 2, "lora": "a b/c"})),
}  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_every_option_of_a_run_is_in_its_command(db, settings, monkeypatch):
    detail = stored(db, settings=settings)
    suite, asked = planned(shlex.split(reproduce(detail)), monkeypatch)
    again = make_manifest(ORACLE, suite, asked)
    assert again.digest() == detail.manifest_digest
    assert again.context.placement == detail.manifest.context.placement


def planned(words, monkeypatch):
    """Return the suite and the settings that a command leads to, before anything is checked."""
    made = []
    monkeypatch.setattr(
        run_command, "make_plan", lambda _model, _revision, suite, settings, *_, **__: made.append((suite, settings))
    )
    monkeypatch.setattr(run_command, "run_suite", lambda *_: 0)
    assert CliRunner().invoke(build(), words[1:]).exit_code == 0
    return made[0]


SELECTIONS = {
    "the suite": Selection(),
    "some families": Selection(("mano", "depo")),
    "levels": Selection((), ("n8k2", "n8k3"), n=5),
    "styles of a family": Selection(("depo",), styles=("choice", "direct"), n=5),
    "a channel": Selection(("depo", "bios"), channels=("story",)),
}


@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS.keys())
def test_the_command_names_the_cells_in_few_words(db, selection, monkeypatch):
    detail = stored(db, selection)
    words = shlex.split(reproduce(detail))
    suite, _ = planned(words, monkeypatch)
    assert suite.cells == detail.suite.cells
    named = [
        value
        for value in (selection.families, selection.levels, selection.channels, selection.styles, selection.n)
        if value
    ]
    assert len(words) <= 10 + 2 * len(named)


def test_there_is_no_command_that_would_ask_something_else(db):
    odd = Suite("quick", "1", "7", (SuiteCell("depo", 1, "n8k1", "symbol", "direct", 3), SuiteCell("depo", 1, "n8k2", "symbol", "direct", 4)))  # fmt: skip
    assert reproduce(stored(db, suite=odd)) == ""

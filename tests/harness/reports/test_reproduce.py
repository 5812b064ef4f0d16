"""The command that does a run again leads to the same manifest."""

import shlex

import pytest
from typer.testing import CliRunner

from fathom.harness.cli import run_command as running
from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.engines.base import EngineSetup
from fathom.harness.engines.model import ModelSource
from fathom.harness.reports.reproduce import reproduce
from fathom.harness.runs.manifest import How, make_manifest
from fathom.harness.runs.prompting import Decoding, Prompting, Thinking
from fathom.server.cli.main import build
from fathom.tasks.suites import Selection, Suite, SuiteCell, open_suite

ORACLE = ModelSource("oracle/noisy", None, "oracle/noisy")


@pytest.fixture
def db(tmp_path):
    engine = open_database(str(tmp_path / "runs.db"), create=True)
    yield engine
    engine.dispose()


def stored(db, selection=None, how=None, suite=None):
    suite = suite or open_suite("quick", 7, selection or Selection(("depo",), n=2))
    manifest = make_manifest(ORACLE, suite, how or How("oracle"))
    new = write.NewRun(ORACLE.name, "oracle", suite, suite.digest(), manifest.to_json(), manifest.digest())
    return read.get_run(db, write.start_run(db, new))


def test_running_the_command_gives_the_same_manifest(db, tmp_path):
    words = shlex.split(reproduce(stored(db, how=How("oracle", Prompting(n_shots=1)))))
    done = CliRunner().invoke(build(), [*words[1:], "--db", str(tmp_path / "again.db")])
    assert done.exit_code == 0, done.output
    again = open_database(str(tmp_path / "again.db"), create=False)
    (one,) = read.list_runs(again)
    assert one.state == "done"
    (first,) = read.list_runs(db)
    digests = {read.get_run(base, run.run).manifest_digest for base, run in ((db, first), (again, one))}
    again.dispose()
    assert len(digests) == 1


HOWS = {
    "chat": How("oracle", Prompting(3, True, "Be brief, it's 5 o'clock.\n$HOME", "text", {"enable_thinking": False, "kind": "x y", "digits": "7"})),
    "drawn": How("oracle", decoding=Decoding(8, 0.7, {"cot": 2048, "direct": 12}, Thinking("<t>", "</t>", 99))),
    "greedy again": How("oracle", decoding=Decoding(2, 0.0)),
    "engine": How("oracle", setup=EngineSetup("float32", {"max_model_len": 512, "quantization": "fp8", "tensor_parallel_size": 2, "lora": "a b/c"})),
}  # fmt: skip


@pytest.mark.parametrize("how", HOWS.values(), ids=HOWS.keys())
def test_every_option_of_a_run_is_in_its_command(db, how, monkeypatch):
    detail = stored(db, how=how)
    wishes = []
    monkeypatch.setattr(running, "run", lambda wish, *_: wishes.append(wish) or 0)
    assert CliRunner().invoke(build(), shlex.split(reproduce(detail))[1:]).exit_code == 0
    (wish,) = wishes
    suite = open_suite(wish.suite, wish.seed, wish.selection)
    again = make_manifest(ORACLE, suite, How(wish.engine, wish.prompting, wish.decoding, wish.setup))
    assert again.digest() == detail.manifest_digest
    assert again.context["placement"] == detail.manifest["context"]["placement"]


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
    wishes = []
    monkeypatch.setattr(running, "run", lambda wish, *_: wishes.append(wish) or 0)
    assert CliRunner().invoke(build(), words[1:]).exit_code == 0
    (wish,) = wishes
    assert open_suite(wish.suite, wish.seed, wish.selection).cells == detail.suite.cells
    named = [
        value
        for value in (selection.families, selection.levels, selection.channels, selection.styles, selection.n)
        if value
    ]
    assert len(words) <= 10 + 2 * len(named)


def test_there_is_no_command_that_would_ask_something_else(db):
    odd = Suite("quick", "1", "7", (SuiteCell("depo", 1, "n8k1", "symbol", "direct", 3), SuiteCell("depo", 1, "n8k2", "symbol", "direct", 4)))  # fmt: skip
    assert reproduce(stored(db, suite=odd)) == ""

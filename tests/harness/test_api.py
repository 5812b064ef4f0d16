"""A run started from Python is the run that the command makes."""

import doctest
import inspect
import subprocess
import sys
import threading

import pytest

from fathom import Run, evaluate, harness, runs
from fathom.harness import api as embedding
from fathom.harness.cli import run as cli_run
from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.engines import factory as opening
from fathom.harness.engines.options import SHORT_FORMS
from fathom.harness.engines.oracle import OracleEngine
from fathom.harness.errors import BadInput, EngineFailed, UnknownModel
from fathom.tasks.errors import EmptySuite, UnknownSuite


def small(**more):
    return evaluate("oracle/noisy", **{"engine": "oracle", "seed": 7, "levels": ["n8k1", "n8k2"], "n": 3, "progress": False, **more})  # fmt: skip


def test_the_example_in_the_docstring_is_true():
    found = doctest.DocTestFinder().find(embedding.evaluate, "evaluate", globs={})
    runner = doctest.DocTestRunner()
    for one in found:
        runner.run(one)
    assert (runner.failures, runner.tries) == (0, 4)


COMMAND_ONLY = {
    "context", "file", "write", "dry_run", "throughput", "as_json", "tasks", "include_path", "limit"
}  # fmt: skip
"""Options of `fathom run` about files and output, and about lm-eval's own tasks, which are stored apart."""


def test_it_takes_every_option_of_the_command_under_its_name():
    commands = inspect.signature(cli_run.run_model).parameters
    mine = inspect.signature(evaluate).parameters
    short = set(embedding.ShortForms.__annotations__)
    assert short == set(SHORT_FORMS)
    assert set(commands) - COMMAND_ONLY == (set(mine) - {"progress", "short"}) | short
    for name in set(commands) - COMMAND_ONLY - short:
        theirs, ours = commands[name].default, mine[name].default
        assert (theirs or None) == (ours or None) or name == "shots"


def test_it_takes_short_forms_of_engine_options_and_no_other_name():
    with pytest.raises(BadInput, match="the engine oracle does not take --base-url"):
        small(base_url="http://127.0.0.1:1/v1")
    with pytest.raises(TypeError, match="unexpected keyword argument 'engine_args': did you mean 'engine_arg'"):
        small(engine_args={})


def test_it_makes_the_run_that_the_command_makes(tmp_path, fathom):
    path = tmp_path / "runs.db"
    made = small(db=path, shots=1, seed="7")
    words = made.command.split()
    assert fathom(*words[1:], "--db", path).returncode == 0
    db = open_database(str(path), create=False)
    digests = {read.get_run(db, one.run).manifest_digest for one in read.list_runs(db)}
    db.dispose()
    assert len(runs(path)) == 2
    assert digests == {made.detail.manifest_digest}


def test_it_works_where_an_event_loop_is_running(run_async):
    async def in_a_notebook():
        return small(db=":memory:")

    assert run_async(in_a_notebook()).state == "done"


class Closing(OracleEngine):
    """An oracle that says when it is closed, and may break."""

    closed = 0
    broken = False

    def stream(self, requests):
        for batch in super().stream(requests):
            yield batch
            if type(self).broken:
                raise EngineFailed("out of oracles")

    def close(self):
        type(self).closed += 1


@pytest.fixture
def closing(monkeypatch):
    made = type("Made", (Closing,), {"closed": 0, "broken": False})
    monkeypatch.setattr(opening, "OracleEngine", made)
    return made


def test_no_engine_and_no_thread_is_left_behind(closing):
    before = threading.active_count()
    small(db=":memory:")
    assert closing.closed == 1
    assert threading.active_count() == before


def test_a_run_that_breaks_says_how_to_go_on(closing, tmp_path):
    closing.broken = True
    path = tmp_path / "runs.db"
    with pytest.raises(EngineFailed, match="out of oracles") as caught:
        small(db=path, n=200)
    (stored,) = runs(path).itertuples()
    assert stored.state == "failed"
    assert len(Run.load(stored.run, path).samples) > 0
    assert caught.value.__notes__ == [f"go on with: evaluate(resume='{stored.run}')"]
    closing.broken = False
    resumed = evaluate(resume=stored.run, engine="oracle", db=path, progress=False)
    assert (resumed.id, resumed.state, len(resumed.samples)) == (stored.run, "done", 400)


def test_progress_is_told_or_not(capsys):
    told = []
    small(db=":memory:", progress=lambda phase, tick: told.append((phase, tick and tick.n_done)))
    assert ("generating", 6) in told
    out, err = capsys.readouterr()  # where lm-eval was imported before, its own bars are in it
    assert (out, "items" in err) == ("", False)
    small(db=":memory:", progress=True)
    out, err = capsys.readouterr()
    assert (out, "6 of 6 items" in err) == ("", True)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"suite": "slow"}, UnknownSuite),
        ({"n": 0}, EmptySuite),
        ({"budget": {"direct": "many"}}, BadInput),
        ({"engine": "hf", "model": "/no/such/folder"}, UnknownModel),
        ({"shots_as": "letters"}, BadInput),
        ({"shots": 17}, BadInput),
        ({"repeats": 0}, BadInput),
        ({"temperature": -1.0}, BadInput),
        ({"think_budget": 0}, BadInput),
    ],
    ids=str,
)
def test_bad_input_raises_the_errors_of_the_command(asked, error):
    model = asked.pop("model", "oracle/noisy")
    with pytest.raises(error):
        evaluate(model, **{"engine": "oracle", "progress": False, "db": ":memory:", **asked})


def test_importing_harness_stays_light():
    script = (
        "import sys, fathom; print(*sorted({'pandas', 'numpy', 'sqlalchemy', 'rich', 'altair'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        harness.nonsense  # noqa: B018

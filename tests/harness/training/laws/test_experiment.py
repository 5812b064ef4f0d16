"""A law is run end to end, and a second call does nothing twice."""

import json
import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fathom.harness.db import read
from fathom.harness.errors import BadRecipe
from fathom.harness.reports.frames import Store
from fathom.harness.stats.intervals import Estimate, Interval
from fathom.harness.training.laws.base import Conclusion, Law
from fathom.harness.training.laws.evaluation import TrainedModel
from fathom.harness.training.laws.experiment import Workspace, run_law
from fathom.harness.training.laws.picture import draw_law
from fathom.harness.training.recipe import Recipe

pytestmark = pytest.mark.slow

_NOTHING = Conclusion("not shown", "Nothing was compared.", "nothing", Estimate(0.0, Interval(0.0, 0.0)))


class Quiet:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.trained: list[str] = []
        self.steps: list[int] = []
        self.asked: list[str] = []
        self.said: list[str] = []

    def train(self, recipe: Recipe) -> AbstractContextManager[Any]:
        self.trained.append(recipe.name)
        return nullcontext(lambda progress: self.steps.append(progress.step))

    def evaluate(self, trained: TrainedModel) -> AbstractContextManager[Any]:
        def report(phase: str, _tick: object) -> None:
            if phase == "loading":
                self.asked.append(trained.condition)

        return nullcontext(report)

    def say(self, line: str) -> None:
        self.said.append(line)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "out", Store.at(tmp_path / "runs.db"))


@pytest.mark.turns(3)
def test_a_law_is_run_from_recipes_to_a_finding_and_a_second_call_repeats_nothing(
    tiny: Law, workspace: Workspace
) -> None:
    first, second = Quiet(), Quiet()
    record = run_law(tiny, "text", workspace, first)
    assert first.trained == ["law-tiny-one-text", "law-tiny-five-text"]
    assert first.asked == ["one", "five"]
    assert record.conclusion.verdict == "not shown"
    assert [one.n for one in record.observations] == [4, 4]
    kept = json.loads((workspace.out / "law.json").read_text(encoding="utf-8"))
    assert kept["verdict"] == "not shown"
    assert {one["run"] for one in kept["conditions"]} == {one.run for one in record.trials}
    with workspace.store.opened() as db:
        assert {one.state for one in read.list_runs(db)} == {"done"}
        assert len(read.list_runs(db)) == 2

    again = run_law(tiny, "text", workspace, second)
    assert (second.trained, second.asked) == ([], [])
    assert again.observations == record.observations
    picture = draw_law(again)
    for label in ("extraction: one wording", "extraction: five wordings", "not shown", "Nothing is learned", "95%"):
        assert label in picture


def test_models_of_other_recipes_are_refused(tiny: Law, workspace: Workspace) -> None:
    only = replace(tiny, conditions=tiny.conditions[:1], judge=lambda results: _NOTHING)
    run_law(only, "text", workspace, Quiet())
    path = only.folder / "tiny.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("steps = 6", "steps = 7"), encoding="utf-8")
    with pytest.raises(BadRecipe, match="another recipe"):
        run_law(only, "text", workspace, Quiet())
    for damaged in ("", "[]", '{"recipe": 1}', '{"recipe": "", "seconds": []}'):
        (workspace.out / "one" / "trained.json").write_text(damaged, encoding="utf-8")
        with pytest.raises(BadRecipe, match=r"trained\.json is damaged"):
            run_law(only, "text", workspace, Quiet())


_KILLED = """
import os, signal, sys
from pathlib import Path
from fathom.harness.training.laws.recipes import read_law_recipe
from fathom.harness.training.pretrain.trainer import pretrain

def die(progress):
    if progress.step > 3:
        os.kill(os.getpid(), signal.SIGKILL)

pretrain(read_law_recipe(Path(sys.argv[1]), "one", "text"), Path(sys.argv[2]), die)
"""


@pytest.mark.full
def test_a_law_goes_on_from_the_checkpoint_of_a_training_that_was_killed(tiny: Law, workspace: Workspace) -> None:
    words = [sys.executable, "-c", _KILLED, str(tiny.folder / "tiny.toml"), str(workspace.out / "one")]
    died = subprocess.run(words, env={**os.environ}, check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    told = Quiet()
    only = replace(tiny, conditions=tiny.conditions[:1], judge=lambda results: _NOTHING)
    run_law(only, "text", workspace, told)
    assert told.trained == ["law-tiny-one-text"]
    assert min(told.steps) > 3

"""The notebooks run from their first cell to their last, in an empty folder."""

import json
import sys
import types
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

NOTEBOOKS = Path(__file__).parents[1] / "harness" / "notebooks"


def run_notebook(name, monkeypatch, folder):
    """Run all code cells of a notebook, and return the names that they leave."""
    monkeypatch.chdir(folder)
    module = types.ModuleType("notebook")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    cells = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]
    for at, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{name}, cell {at}", "exec"), module.__dict__)
    return module


def test_two_models_are_evaluated_and_compared(monkeypatch, tmp_path):
    told = run_notebook("evaluate_and_compare.ipynb", monkeypatch, tmp_path)
    found = told.noisy.compare(told.guessing)
    assert "first" in set(found["ahead"])
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.turns(3)
def test_a_model_is_trained_and_probed_and_a_law_tested(monkeypatch, tmp_path):
    told = run_notebook("train_probe_law.ipynb", monkeypatch, tmp_path)
    assert told.loss["loss"].iloc[-1] < told.loss["loss"].iloc[0]
    assert told.run.state == "done"
    assert told.found.targets["name"].tolist() == ["depo.n8k1.next1"]
    assert told.record.verdict == "exploratory"


def test_notebooks_are_small_and_hold_no_path_of_a_machine():
    found = sorted(NOTEBOOKS.glob("*.ipynb"))
    assert [file.name for file in found] == ["evaluate_and_compare.ipynb", "train_probe_law.ipynb"]
    for file in found:
        text = file.read_text(encoding="utf-8")
        assert len(text) < 300_000
        for place in (Path(__file__).parents[1], Path.home()):
            assert f"{place}/" not in text

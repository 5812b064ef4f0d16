"""Fathom is imported as `fathom` alone: files named tasks, server or harness beside a user's script change nothing.

The stock `lm_eval` command runs in such a folder in tests/harness/runs/test_lm_eval_adapter.py.
"""

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
LEFT_OUT = ("server/screenshots/", "harness/notebooks/")
EVALUATE = """
from fathom import evaluate
run = evaluate("oracle/perfect", engine="oracle", families=["depo"], levels=["n4k1"], n=2, seed=7, db=":memory:")
assert run.cells["accuracy"].tolist() == [1.0] * len(run.cells)
"""
USE_THE_WHEEL = (
    """
import sys
from pathlib import Path

import fathom
from fathom.harness.engines.model import REFERENCE
from fathom.server.web.render import open_templates

folder = Path(sys.argv[1])
assert Path(fathom.__file__).parent == folder / "fathom"
assert (REFERENCE / "pebble" / "model.safetensors").is_relative_to(folder)
assert Path(open_templates().get_template("layout.html").filename).is_relative_to(folder)
"""
    + EVALUATE
)


@pytest.fixture
def call(crowded, environment):
    """Run a command in that folder, which also comes first on Python's path."""

    def run(*words, path=(), **variables):
        found = ":".join(map(str, [crowded, *path]))
        done = subprocess.run(
            [*map(str, words)],
            cwd=crowded,
            env=environment(PYTHONPATH=found, **variables),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


def test_python_evaluates_beside_files_of_the_same_names(call):
    call(sys.executable, "-c", EVALUATE)


def test_fathom_run_works_beside_files_of_the_same_names(call):
    words = ["--model", "oracle/perfect", "--engine", "oracle", "--families", "depo", "--levels", "n4k1", "--n", "2"]
    run = json.loads(call(BIN / "fathom", "run", *words, "--db", "own.db", "--json"))
    assert (run["state"], run["k"]) == ("done", 2)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with a wheel and a source archive of this tree."""
    out = tmp_path_factory.mktemp("built")
    code = "import sys, hatchling.build as b; b.build_wheel(sys.argv[1]); b.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, out], cwd=ROOT, check=True, capture_output=True, timeout=300)
    return out


def files_of_the_packages():
    """Every file that git does not ignore, except what only the READMEs show: pictures and notebooks."""
    words = [
        "git",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate",
        "harness",
        "server",
        "tasks",
    ]
    listed = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return {name for name in listed if (ROOT / name).is_file() and not name.startswith(LEFT_OUT)}


def test_the_wheel_holds_one_package_with_all_its_files(built):
    (wheel,) = built.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == {"fathom/__init__.py", *(f"fathom/{name}" for name in files_of_the_packages())}
    for needed in (
        "server/templates/layout.html",
        "server/static/fathom.css",
        "harness/training/recipes/pebble.toml",
        "harness/training/reference/pebble/model.safetensors",
        "harness/db/migrations/env.py",
        "harness/reports/html/templates/report.html.jinja",
        "tasks/README.md",  # its example is what `fathom families --new` writes
    ):
        assert f"fathom/{needed}" in names


@pytest.mark.slow
def test_the_wheel_works_beside_files_of_the_same_names(built, call, tmp_path):
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    call(sys.executable, "-c", USE_THE_WHEEL, tmp_path, path=[tmp_path])


def test_a_wheel_of_the_source_archive_is_the_wheel_of_the_tree(built, tmp_path):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    code = "import hatchling.build as b; b.build_wheel('.')"
    subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, capture_output=True, timeout=300)
    (again,), (wheel,) = tree.glob("*.whl"), built.glob("*.whl")
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()

"""A new family is one file: dropped into a copy of the repository, it works everywhere with nothing else edited."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TOY, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "tasks" / "README.md").read_text(encoding="utf-8"), re.DOTALL)

BOARD = """
from fastapi.testclient import TestClient
from fathom.server.app import ServerSettings, create_app

with TestClient(create_app(ServerSettings("toy.db")), base_url="http://127.0.0.1") as board:
    for path in ("/", "/?family=toy", "/families", "/families/toy?level=k2&seed=7&answer=QQ"):
        page = board.get(path)
        print(path, page.status_code, page.text)
"""

LM_EVAL = """
from pathlib import Path
from lm_eval.tasks import TaskManager

manager = TaskManager(include_path={folder!r}, include_defaults=False)
print([name for name in manager.all_tasks if "toy" in name])
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Copy what Fathom is made of, and the contract test; add the toy family of tasks/README.md."""
    copy = tmp_path_factory.mktemp("house")
    for folder in ("harness", "server", "tasks"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "src" / "fathom").mkdir(parents=True)
    shutil.copy(ROOT / "src" / "fathom" / "__init__.py", copy / "src" / "fathom")
    for folder in ("harness", "server", "tasks"):
        (copy / "src" / "fathom" / folder).symlink_to(copy / folder)
    shutil.copytree(ROOT / "tests" / "golden", copy / "tests" / "golden")
    shutil.copytree(ROOT / "tests" / "tasks", copy / "tests" / "tasks")
    for name in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / name, copy / name)
    (copy / "tasks" / "families" / "toy.py").write_text(TOY, encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def python(house):
    """Run Python in the copy; return what it prints."""
    variables = {
        **os.environ,
        "PYTHONPATH": str(house / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(house / "cache"),
        "HF_HUB_OFFLINE": "1",
    }

    def start(*arguments):
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=house,
            env=variables,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    return start


@pytest.fixture(scope="module")
def fathom(python):
    """Run the command `fathom` of the copy."""
    return lambda *arguments: python("-c", "from fathom.server.cli.main import main; main()", *arguments)


def test_the_command_lists_it_with_its_levels(fathom):
    shown = fathom("families")
    assert "toy@1" in shown
    assert "k8" in shown


@pytest.mark.turns(2)
def test_lm_eval_finds_its_tasks_and_its_group(fathom, python):
    assert "fathom_toy_k2_symbol_direct" in fathom("tasks")
    folder = fathom("tasks", "--lm-eval-path").strip()
    found = python("-c", LM_EVAL.format(folder=folder))
    assert "'fathom_toy'" in found
    assert "'fathom_toy_k2_symbol_direct'" in found


def test_a_run_asks_its_first_levels_and_the_board_shows_it(fathom, python):
    noisy = ("--model", "oracle/noisy", "--engine", "oracle")
    said = fathom("run", *noisy, "--families", "toy", "--n", 8, "--db", "toy.db")
    assert "not in the suite quick, asked at default levels (--levels names others): toy" in said
    shown = python("-c", BOARD)
    assert re.findall(r"^(/\S*) 200 ", shown, re.MULTILINE) == [
        "/", "/?family=toy", "/families", "/families/toy?level=k2&seed=7&answer=QQ",
    ]  # fmt: skip
    first, levels, families, own = re.split(r"^/\S* 200 ", shown, flags=re.MULTILINE)[1:]
    assert "oracle/noisy" in first
    assert 'href="?sort=toy" aria-label="Sort by toy"' in first
    assert all(f"k{k}" in levels for k in (1, 2, 4, 8))
    assert "Count along a circle" in families
    assert "Not a code of the circle." in own


def test_it_passes_the_contract(python):
    said = python(
        "-m", "pytest", "-q", "-x", "--full", "tests/tasks/test_contract.py", "-k", "toy", "-p", "no:cacheprovider"
    )
    assert re.search(r"\d\d passed", said)

"""A package with an entry point brings a family: listed, run and ranked apart from ours; a broken one breaks nothing."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from fathom.harness.cli.scaffold import write_package
from fathom.harness.errors import BadInput
from fathom.harness.io.parcel import ParcelCell
from fathom.harness.io.parcel_checks import _cell
from fathom.harness.runs.manifest import packages_of, tasks_digest
from fathom.server.app import ServerSettings, create_app
from fathom.tasks import registry, suites
from fathom.tasks.errors import MixedSuite, UnknownFamily, UnknownLevel, UnknownSuite
from fathom.tasks.suites import Selection, open_suite

ROOT = Path(__file__).parents[2]
ORACLE = ("--model", "oracle/noisy", "--engine", "oracle", "--seed", "7")


def forget_families():
    """Let the registry look for packages again, and drop the items of those that are gone."""
    for cached in (
        registry._installed,
        registry.all_families,
        registry.find_family,
        registry.instance_from_id,
        suites._cached_items,
    ):
        cached.cache_clear()
    suites._item.cache_clear()
    for name in [name for name in sys.modules if name.startswith("fathom_")]:
        del sys.modules[name]


def add_package(site, name, code, version="0.1.0", family=None):
    """Lay a package into a folder of the path as pip does: its code, and a dist-info that names its family."""
    module = f"fathom_{name}"
    (site / module).mkdir(exist_ok=True)
    (site / module / "__init__.py").write_text(code, encoding="utf-8")
    facts = site / f"{module}-1.dist-info"
    facts.mkdir(exist_ok=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fathom-{name}\nVersion: {version}\n")
    (facts / "entry_points.txt").write_text(f"[fathom.families]\n{family or name} = {module}:FAMILY\n")
    forget_families()


@pytest.fixture(scope="module")
def maze(tmp_path_factory):
    """The package that `fathom families maze --new FOLDER` writes."""
    folder = tmp_path_factory.mktemp("new") / "maze"
    write_package("maze", folder)
    return folder


@pytest.fixture
def site(maze, tmp_path, monkeypatch):
    """A folder on the path in which that package is installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    add_package(tmp_path, "maze", (maze / "fathom_maze" / "__init__.py").read_text(encoding="utf-8"))
    yield tmp_path
    monkeypatch.undo()
    forget_families()


def change(site, version="0.1.0"):
    """Install the package again with another comment in its code."""
    code = (site / "fathom_maze" / "__init__.py").read_text(encoding="utf-8")
    add_package(site, "maze", code + "# changed\n", version)


def test_a_package_brings_a_family_that_is_listed_with_its_package(site, fathom):
    said = fathom("families", "maze")
    assert re.search(r"maze@1\d{6}  Count along a circle", said.stdout)
    assert "package fathom-maze 0.1.0" in " ".join(said.stdout.split())
    assert said.stderr == ""
    assert "maze" not in registry.own_families()
    assert "maze" in registry.all_families()


BROKEN = {
    "bare": ("bare", "FAMILY = 7\n", "fathom_bare:FAMILY has no name, version, summary, reference, title: see"),
    "crash": ("crash", "raise SystemExit(3)\n", "SystemExit: 3"),
    "thief": ("depo", "FAMILY = None\n", "the name is taken: rename it there"),
    "two": ("two", "from fathom_maze import FAMILY\n", "it calls itself 'maze': entry point and family need one name"),
    "typo": ("typo", "import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
}


def test_each_broken_package_gives_one_line_and_breaks_nothing(site, fathom):
    for name, (family, code, _) in BROKEN.items():
        add_package(site, name, code, family=family)
    said = fathom("families")
    assert said.returncode == 0
    lines = said.stderr.splitlines()
    assert len(lines) == len(BROKEN)
    for name, (family, _, fault) in BROKEN.items():
        assert any(f"the package fathom-{name} brings no family {family!r}: {fault}" in line for line in lines), fault
    assert list(registry.all_families()) == [*registry.own_families(), "maze"]
    assert registry.package_of("depo") is None


def test_the_error_for_a_family_says_why_its_package_cannot_bring_it(site):
    add_package(site, "typo", "import no_such_module\n")
    with pytest.raises(UnknownFamily, match="the package fathom-typo brings no family 'typo': ModuleNotFoundError"):
        registry.find_family("typo")


def test_it_is_asked_in_the_suite_of_its_package_and_in_none_of_ours(site):
    assert "maze" not in open_suite("standard", 7, Selection(levels=("*k2",))).families
    with pytest.raises(UnknownLevel, match="no family has a level 'k2'"):
        open_suite("standard", 7, Selection(levels=("k2",)))
    for one in (open_suite("fathom-maze", 7), open_suite("quick", 7, Selection(("maze",)))):
        assert (one.name, one.version, one.families) == ("fathom-maze", "0.1.0", ("maze",))
        assert {cell.style for cell in one.cells} == {"direct", "cot"}
    with pytest.raises(MixedSuite, match=r"depo of Fathom, maze of fathom-maze"):
        open_suite("quick", 7, Selection(("depo", "maze")))
    with pytest.raises(UnknownSuite, match=r"known: quick, standard, full, depth, fathom-maze"):
        open_suite("fathom-other", 7)


def test_a_run_of_it_is_ranked_and_stands_on_the_board(site, fathom, tmp_path):
    db = str(tmp_path / "own.db")
    said = fathom("run", *ORACLE, "--families", "maze", "--n", "5", "--db", db)
    assert "asked in the suite of their package, fathom-maze 0.1.0: maze" in said.stdout
    assert "oracle/noisy" in fathom("rank", "--suite", "fathom-maze", "--db", db).stdout
    with TestClient(create_app(ServerSettings(f"sqlite:///{db}")), base_url="http://127.0.0.1") as board:
        assert "Sort by maze" in board.get("/").text
        assert "package fathom-maze 0.1.0" in board.get("/families").text
        assert board.get("/families/maze?level=k2&seed=7").status_code == 200


def test_a_board_takes_no_upload_of_it_and_opens_no_data_set_for_a_visitor(site, fathom, tmp_path):
    db = str(tmp_path / "own.db")
    run = json.loads(fathom("run", *ORACLE, "--families", "maze", "--n", "5", "--json", "--db", db).stdout)["run"]
    refused = fathom("submit", run, "--out", tmp_path / "results.jsonl.gz", "--db", db)
    assert refused.returncode == 2
    with pytest.raises(BadInput, match="'maze' is no family of Fathom's own"):
        _cell(ParcelCell(family="maze", version=1, level="k2", channel="symbol", style="direct", n=5))
    with TestClient(create_app(ServerSettings(f"sqlite:///{db}")), base_url="http://127.0.0.1") as board:
        assert board.get("/families/rg:sokoban").status_code == 404  # which would take minutes


def test_two_releases_never_mix(site, fathom, tmp_path):
    db, run = str(tmp_path / "own.db"), ("run", *ORACLE, "--families", "maze", "--n", "5", "--json")
    before, first = tasks_digest(packages_of(["maze"])), open_suite("fathom-maze", 7)
    old = json.loads(fathom(*run, "--db", db).stdout)["run"]
    stored = json.loads(fathom("show", old, "--json", "--db", db).stdout)["manifest"]["decisive"]["packages"]
    assert stored == {package.name: asdict(package) for package in packages_of(["maze"])}
    change(site)
    second = open_suite("fathom-maze", 7)
    assert tasks_digest(packages_of(["maze"])) != before
    assert tasks_digest() == tasks_digest(packages_of(["depo"]))
    assert first.pool() != second.pool()
    assert first.cells[0].version != second.cells[0].version
    with sqlite3.connect(db) as opened:
        opened.execute("UPDATE runs SET state = 'interrupted'")
    assert "another suite, families, packages" in fathom("run", "--resume", old, "--db", db).stderr
    with sqlite3.connect(db) as opened:
        opened.execute("UPDATE runs SET state = 'done'")
    assert fathom("run", "--model", "oracle/perfect", *ORACLE[2:], *run[5:], "--db", db).returncode == 0
    assert "2 pools match" in fathom("rank", "--suite", "fathom-maze", "--db", db).stderr
    assert fathom("compare", "oracle/noisy", "oracle/perfect", "--db", db).returncode == 2


def test_a_scaffold_needs_a_free_name_and_a_free_folder(maze, tmp_path):
    for name, folder, fault in (
        ("", "a", "is no name of a family"), ("depo", "a", "already"), ("knot", ".", "exists"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=fault):
            write_package(name, tmp_path / folder)


@pytest.mark.slow
@pytest.mark.turns(2)
@pytest.mark.timeout(300)
def test_a_scaffold_passes_its_own_test_and_the_contract(site, maze, tmp_path):
    path = os.pathsep.join([str(site), *sys.path])
    for folder, words in (
        (maze, ["tests"]),
        (ROOT, ["tests/tasks/test_contract.py", "--full", "-k", "maze", "-p", "no:cacheprovider"]),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", *words, f"--basetemp={tmp_path / 'base'}"],
            cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert re.search(r"[5-9] passed|\d\d passed", done.stdout), done.stdout[-3000:]

"""The recipe of server/README.md, followed to the letter: its page works, and the helpers that it lists exist."""

import importlib
import re
from pathlib import Path

import httpx
import pytest
from jinja2 import ChoiceLoader, DictLoader

from fathom.server.app import ServerSettings, create_app
from fathom.server.web import actor, addresses, forms, rate_limits, render

ROOT = Path(__file__).parents[2]
README = (ROOT / "server" / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_page_of_the_recipe_passes_its_own_test(played, serve):
    (module, test), (template,) = blocks("python"), blocks("html")
    names = {}
    exec(module + test, names)
    app = create_app(ServerSettings(played.url))
    app.include_router(names["router"])
    templates = app.state.site.templates
    templates.loader = ChoiceLoader([DictLoader({"engines.html": template}), templates.loader])
    with httpx.Client(base_url=serve(app), timeout=60) as client:
        names["test_the_page_counts_runs_by_engine"](client)


@pytest.mark.parametrize("name", [
    "SiteOf", "page", "READ", "cached_page", "cached_run_page", "ActorOf", "require", "require_owner", "FormOf",
    "make_pager", "PageNumber", "count_use", "RunPath", "ModelPath", "SubmissionId",
])  # fmt: skip
def test_a_listed_helper_exists(name):
    assert f"`{name}" in README
    assert any(hasattr(module, name) for module in (render, actor, forms, addresses, rate_limits)), name


def test_listed_macros_filters_blocks_and_fixtures_exist():
    environment = render.open_templates()
    for file, row in re.findall(r'import "(\w+\.html)" as \w+ %}` \| macros (.*) \|', README):
        macros = re.findall(r"{% macro (\w+)\(", (ROOT / "server" / "templates" / file).read_text(encoding="utf-8"))
        assert set(re.findall(r"`(\w+)`", row)) <= set(macros), file
    for row in re.findall(r"\| filters for \w+ ?\w* \| (.*) \|", README):
        assert set(re.findall(r"`(\w+)`", row)) <= set(environment.filters)
    (row,) = re.findall(r"\| globals \| (.*) \|", README)
    assert set(re.findall(r"`(\w+)`", row)) <= set(environment.globals)
    (row,) = re.findall(r"\| blocks (.*?) \|", README)
    layout = (ROOT / "server" / "templates" / "layout.html").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\w+)`", row)) == set(re.findall(r"{% block (\w+) %}", layout))
    known = (ROOT / "tests" / "server" / "conftest.py").read_text(encoding="utf-8")
    listed = README.partition("| fixtures of")[2].partition("##")[0]
    for names in re.findall(r"^\| (`.*?) \|", listed, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            assert f"\ndef {name}(" in known, name


def test_the_table_of_layers_is_that_of_import_linter():
    contract = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition('containers = ["fathom.server"]')[2]
    layers = re.findall(r'"([\w| ]+)"', contract.partition("layers = [")[2].partition("]")[0])
    rows = re.findall(r"^\| \d \| (.*?) \|", README, re.MULTILINE)
    assert [set(row.split(" | ")) for row in layers] == [set(re.findall(r"`(\w+)", row)) for row in rows]


def test_the_files_that_the_readme_names_exist_and_it_is_short():
    assert len(README.splitlines()) <= 150
    for name in ("jobs/grader.py", "uploads/checks.py", "uploads/receiver.py", "jobs/leases.py", "web/problems.py"):
        assert name in README
        assert importlib.import_module("fathom.server." + name.removesuffix(".py").replace("/", "."))

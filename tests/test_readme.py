"""Every block of the README runs, every command and family appears in it, and its names exist."""

import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from typer.main import get_command

from fathom.server.cli.main import build
from fathom.tasks.registry import all_families

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = [line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line]


@pytest.fixture(scope="module")
def shell(environment, tmp_path_factory):
    """Run a line of the README as its reader would, in the repository, with a database of its own."""
    folder = tmp_path_factory.mktemp("readme")
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    variables = environment(PATH=path, FATHOM_DB=str(folder / "readme.db"), XDG_CACHE_HOME=str(folder))

    def start(line, **options):
        return subprocess.Popen(["bash", "-c", line], cwd=ROOT, env=variables, text=True, **options)

    return start


def test_every_block_runs_in_order(shell):
    for line in LINES:
        if line.startswith("make "):
            assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        elif line == "fathom serve":
            serves_the_board(shell)
        else:
            process = shell(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            output, errors = process.communicate(timeout=500)
            assert process.returncode == 0, f"{line}\n{errors[-3000:]}"
            assert output.strip(), line


def serves_the_board(shell):
    process = shell("exec fathom serve --port 0", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        address = re.search(r"http://\S+", process.stdout.readline())[0]
        end = time.monotonic() + 60
        while True:
            try:
                page = httpx.get(address, timeout=10)
                break
            except httpx.TransportError:
                assert time.monotonic() < end
                time.sleep(0.1)
        assert "reference/pebble" in page.text
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


def test_every_python_block_runs(shell):
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    process = shell(f"{sys.executable} -", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = process.communicate(f"{block}\nprint(run)", timeout=300)
    assert process.returncode == 0, errors[-3000:]
    assert "oracle/noisy on quick, seed 2026" in output


def test_every_command_and_family_appears():
    commands = [*get_command(build()).commands, "db upgrade", "db backup", "db restore"]
    for command in commands:
        assert f"fathom {command}" in README
    for family in all_families():
        assert f"`{family}`" in README
        assert f"`{family}`" in (ROOT / "tasks" / "README.md").read_text()


def test_every_label_and_file_that_is_named_exists():
    labels = (ROOT / "tasks" / "README.md").read_text(encoding="utf-8").partition("## How answers go wrong")[2]
    for family in all_families().values():
        for label in family.labels:
            assert f"`{label}`" in labels
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_changelog_lines_are_short():
    for line in (ROOT / "CHANGELOG.md").read_text().splitlines():
        if line.startswith("- "):
            assert len(line.split()) <= 26


def test_the_packages_come_from_this_repository():
    from fathom import harness, server, tasks

    for package in (harness, server, tasks):
        assert Path(package.__file__).parents[1] == ROOT

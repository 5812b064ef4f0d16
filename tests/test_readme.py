"""Every block of every README runs; commands, families, files and links that READMEs name exist.

Lines of a `bash` block run in order, with one database a README: here in this process and with the oracle instead of
a model; with `--full` as they stand, each in a process of its own. Blocks of `text` show output, or commands that need
another machine: their commands must exist and take the options that are shown.
"""

import re
import shlex
import subprocess
import sys
import time
import types
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from typer.main import get_command

from fathom.harness.runs.lm_eval_adapter import all_cells, task_name
from fathom.server.app import ServerSettings, create_app
from fathom.server.cli.main import build
from fathom.tasks.registry import find_family
from fathom.tasks.suites import open_suite

ROOT = Path(__file__).parents[1]
READMES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted(ROOT.rglob("README.md"))
    if not any(part.startswith(".") or part == "reference" for part in path.relative_to(ROOT).parts[:-1])
}
PROSE = "\n".join(READMES.values())
LANGUAGES = {"bash", "python", "text", "html", "toml"}
STAND_INS = {"reference/pebble-early": "oracle/noisy", "reference/pebble": "oracle/perfect"}


def blocks_of(readme, language):
    return re.findall(rf"^```{language}\n(.*?)^```", READMES[readme], re.DOTALL | re.MULTILINE)


def lines_of(readme, language):
    """Return the lines of all blocks; a line that ends with a backslash goes on in the next."""
    text = "\n".join(blocks_of(readme, language)).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def with_blocks(language):
    return pytest.mark.parametrize("readme", [name for name in READMES if blocks_of(name, language)])


@pytest.fixture
def command(fathom, tmp_path):
    """Run words after `fathom` in this process, with a database of its own; return what it prints."""

    def run(words, stdin=None):
        done = fathom(*words, stdin=stdin, FATHOM_DB=str(tmp_path / "readme.db"), XDG_CACHE_HOME=str(tmp_path))
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr[-2000:]}"
        return done.stdout + done.stderr

    return run


def in_process(line, command, folder):
    """Run a line with the oracle instead of a model; of a line that needs a process, check the names."""
    if line.startswith("make "):
        assert_is_a_target(line.split()[1])
    elif line.startswith("python -m "):
        assert find_spec(line.split()[2]), line
    elif line.startswith("lm_eval "):
        names = shlex.split(line)[shlex.split(line).index("--tasks") + 1].split(",")
        assert set(names) <= {task_name(cell) for cell in all_cells()}
    elif line == "fathom serve":
        answers_with_the_board(folder / "readme.db", "oracle/perfect")
    else:
        first, _, second = line.rpartition(" | ")
        words = cheaply(shlex.split(second.replace("$(mktemp -d)", str(folder))))
        assert words.pop(0) == "fathom", line
        assert command(words, stdin=" ".join(shlex.split(first)[1:]) or None).strip(), line


def cheaply(words):
    """Replace engines and models by the oracle."""
    if "--engine" in words:
        words[words.index("--engine") + 1] = "oracle"
    return [STAND_INS.get(word, word) for word in words]


def assert_is_a_target(name):
    assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text(), re.MULTILINE), name


def answers_with_the_board(database, model):
    from starlette.testclient import TestClient

    application = create_app(ServerSettings(f"sqlite:///{database}"))
    with TestClient(application, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)) as client:
        assert model in client.get("/").text


@with_blocks("bash")
@pytest.mark.slow
def test_every_line_runs_in_order(readme, command, tmp_path):
    for line in lines_of(readme, "bash"):
        in_process(line, command, tmp_path)


@with_blocks("python")
def test_python_blocks_run_in_order(readme, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("readme_block")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in blocks_of(readme, "python"):
        exec(compile(block, readme, "exec"), module.__dict__)


@with_blocks("text")
def test_commands_that_are_only_shown_exist_and_take_their_options(readme):
    commands = get_command(build())
    for line in lines_of(readme, "text"):
        if line.startswith("make "):
            assert_is_a_target(line.split()[1])
        if line.startswith("python -m "):
            assert find_spec(line.split()[2]), line
        found = re.match(r"(?:[A-Z_]+=\S+ )?fathom (.*)", line)
        if found:
            assert_is_understood(commands, shlex.split(found[1], comments=True), line)


def test_every_command_that_is_mentioned_exists():
    commands = get_command(build()).commands
    for readme, text in READMES.items():
        for name in re.findall(r"`fathom ([a-z][a-z-]*)", text):
            assert name in commands, f"{readme}: fathom {name}"
        for name in re.findall(r"`python -m ([\w.]+)", text):
            assert find_spec(name), f"{readme}: python -m {name}"


def assert_is_understood(command, words, line):
    """Follow words to a command, and compare the options with those that it has; values are not checked."""
    while hasattr(command, "commands"):
        assert words, line
        assert words[0] in command.commands, line
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= known, f"{line}: {given - known}"


@pytest.fixture(scope="module")
def shell(environment, tmp_path_factory):
    """Start a line as its reader would, in the repository, with a database of its own for each README."""
    folders = {}

    def start(readme, line, **options):
        folder = folders.setdefault(readme, tmp_path_factory.mktemp("readme"))
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        variables = environment(PATH=path, FATHOM_DB=str(folder / "readme.db"), XDG_CACHE_HOME=str(folder))
        return subprocess.Popen(["bash", "-c", line], cwd=ROOT, env=variables, text=True, **options)

    return start


@pytest.mark.full
@pytest.mark.slow
@with_blocks("bash")
def test_every_line_runs_in_a_process_of_its_own(readme, shell):
    for line in lines_of(readme, "bash"):
        if line.startswith("make "):
            assert_is_a_target(line.split()[1])
        elif line == "fathom serve":
            serves_the_board(readme, shell)
        else:
            process = shell(readme, line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            output, errors = process.communicate(timeout=500)
            assert process.returncode == 0, f"{line}\n{errors[-3000:]}"
            assert output.strip(), line


def serves_the_board(readme, shell):
    process = shell(readme, "exec fathom serve --port 0", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        address = re.search(r"http://\S+", process.stdout.readline())[0]
        end = time.monotonic() + 60
        while True:
            try:
                page = httpx.get(address, timeout=10, follow_redirects=True)
                break
            except httpx.TransportError:
                assert time.monotonic() < end
                time.sleep(0.1)
        assert "reference/pebble" in page.text
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


@pytest.mark.full
@with_blocks("python")
def test_python_blocks_run_in_a_process_of_their_own(readme, shell):
    process = shell(readme, "exec python -", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, errors = process.communicate("\n".join(blocks_of(readme, "python")), timeout=300)
    assert process.returncode == 0, errors[-3000:]


def test_blocks_are_of_a_known_language():
    for readme, text in READMES.items():
        fences = re.findall(r"^```(.*)$", text, re.MULTILINE)
        assert set(fences[::2]) <= LANGUAGES, readme
        assert set(fences[1::2]) <= {""}, readme


def test_the_root_readme_fits_on_a_few_screens():
    assert len(READMES["README.md"].splitlines()) <= 200


def all_commands(group, words=("fathom",)):
    """Yield every command of the program, as in `fathom db backup`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from all_commands(command, (*words, name))
        else:
            yield " ".join((*words, name))


def test_every_command_is_described():
    missing = [command for command in all_commands(get_command(build())) if command not in PROSE]
    assert not missing


def test_the_table_of_families_agrees_with_the_registry():
    rows = dict(re.findall(r"^(\| `(\w+)` \|.*)$", READMES["README.md"].partition("## What is asked")[2], re.MULTILINE))
    assert {cell.family for cell in open_suite("standard", 1).cells} <= set(rows.values())
    for row, name in rows.items():
        family = find_family(name)
        assert row == f"| `{name}` | {family.part.lower()} | {family.summary.rstrip('.')} | {len(family.levels)} |"


def test_every_link_leads_to_a_file():
    for readme, text in READMES.items():
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (ROOT / readme).parent.joinpath(target).exists(), f"{readme}: {target}"


def test_every_path_that_is_named_exists():
    missing = []
    for readme, text in READMES.items():
        text = re.sub(r"(?:^.+\n)+\n```(?:python|html)$", "", text, flags=re.MULTILINE)  # names the file to write below
        for name in re.findall(r"`((?:harness|server|tasks|tests|docker|src)/[\w/.-]*)`", text):
            is_example = "NAME" in name or "toy" in name
            if not is_example and not (ROOT / name).exists():
                missing.append(f"{readme}: {name}")
    assert not missing


def test_the_tree_in_the_root_readme_shows_folders_that_exist():
    tree = READMES["README.md"].partition("## Where things are")[2].partition("```text\n")[2].partition("```")[0]
    top = ROOT
    for line in tree.splitlines():
        if not line.startswith(" "):
            top = ROOT / line.partition("/")[0]
            assert top.is_dir(), line
        for name in re.findall(r"(\w+)/", line):
            assert any((folder / name).is_dir() for folder in (ROOT, top, ROOT / "tests")), line


def test_changelog_lines_are_short_and_name_commands_that_exist():
    commands = get_command(build()).commands
    for line in (ROOT / "CHANGELOG.md").read_text().splitlines():
        if line.startswith("- "):
            assert len(line.split()) <= 26
            for name in re.findall(r"`fathom ([a-z][a-z-]*)", line):
                assert name in commands or line.startswith("- Removed"), line


def test_the_packages_come_from_this_repository():
    from fathom import harness, server, tasks

    for package in (harness, server, tasks):
        assert Path(package.__file__).resolve().parents[1] == ROOT

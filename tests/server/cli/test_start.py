"""What a newcomer meets first: `fathom` alone, its help by job, its version, completion."""

import os
import pty
import subprocess
from importlib.metadata import version

import pytest

from fathom.server.cli.main import JOBS, build
from tests.conftest import FATHOM


def test_fathom_alone_prints_the_three_jobs_with_commands_that_exist(fathom):
    done = fathom()
    assert done.returncode == 0
    for title in ("1  Evaluate a model", "2  Look at results", "3  Run a board"):
        assert title in done.stdout
    named = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("     fathom ")}
    assert {"run", "runs", "show", "compare", "serve"} <= named <= {name for names in JOBS.values() for name in names}


@pytest.mark.slow
def test_fathom_alone_on_a_terminal_asks_and_runs_the_chosen_command(environment, tmp_path):
    ours, theirs = pty.openpty()
    env = environment(FATHOM_DB=str(tmp_path / "none.db"), TERM="dumb")
    process = subprocess.Popen([FATHOM], stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=tmp_path)
    os.write(ours, b"2\n")
    code = process.wait(timeout=60)
    os.close(theirs)
    said = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "Which one? 1, 2, 3, or Enter to leave" in said
    assert "there is no database" in said  # `fathom runs` in an empty folder
    assert code == 2


def test_help_shows_commands_by_job_and_run_first(fathom):
    shown = fathom("--help").stdout
    places = [shown.index(f" {job} ─") for job in JOBS]
    assert places == sorted(places)
    commands = [line.split()[1] for line in shown.splitlines() if line.startswith("│ ") and line[2] != " "]
    assert [name for name in commands if not name.startswith("--")] == [name for some in JOBS.values() for name in some]


def test_every_command_belongs_to_a_job():
    from typer.main import get_command

    assert set(get_command(build()).commands) == {name for names in JOBS.values() for name in names}


def test_the_version_is_that_of_the_package(fathom):
    assert fathom("--version").stdout == f"fathom {version('fathom')}\n"


@pytest.mark.parametrize(("line", "wanted"), [("fathom ru", {"run", "runs"}), ("fathom run --repl", {"--replicas"})])
def test_a_shell_completes_commands_and_options(environment, line, wanted):
    env = environment(_FATHOM_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(line.split()) - 1))
    done = subprocess.run([FATHOM], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert set(done.stdout.split()) == wanted, done.stderr

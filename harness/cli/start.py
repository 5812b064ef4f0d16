"""What `fathom` alone shows: the three jobs, with the commands that do them."""

import shlex
from dataclasses import dataclass

import typer
from rich.console import Console
from rich.text import Text

from fathom.harness.engines.installed import install_command
from fathom.harness.engines.options import installed_engine
from fathom.harness.reports.console import make_console


@dataclass(frozen=True, slots=True)
class Job:
    """A job, and its commands with what each does."""

    title: str
    commands: tuple[tuple[str, str], ...]


def jobs() -> tuple[Job, Job, Job]:
    """Return the three jobs, with commands that work with what is installed here."""
    engine = installed_engine()
    local = f"fathom run --model reference/pebble --engine {engine or 'hf'} --suite quick"
    return (
        Job("Evaluate a model", (
            (local, "a model that comes with Fathom; a folder or a hub id goes in its place"),
            ("fathom run --model oracle/noisy --engine oracle --suite quick", "no model at all, to try out the rest"),
            ("fathom run --help", "all options: servers and providers, chats, budgets, several models"),
        )),
        Job("Look at results", (
            ("fathom runs", "the runs in the database"),
            ("fathom show RUN", "scores, curves and mistakes of one"),
            ("fathom compare A B", "which of two models is better, and whether that is chance"),
        )),
        Job("Run a board", (
            ("fathom serve", "ranks, curves and every answer in a browser; evaluate from there"),
            ("fathom worker --help", "a worker for a board on another machine"),
        )),
    )  # fmt: skip


def show_jobs(console: Console | None = None) -> None:
    """Print the three jobs."""
    talk = console or make_console()
    for number, job in enumerate(jobs(), 1):
        talk.print(Text(f"{number}  {job.title}", style="bold"))
        for command, does in job.commands:
            talk.print(Text.assemble(f"     {command}", (f"   {does}", "dim")), soft_wrap=True)
    talk.print(Text("`fathom doctor` checks this installation, `fathom --help` lists all commands", style="dim"))
    if not installed_engine():
        talk.print(f"No engine for models is installed here yet: {install_command('hf')}", soft_wrap=True, markup=False)


def ask_job() -> list[str]:
    """Show the jobs on a terminal, ask for one, and return the words of its command; none where the user wants none."""
    talk = make_console()
    show_jobs(talk)
    chosen = typer.prompt("Which one? 1, 2, 3, or Enter to leave", default="", show_default=False).strip()
    if chosen not in ("1", "2", "3"):
        return []
    words = _evaluate() if chosen == "1" else ["runs" if chosen == "2" else "serve"]
    talk.print(f"fathom {shlex.join(words)}", style="bold", soft_wrap=True, markup=False)
    return words


def _evaluate() -> list[str]:
    """Ask for a model and an engine."""
    engine = installed_engine() or "oracle"
    default = "oracle/noisy" if engine == "oracle" else "reference/pebble"
    model = typer.prompt("Model: a folder, or a hub id", default=default).strip()
    engine = "oracle" if model.startswith("oracle") else engine
    return ["run", "--model", model, "--engine", typer.prompt("Engine", default=engine).strip(), "--suite", "quick"]

"""The `fathom` command: loads the module of the command, runs it, and prints errors as one line."""

import os
import sys
from contextlib import ExitStack
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from typer.core import TyperGroup

from fathom.harness.cli.options import AT_END
from fathom.harness.engines.installed import not_installed
from fathom.harness.errors import BadInput, FathomError
from fathom.harness.reports.console import use_plain_characters
from fathom.harness.settings import completed_line
from fathom.tasks.errors import TaskError

JOBS = {
    "Evaluate a model": ("run", "depth", "probe"),
    "Look at results": ("runs", "show", "compare", "rank", "report", "regrade", "export", "import", "push"),
    "Run a board": (
        "serve", "submit", "worker", "season", "verify-season", "token", "user", "db", "export-static",
    ),
    "See what is asked": ("families", "sample", "grade", "gallery", "tasks", "audit"),
    "Train models": ("corpus", "pretrain", "law"),
    "This installation": ("doctor",),
}  # fmt: skip
"""Commands by the job that they are for, in the order of `fathom --help`."""


class _Commands(TyperGroup):
    """The group of all commands, in the order of JOBS."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's Context is click's
        """Return the names of the commands, those of the first job first."""
        order = [name for names in JOBS.values() for name in names]
        return sorted(self.commands, key=lambda name: order.index(name) if name in order else len(order))


def build(command: str | None = None) -> typer.Typer:
    """Return the application; with a command's name, only the part with this command, which starts faster."""
    app = typer.Typer(
        cls=_Commands,
        help="Measure how deep a language model can think, with questions generated from a seed.",
        epilog="`fathom` alone shows where to begin; `fathom COMMAND --help` lists a command's options.",
        invoke_without_command=True,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def begin(
        context: typer.Context,
        version: Annotated[  # noqa: ARG001  # its callback acts
            bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version, and end.")
        ] = False,
    ) -> None:
        if context.invoked_subcommand is None:
            _start(context)

    is_alone = command in _ALONE and (len(sys.argv) > 1 or completed_line() is None)
    for part, name in _parts(command) or ([] if is_alone else _parts(None)):
        app.add_typer(part, name=name)
    _set_panels(app)
    return app


_ALONE = ("", "--version")
"""First words, an empty one for none, that need no command's module."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fathom {version('fathom')}")
        raise typer.Exit


def _start(context: typer.Context) -> None:
    """Show the three jobs; on a terminal, run the command that the user chooses."""
    from fathom.harness.cli.start import ask_job, show_jobs

    is_talk = sys.stdin.isatty() and sys.stdout.isatty()
    if not is_talk:
        show_jobs()
    elif words := ask_job():
        build(words[0])(words, prog_name=context.info_name)


def _set_panels(app: typer.Typer) -> None:
    """Give each command the heading of its job."""
    panels = {name: job for job, names in JOBS.items() for name in names}
    for group in app.registered_groups:
        part = group.typer_instance
        if group.name:
            group.rich_help_panel = panels[group.name]
        elif part is not None:
            for one in part.registered_commands:
                one.rich_help_panel = panels[str(one.name)]


def _first_word() -> str:
    """Return the command that is called, or whose options a shell completes; empty for none."""
    if len(sys.argv) > 1:
        return sys.argv[1]
    typed = completed_line() or ""  # a shell hands over the line in the environment alone
    words = typed.split()[1:]
    return words[0] if len(words) > 1 or (words and typed.endswith(" ")) else ""


def _parts(command: str | None) -> list[tuple[typer.Typer, str | None]]:
    """Import the module of a command, or all modules; a part with a name is a group of commands."""
    found: list[tuple[typer.Typer, str | None]] = []
    if command in (None, "run", "depth"):
        from fathom.harness.cli import run

        found.append((run.app, None))
    if command in (None, "runs", "show", "regrade", "export", "import"):
        from fathom.harness.cli import runs

        found.append((runs.app, None))
    if command in (None, "compare", "rank", "report"):
        from fathom.harness.cli import compare

        found.append((compare.app, None))
    if command in (None, "families", "sample", "grade", "tasks", "gallery"):
        from fathom.harness.cli import tasks

        found.append((tasks.app, None))
    if command in (None, "probe"):
        from fathom.harness.cli import probe

        found.append((probe.app, None))
    if command in (None, "doctor"):
        from fathom.harness.cli import doctor

        found.append((doctor.app, None))
    if command in (None, "audit"):
        from fathom.harness.cli import audit

        found.append((audit.app, None))
    if command in (None, "serve", "export-static"):
        from fathom.server.cli import serve

        found.append((serve.app, None))
    if command in (None, "submit", "worker"):
        from fathom.harness.cli import board

        found.append((board.app, None))
    if command in (None, "push"):
        from fathom.harness.cli import hub

        found.append((hub.app, None))
    return [*found, *_further_parts(command)]


def _further_parts(command: str | None) -> list[tuple[typer.Typer, str | None]]:
    """Import the modules of training, of the database and of the board's accounts and seasons, as `_parts` does."""
    found: list[tuple[typer.Typer, str | None]] = []
    if command in (None, "corpus", "pretrain"):
        from fathom.harness.cli import train

        found.append((train.app, None))
    if command in (None, "law"):
        from fathom.harness.cli import law

        found.append((law.app, None))
    if command in (None, "db"):
        from fathom.harness.cli import db

        found.append((db.app, "db"))
    if command in (None, "token", "user"):
        from fathom.server.cli import accounts

        found += [(accounts.token_app, "token"), (accounts.user_app, "user")]
    if command in (None, "season", "verify-season"):
        from fathom.server.cli import seasons

        found += [(seasons.season_app, "season"), (seasons.verify_app, None)]
    return found


def _end(error: FathomError | TaskError) -> NoReturn:
    from fathom.harness.format import visible

    print(f"fathom: {visible(' '.join(str(error).split()))}", file=sys.stderr)
    sys.exit(error.exit_code if isinstance(error, FathomError) else BadInput.exit_code)


def main() -> None:
    """Run the command; print Fathom's errors as one line and exit with their code."""
    use_plain_characters()
    try:
        with ExitStack() as at_end:
            AT_END.set(at_end)
            build(_first_word())()
    except (FathomError, TaskError) as error:
        _end(error)
    except ImportError as error:  # of a package that an extra brings
        if (missing := not_installed(error)) is None:
            raise
        _end(missing)
    except BrokenPipeError:  # `fathom sample ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # a folder where a file should be, no permission, a full disk
        print(f"fathom: {error.filename or 'the output'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(BadInput.exit_code)

"""The `fathom` command: loads the module of the command, runs it, and prints errors as one line."""

import os
import sys
from contextlib import ExitStack

import typer

from fathom.harness.cli.options import AT_END
from fathom.harness.errors import BadInput, FathomError
from fathom.harness.reports.console import use_plain_characters
from fathom.tasks.errors import TaskError


def build(command: str | None = None) -> typer.Typer:
    """Return the application; with a command's name, only the part with this command, which starts faster."""
    app = typer.Typer(
        help="Measure how deep a language model can think, with questions generated from a seed.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )

    @app.callback()
    def keep_group() -> None:
        """Keep the application a group of commands where it has a single one."""

    for part, name in _parts(command) or _parts(None):
        app.add_typer(part, name=name)
    return app


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


def main() -> None:
    """Run the command; print Fathom's errors as one line and exit with their code."""
    use_plain_characters()
    try:
        with ExitStack() as at_end:
            AT_END.set(at_end)
            build(next(iter(sys.argv[1:]), None))()
    except (FathomError, TaskError) as error:
        from fathom.harness.format import visible

        code = error.exit_code if isinstance(error, FathomError) else BadInput.exit_code
        print(f"fathom: {visible(' '.join(str(error).split()))}", file=sys.stderr)
        sys.exit(code)
    except BrokenPipeError:  # `fathom sample ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # a folder where a file should be, no permission, a full disk
        print(f"fathom: {error.filename or 'the output'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(BadInput.exit_code)

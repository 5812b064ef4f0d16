"""The commands about the record of a run: `fathom regrade`, `fathom export`, `fathom import`; parsing only."""

from typing import Annotated, Optional

import typer

from harness.cli_db import Db, database_of
from harness.errors import BadInput

record_app = typer.Typer()


@record_app.command("regrade")
def regrade_runs(
    run: Annotated[Optional[str], typer.Argument(help="A run's id or its beginning.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All runs that have ended.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and store nothing.")] = False,
    db: Db = None,
) -> None:
    """Judge stored completions again with this Fathom's graders; no model is needed."""
    if (run is None) != every:
        raise BadInput("say which run, or --all for all of them: `fathom runs` lists them")
    from harness.recording import regrade_all, regrade_one

    if run is None:
        regrade_all(database_of(db), dry)
    else:
        regrade_one(database_of(db), run, dry)

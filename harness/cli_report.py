"""The `fathom report` command: parsing only."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli_db import Db, database_of

report_app = typer.Typer()


@report_app.command("report")
def report_runs(
    runs: Annotated[
        list[str], typer.Argument(help="Ids, beginnings of them, or models' names for their newest finished run.")
    ],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    db: Db = None,
) -> None:
    """Write one self-contained HTML file about some runs; the first is what the others are compared with."""
    from harness.reporting.command import report

    report(database_of(db), runs, out)

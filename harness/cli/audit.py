"""The command that audits a family."""

from pathlib import Path
from typing import Annotated, Optional

import typer

app = typer.Typer()


@app.command("audit")
def audit_command(
    family: Annotated[str, typer.Argument(help="A family, as in `fathom families`.")],
    level: Annotated[Optional[list[str]], typer.Option(help="Only this level; may be given several times.")] = None,
    draws: Annotated[int, typer.Option(min=100, help="Questions of each cell that are compared.")] = 100_000,
    solver: Annotated[
        Optional[str], typer.Option(help="A second solver, as module:function, which gets a question's text.")
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="File to write the audit to, as JSON.")] = None,
) -> None:
    """Look for shortcuts and repeated questions in a family, your own included."""
    from fathom.harness.reports.audit.audit import (
        audit_family,
        audit_text,
        cells_to_audit,
        load_solver,
        render_audit,
    )
    from fathom.harness.reports.console import make_console
    from fathom.tasks.registry import find_family

    found = find_family(family)
    cells = cells_to_audit(found, level or ())
    progress = make_console(stderr=True)
    done = audit_family(found, cells, draws, lambda line: progress.print(line, soft_wrap=True),
                        load_solver(solver) if solver else None)  # fmt: skip
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(audit_text(done), encoding="utf-8")
    console = make_console()
    console.width = max(console.width, 180)
    for part in render_audit(done):
        console.print(part)
    if any(cell.has_shortcut for cell in done.cells):
        raise typer.Exit(1)

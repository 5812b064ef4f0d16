"""The `fathom law` command: parsing only."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from harness.cli_db import Db, database_of
from harness.errors import BadInput

law_app = typer.Typer()


@law_app.command("law")
def run_law(
    name: Annotated[Optional[str], typer.Argument(help="A law, as --list shows them.")] = None,
    scale: Annotated[str, typer.Option(help="cpu: about 15 minutes on two cores; gpu: about 10 on one H200.")] = "cpu",
    out: Annotated[
        Optional[Path], typer.Option(help="Folder for models, law.json and pictures; default laws/NAME-SCALE.")
    ] = None,
    db: Db = None,
    list_all: Annotated[bool, typer.Option("--list", help="List the laws, and what each claims.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Test a law of training: train small models that differ in one thing, ask them, judge. A second call goes on."""
    from harness.laws.base import SCALES
    from harness.laws.registry import all_laws, find_law

    if list_all:
        _list(as_json)
        return
    if name is None:
        raise BadInput(f"name a law: {', '.join(all_laws())}")
    law = find_law(name)
    chosen = next((one for one in SCALES if one == scale), None)
    if chosen is None:
        raise BadInput(f"no scale {scale!r}; known: {', '.join(SCALES)}")
    from harness.laws.command import try_law

    try_law(law, chosen, out or Path("laws") / f"{name}-{scale}", database_of(db), as_json)


def _list(as_json: bool) -> None:
    from harness.console import make_console, print_json
    from harness.laws.registry import all_laws
    from harness.laws.table import render_laws

    if as_json:
        print_json([{"law": one.name, "claim": one.claim, "rule": one.rule} for one in all_laws().values()])
    else:
        make_console().print(render_laws(all_laws().values()))

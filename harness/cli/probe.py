"""The `fathom probe` command, and probes in `fathom show` and `fathom export`."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from fathom.harness.cli.options import AsJson, Db, database_of, names, open_store
from fathom.harness.errors import BadInput, write_error
from fathom.harness.reports.console import make_console, print_json

app = typer.Typer()


@app.command("probe")
def probe_command(  # one parameter an option
    model: Annotated[Optional[str], typer.Option(help="reference/pebble, a folder, or a hub id.")] = None,
    list_targets: Annotated[bool, typer.Option("--list", help="List what can be read, and read nothing.")] = False,
    targets: Annotated[
        Optional[str], typer.Option(help="Only these: names, beginnings as depo.n8k2, or patterns as '*.answer'.")
    ] = None,
    layers: Annotated[Optional[str], typer.Option(help="0,2,4 or every:2; default: all.")] = None,
    n: Annotated[str, typer.Option("--n", help="Items to fit and to test.")] = "1500,600",
    controls: Annotated[int, typer.Option(min=1, max=1000, help="Shuffles of the labels.")] = 20,
    seed: Annotated[str, typer.Option(help="Of the items, as a whole number or hex.")] = "2026",
    patch: Annotated[
        bool, typer.Option("--patch", help="Also exchange what was found between items: does the answer follow?")
    ] = False,
    chat: Annotated[
        Optional[bool], typer.Option("--chat/--no-chat", help="Use the chat template; default: if it has one.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="auto, bfloat16, float16 or float32.")] = "auto",
    engine: Annotated[str, typer.Option(help="hf: states are read through transformers.")] = "hf",
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Read hidden variables in a model's states, beside seven controls: what is there, and from which layer on."""
    if list_targets:
        show_targets(as_json)
        return
    from fathom.harness.probing.plan import ProbeSettings, make_plan

    settings = ProbeSettings(names(targets), layers, pair_of(n), controls, seed, chat, dtype, patch)
    plan = make_plan(model, settings, engine)
    from fathom.harness.probing.run import run_probe

    talk = make_console(stderr=True)
    detail = run_probe(open_store(db, create=True), plan, lambda line: talk.print(line, soft_wrap=True, markup=False))
    _show(detail.summary.id, database_of(db), as_json)


def pair_of(text: str) -> tuple[int, int]:
    """Read "1500,600".

    Raises:
        BadInput: not two whole numbers.
    """
    found = names(text)
    if len(found) != 2 or not all(one.isdecimal() for one in found):
        raise BadInput(f"--n {text!r}: give the items to fit and to test, as 1500,600")
    return int(found[0]), int(found[1])


def show_targets(as_json: bool) -> None:
    """Print all targets."""
    from fathom.harness.probing.terminal import render_targets, targets_json

    if as_json:
        print_json(targets_json())
    else:
        make_console().print(render_targets())


def _show(probe: str, database: str, as_json: bool) -> None:
    from fathom.harness.db.probes import get_probe
    from fathom.harness.probing.tables import probe_json
    from fathom.harness.probing.terminal import render_probe

    detail = get_probe(open_store(database), probe)
    if as_json:
        print_json(probe_json(detail))
        return
    console = make_console()
    console.width = max(console.width, 140)
    console.print(render_probe(detail))


def show_if_probe(database: str, word: str, as_json: bool) -> bool:
    """Print the probe whose id begins with a word, and say whether there is exactly one."""
    from fathom.harness.db.probes import probes_beginning

    found = probes_beginning(open_store(database), word)
    if len(found) == 1:
        _show(found[0], database, as_json)
    return len(found) == 1


def export_if_probe(database: str, word: str, out: Path) -> bool:
    """Write the points of the probe whose id begins with a word as CSV, and say whether there is exactly one.

    Raises:
        BadInput: the file does not end with .csv, or cannot be written.
    """
    from fathom.harness.db.probes import get_probe, probes_beginning
    from fathom.harness.probing.tables import points_csv

    db = open_store(database)
    if len(found := probes_beginning(db, word)) != 1:
        return False
    if out.suffix != ".csv":
        raise BadInput(f"--out {out.name}: a probe is exported to a file that ends with .csv; --json of `show` has all")
    try:
        out.write_text(points_csv(get_probe(db, found[0])), encoding="utf-8")
    except OSError as error:
        raise write_error(out, error) from error
    make_console().print(f"wrote {out}", soft_wrap=True)
    return True

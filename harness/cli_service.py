"""The commands that speak with a server: parsing, and what they print."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from harness.cli_db import Db, database_of
from harness.settings import read_token_variable

service_app = typer.Typer()


@service_app.command("submit")
def submit_run(
    run: Annotated[str, typer.Argument(help="A run's id or its beginning.")],
    server: Annotated[Optional[str], typer.Option(help="Address of a board, as in https://fathom.example.")] = None,
    token_file: Annotated[
        Optional[Path], typer.Option(help="File with an API token of the scope submit; default FATHOM_TOKEN.")
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="Write a file for the form in the browser instead.")] = None,
    model: Annotated[Optional[str], typer.Option(help="Hub id to name, where the run was made from a folder.")] = None,
    sha: Annotated[Optional[str], typer.Option(help="Commit of the model on the hub; a replay needs it.")] = None,
    patience: Annotated[float, typer.Option(help="Seconds to go on trying where the server does not answer.")] = 900.0,
    db: Db = None,
) -> None:
    """Send a finished run to a server, which grades it again. Exit code 0 sent, 2 refused, 4 no answer."""
    from harness.console import make_console
    from harness.db.engine import open_database
    from harness.db.read import get_run
    from harness.errors import BadInput
    from harness.sending import Parcel, read_token, send, write_file

    if (server is None) == (out is None):
        raise BadInput("say where to: --server ADDRESS, or --out FILE for the form in the browser")
    engine = open_database(database_of(db), create=False)
    parcel = Parcel(engine, get_run(engine, run).summary.run, model, sha)
    if out is not None:
        print(f"wrote {out} ({write_file(parcel, out) / 1e6:.1f} MB): send it at /submit/results of a board")
        return
    talk = make_console(stderr=True)
    token = read_token(token_file, read_token_variable())
    answer = send(parcel, str(server), token, lambda words: talk.print(words, soft_wrap=True), patience)
    if answer.is_new:
        print(f"graded there: {answer.n_right} of {answer.n_items} right, tier 1, run {answer.run}")
    else:
        print("the server has these results already")
    print(answer.link)

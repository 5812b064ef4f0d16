"""`fathom push`: results on a model's page of the hub."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from fathom.harness.cli.options import Db, open_store
from fathom.harness.settings import read_secret_file, read_service_settings

app = typer.Typer()

Benchmark = Annotated[
    str,
    typer.Option(help="The benchmark's data set on the hub, as OWNER/NAME: `fathom export --hub` writes its files."),
]
Source = Annotated[str, typer.Option(help="Address of a page with the answers, such as the run on a board.")]


@app.command("push")
def push_run(
    run: Annotated[str, typer.Argument(help="A run's id or its beginning.")],
    repo: Annotated[str, typer.Option(help="The model's repository, as OWNER/NAME.")],
    benchmark: Benchmark,
    source: Source = "",
    token_file: Annotated[
        Optional[Path], typer.Option(help="File with a token of the hub; default: that of `hf auth login`.")
    ] = None,
    db: Db = None,
) -> None:
    """Open a pull request with a run's scores on a model's repository of the hub. Unchecked results are refused."""
    from fathom.harness.db.read import get_run
    from fathom.harness.io.hub import Publication, push_results

    token = read_secret_file(token_file) if token_file else ""
    detail = get_run(open_store(db), run)
    print(push_results(detail, repo, Publication(benchmark, source), read_service_settings().hub, token))

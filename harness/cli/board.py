"""`fathom submit` and `fathom worker`: the commands that talk to a server."""

import os
from pathlib import Path
from typing import Annotated, Optional

import typer

from fathom.harness.cli.options import Db, open_store, pairs
from fathom.harness.errors import BadInput
from fathom.harness.settings import read_secret_file, read_token_variable

app = typer.Typer()


def _token(server: str, file: Path | None) -> tuple[str, bool]:
    """Return the token in a file or in FATHOM_TOKEN; else, with True, the key of a board that this user serves here."""
    from fathom.harness.service.board_key import key_of_board

    stated = read_secret_file(file) if file else read_token_variable()
    key = "" if stated else key_of_board(server)
    return stated or key, bool(key)


@app.command("submit")
def submit_run(
    run: Annotated[str, typer.Argument(help="A run's id or its beginning.")],
    server: Annotated[Optional[str], typer.Option(help="Address of a board, as in https://fathom.example.")] = None,
    token_file: Annotated[
        Optional[Path],
        typer.Option(
            help="File with an API token of the scope submit; default FATHOM_TOKEN, else as for your own board."
        ),
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="Write a file for the browser form instead.")] = None,
    model: Annotated[
        Optional[str], typer.Option(help="Hub id of the model, where the run used a local folder.")
    ] = None,
    sha: Annotated[Optional[str], typer.Option(help="Commit of the model on the hub; a replay needs it.")] = None,
    patience: Annotated[float, typer.Option(help="Seconds to keep trying while the server does not answer.")] = 900.0,
    db: Db = None,
) -> None:
    """Send a finished run to a server, which grades it again. Exit codes: 0 sent, 2 refused, 4 no answer."""
    from fathom.harness.db.read import get_run
    from fathom.harness.engines.model_name import RESERVED
    from fathom.harness.io.upload import Parcel, send_parcel, write_parcel
    from fathom.harness.reports.console import make_console

    if (server is None) == (out is None):
        raise BadInput("say where to: --server ADDRESS, or --out FILE for the form in the browser")
    engine = open_store(db)
    found = get_run(engine, run).summary
    parcel = Parcel(engine, found.run, model, sha)
    if out is not None:
        print(f"wrote {out} ({write_parcel(parcel, out) / 1e6:.1f} MB): send it at /submit/results of a board")
        if (model or found.model).casefold().startswith(RESERVED):
            print("only a board without accounts takes this name: give the model's hub id with --model for others")
        return
    talk = make_console(stderr=True)
    token, _ = _token(str(server), token_file)
    answer = send_parcel(parcel, str(server), token, lambda words: talk.print(words, soft_wrap=True), patience)
    if answer.is_new:
        print(f"graded there: {answer.n_right} of {answer.n_items} right, unchecked, run {answer.run}")
    else:
        print("the server has these results already")
    print(answer.link)


@app.command("worker")
def work_for_server(
    server: Annotated[str, typer.Option(help="Address of the server, as in https://fathom.example.")],
    engine: Annotated[str, typer.Option(help="vllm, hf, oracle, or ray for replicas.")] = "vllm",
    token_file: Annotated[
        Optional[Path],
        typer.Option(help="File with an API token of scope worker; default FATHOM_TOKEN, else as for your own board."),
    ] = None,
    models: Annotated[
        Optional[Path], typer.Option(help="Folder with models as org/name, searched before the hub.")
    ] = None,
    name: Annotated[Optional[str], typer.Option(help="Name of the worker; default: machine and process.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Run at most one job, then end.")] = False,
    max_gb: Annotated[Optional[float], typer.Option(min=0, help="Take no model larger than this.")] = None,
    no_isolation: Annotated[
        bool,
        typer.Option("--no-isolation", help="Do not cut the process that runs foreign models off from the network."),
    ] = False,
    engine_arg: Annotated[
        Optional[list[str]],
        typer.Option(help="Engine option that does not change results, as in tensor_parallel_size=2."),
    ] = None,
) -> None:
    """Run submitted models for a server until stopped. Exit codes: 0 done, 2 bad input, 3 job failed."""
    from fathom.harness.service.board_key import derived
    from fathom.harness.service.worker.worker import WorkerOptions, start_worker, worker_name
    from fathom.harness.settings import read_worker_settings

    found = read_worker_settings()
    token, is_own = _token(server, token_file)
    options = WorkerOptions(
        server, derived(token, "worker") if is_own else token, engine, name or worker_name(os.getpid()),
        found.cache, models, found.hub, once, None if max_gb is None else int(max_gb * 2**30), not no_isolation, is_own,
        pairs(engine_arg or (), "--engine-arg"),
    )  # fmt: skip
    raise typer.Exit(start_worker(options))

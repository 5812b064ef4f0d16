"""`fathom serve` and `fathom export-static`: publish a database as a board."""

import signal
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Optional

import typer

from fathom.harness.cli.options import Db, database_of
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.engines.options import ENGINE_WORDS, installed_engine
from fathom.harness.errors import BadInput
from fathom.harness.format import count, plural
from fathom.harness.reports.console import make_console
from fathom.harness.service.board_key import derived, is_loopback, noted_board, open_key
from fathom.harness.settings import (
    ServiceSettings,
    check_log_format,
    pass_to_children,
    read_service_settings,
    read_settings,
)

app = typer.Typer()


@app.command("serve")
def _serve(
    db: Db = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on; others than loopback need accounts.")] = "127.0.0.1",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Server processes.")] = 1,
    log: Annotated[
        Optional[str], typer.Option(help="text, or json with one line for each request; default FATHOM_LOG.")
    ] = None,
    engine: Annotated[
        Optional[str], typer.Option(help="Engine of the board's own worker: vllm or hf; default: what is installed.")
    ] = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Start no worker; without accounts, one evaluates what is submitted.")
    ] = False,
) -> None:
    """Show the board in a browser, and evaluate what is submitted there."""
    served = ServedBoard(database_of(db), host, port, workers, check_log_format(log) if log else read_settings().log)
    serve(served, None if no_worker else own_engine(engine))


@app.command("export-static")
def _export_static(
    out: Annotated[Path, typer.Argument(help="New or empty folder.")],
    db: Db = None,
    sample_pages: Annotated[int, typer.Option(min=0, max=1000, help="Pages of 20 samples for each run.")] = 1,
) -> None:
    """Write the whole board as static files for any web host."""
    write_copy(database_of(db), out, sample_pages)


@dataclass(frozen=True, slots=True)
class ServedBoard:
    """A database, where it is served, by how many processes, and the format of the log."""

    database: str
    host: str
    port: int
    workers: int
    log: str


def own_engine(wanted: str | None) -> str:
    """Return the engine of the board's own worker; empty where none can run here.

    Raises:
        BadInput: the engine that was named cannot run in a worker here.
    """
    found = installed_engine() if sys.platform == "linux" else ""
    if wanted is None:
        return found
    if wanted not in ENGINE_WORDS or not found or (wanted, found) == ("vllm", "hf"):
        raise BadInput(f"--engine {wanted}: no worker with it can run here; on Linux give vllm or hf, and install it")
    return wanted


def serve(board: ServedBoard, engine: str | None) -> None:
    """Serve the board from one or more processes until stopped, without accounts beside a worker of its own.

    `engine` is that of the worker; None declines one, and an empty text says that none can run here.

    Raises:
        BadInput: an address that is not loopback, or a port that is taken.
        StoreError: the database cannot be read.
    """
    service = read_service_settings()
    check_bind(board.host, service)
    db = open_database(board.database, create=True)
    update_leaderboard(db)  # ranks of runs whose process was killed
    try:
        listener = socket.create_server((board.host, board.port))
    except OSError as error:
        raise BadInput(
            f"port {board.port} is taken ({error.strerror}): give another --port, or 0 for a free one"
        ) from error
    port = listener.getsockname()[1]
    address = f"http://{board.host}:{port}"
    with ExitStack() as at_end:
        at_end.callback(db.dispose)
        if service.oidc is not None:
            _say(f"the board is at {address} (stop with Ctrl-C)")
        else:
            key = open_key(board.database)
            at_end.enter_context(noted_board(port, board.database))
            _say(f"the board is at {address}/?key={key} (stop with Ctrl-C)")
            _say(
                _WORKER_WORDS.get(engine, "a worker with {} evaluates what you submit; --no-worker declines").format(
                    ENGINE_WORDS.get(engine or "")
                )
            )
            if engine:
                from fathom.server.cli.own_worker import OwnWorkerSettings, WorkerKeeper

                signal.signal(signal.SIGTERM, _end)  # uvicorn ends as it is told to, and the worker before this process
                keeper = WorkerKeeper(db, OwnWorkerSettings(address, port, derived(key, "worker"), engine))
                at_end.callback(keeper.stop)
                keeper.start()
        _run(board, service, listener)


_WORKER_WORDS = {
    None: "no worker evaluates what you submit, until you start `fathom worker`",
    "": "no worker evaluates what you submit: that needs Linux, and vLLM or transformers",
}
_STOPPED = 128 + signal.SIGTERM


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(_STOPPED)


def _say(words: str) -> None:
    make_console().print(words, soft_wrap=True, markup=False)


def _run(board: ServedBoard, service: ServiceSettings, listener: socket.socket) -> None:
    """Answer requests until told to stop."""
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from fathom.server.app import ServerSettings, create_app

    # arguments of uvicorn.Config; X-Forwarded-For is handled by visitor_address alone
    options: dict[str, Any] = {"log_level": "warning", "proxy_headers": False, "server_header": False}
    # h11 bounds what is read of a request before its headers end; httptools reads on
    options |= {"http": "h11", "h11_max_incomplete_event_size": 65_536, "timeout_keep_alive": 15}
    options["timeout_graceful_shutdown"] = 8  # pages with live updates hold their connections for minutes
    if board.log == "json":
        from fathom.server.web.logs import log_as_json

        log_as_json()
        options["log_config"] = None
    if board.workers > 1:
        pass_to_children(board.database, board.log)
        factory = "fathom.server.app:create_app_from_environment"
        config = uvicorn.Config(factory, factory=True, workers=board.workers, **options)
        Multiprocess(config, [listener]).run()
        return
    application = create_app(ServerSettings(database=board.database, service=service))
    uvicorn.Server(uvicorn.Config(application, **options)).run(sockets=[listener])


def check_bind(host: str, service: ServiceSettings) -> None:
    """Refuse to listen on a public address without accounts.

    Raises:
        BadInput: names the settings that are missing.
    """
    if service.oidc is not None and not service.url:
        raise BadInput("accounts need FATHOM_URL, the address that visitors see: set it")
    if is_loopback(host):
        return
    missing = [
        words
        for words, there in (
            ("FATHOM_OIDC_CLIENT_ID and the other settings of the sign-in provider", service.oidc is not None),
            ("FATHOM_SECRET_KEY of 32 characters or more", len(service.secret_key) >= _LONG_KEY),
            ("FATHOM_URL with https://", service.url.startswith("https://")),
        )
        if not there
    ]
    if missing:
        raise BadInput(
            f"will not listen on {host}: without accounts the board is for this machine only (127.0.0.1). "
            f"Missing: {'; '.join(missing)}. docker/README.md shows how"
        )


_LONG_KEY = 32


def write_copy(database: str, out: Path, sample_pages: int) -> None:
    """Write the board as files, with a progress line.

    Raises:
        BadInput: the folder is not empty.
        StoreError: the database cannot be read.
    """
    open_database(database, create=False).dispose()
    from fathom.server.cli import static_copy

    console = make_console()
    with console.status("copying the board") as line:

        def tell(n_files: int, n_known: int) -> None:
            line.update(f"copying the board: {count(n_files)} of {count(n_known)} files")

        copied = static_copy.copy_board(database, out, sample_pages, tell)
    console.print(f"wrote {plural(copied.n_files, 'file')}, {copied.n_bytes / 1e6:.1f} MB: open {out / 'index.html'}")
    for address in copied.missing:
        console.print(f"  nothing was found at {address}")

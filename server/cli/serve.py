"""`fathom serve` and `fathom export-static`: publish a database as a board."""

import ipaddress
import socket
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from fathom.harness.cli.options import Db, database_of
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.errors import BadInput
from fathom.harness.format import count, plural
from fathom.harness.reports.console import make_console
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
) -> None:
    """Show the board in a browser."""
    serve(database_of(db), host, port, workers, check_log_format(log) if log else read_settings().log)


@app.command("export-static")
def _export_static(
    out: Annotated[Path, typer.Argument(help="New or empty folder.")],
    db: Db = None,
    sample_pages: Annotated[int, typer.Option(min=0, max=1000, help="Pages of 20 samples for each run.")] = 1,
) -> None:
    """Write the whole board as static files for any web host."""
    write_copy(database_of(db), out, sample_pages)


def serve(database: str, host: str, port: int, workers: int, log: str) -> None:
    """Serve the board from one or more processes until stopped.

    Raises:
        BadInput: an address that is not loopback, or a port that is taken.
        StoreError: the database cannot be read.
    """
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    service = read_service_settings()
    check_bind(host, service)
    db = open_database(database, create=True)
    update_leaderboard(db)  # ranks of runs whose process was killed
    db.dispose()
    from fathom.server.app import ServerSettings, create_app

    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise BadInput(f"port {port} is taken ({error.strerror}): give another --port, or 0 for a free one") from error
    make_console().print(f"the board is at http://{host}:{listener.getsockname()[1]} (stop with Ctrl-C)")
    # arguments of uvicorn.Config; X-Forwarded-For is handled by visitor_address alone
    options: dict[str, Any] = {"log_level": "warning", "proxy_headers": False, "server_header": False}
    # h11 bounds what is read of a request before its headers end; httptools reads on
    options |= {"http": "h11", "h11_max_incomplete_event_size": 65_536, "timeout_keep_alive": 15}
    options["timeout_graceful_shutdown"] = 8  # pages with live updates hold their connections for minutes
    if log == "json":
        from fathom.server.web.logs import log_as_json

        log_as_json()
        options["log_config"] = None
    if workers > 1:
        pass_to_children(database, log)
        factory = "fathom.server.app:create_app_from_environment"
        config = uvicorn.Config(factory, factory=True, workers=workers, **options)
        Multiprocess(config, [listener]).run()
        return
    application = create_app(ServerSettings(database=database, service=service))
    uvicorn.Server(uvicorn.Config(application, **options)).run(sockets=[listener])


def check_bind(host: str, service: ServiceSettings) -> None:
    """Refuse to listen on a public address without accounts.

    Raises:
        BadInput: names the settings that are missing.
    """
    if service.oidc is not None and not service.url:
        raise BadInput("accounts need FATHOM_URL, the address that visitors see: set it")
    if host == "localhost" or _is_loopback(host):
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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""Do what the longer commands of `fathom` ask for."""

import ipaddress
import socket
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from harness.console import make_console
from harness.db.engine import HEAD, current_version, make_engine, open_database, parse_url, upgrade
from harness.db.landing import land_runs
from harness.demo import DemoPlan, sow
from harness.demo_rows import Sown
from harness.errors import BadDatabase, BadInput, NewerDatabase
from harness.format import count, duration, plural
from harness.settings import ServiceSettings, hand_down, is_first_process, quiet_transformers, read_service


def upgrade_database(database: str) -> str:
    """Bring a database up to date; return what was done.

    Raises:
        BadDatabase, NewerDatabase: it cannot be opened, or is ahead of this Fathom.
    """
    engine = make_engine(parse_url(database))
    shown = engine.url.render_as_string(hide_password=True)
    try:
        before = current_version(engine)
        if before is not None and before > HEAD:
            raise NewerDatabase(f"the database {shown} is of version {before}, this Fathom knows {HEAD}: update Fathom")
        upgrade(engine)
        land_runs(engine)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise BadDatabase(f"cannot open the database {shown}: {reason}") from error
    finally:
        engine.dispose()
    return f"{shown} is at version {HEAD}" + ("" if before == HEAD else f" (was {before or 'empty'})")


def seed_demo(plan: DemoPlan, database: str) -> None:
    """Fill an empty database with invented models, and say how many there are.

    Raises:
        BadInput: the database holds runs already, or a number makes no sense.
    """
    talk, began = make_console(), time.monotonic()
    db = open_database(database, create=True)
    with talk.status("") as line:
        sown = sow(db, plan, lambda phase, now: line.update(f"{phase}: {_sown_text(now)}"))
    db.dispose()
    talk.print(f"invented {_sown_text(sown)} in {duration(time.monotonic() - began)}", soft_wrap=True)


def _sown_text(sown: Sown) -> str:
    return f"{plural(sown.models, 'model')}, {plural(sown.runs, 'run')}, {plural(sown.samples, 'sample')}"


def serve(database: str, host: str, port: int, workers: int, log: str) -> None:
    """Serve the board from one or more processes until stopped.

    Raises:
        BadInput: an address that is not loopback, or a port that is taken.
        StoreError: the database cannot be read.
    """
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    service = read_service()
    check_bind(host, service)
    db = open_database(database, create=True)
    land_runs(db)  # what a killed process left undone
    db.dispose()
    server = import_module("server.app")  # the command starts the server; the library never imports it
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise BadInput(f"port {port} is taken ({error.strerror}): give another --port, or 0 for a free one") from error
    make_console().print(f"the board is at http://{host}:{listener.getsockname()[1]} (stop with Ctrl-C)")
    # what uvicorn.Config takes; whom to believe about a visitor's address is server.accounts' to say
    options: dict[str, Any] = {"log_level": "warning", "proxy_headers": False, "server_header": False}
    options["timeout_graceful_shutdown"] = 8  # pages that are kept up to date hold their connections for minutes
    if log == "json":
        import_module("server.logs").log_as_json()
        options["log_config"] = None
    if workers > 1:
        hand_down(database, log)
        factory = "server.app:create_app_from_environment"
        config = uvicorn.Config(factory, factory=True, workers=workers, **options)
        Multiprocess(config, [listener]).run()
        return
    application = server.create_app(server.ServerSettings(database=database, service=service))
    uvicorn.Server(uvicorn.Config(application, **options)).run(sockets=[listener])


def check_bind(host: str, service: ServiceSettings) -> None:
    """Refuse to let strangers reach a server that cannot tell them from its owner.

    Raises:
        BadInput: with what is missing.
    """
    if service.oidc is not None and not service.url:
        raise BadInput("people can sign in only where FATHOM_URL names the address that they see: set it")
    if host == "localhost" or _is_loopback(host):
        return
    missing = [
        words
        for words, there in (
            ("FATHOM_OIDC_CLIENT_ID and its like, so that people can sign in", service.oidc is not None),
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


def copy_board(database: str, out: Path, sample_pages: int) -> None:
    """Write the board as files, with a line of progress.

    Raises:
        BadInput, StoreError: see server.static_copy.
    """
    open_database(database, create=False).dispose()
    maker = import_module("server.static_copy")  # as for serve
    console = make_console()
    with console.status("copying the board") as line:

        def tell(n_files: int, n_known: int) -> None:
            line.update(f"copying the board: {count(n_files)} of {count(n_known)} files")

        copied = maker.copy_board(database, out, sample_pages, tell)
    console.print(f"wrote {plural(copied.n_files, 'file')}, {copied.n_bytes / 1e6:.1f} MB: open {out / 'index.html'}")
    for address in copied.missing:
        console.print(f"  nothing stood at {address}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def train(recipe: str, out: Path) -> int:
    """Train a recipe with a progress bar; return the exit code. Of several processes, the first alone prints.

    Raises:
        BadRecipe, DiskFull, Diverged: see harness.pretrain.
    """
    from harness.recipe import read_recipe

    known = read_recipe(recipe)
    quiet_transformers()
    from harness.pretrain import pretrain  # torch and transformers: only once the recipe is sound
    from harness.running import STOPPED
    from harness.training import TrainingProgress

    talk = make_console()
    talk.quiet = not is_first_process()
    progress = TrainingProgress(talk, known)
    try:
        with progress:
            saved = pretrain(known, out, progress, progress.write)
    except KeyboardInterrupt:
        at = f"at step {progress.step:,} of {known.steps:,}" if progress.step else "before its first step"
        talk.print(
            f"stopped {at}; checkpoints are in {out / 'checkpoints'}. Go on with: fathom pretrain {recipe} --out {out}",
            soft_wrap=True,
        )
        return STOPPED
    talk.print("saved " + ", ".join(str(path) for path in saved), soft_wrap=True)
    return 0

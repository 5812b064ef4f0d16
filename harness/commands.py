"""Do what the longer commands of `fathom` ask for."""

import ipaddress
import logging
import secrets
import socket
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import Engine as Database
from sqlalchemy.exc import SQLAlchemyError

from harness.db.engine import HEAD, current_version, make_engine, open_database, parse_url, upgrade
from harness.db.landing import land_runs
from harness.db.read import RunDetail, get_run, list_runs
from harness.demo import DemoPlan, sow
from harness.demo_rows import Sown
from harness.engines.open import check_engine
from harness.engines.oracle import oracle_kind
from harness.errors import BadDatabase, BadInput, EngineFailed, FathomError, NewerDatabase
from harness.format import count, duration, plural
from harness.model import ModelSource, find_model
from harness.progress import RunProgress
from harness.report import make_console, render_run, run_json
from harness.run import Plan, evaluate
from harness.settings import ServiceSettings, hand_down, quiet_transformers, read_service
from harness.suite import Selection, open_suite


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user typed after `fathom run`."""

    model: str | None
    suite: str
    engine: str
    seed: str | None
    families: tuple[str, ...]
    levels: tuple[str, ...]
    channels: tuple[str, ...]
    styles: tuple[str, ...]
    n: int | None
    shots: int
    resume: str | None


def run(wish: Wish, database: str, as_json: bool) -> int:
    """Evaluate, then print a table or JSON; return the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    talk = make_console(stderr=as_json)
    check_engine(wish.engine)
    if wish.resume is None:
        plan = _plan(wish)
        db = open_database(database, create=True)
    else:
        db = open_database(database, create=False)
        detail = get_run(db, wish.resume)
        plan = _resumed(detail)
        if detail.summary.state == "done" and detail.summary.n_done == plan.suite.n_items and not _errors(detail):
            talk.print(f"run {detail.summary.run} is done; nothing is missing")
            _print(detail, as_json)
            return 0
    return _evaluate(plan, db, talk, as_json)


def _errors(detail: RunDetail) -> int:
    return sum(cell.n_errors for cell in detail.cells)


def _plan(wish: Wish) -> Plan:
    selection = Selection(wish.families, wish.levels, wish.channels, wish.styles, wish.n)
    suite = open_suite(wish.suite, wish.seed if wish.seed is not None else secrets.token_hex(8), selection)
    return Plan(_model(wish.model, wish.engine), wish.engine, suite, wish.shots)


def _model(name: str | None, engine: str) -> ModelSource:
    if engine == "oracle":
        kind = oracle_kind(name or "oracle")
        return ModelSource(f"oracle/{kind}", None, f"oracle/{kind}")
    if not name:
        raise BadInput("say which model: --model reference/pebble, a folder, or a hub id (org/name)")
    return find_model(name)


def _resumed(detail: RunDetail) -> Plan:
    one = detail.summary
    shots = int(detail.manifest["decisive"]["sampling"]["shots"])
    return Plan(_model(one.model, one.engine), one.engine, detail.suite, shots, one.run)


def _evaluate(plan: Plan, db: Database, talk: Console, as_json: bool) -> int:
    suite = plan.suite
    talk.print(
        f"{plan.model.name} on {suite.name} {suite.version}, seed {suite.seed}: "
        f"{count(suite.n_items)} items in {len(suite.cells)} cells, engine {plan.engine}",
        soft_wrap=True,
    )
    try:
        with RunProgress(talk, suite) as progress:
            outcome = evaluate(plan, db, progress)
    except KeyboardInterrupt:
        talk.print(f"stopped; what was generated is stored. {_how_to_resume(db, plan)}", soft_wrap=True)
        return 130
    except FathomError as error:
        if isinstance(error, EngineFailed):
            talk.print(
                f"the run is stored as failed, with its log (fathom show). {_how_to_resume(db, plan)}", soft_wrap=True
            )
        raise
    detail = get_run(db, outcome.run)
    talk.print(
        f"run {outcome.run}: {count(outcome.n_generated)} generated, "
        f"{count(outcome.n_recalled)} recalled from the journal"
    )
    _print(detail, as_json)
    return 0


def _how_to_resume(db: Database, plan: Plan) -> str:
    asked = (plan.model.name, plan.engine, plan.suite.seed)
    runs = (one.run for one in list_runs(db) if (one.model, one.engine, one.seed) == asked)
    run = plan.resume or next(runs, None)
    if run is None:
        return "Nothing was started yet."
    where = db.url.database if db.dialect.name == "sqlite" else db.url.render_as_string(hide_password=True)
    return f"Go on with: fathom run --resume {run} --db {where}"


def _print(detail: RunDetail, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps(run_json(detail), indent=1, ensure_ascii=False))  # noqa: T201  # a command's output
    else:
        make_console().print(render_run(detail))


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


def train(recipe: str, out: Path) -> None:
    """Train a recipe with a progress bar.

    Raises:
        BadRecipe, EngineFailed: see harness.pretrain.
    """
    from harness.recipe import read_recipe

    known = read_recipe(recipe)
    quiet_transformers()
    from harness.pretrain import pretrain  # torch and transformers: only once the recipe is sound
    from harness.training import TrainingProgress

    with TrainingProgress(make_console(), known) as progress:
        saved = pretrain(known, out, progress)
    make_console().print("saved " + ", ".join(str(path) for path in saved))

"""Turn settings into a web application."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from anyio import to_thread
from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.staticfiles import StaticFiles

from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard.landing import land_runs
from fathom.harness.service.seasons.store import season_seed
from fathom.harness.settings import ServiceSettings, read_settings
from fathom.server.accounts import sign_in
from fathom.server.accounts.middleware import Identify
from fathom.server.accounts.oidc import Oidc
from fathom.server.accounts.store import prune_logins
from fathom.server.admin import account
from fathom.server.admin import pages as admin
from fathom.server.api import routes as api
from fathom.server.board import downloads, families, feeds, pages, pictures
from fathom.server.jobs import api as jobs
from fathom.server.seasons import pages as seasons
from fathom.server.submissions import api as submissions
from fathom.server.submissions import events, submit
from fathom.server.submissions import pages as queue
from fathom.server.submissions.events import Watch
from fathom.server.submissions.hub import HubClient
from fathom.server.submissions.planner import SeedOf, conclude_submissions, make_reaper, plan_submissions
from fathom.server.uploads import api as uploads
from fathom.server.uploads.flags import flag_overfit
from fathom.server.uploads.replays import ask_replays, conclude_replays
from fathom.server.uploads.store import drop_stale_uploads
from fathom.server.web import health, metrics
from fathom.server.web.bodies import Reception
from fathom.server.web.headers import ETags, SecureHeaders
from fathom.server.web.housekeeping import Chore, Housekeeper
from fathom.server.web.limits import prune_limits
from fathom.server.web.logs import Log, log_as_json
from fathom.server.web.metrics import Measure, Metrics
from fathom.server.web.problems import add_problem_pages
from fathom.server.web.render import Site, open_templates

_ROUTERS = (
    downloads.router, pages.router, families.router, pictures.router, feeds.router, metrics.router, health.router,
    uploads.router, submit.router, queue.router, events.router, seasons.router, sign_in.router, account.router,
    admin.router, api.docs, api.router, jobs.router, uploads.api, seasons.api, account.api, submit.api, submissions.api,
)  # fmt: skip
_THREADS = 5
"""Requests worked on at a time: as many as connections are kept open. Python runs one thread at a time anyway."""


def _chores(seed_of: SeedOf, auto_replay: bool) -> tuple[Chore, ...]:
    """Return what the housekeeper does, in this order; see server.housekeeping."""
    return (
        *((Chore("ask for replays", ask_replays),) if auto_replay else ()),
        Chore("plan submissions", partial(plan_submissions, seed_of=seed_of)),
        Chore("take back leases", make_reaper()),
        Chore("conclude submissions", partial(conclude_submissions, checks=(flag_overfit,))),
        Chore("remove uploads that stopped", drop_stale_uploads),
        Chore("conclude replays", conclude_replays),
        Chore("land finished runs", land_runs),
        Chore("forget logins that are over", prune_logins),
        Chore("forget limits that are over", prune_limits),
    )


STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What decides how the board is served; `database` is a URL or the path of an SQLite file."""

    database: str
    live: bool = True
    """False for a copy in files, which can answer no form."""
    service: ServiceSettings = field(default_factory=ServiceSettings)
    """What accounts, submissions and seasons need."""


def create_app(settings: ServerSettings) -> FastAPI:
    """Open the database and return the application; a missing or empty database gets its tables.

    Raises:
        StoreError: the database cannot be opened, or needs `fathom db upgrade`.
        BadInput: accounts without a key or an address.
    """
    service = settings.service
    oidc = None if service.oidc is None else Oidc(service.oidc, service)
    db = open_database(settings.database, create=True)
    # FastAPI's documentation pages load scripts from a CDN; its redirects repeat whatever the Host header says
    app = FastAPI(
        title="Fathom",
        version=api.VERSION,
        description="Everything that the board shows.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_living(db, settings.live),
    )
    app.state.site = Site(db, open_templates(live=settings.live))
    app.state.service, app.state.oidc = service, oidc
    app.state.seed_of = partial(season_seed, secret_key=service.secret_key)
    app.state.housekeeper = Housekeeper(db, _chores(app.state.seed_of, service.auto_replay))
    app.state.reception = Reception()
    app.state.hub = HubClient(service.hub, service.max_bytes)
    app.state.watch = Watch()
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for router in _ROUTERS:
        app.include_router(router)
    app.add_middleware(ETags)
    if settings.live:
        app.add_middleware(Identify, db=db, service=service)
    app.state.metrics = Metrics(db)
    app.add_middleware(Measure, metrics=app.state.metrics)
    app.add_middleware(SecureHeaders, https=service.url.startswith("https://"))
    app.add_middleware(Log)
    add_problem_pages(app)
    return app


def create_app_from_environment() -> FastAPI:
    """Return the application for `uvicorn --factory`, with settings from the environment."""
    found = read_settings()
    if found.log == "json":
        log_as_json()
    return create_app(ServerSettings(found.database, service=found.service))


def _living(db: Engine, live: bool) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = _THREADS
        if live:
            app.state.housekeeper.start()
        yield
        app.state.housekeeper.close()
        db.dispose()

    return lifespan

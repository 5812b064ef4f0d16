"""The web application: routes, middleware and background tasks, put together from settings."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from anyio import to_thread
from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.staticfiles import StaticFiles

from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.liveness import end_dead_runs
from fathom.harness.service.board_key import open_key
from fathom.harness.service.seasons.store import season_seed
from fathom.harness.settings import ServiceSettings, read_settings
from fathom.server.accounts import api as accounts_api
from fathom.server.accounts import pages as accounts
from fathom.server.accounts import sign_in
from fathom.server.accounts.middleware import Identify, cookie_policy
from fathom.server.accounts.oidc import Oidc
from fathom.server.accounts.store import delete_expired_logins
from fathom.server.admin import pages as admin
from fathom.server.api import routes as api
from fathom.server.board import downloads, families, feeds, inside, laws, pictures, previews
from fathom.server.board import pages as board
from fathom.server.board.previews import PreviewPainter
from fathom.server.jobs import api as jobs
from fathom.server.jobs import workers
from fathom.server.seasons import api as seasons_api
from fathom.server.seasons import pages as seasons
from fathom.server.submissions import api as submissions_api
from fathom.server.submissions import events
from fathom.server.submissions import pages as submissions
from fathom.server.submissions.events import EventStreams
from fathom.server.submissions.hub import HubClient
from fathom.server.submissions.overfit import flag_overfit
from fathom.server.submissions.planner import SeedOf, finish_submissions, lease_expiry, plan_submissions
from fathom.server.uploads import api as uploads_api
from fathom.server.uploads import pages as uploads
from fathom.server.uploads.replays import finish_replays, request_replays
from fathom.server.uploads.store import delete_abandoned_uploads
from fathom.server.web import health, metrics
from fathom.server.web.background import BackgroundTask, BackgroundThread
from fathom.server.web.bodies import UploadSlots
from fathom.server.web.compression import Compress
from fathom.server.web.headers import ETags, SecureHeaders
from fathom.server.web.limits import RequestLimits
from fathom.server.web.logs import RequestLog, log_as_json
from fathom.server.web.metrics import CountRequests, Metrics
from fathom.server.web.problems import LIMIT_ANSWERS, add_problem_pages
from fathom.server.web.rate_limits import delete_old_limits
from fathom.server.web.render import Site, open_templates

_ROUTERS = (
    downloads.router, inside.router, board.router, families.router, laws.router, pictures.router, feeds.router,
    previews.router, metrics.router,
    health.router,
    uploads.router, submissions.router, events.router, seasons.router, sign_in.router, accounts.router, admin.router,
    api.docs, api.router, jobs.router, workers.router, uploads_api.router, seasons_api.router, accounts_api.router,
    submissions_api.router,
)  # fmt: skip
STATIC = Path(__file__).parent / "static"
_THREADS = 5
"""Requests that run at the same time: one for each database connection that is kept open."""


def _background_tasks(seed_of: SeedOf, auto_replay: bool) -> tuple[BackgroundTask, ...]:
    """Return the background tasks, in the order in which they run."""
    return (
        *((BackgroundTask("request replays", request_replays),) if auto_replay else ()),
        BackgroundTask("plan submissions", partial(plan_submissions, seed_of=seed_of)),
        BackgroundTask("expire leases", lease_expiry()),
        BackgroundTask("finish submissions", partial(finish_submissions, checks=(flag_overfit,))),
        BackgroundTask("delete abandoned uploads", delete_abandoned_uploads),
        BackgroundTask("finish replays", finish_replays),
        BackgroundTask("end dead runs", end_dead_runs),
        BackgroundTask("rank finished runs", update_leaderboard),
        BackgroundTask("delete expired logins", delete_expired_logins),
        BackgroundTask("delete old rate limits", delete_old_limits),
    )


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How the board is served; `database` is a URL or the path of an SQLite file."""

    database: str
    live: bool = True
    """False for a static copy, where forms cannot work."""
    service: ServiceSettings = field(default_factory=ServiceSettings)
    """Settings of accounts, submissions and seasons."""


def create_app(settings: ServerSettings) -> FastAPI:
    """Open the database and return the application; a missing or empty database gets its tables.

    Raises:
        StoreError: the database cannot be opened, or needs `fathom db upgrade`.
        BadInput: accounts are configured without a key or an address, or a key cannot be kept beside the database.
    """
    service = settings.service
    if service.oidc is None and settings.live:
        service = replace(service, key=open_key(settings.database))
    oidc = None if service.oidc is None else Oidc(service.oidc, service)
    db = open_database(settings.database, create=True)
    # FastAPI's documentation pages load scripts from a CDN; its redirects repeat a forged Host header
    app = FastAPI(
        title="Fathom",
        version=api.API_VERSION,
        description="Everything that the board shows.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(db, settings.live),
    )
    app.state.site = Site(db, open_templates(live=settings.live, public=service.url))
    app.state.service, app.state.oidc = service, oidc
    app.state.seed_of = partial(season_seed, secret_key=service.secret_key)
    app.state.background = BackgroundThread(db, _background_tasks(app.state.seed_of, service.auto_replay))
    app.state.uploads = UploadSlots()
    app.state.hub = HubClient(service.hub, service.max_bytes)
    app.state.streams = EventStreams()
    app.state.previews = PreviewPainter()
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for router in _ROUTERS:
        app.include_router(router, responses=LIMIT_ANSWERS)
    app.add_middleware(ETags)
    if settings.live:
        app.add_middleware(Identify, db=db, service=service)
    app.state.metrics = Metrics(db)
    app.add_middleware(CountRequests, metrics=app.state.metrics)
    app.add_middleware(Compress, cookie=cookie_policy(service).cookie)
    app.add_middleware(RequestLimits)
    app.add_middleware(SecureHeaders, https=service.url.startswith("https://"))
    app.add_middleware(RequestLog)
    add_problem_pages(app)
    return app


def create_app_from_environment() -> FastAPI:
    """Return the application for `uvicorn --factory`, with settings from the environment."""
    found = read_settings()
    if found.log == "json":
        log_as_json()
    return create_app(ServerSettings(found.database, service=found.service))


def _lifespan(db: Engine, live: bool) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = _THREADS
        if live:
            app.state.background.start()
        yield
        app.state.background.close()
        db.dispose()

    return lifespan

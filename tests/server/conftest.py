"""Real runs of the oracle in a real database, behind a real server."""

import re
import socket
import threading
from dataclasses import dataclass, field

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.engines.base import Completion, EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import FathomError
from fathom.harness.records import RunDetail, SampleFilter
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.harness.settings import OidcSettings, ServiceSettings
from fathom.server.app import ServerSettings, create_app
from fathom.tasks.base import Verdict
from fathom.tasks.suites import Selection, open_suite
from tests.keys import cookies_of_app
from tests.server.provider import CLIENT, SECRET, Provider

NO_HUB = "http://127.0.0.1:9"


@pytest.fixture(scope="session")
def browse(serve):
    """Serve a database; return a client of the board, which has its key."""
    clients = []

    def start(database):
        settings = ServerSettings(database, service=ServiceSettings(hub=NO_HUB))
        app = create_app(settings)
        clients.append(httpx.Client(base_url=serve(app), cookies=cookies_of_app(app), timeout=60))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


@dataclass(frozen=True)
class Played:
    """A database in which the oracle played well, perfectly, and not at all."""

    url: str
    noisy: RunDetail
    perfect: RunDetail
    failed: RunDetail
    sample: int
    """A wrong answer of the noisy run."""

    @property
    def pages(self):
        """An address of each kind of page for people."""
        pair = "m=oracle/noisy&m=oracle/perfect"
        noisy, failed = (f"/runs/{one.summary.run}" for one in (self.noisy, self.failed))
        return (
            "/", "/?family=depo", "/?style=cot&q=oracle&sort=depo&columns=depo", "/?q=nothing", "/models/oracle/noisy",
            "/models/oracle/nobody", "/compare", "/compare?m=oracle/noisy", f"/compare?{pair}", f"/compare?{pair}&style=cot",
            f"/compare/items?{pair}&cell=depo/n8k4/symbol/direct", "/runs", noisy, failed, f"{noisy}/samples",
            f"{noisy}/samples/{self.sample}", "/families", "/families/depo?seed=7&answer=AB", "/about", "/api",
        )  # fmt: skip


def play(db, model, seed=7):
    suite = open_suite("quick", seed, Selection(n=10))
    try:
        return evaluate(
            Plan(ModelSource(model, None, model), suite, RunSettings(engine=EngineSettings("oracle"))), db
        ).run
    except FathomError:
        return read.list_runs(db, 1)[0].run


@pytest.fixture(scope="session")
def played(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('board') / 'runs.db'}"
    db = open_database(url, create=True)
    runs = [play(db, f"oracle/{kind}") for kind in ("noisy", "perfect", "nobody")]
    details = [read.get_run(db, run) for run in runs]
    wrong = read.get_samples(db, details[0], SampleFilter(correct=False), limit=1).samples
    db.dispose()
    return Played(url, *details, wrong[0].id)


@pytest.fixture(scope="session")
def board(browse, played):
    """A client of the board of `played`."""
    return browse(played.url)


@pytest.fixture(scope="session")
def board_app(serve, played):
    """The application that shows `played`, and a client of it."""
    app = create_app(ServerSettings(played.url, service=ServiceSettings(hub=NO_HUB)))
    with httpx.Client(base_url=serve(app), cookies=cookies_of_app(app), timeout=60) as client:
        yield client, app


@pytest.fixture
def fresh(tmp_path, copy_tables):
    """An empty SQLite database and its URL."""
    url = f"sqlite:///{tmp_path / 'fresh.db'}"
    copy_tables(url)
    db = open_database(url, create=True)
    yield db, url
    db.dispose()


@dataclass(frozen=True)
class Story:
    """A run to write: one completion an item, the same ones in each cell."""

    model: str = "org/model"
    texts: tuple[str, ...] = (" AB",)
    state: str | None = "done"
    label: str = "not_a_node"
    found: str = "asked"
    parsed: str | None = None
    error: str | None = None
    log: str | None = None
    style: str = "direct"
    levels: tuple[str, ...] = ("n4k1",)
    engine: str = "vllm"
    dtype: str | None = None
    kind: str | None = None
    n_parameters: int | None = None
    seed: int = 7
    n_right: int = 0
    """Completions that count as right, the first ones of each cell."""
    n_planned: int | None = None
    """Items of a cell; all have a completion unless said otherwise."""
    manifest: dict = field(default_factory=lambda: {"decisive": {}, "context": {}})


@pytest.fixture(scope="session")
def write_run():
    """Write a run as the harness does; a state of None leaves it running."""

    def put(db, story=None):
        story = story or Story()
        n = story.n_planned or len(story.texts)
        suite = open_suite("quick", story.seed, Selection(levels=story.levels, styles=(story.style,), n=n))
        new = write.NewRun(
            story.model, story.engine, suite, suite.digest(), story.manifest, "0" * 32, story.n_parameters, story.kind
        )
        run = write.start_run(db, new)
        if story.dtype is not None:
            write.note_engine(db, run, {"dtype": story.dtype})
        cells = [cell.id for cell in read.get_run(db, run).cells]
        samples = [
            write.Sample(
                cell, at, 0, f"{run}{cell}/{at}", Completion(f"{run}{cell}/{at}", text, "stop", 9, 3, 0.25),
                Verdict(
                    at < story.n_right, story.parsed, "correct" if at < story.n_right else story.label, found=story.found
                ),
            )
            for cell in range(len(cells)) for at, text in enumerate(story.texts)
        ]  # fmt: skip
        write.record_samples(db, run, cells, samples)
        if story.state:
            write.finish_run(db, run, write.Ending(story.state, 75.0, story.error, story.log))
            update_leaderboard(db)
        return run

    put.story = Story
    return put


@pytest.fixture
def count_statements():
    """Count the SQL statements that a call runs, except in the thread of background tasks."""

    def count(call):
        seen = []

        def note(_connection, _cursor, statement, *_rest):
            if threading.current_thread().name != "background tasks":
                seen.append(statement)

        event.listen(Engine, "before_cursor_execute", note)
        try:
            call()
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        return len(seen)

    return count


@dataclass
class Desk:
    """A server with accounts, its provider, and browsers that sign in with it."""

    provider: object
    address: str
    db: Engine
    app: object
    answers: list = field(default_factory=list)
    """All answers that browsers got, redirects too."""
    browsers: list = field(default_factory=list)

    def browser(self, follow=True):
        """A browser of a stranger; cookies of the provider and the server share 127.0.0.1."""
        hooks = {"response": [self.answers.append]}
        self.browsers.append(
            httpx.Client(base_url=self.address, follow_redirects=follow, timeout=30, event_hooks=hooks)
        )
        return self.browsers[-1]

    def signed_in(self, sub="1001", name="ada"):
        """A browser of somebody who has signed in."""
        self.provider.person = {"sub": sub, "preferred_username": name}
        browser = self.browser()
        browser.get("/sign-in?next=/about").raise_for_status()
        browser.follow_redirects = False
        return browser

    def post(self, browser, path, **fields):
        """Send a form as the page of an account would."""
        found = re.search('name="csrf" value="([0-9a-f]+)"', browser.get("/account").text)
        fields = {"csrf": found.group(1) if found else "", **fields}
        return browser.post(path, data=fields, headers={"Origin": self.address})


@pytest.fixture(scope="module")
def sign_in_desk(serve, tmp_path_factory, copy_tables):
    """Start a provider and a server with accounts: `desk = sign_in_desk(admins=("7",))`; settings as ServiceSettings has."""
    desks = []

    def start(**service):
        url = f"sqlite:///{tmp_path_factory.mktemp('desk') / 'desk.db'}"
        copy_tables(url)
        provider = Provider()
        provider.url = serve(provider.app())
        oidc = OidcSettings(provider.url, CLIENT, SECRET)
        port = free_port()
        service = {"url": f"http://127.0.0.1:{port}", "secret_key": "k" * 40, "oidc": oidc, **service}
        app = create_app(ServerSettings(url, service=ServiceSettings(**service)))
        desks.append(Desk(provider, serve(app, port), open_database(url, create=False), app))
        return desks[-1]

    yield start
    for desk in desks:
        for browser in desk.browsers:
            browser.close()
        desk.db.dispose()


def free_port():
    """A port that was free just now: a server's address is among its settings."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]

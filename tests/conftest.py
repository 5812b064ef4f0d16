"""Real parts for all tests: databases of both kinds, a hub, and the fathom command as users call it."""

import asyncio
import io
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from uuid import uuid4

import pytest
import uvicorn

pytest.register_assert_rewrite("tests.harness.engines.contract")  # its questions are no tests by their name

ROOT = Path(__file__).parents[1]
FATHOM = Path(sys.executable).parent / "fathom"
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


LONGEST = (
    "test_shortcuts.py",
    "test_vllm_server.py",
    "test_engine.py",
    "test_vllm.py",
    "test_lm_eval_adapter.py",
    "test_pages.py",
    "test_submission.py",
    "test_contract.py",
    "test_visits.py",
)
"""Files that take longest: started first, so that no process is left with one at the end."""

SLOW_FIXTURES = {"postgres", "chromium", "start_fathom", "start_shared_fathom", "service", "smol"}
"""Fixtures that start processes or need a real model; `--quick` leaves out the tests that use one."""


QUICK_CASES, MOST_CASES = 1, 2
"""Parameter sets of a test that `--quick` runs, and any run without `--full`; a mark `cases` says otherwise."""


QUICK_TURNS = 3
"""A file of tests is in one of so many `--quick` runs, unless the user names it or its folder."""


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="leave out vLLM, Ray, PostgreSQL, browser and wheel")
    parser.addoption("--full", action="store_true", help="also run the exhaustive variants, marked `full`")


def pytest_configure(config):
    os.environ.setdefault("FATHOM_TEST_SEED", secrets.token_hex(4))  # workers inherit it: all collect the same tests
    if config.getoption("--full"):
        os.environ["FATHOM_TEST_FULL"] = "1"  # for tests whose many cells are listed only where they are run


def pytest_report_header(config):
    return f"FATHOM_TEST_SEED={os.environ['FATHOM_TEST_SEED']} chooses the sampled levels"


def pytest_collection_modifyitems(config, items):
    left_out = {item for item in items if _is_left_out(config, item)}
    if not config.getoption("--full"):
        most = QUICK_CASES if config.getoption("--quick") else MOST_CASES
        left_out |= _further_cases([item for item in items if item not in left_out], most)
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def _is_left_out(config, item):
    if config.getoption("--full"):
        return False
    is_postgres = "postgresql" in getattr(getattr(item, "callspec", None), "params", {}).values()
    if item.get_closest_marker("full") or (is_postgres and not _is_drawn(item)) or _waits_its_turn(config, item):
        return True
    if not config.getoption("--quick"):
        return False
    is_slow = bool(item.get_closest_marker("slow")) or bool(SLOW_FIXTURES & set(item.fixturenames))
    return is_postgres or is_slow or _waits_its_quick_turn(config, item)


def _waits_its_quick_turn(config, item):
    """Say whether a file is left to another quick run: a third of them is drawn, and what the user names runs whole."""
    from fathom.tasks.stream import Stream

    named = [Path(word.partition("::")[0]).resolve() for word in config.args]
    if any(item.path.is_relative_to(one) for one in named if one != Path(__file__).parent):
        return False
    return Stream(os.environ["FATHOM_TEST_SEED"], "quick", str(item.path.relative_to(ROOT))).below(QUICK_TURNS) > 0


def _is_drawn(item):
    """Say whether FATHOM_TEST_SEED draws a test for PostgreSQL: half of them, as all run on SQLite."""
    from fathom.tasks.stream import Stream

    return Stream(os.environ["FATHOM_TEST_SEED"], item.path.name, item.function.__qualname__).below(2) == 0


def _waits_its_turn(config, item):
    """Say whether an expensive test, marked `turns`, is left to another run; a file that the user names runs whole.

    `turns(n)` draws for each file by itself. Files marked `turns(n, engine=i)`, or `form=i`, share one draw, so that
    exactly one of the engines that take a minute or more is in a run, and one of the ways from a form to a result.
    """
    from fathom.tasks.stream import Stream

    marker = item.get_closest_marker("turns")
    named = {Path(word.partition("::")[0]).resolve() for word in config.args}
    if marker is None or item.path in named:
        return False
    ((draw, place),) = marker.kwargs.items() or [(item.path.name, 0)]
    return Stream(os.environ["FATHOM_TEST_SEED"], "turns", draw).below(marker.args[0]) != place


def _further_cases(items, most):
    """Return all but so many of the parameter sets of each test, drawn by FATHOM_TEST_SEED."""
    from fathom.tasks.stream import Stream

    cases = {}
    for item in items:
        cases.setdefault((item.path, item.function.__qualname__), []).append(item)
    left_out = set()
    for (path, name), some in cases.items():
        stream = Stream(os.environ["FATHOM_TEST_SEED"], path.name, name)
        marker = some[0].get_closest_marker("cases")
        n = most if most == QUICK_CASES or marker is None else marker.args[0]
        left_out |= set() if n is None else set(stream.shuffle(some)[n:])
    return left_out


@pytest.fixture(scope="session")
def postgres():
    """Start a PostgreSQL server for the session; return a function that makes an empty database.

    Its folder is not in pytest's own: another session of pytest closes that one to the server's user, who is not root.
    """
    import pgserver
    from sqlalchemy import create_engine, make_url, text

    folder = Path(tempfile.mkdtemp(prefix="fathom-postgres-"))
    server = pgserver.get_server(folder, cleanup_mode="stop")
    admin = create_engine(
        server.get_uri().replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )

    def make() -> str:
        name = f"fathom_{uuid4().hex[:8]}"
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        return admin.url.set(database=name).render_as_string(hide_password=False)

    def copy(url: str, to: str) -> None:
        template, name = (make_url(one).database for one in (url, to))
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name}"))
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))

    make.copy = copy
    yield make
    admin.dispose()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """URL of a fresh, empty database, once for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'runs.db'}"
    return request.getfixturevalue("postgres")()


@pytest.fixture(scope="session")
def copy_tables(request, tmp_path_factory):
    """Give an empty database its tables as a copy of one that was migrated, which takes a tenth of the time."""
    from fathom.harness.db.engine import open_database

    made = {}

    def copy(url):
        kind = "sqlite" if url.startswith("sqlite") else "postgresql"
        if kind not in made:
            empty = f"sqlite:///{tmp_path_factory.mktemp('template') / 'tables.db'}"
            made[kind] = empty if kind == "sqlite" else request.getfixturevalue("postgres")()
            open_database(made[kind], create=True).dispose()
        if kind == "sqlite":
            shutil.copyfile(made[kind].removeprefix("sqlite:///"), url.removeprefix("sqlite:///"))
        else:
            request.getfixturevalue("postgres").copy(made[kind], url)

    return copy


@pytest.fixture
def db(database, copy_tables):
    """An open database with its tables, once for each kind."""
    from fathom.harness.db.engine import open_database

    copy_tables(database)
    engine = open_database(database, create=True)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def start_hub():
    """Start hubs that live as long as the session: `hub = start_hub()`."""
    from tests.hub import Hub

    hubs = []

    def start():
        hubs.append(Hub())
        return hubs[-1]

    yield start
    for hub in hubs:
        hub.stop()


@pytest.fixture
def hub():
    """A hub of its own: `hub.make("pebble")` gives it a repository org/pebble; see tests/hub.py for the kinds."""
    from tests.hub import Hub

    hub = Hub()
    yield hub
    hub.stop()


@pytest.fixture(autouse=True)
def end_servers(request):
    """End the servers that a test and its own fixtures start: hundreds that wait take a quarter of a core.

    Fixtures of modules and of the session come before this one, and their servers stay.
    """
    running = request.getfixturevalue("serve").running if "serve" in request.fixturenames else []
    shared = len(running)
    yield
    for server, _ in running[shared:]:
        server.should_exit = True


@pytest.fixture(scope="session")
def serve():
    """Serve an application from a thread; return its address. See `end_servers`."""
    running = []

    def start(app, port=0):
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical"))
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    start.running = running
    yield start
    for server, _ in running:
        server.should_exit = True
    for _, thread in running:
        thread.join(timeout=20)


@pytest.fixture(scope="session")
def run_async():
    """Run a coroutine to its end, in a thread: where a browser is open, this one has a loop already."""

    def run(coroutine):
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, coroutine).result()

    return run


@pytest.fixture
def free_port():
    """A port that was free just now: a server's own address is among its settings."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@pytest.fixture(scope="session")
def environment():
    """Return the environment of a child process: offline, one thread, and what the test adds."""

    def make(**extra):
        return {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **extra}

    return make


@pytest.fixture(scope="session")
def crowded(tmp_path_factory):
    """A folder whose files have the names of our folders, and raise when they are imported."""
    folder = tmp_path_factory.mktemp("crowded")
    for name in ("tasks", "server", "harness"):
        (folder / f"{name}.py").write_text("raise ImportError('this file belongs to the user')\n")
    return folder


@pytest.fixture(scope="session")
def fathom(environment):
    """Run the command to its end, in this process; return exit code, stdout and stderr.

    `process=True` runs the installed command in a process of its own, for tests in which that is the point.
    """

    def call(*words, stdin=None, cwd=ROOT, process=False, **extra):
        words = [str(word) for word in words]
        if not process:
            return _call_here(words, stdin, cwd, extra)
        return subprocess.run(
            [str(FATHOM), *words], input=stdin, capture_output=True, text=True, cwd=cwd, env=environment(**extra),
            timeout=550,
        )  # fmt: skip

    return call


def _call_here(words, stdin, cwd, extra):
    from fathom.server.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["fathom", *words])
        patch.setattr(sys, "stdin", io.StringIO(stdin or ""))
        patch.chdir(cwd)
        for name, value in extra.items():
            patch.setenv(name, value)
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    return subprocess.CompletedProcess(["fathom", *words], code, out.getvalue(), err.getvalue())


def _hear_interrupts():
    """Undo what a shell does to its background jobs, which the tests may be: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def _starting(environment):
    """Give a function that starts the installed command and leaves it running; all of its processes end with this."""
    started = []

    def start(*words, cwd=ROOT, **extra):
        process = subprocess.Popen(
            [str(FATHOM), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd,
            env=environment(**extra), preexec_fn=_hear_interrupts,
        )  # fmt: skip
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture
def start_fathom(environment):
    """Start the installed command and leave it running; every process is ended with the test."""
    with _starting(environment) as start:
        yield start


@pytest.fixture(scope="session")
def start_shared_fathom(environment):
    """As `start_fathom`, for what several tests share: every process is ended with the session."""
    with _starting(environment) as start:
        yield start


@pytest.fixture(scope="session")
def smol():
    """Folder of SmolLM2-135M-Instruct, a real chat model; kept outside the repository, see tests/real_model.py."""
    from tests.real_model import ModelMissingError, make_smol

    try:
        return make_smol()
    except ModelMissingError as error:
        pytest.fail(str(error))


@pytest.fixture(scope="session")
def chromium():
    """A headless browser."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.fail(f"no browser: install one of {', '.join(names)} (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def service(tmp_path, start_fathom):
    """A server that can be killed and started again, with submissions and workers; see tests/service.py."""
    from tests.service import Service

    made = Service(tmp_path, start_fathom)
    yield made
    made.db.dispose()

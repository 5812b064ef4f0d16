"""Runs on lm-eval's own tasks share the table with runs on suites; the board shows and ranks runs on suites only."""

import pytest

from fathom.harness.db import write
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.task_samples import store_task_scores
from fathom.harness.errors import UnknownRun
from fathom.server.admin import moderation
from fathom.server.admin.moderation import AdminAction


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('tasks') / 'runs.db'}"


@pytest.fixture(scope="module")
def db(url):
    engine = open_database(url, create=True)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def run(db):
    """A finished run on lm-eval's own tasks."""
    new = write.NewTaskRun("org/m", "hf", {"tasks": ["gsm8k"]}, "r", "0.4", 3, {"decisive": {}, "context": {}}, "d")
    started = write.start_task_run(db, new)
    store_task_scores(db, started, {"results": {}}, [])
    write.finish_run(db, started, write.Ending("done", 1))
    return started


@pytest.fixture(scope="module")
def client(browse, url, run):
    return browse(url)


@pytest.mark.parametrize("address", ["/", "/runs", "/feed.atom", "/api/v1/runs", "/api/v1/models", "/metrics"])
def test_no_list_has_it(client, run, address):
    answer = client.get(address)
    assert answer.status_code == 200
    assert run not in answer.text
    assert "org/m" not in answer.text


def test_no_number_counts_it(client):
    assert client.get("/api/v1/runs").json()["total"] == 0
    assert client.get("/api/v1/models").json()["total"] == 0
    assert "fathom_runs{" not in client.get("/metrics").text


def test_it_has_no_page(client, run):
    for address in (f"/runs/{run}", f"/api/v1/runs/{run}", "/models/org/m"):
        assert client.get(address).status_code == 404


def test_it_is_never_ranked(db, run):
    assert update_leaderboard(db) == 0


def test_it_cannot_be_hidden(db, run):
    with pytest.raises(UnknownRun):
        moderation.hide(db, AdminAction("user/1", run, "a good reason"))

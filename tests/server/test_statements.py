"""However many models there are, a page asks the database as often."""

import pytest

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.records import SampleFilter
from fathom.server.accounts.store import local_user
from fathom.server.submissions.planner import plan_submissions
from fathom.server.submissions.store import NewSubmission, create
from tests.stored_law import write_law
from tests.stored_probe import write_probe

PAIR = "m=org/model0&m=org/model1"
BOUNDS = {
    "/": 6, "/?family=depo": 8, "/?q=model&sort=depo&complete=true": 6, "/models/org/model0": 11, f"/compare?{PAIR}": 16,
    f"/compare/items?{PAIR}&cell=depo/n4k1/symbol/direct": 13, "/runs": 2, "/runs/{run}": 6, "/runs/{run}/samples": 7,
    "/runs/{run}/samples/{sample}": 5, "/runs/{run}/samples.csv": 6, "/feed.atom": 1, "/feed.atom?model=org/model0": 2,
    "/badge/org/model0.svg": 3, "/board.csv": 5, f"/compare.json?{PAIR}": 12, "/healthz": 7, "/metrics": 6,
    "/pictures/mistakes.svg?run={run}&family=depo&ladder=main&channel=symbol&style=direct": 2,
    "/pictures/curves.svg?run={run}&family=depo&ladder=main&channel=symbol": 2, "/api/v1/board": 5, "/api/v1/suites": 1,
    "/api/v1/models": 2, "/api/v1/models/org/model0": 3, "/api/v1/runs": 2, "/api/v1/runs/{run}": 5,
    "/api/v1/runs/{run}/samples": 6, f"/api/v1/compare?{PAIR}": 12, "/families": 0, "/account": 4,
    "/admin": 4, "/admin/users": 3, "/admin/audit": 3, "/submit/results": 3, "/submit": 4, "/submit/check?model=no": 2, "/worker": 1, "/queue": 9, "/submissions/{submission}": 9, "/about": 0, "/api": 0,
    "/seasons": 1, "/api/v1/seasons": 1, "/models/org/probed/inside": 7, "/models/org/probed/inside?other={probe}": 11,
    "/pictures/inside.svg?probe={probe}&target=depo.n8k1.next1": 4, "/laws": 1, "/laws/tiny": 3,
    "/previews/board.png": 7, "/previews/models/org/model0.png": 10, "/previews/families/depo.png": 12,
}  # fmt: skip
"""Statements that a page may run at most."""


def _submit(db, n):
    """Submit n models; return the first one's id."""
    owner = local_user(db).id
    found = [create(db, NewSubmission(f"org/model{at}", "main", f"{at:040}", "quick"), owner, None) for at in range(n)]
    plan_submissions(db, lambda _db, _season: "2026")
    return found[0]


@pytest.fixture(scope="module")
def small_and_large(browse, write_run, tmp_path_factory):
    """Boards of 2 and of 30 models, each with the addresses of its first run."""
    boards = []
    for n in (2, 30):
        url = f"sqlite:///{tmp_path_factory.mktemp('boards') / 'runs.db'}"
        db = open_database(url, create=True)
        runs = [
            write_run(db, write_run.story(model=f"org/model{at}", texts=(" AB",) * 6, n_right=at % 6))
            for at in range(n)
        ]
        submission = _submit(db, n)
        probes = [write_probe(db, "org/probed", seed=str(at)) for at in range(n)]
        for at in range(n):
            write_law(db, "tiny", f"{at:016x}")
        sample = read.get_samples(db, read.get_run(db, runs[0]), SampleFilter()).samples[0].id
        db.dispose()
        client = browse(url)
        client.get("/")  # the first request of a board makes its local user
        boards.append((client, {"run": runs[0], "sample": sample, "submission": submission, "probe": probes[0]}))
    return boards


@pytest.mark.slow
@pytest.mark.parametrize("page", BOUNDS)
def test_a_page_runs_as_many_statements_for_30_models_as_for_2(small_and_large, count_statements, page):
    few, many = (
        count_statements(lambda client=client, names=names: client.get(page.format(**names)).raise_for_status())
        for client, names in small_and_large
    )
    assert few == many <= BOUNDS[page]

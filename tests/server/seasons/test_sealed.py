"""While a season runs, no address of the server tells an item of it, or what a model made of one."""

import re

import httpx
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from fathom.harness.db import read, samples
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard.standings import mark_pools_stale, update_leaderboard
from fathom.harness.db.schema.runs import CellRow, RunRow, SampleRow, StandingRow, SuiteRow
from fathom.harness.db.schema.service import JobRow, SeasonRow, SubmissionRow
from fathom.harness.db.seal import SealedRun
from fathom.harness.db.write import utc_now
from fathom.harness.records import SampleFilter
from fathom.harness.settings import OidcSettings, ServiceSettings
from fathom.server.accounts import store as accounts
from fathom.server.app import ServerSettings, create_app

SEED = "c0ffee5eed" * 4
SEASON = "2026-winter"


def seal(db, seed, sealed):
    """Do what opening and revealing a season do to its suite."""
    with Session(db) as session, session.begin():
        session.execute(update(SuiteRow).values(seed=seed, season=SEASON, sealed=sealed))
        session.execute(update(StandingRow).values(seed=seed))
        session.execute(update(SeasonRow).values(state="open" if sealed else "revealed"))
        mark_pools_stale(session, list(session.scalars(select(RunRow.id))))
    update_leaderboard(db)


def submit(db, run):
    """Let user 1 have a failed submission to the season whose log, and whose job's log, quote a prompt."""
    at = utc_now()
    season = {
        "id": SEASON,
        "suite": "quick",
        "secret": b"",
        "terms": {"n": 6},
        "practice_seed": "2026",
        "created_at": at,
    }
    lost = {"error_code": "engine_failed", "error_tail": "prompt XSECRET3X"}
    with Session(db) as session, session.begin():
        session.add(SeasonRow(state="open", **season))
        session.add(SubmissionRow(
            id="0" * 12, kind="model", owner_id=1, model="org/model2", suite="quick", season=SEASON, state="failed",
            run_id=run, created_at=at, changed_at=at, finished_at=at, **lost,
        ))  # fmt: skip
        session.flush()
        session.add(JobRow(
            submission_id="0" * 12, owner_id=1, kind="run", run_id=run, shard=0, cells=[0], state="failed", not_before=at,
            progress_total=6, created_at=at, **lost,
        ))  # fmt: skip


@pytest.fixture(scope="module")
def sealed(tmp_path_factory, write_run, browse):
    """A board of two models in one season, its address, and the texts that nobody may see."""
    url = f"sqlite:///{tmp_path_factory.mktemp('sealed') / 'runs.db'}"
    db = open_database(url, create=True)
    marks = [f"XSECRET{at}X" for at in range(6)]
    runs = [
        write_run(db, write_run.story(
            model=f"org/model{at}", texts=tuple(f" {mark}" for mark in marks), parsed=marks[0], seed=int(SEED, 16),
            n_right=at, n_planned=6, error="quoting XSECRET0X", log="prompt XSECRET1X", state=state,
            manifest={"decisive": {"suite": {"seed": SEED, "digest": "XSECRET2X"}}, "context": {}},
        ))
        for at, state in ((1, "done"), (3, "done"), (2, "failed"))
    ]  # fmt: skip
    detail = read.get_run(db, runs[0])
    (cell,) = detail.cells
    shown = read.get_samples(db, detail, SampleFilter()).samples
    secrets = {
        SEED,
        str(int(SEED, 16)),
        detail.suite_digest,
        detail.manifest.stored["decisive"]["suite"]["digest"],
        *marks,
    }
    secrets |= {one.item for one in shown}
    with Session(db) as session:
        secrets |= set(session.scalars(select(SampleRow.key)))
    cookies = [accounts.sign_in(db, f"issuer {at}", f"user{at}", admin=at == 2)[1] for at in range(3)]
    submit(db, runs[2])
    seal(db, f"sealed-{SEASON}", True)
    names = {
        "run": runs[0], "sample": shown[0].id, "name": "org/model0", "cell": cell.id, "kind": "json", "family": "depo",
        "failed": runs[2], "season": SEASON, "submission": "0" * 12, "cookies": cookies,
    }  # fmt: skip
    yield browse(url), db, names, secrets
    db.dispose()


PARAMETERS = (
    {}, {"m": ["org/model1", "org/model3"]}, {"m": ["org/model1", "org/model3"], "cell": "depo/n4k1/symbol/direct"},
    {"run": "{run}", "family": "depo", "ladder": "main", "channel": "symbol", "style": "direct"}, {"family": "depo"},
    {"model": "org/model1"}, {"correct": "false"}, {"level": "n4k1", "seed": "7"}, {"sort": "depo", "style": "direct"},
)  # fmt: skip


def addresses(client, names, parameters_of):
    """Yield every GET route of the application, with every name that fits it and every set of parameters."""
    fields = {
        "run": (names["run"], names["failed"]), "sample": (names["sample"],), "kind": ("csv", "json", "jsonl", "parquet"),
        "name": ("org/model1", "org/model3", "depo"), "name:path": ("org/model1", "org/model3"), "season": (SEASON,),
        "family": ("depo",), "path:path": ("fathom.css",),
    }  # fmt: skip
    for route, takes_parameters in client.app_routes.items():
        found = [route]
        for field in re.findall(r"{([^}]+)}", route):
            values = fields.get(field, (names["submission"], "1"))
            found = [one.replace(f"{{{field}}}", str(value)) for one in found for value in values]
        for address in found:
            for parameters in parameters_of if takes_parameters else ({},):
                yield (
                    address,
                    {
                        key: value.format(**names) if isinstance(value, str) else value
                        for key, value in parameters.items()
                    },
                )


def visit(client, names, parameters_of=PARAMETERS):
    """Return what is told at all addresses, and how many answered 200."""
    told, n_ok = {}, 0
    for address, parameters in addresses(client, names, parameters_of):
        if address.endswith("/events") or address.startswith("/sign-in"):
            continue  # one never ends, and is tested with submissions; the other needs a provider
        answer = client.get(address, params=parameters)
        assert answer.status_code < 500, address
        n_ok += answer.status_code == 200
        told[f"{address} {parameters}"] = answer.text + str(answer.headers)
    return told, n_ok


def leaks(told, secrets):
    return {address: sorted(one for one in secrets if one in text)[:3] for address, text in told.items() if any(one in text for one in secrets)}  # fmt: skip


@pytest.fixture(scope="module")
def crawler(sealed):
    client, db, names, secrets = sealed
    routes = create_app(ServerSettings(db.url.render_as_string(hide_password=False))).routes
    client.app_routes = {
        route.path: bool(route.dependant.query_params)
        for route in flat(routes) if "GET" in (getattr(route, "methods", None) or ()) and hasattr(route, "dependant")
    }  # fmt: skip
    assert len(client.app_routes) > 25
    return client, db, names, secrets


def flat(routes):
    for route in routes:
        yield from flat(route.original_router.routes) if hasattr(route, "original_router") else [route]


@pytest.mark.slow
def test_no_address_tells_a_sealed_item_and_all_do_after_the_reveal(crawler):
    client, db, names, secrets = crawler
    told, n_ok = visit(client, names)
    print(f"{len(told)} addresses, {n_ok} answered 200")
    assert n_ok > 60
    assert leaks(told, secrets) == {}
    seal(db, SEED, False)
    after, _ = visit(client, names)
    open_again = leaks(after, secrets)
    assert set().union(*open_again.values()) & {"XSECRET0X", SEED}
    assert f"/runs/{names['run']}/samples {{}}" in open_again
    seal(db, f"sealed-{SEASON}", True)
    assert leaks(visit(client, names)[0], secrets) == {}


@pytest.mark.parametrize("who", [None, 0, 1, 2], ids=["stranger", "owner", "other", "admin"])
@pytest.mark.cases(2)
def test_no_address_tells_a_sealed_item_to_anybody_who_signed_in(crawler, serve, who):
    client, db, names, secrets = crawler
    oidc = OidcSettings("http://127.0.0.1:9", "fathom", "secret")
    service = ServiceSettings(url="http://board.test", secret_key="k" * 40, oidc=oidc)
    app = create_app(ServerSettings(db.url.render_as_string(hide_password=False), service=service))
    cookie = {} if who is None else {"Cookie": f"fathom={names['cookies'][who]}"}
    with httpx.Client(base_url=serve(app), headers={"Host": "board.test", **cookie}, timeout=60) as visitor:
        visitor.app_routes = client.app_routes
        told, n_ok = visit(visitor, names, PARAMETERS[:3])
        is_admin = visitor.get("/admin").status_code == 200
    assert n_ok > 40
    assert leaks(told, secrets) == {}
    assert is_admin == (who == 2)
    assert "engine_failed" in told[f"/submissions/{names['submission']} {{}}"]


@pytest.mark.parametrize("end", ["samples", "samples/{sample}", "samples.csv", "samples.jsonl"])
def test_sealed_samples_are_refused_with_the_way_to_practice(sealed, end):
    client, _, names, _ = sealed
    answer = client.get(f"/runs/{names['run']}/{end.format(**names)}")
    assert (answer.status_code, "practice seed" in answer.text) == (403, True)
    api = client.get(f"/api/v1/runs/{names['run']}/samples")
    assert (api.status_code, api.json()["status"]) == (403, 403)


def test_counts_scores_and_labels_of_a_sealed_run_are_shown(sealed):
    client, _, names, _ = sealed
    page = client.get(f"/runs/{names['run']}").text
    assert "not_a_node" in page
    assert "1/6" in page
    assert "sealed until season" in page
    assert f"/runs/{names['run']}/samples" not in page
    whole = client.get(f"/api/v1/runs/{names['run']}").json()
    assert (whole["sealed"], whole["season"], whole["k"]) == (True, SEASON, 1)
    comparison = client.get("/compare", params={"m": ["org/model1", "org/model3"]})
    assert comparison.status_code == 200
    assert "McNemar" in comparison.text


def test_no_function_that_reads_samples_reads_sealed_ones(sealed):
    _, db, names, _ = sealed
    detail = read.get_run(db, names["run"])
    for call in (
        lambda: read.get_samples(db, detail, SampleFilter()), lambda: samples.stream_samples(db, detail, SampleFilter()),
        lambda: read.get_sample(db, detail, names["sample"]),
    ):  # fmt: skip
        with pytest.raises(SealedRun):
            call()
    with Session(db) as session:
        cells = list(session.scalars(select(CellRow.id)))
    assert samples.samples_at(db, cells, range(6), "7") == {}

"""The workers' API: who may call it, what it takes, and that it gives nothing away."""

import json
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from fathom.harness.db.schema.runs import RunRow, SampleRow, SuiteRow
from fathom.harness.db.schema.service import JobRow, SubmissionRow
from fathom.harness.db.write import utc_now
from fathom.harness.service.seasons.commitment import PRACTICE_SEED
from fathom.harness.settings import OidcSettings, ServiceSettings
from fathom.server.accounts import store as accounts
from fathom.server.app import ServerSettings, create_app
from fathom.server.submissions import planner as planning
from tests.keys import cookies_of_app

API = "/api/v1/jobs"
ME = {"name": "w", "engine": "oracle"}


def accept(db, owner, seed=PRACTICE_SEED, **traits):
    row = {
        "id": uuid4().hex[:8], "kind": "model", "owner_id": owner, "model": "oracle/perfect", "sha": "a" * 40,
        "suite": "quick", "style": "choice", "engine": "oracle", "state": "validating", "created_at": utc_now(),
        "changed_at": utc_now(),
    }  # fmt: skip
    with Session(db) as session, session.begin():
        session.add(SubmissionRow(**{**row, **traits}))
    planning.plan_submissions(db, lambda _db, _season: seed)


@pytest.fixture
def desk(fresh, serve):
    """A client of a server for this machine's user, with one submission, and the database."""
    db, url = fresh
    accept(db, accounts.local_user(db).id)
    app = create_app(ServerSettings(url))
    with httpx.Client(base_url=serve(app), cookies=cookies_of_app(app), timeout=60) as client:
        yield client, db


def claim(client, **wanted):
    answer = client.post(f"{API}/claim", json={**ME, **wanted})
    assert answer.status_code == 200, answer.text
    job = answer.json()
    return job, {"X-Fathom-Lease": job["token"]}


def requests_of(client, job, lease):
    answer = client.get(f"{API}/{job['job']}/requests", headers=lease)
    return [json.loads(line) for line in answer.text.split("\n") if line]


def completion(request, **changes):
    scores = [-1.0] * len(request["choices"])
    return {
        "key": request["key"], "text": "", "finish_reason": "stop", "prompt_tokens": 9, "completion_tokens": 0,
        "seconds": 0.1, "scores": scores, "greedy": [False] * len(scores), **changes,
    }  # fmt: skip


def test_a_job_is_claimed_answered_and_finished(desk):
    client, db = desk
    job, lease = claim(client, facts={"cores": "2"})
    assert (job["n_items"], job["kind"], job["model"], job["hub"]) == (
        180,
        "run",
        "oracle/perfect",
        "https://huggingface.co",
    )
    asked = requests_of(client, job, lease)
    assert len(asked) == 180
    assert (
        client.post(
            f"{API}/{job['job']}/beat", headers=lease, json={"phase": "generating", "facts": {"dtype": "float32"}}
        ).status_code
        == 200
    )
    unfinished = client.post(f"{API}/{job['job']}/finish", headers=lease).json()
    assert (unfinished["done"], unfinished["n_missing"], unfinished["missing"][0]) == (False, 180, [0, 0])
    body = {"completions": [completion(one) for one in asked]}
    for n_new in (180, 0):  # sent twice, stored once
        said = client.post(f"{API}/{job['job']}/completions", headers=lease, json=body).json()
        assert said == {"n_new": n_new, "n_done": 180, "n_items": 180}
    for _ in range(2):
        assert client.post(f"{API}/{job['job']}/finish", headers=lease).json()["done"]
    with Session(db) as session:
        run = session.scalars(select(RunRow).where(RunRow.layer == "main")).one()
        assert (run.dtype, run.n_generated, run.manifest["workers"]) == ("float32", 180, {"w": {"dtype": "float32"}})
    claim(client)
    assert client.post(f"{API}/claim", json=ME).status_code == 204


def test_a_forged_text_and_verdict_change_nothing(desk):
    client, db = desk
    job, lease = claim(client)
    first = requests_of(client, job, lease)[0]
    body = {"completions": [completion(first, text=first["choices"][1], greedy=[True] * len(first["choices"]))]}
    assert client.post(f"{API}/{job['job']}/completions", headers=lease, json=body).status_code == 200
    with Session(db) as session:
        assert session.scalars(select(SampleRow.completion)).one() == first["choices"][0]  # the first of equals
        assert session.scalars(select(SampleRow.found)).one() == "asked"
    for verdict in ({"correct": True}, {"found": "asked"}):
        forged = {"completions": [completion(first, **verdict)]}
        assert client.post(f"{API}/{job['job']}/completions", headers=lease, json=forged).status_code == 422


def test_bodies_that_are_too_large_are_refused_before_they_are_read(desk):
    client, _ = desk
    job, lease = claim(client)
    address = f"{API}/{job['job']}/completions"
    assert client.post(address, headers=lease, content=b" " * ((2 << 20) + 1)).status_code == 413
    assert client.post(address, headers=lease, content=iter([b"{}"])).status_code == 413  # chunks of no stated size
    many = {"completions": [completion({"key": "0/0", "choices": []}, scores=None)] * 513}
    assert client.post(address, headers=lease, json=many).status_code == 422


@pytest.mark.parametrize("changes", [
    {"key": "99/0"}, {"key": ""}, {"scores": [1.0]}, {"scores": None}, {"finish_reason": "great"}, {"seconds": -1},
    {"prompt_tokens": 2**40}, {"text": None}, {"error": "x" * 3000}, {"text": "\ud800"},
])  # fmt: skip
@pytest.mark.slow
@pytest.mark.cases(3)
def test_completions_that_cannot_be_are_refused_in_words(desk, changes):
    client, db = desk
    job, lease = claim(client)
    first = requests_of(client, job, lease)[0]
    answer = client.post(
        f"{API}/{job['job']}/completions", headers={**lease, "Content-Type": "application/json"},
        content=json.dumps({"completions": [completion(first, **changes)]}),
    )  # fmt: skip
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    with Session(db) as session:
        assert session.scalars(select(SampleRow.id)).all() == []


def test_scores_that_are_no_numbers_are_refused(desk):
    client, _ = desk
    job, lease = claim(client)
    first = requests_of(client, job, lease)[0]
    for word in ("NaN", "Infinity", "1e999"):
        text = json.dumps({"completions": [completion(first)]}).replace("-1.0", word)
        answer = client.post(
            f"{API}/{job['job']}/completions", headers={**lease, "Content-Type": "application/json"}, content=text
        )
        assert answer.status_code == 422


@pytest.mark.parametrize("wrong", [
    {"name": "a b"}, {"name": "\u202e"}, {"name": "x" * 65}, {"engine": "x" * 33}, {"kinds": []}, {"kinds": ["admin"]},
    {"max_bytes": -1}, {"facts": {"a": 1}}, {"facts": {str(at): "" for at in range(51)}}, {"owner": 1},
])  # fmt: skip
@pytest.mark.slow
def test_claims_that_cannot_be_are_refused(desk, wrong):
    assert desk[0].post(f"{API}/claim", json={**ME, **wrong}).status_code == 422


def test_another_token_opens_nothing(desk):
    client, db = desk
    job, _ = claim(client)
    for lease in ({"X-Fathom-Lease": "guessed"}, {"X-Fathom-Lease": job["token"][:-1]}):
        for method, deed, body in (
            ("GET", "requests", None), ("POST", "beat", {"phase": "loading"}), ("POST", "completions", {"completions": []}),
            ("POST", "finish", None), ("POST", "fail", {"code": "gated"}), ("POST", "release", None),
        ):  # fmt: skip
            assert client.request(method, f"{API}/{job['job']}/{deed}", headers=lease, json=body).status_code == 409
    assert client.post(f"{API}/{job['job']}/release").status_code == 422
    assert client.post(f"{API}/{10**6}/release", headers={"X-Fathom-Lease": "x"}).status_code == 404
    with Session(db) as session:
        row = session.get_one(JobRow, job["job"])
        assert row.state == "leased"
        assert job["token"] not in str(row.__dict__)  # only its digest is kept


def test_only_tokens_of_workers_are_let_in(fresh, serve):
    db, url = fresh
    oidc = OidcSettings("http://127.0.0.1:9", "fathom", "secret")
    service = ServiceSettings("https://fathom.example", "k" * 32, oidc)
    base = serve(create_app(ServerSettings(url, service=service)))
    user, _ = accounts.sign_in(db, "sub-1", "worker-owner", admin=True)
    accept(db, user.id)
    answers = {}
    for scopes in (None, ["read"], ["submit"], ["worker"]):
        headers = {"Host": "fathom.example"}
        if scopes is not None:
            headers["Authorization"] = f"Bearer {accounts.create_token(db, user.id, 'mine', scopes)[1]}"
        answers[str(scopes)] = httpx.post(f"{base}{API}/claim", json=ME, headers=headers, timeout=30).status_code
    assert answers == {"None": 401, "['read']": 403, "['submit']": 403, "['worker']": 200}


def test_a_worker_learns_nothing_of_a_running_season(fresh, serve, monkeypatch):
    db, url = fresh
    true = "c0ffee" * 10
    accept(db, accounts.local_user(db).id, true, season="winter")
    app = create_app(ServerSettings(url))
    app.state.seed_of = lambda _db, _season: true
    with httpx.Client(base_url=serve(app), cookies=cookies_of_app(app), timeout=60) as client:
        job, lease = claim(client)
        lines = requests_of(client, job, lease)
        said = json.dumps([job, lines])
        assert len(lines) == 180
        assert {one["item"] for one in lines} == {""}
        with Session(db) as session:
            digest = session.scalars(select(SuiteRow.digest).where(SuiteRow.sealed)).one()
        assert true not in said
        assert digest not in said
        first = completion(lines[0], scores=[float(-at) for at in range(len(lines[0]["choices"]))])
        stored = client.post(f"{API}/{job['job']}/completions", headers=lease, json={"completions": [first]}).json()
        assert stored == {"n_new": 1, "n_done": 1, "n_items": 180}

"""Who may do what: every address of the application, by everybody who may come."""

import httpx
import pytest
from sqlalchemy import insert
from sqlalchemy.orm import Session

from fathom.harness.db.schema.runs import RunRow
from fathom.harness.db.schema.service import SubmissionRow
from fathom.harness.db.write import utc_now
from fathom.server.accounts import store as accounts
from fathom.server.web.forms import csrf_of

pytestmark = pytest.mark.cases(None)

WHO = ("stranger", "owner", "other", "admin", "read token", "submit token", "worker token", "banned")
"""Ada owns the submission; her tokens may read and submit; the worker's token is an admin's; mallory is banned."""


def public(n):
    return (n, n, n, n, n, n, n, 401)


def signed_in(n):
    return (401, n, n, n, n, n, n, 401)


def submit(n):
    return (401, n, n, n, 403, n, 403, 401)


def submit_form(n):
    return (403, n, n, n, 403, n, 403, 401)


def own(n):
    return (401, n, 403, n, 403, n, 403, 401)


def own_form(n):
    return (403, n, 403, n, 403, n, 403, 401)


def worker(n):
    return (401, 403, 403, n, 403, 403, n, 401)


def admins(n):
    return (401, 403, 403, n, 403, 403, 403, 401)


ROWS = {
    "GET /api/v1/openapi.json": public(200), "GET /board.{kind}": public(200), "GET /compare.{kind}": public(422),
    "GET /runs/{run}/samples.{kind}": public(200), "GET /": public(200), "GET /models/{name:path}": public(200),
    "GET /models/{name:path}/inside": public(404), "GET /pictures/inside.svg": public(422),
    "GET /compare": public(200), "GET /compare/items": public(422), "GET /runs": public(200), "GET /runs/{run}": public(200),
    "GET /runs/{run}/samples": public(200), "GET /runs/{run}/samples/{sample}": public(404), "GET /about": public(200),
    "GET /families": public(200), "GET /laws": public(200), "GET /laws/{law}": public(404), "GET /families/{name}": public(200), "GET /pictures/curves.svg": public(422),
    "GET /pictures/mistakes.svg": public(422), "GET /feed.atom": public(200), "GET /badge/{name:path}.svg": public(200),
    "GET /previews/board.png": public(200), "GET /previews/models/{name:path}.png": public(200),
    "GET /previews/families/{family}.png": public(200),
    "GET /metrics": public(200), "GET /healthz": public(200), "GET /seasons": public(200),
    "GET /seasons/{season}.json": public(404), "GET /seasons/{season}": public(404), "GET /api": public(200),
    "GET /api/v1/suites": public(200), "GET /api/v1/board": public(200), "GET /api/v1/models": public(200),
    "GET /api/v1/models/{name:path}": public(200), "GET /api/v1/runs": public(200), "GET /api/v1/runs/{run}": public(200),
    "GET /api/v1/runs/{run}/samples": public(200), "GET /api/v1/runs/{run}/samples/{sample}": public(404),
    "GET /api/v1/compare": public(422), "GET /api/v1/families": public(200), "GET /api/v1/items/{family}": public(422),
    "GET /api/v1/seasons": public(200), "GET /api/v1/seasons/{season}": public(404),
    "GET /sign-in": public(303), "GET /sign-in/callback": public(400),
    "POST /sign-out": (403, 303, 303, 303, 303, 303, 303, 401),
    "GET /account": (303, 200, 200, 200, 200, 403, 403, 401),
    "POST /account/tokens": (403, 422, 422, 422, 403, 403, 403, 401),
    "POST /account/tokens/{token}/revoke": (403, 303, 404, 404, 403, 403, 403, 401),
    "GET /api/v1/me": signed_in(200),
    "GET /admin": admins(200), "GET /admin/submissions/{submission}": admins(200), "GET /admin/users": admins(200),
    "GET /admin/audit": admins(200), "POST /admin/do": (403, 403, 403, 422, 403, 403, 403, 401),
    "GET /submit/results": public(200), "POST /submit/results": submit(422), "POST /api/v1/results": submit(422),
    "GET /submit/results/{submission}": public(200), "POST /submit/results/{submission}/replay": own_form(422),
    "POST /api/v1/submissions/{submission}/replay": own(422),
    "GET /submit": public(200), "POST /submit": submit_form(422), "POST /api/v1/submissions": submit(422),
    "GET /submit/check": (401, 200, 200, 200, 403, 200, 403, 401), "GET /worker": public(200),
    "GET /queue": public(200), "GET /submissions/{submission}": public(200),
    "POST /submissions/{submission}/{action}": own_form(409), "GET /submissions/{submission}/events": public(200),
    "GET /api/v1/submissions": public(200), "GET /api/v1/submissions/{submission}": public(200),
    "DELETE /api/v1/submissions/{submission}": own(409), "POST /api/v1/submissions/{submission}/retry": own(409),
    "POST /api/v1/submissions/{submission}/withdraw": own(200),
    "POST /api/v1/jobs/claim": worker(204), "GET /api/v1/jobs/{job}/requests": worker(404),
    "POST /api/v1/jobs/{job}/beat": worker(404), "POST /api/v1/jobs/{job}/completions": worker(404),
    "POST /api/v1/jobs/{job}/finish": worker(404), "POST /api/v1/jobs/{job}/fail": worker(404),
    "POST /api/v1/jobs/{job}/release": worker(404),
}  # fmt: skip
"""Status by address and WHO. What is not 401 or 403 is let in; it may still lack what it asks for."""

FORMS = ("/sign-out", "/account/", "/admin/", "/submit", "/submissions/")
BODIES = {
    "claim": {"name": "w", "engine": "oracle"}, "beat": {"phase": "loading"}, "completions": {"completions": []},
    "fail": {"code": "hub_timeout"},
}  # fmt: skip


class World:
    """A board with one run and one upload of ada's, and everybody who may come."""

    def __init__(self, desk, write_run):
        self.desk = desk
        run = write_run(desk.db, write_run.story(model="org/model"))
        with Session(desk.db) as session, session.begin():
            session.get_one(RunRow, run).tier = 1
        self.clients = {
            "stranger": desk.browser(follow=False), "owner": desk.signed_in("1", "ada"), "other": desk.signed_in("2", "bob"),
            "admin": desk.signed_in("9", "root"),
        }  # fmt: skip
        ada, root = self.user("owner"), self.user("admin")
        mallory = accounts.sign_in(desk.db, "x#mallory", "mallory")[0].id
        for name, user, scopes in (
            ("read token", ada, ["read"]), ("submit token", ada, ["submit"]), ("worker token", root, ["worker"]),
            ("banned", mallory, ["read", "submit"]),
        ):  # fmt: skip
            headers = {"Authorization": f"Bearer {accounts.create_token(desk.db, user, name, scopes)[1]}"}
            self.clients[name] = httpx.Client(base_url=desk.address, headers=headers, timeout=30)
            desk.browsers.append(self.clients[name])
        self.root, self.ada, now = root, ada, utc_now()
        self.values = {
            "run": run, "name:path": "org/model", "submission": "abc1", "kind": "csv", "sample": "9999999", "family": "depo",
            "season": "2099", "law": "gravity", "job": "77", "token": "", "action": "cancel",
        }  # fmt: skip
        row = {
            "id": "abc1", "kind": "upload", "owner_id": ada, "model": "org/model", "suite": "quick", "state": "finished",
            "tier": 1, "run_id": run, "flags": {}, "created_at": now, "changed_at": now,
        }  # fmt: skip
        with Session(desk.db) as session, session.begin():
            session.execute(insert(SubmissionRow), [row])
        from fathom.server.admin import moderation

        moderation.ban(desk.db, moderation.AdminAction("operator", str(mallory), "spam"))

    def user(self, who):
        return self.clients[who].get("/api/v1/me").json()["user"]

    def ask(self, row, who):
        method, path = row.split(" ")
        with Session(self.desk.db) as session, session.begin():
            session.get_one(RunRow, self.values["run"]).hidden_at = None  # whoever came before may have withdrawn it
        values = self.values | {"token": str(accounts.create_token(self.desk.db, self.ada, "spare", ["read"])[0].id)}
        values |= {"name": "depo" if "families" in path else "org/model"}
        for name, value in values.items():
            path = path.replace(f"{{{name}}}", value)
        client = self.clients[who]
        headers = {"X-Fathom-Lease": "x"} if method == "GET" else {"X-Fathom-Lease": "x", "Origin": self.desk.address}
        if method == "GET":
            with client.stream("GET", path, headers=headers) as answer:
                return answer.status_code
        if path.startswith(FORMS):
            cookie = client.cookies.get("fathom", "")
            return client.post(path, data={"csrf": csrf_of(cookie) if cookie else ""}, headers=headers).status_code
        body = BODIES.get(path.rpartition("/")[2])
        return client.request(method, path, json=body, headers=headers).status_code


@pytest.fixture(scope="module")
def world(sign_in_desk, write_run):
    return World(sign_in_desk(admins=("9",)), write_run)


def addresses(world):
    return [
        f"{method} {route.path}"
        for route in world.desk.app.routes
        if hasattr(route, "methods")
        for method in sorted(route.methods - {"HEAD"})
    ]


def test_every_address_has_its_row(world):
    assert set(addresses(world)) - set(ROWS) == set()
    assert all(len(row) == len(WHO) for row in ROWS.values())


@pytest.mark.parametrize("row", [row for row in ROWS if row != "POST /sign-out"] + ["POST /sign-out"])
@pytest.mark.slow
def test_everybody_may_do_what_the_table_says(world, row):
    """Signing out comes last: afterwards nobody is signed in."""
    if row not in addresses(world):
        pytest.skip("not served yet")
    assert dict(zip(WHO, ROWS[row], strict=True)) == {who: world.ask(row, who) for who in WHO}

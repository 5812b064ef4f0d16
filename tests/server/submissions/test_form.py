"""A model is submitted by form or JSON: all that is wrong is said at once, beside its field, and never as a 5xx."""

import re
import threading
import time

import httpx
import pytest
from sqlalchemy import select

from fathom.harness.db.engine import open_database, writing
from fathom.harness.db.schema.service import SeasonRow, SubmissionRow
from fathom.harness.db.write import utc_now
from fathom.harness.settings import OidcSettings, ServiceSettings
from fathom.server.accounts import store as accounts
from fathom.server.app import ServerSettings, create_app
from fathom.server.submissions import status as queue
from fathom.server.submissions.hub import HubClient, HubLimits
from tests.keys import cookies_of_board, headers_of_board

OIDC = OidcSettings("http://127.0.0.1:9", "fathom", "secret")
QUICK = HubLimits(deadline=10.0, pauses=(0.02, 0.02))  # short pauses; time enough for a busy machine


@pytest.fixture
def open_door(serve, hub, tmp_path, copy_tables):
    """Serve a board that asks the tests' hub; return its address and database."""
    opened = []

    def start(database=None, bounds=QUICK, **service):
        url = database or f"sqlite:///{tmp_path / 'board.db'}"
        if database is None:
            copy_tables(url)
        settings = ServiceSettings(hub=hub.url, max_bytes=1 << 30, **service)
        app = create_app(ServerSettings(url, service=settings))
        app.state.hub = HubClient(hub.url, 1 << 30, bounds)
        opened.append(open_database(url, create=False))
        return serve(app), opened[-1]

    yield start
    for db in opened:
        db.dispose()


@pytest.fixture
def own(open_door):
    """The board of this machine's user: a client and its database."""
    address, db = open_door()
    with httpx.Client(base_url=address, cookies=cookies_of_board(url_of(db)), timeout=30) as client:
        yield client, db


def url_of(db):
    return db.url.render_as_string(hide_password=False)


def csrf_of(client, page="/submit"):
    return re.search(r'name="csrf" value="([0-9a-f]+)"', client.get(page).text)[1]


def send(client, **fields):
    return client.post("/submit", data={"csrf": csrf_of(client), **fields})


def ask(client, **fields):
    return client.post("/api/v1/submissions", json=fields)


KINDS = {
    "missing": ("missing", "model"), "gated": ("gated", "model"), "private": ("missing", "model"),
    "auto_map": ("remote_code_required", "model"), "custom_pipelines": ("remote_code_required", "model"),
    "alien": ("unsupported_architecture", "model"), "adapter": ("unsupported_architecture", "model"),
    "pickle": ("no_safetensors", "model"), "broken_config": ("bad_model", "model"), "huge": ("too_large", "model"),
    "lying": ("bad_model", "model"), "cut_off": ("bad_model", "model"), "unlicensed": ("no_licence", "model"),
    "slow": ("hub_timeout", "model"), "flaky": ("hub_5xx", "model"), "elsewhere": ("bad_model", "model"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.turns(2)
def test_each_kind_of_bad_repository_is_a_finding_at_its_field(hub, own):
    client, db = own
    for kind in KINDS:
        if kind != "missing":
            hub.make(kind)
    for kind, (code, field) in KINDS.items():
        answer = ask(client, model=f"org/{kind}")
        assert answer.status_code == 422, kind
        assert answer.headers["content-type"] == "application/problem+json"
        (finding,) = answer.json()["findings"]
        assert (finding["code"], finding["field"]) == (code, field)
        assert finding["problem"]
        assert finding["fix"]
    assert hub.stolen == []
    assert queue.list_submissions(db, None, None, 1, 0) == ([], 0)


def test_all_findings_of_a_form_come_at_once_and_what_was_written_stays(hub, own):
    client, _ = own
    hub.make("auto_map")
    answer = send(
        client, model="org/auto_map", revision="main", dtype="int1", style="cot", chat_template="true", note="n" * 1001,
        season="nowhere", contact="ada@example.org",
    )  # fmt: skip
    assert answer.status_code == 422
    for field in ("model", "dtype", "chat_template", "note", "season"):
        assert f'<a href="#{field}">' in answer.text
        assert re.search(
            rf'id="{field}"[^>]*aria-describedby="[^"]*{field}-finding-1"[^>]*aria-invalid="true"', answer.text
        )
        assert f'id="{field}-finding-1"' in answer.text
    assert 'value="org/auto_map"' in answer.text
    assert '<option value="cot" selected>' in answer.text
    assert '<option value="true" selected>in a chat' in answer.text
    assert "n" * 1000 in answer.text
    assert 'value="ada@example.org"' in answer.text


@pytest.mark.parametrize(
    ("kind", "stated", "asked"),
    [("chat", {}, (True, 0)), ("pebble", {}, (False, 0)), ("unlicensed", {}, (False, 3)),
     ("chat", {"chat_template": False}, (False, 0))],
)  # fmt: skip
def test_a_model_is_asked_as_its_files_say_unless_the_form_does(hub, own, kind, stated, asked):
    client, db = own
    repo = hub.make(kind)
    repo.license = "mit"
    made = ask(client, model=repo.name, **stated)
    assert made.status_code in (201, 202), made.text
    with db.connect() as connection:
        row = connection.execute(select(SubmissionRow.chat_template, SubmissionRow.n_shots)).one()
    assert tuple(row) == asked


def test_a_good_model_is_pinned_queued_and_found_at_its_page(hub, own):
    client, db = own
    repo = hub.make("pebble")
    pinned = repo.sha
    answer = send(client, model="org/pebble", note="first try", contact="ada@example.org", dtype="float32")
    assert answer.status_code == 303
    page = client.get(answer.headers["location"])
    assert pinned in page.text
    assert "first try" in page.text
    repo.push("README.md", b"newer")
    stored = queue.list_submissions(db, None, None, 1, 0)[0][0].submission
    assert (stored.sha, stored.dtype, stored.n_parameters, stored.model_kind) == (pinned, "float32", 1_112_448, "base")
    for _ in range(100):
        state = client.get(f"/api/v1/submissions/{stored.id}").json()["state"]
        if state != "validating":
            break
        time.sleep(0.1)
    assert state == "queued"
    again = ask(client, model="org/pebble", dtype="float32")
    assert again.status_code == 201  # another commit is another submission
    assert again.headers["location"] == f"/api/v1/submissions/{again.json()['id']}"


def test_the_same_again_is_a_conflict_with_a_link(hub, own):
    client, _ = own
    hub.make("pebble")
    first = ask(client, model="org/pebble").json()["id"]
    answer = ask(client, model="org/pebble", note="another note")
    assert (answer.status_code, answer.json()["submission"]) == (409, first)
    page = send(client, model="org/pebble")
    assert page.status_code == 409
    assert f'<a href="/submissions/{first}">' in page.text


def test_of_two_at_once_one_is_stored(hub, open_door, database):
    address, db = open_door(database)
    hub.make("pebble")
    answers = []

    def submit():
        with httpx.Client(base_url=address, headers=headers_of_board(url_of(db)), timeout=30) as client:
            answers.append(ask(client, model="org/pebble"))

    threads = [threading.Thread(target=submit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.status_code for one in answers) == [201, 409]
    (stored,) = queue.list_submissions(db, None, None, 9, 0)[0]
    assert {one.json().get("id") or one.json()["submission"] for one in answers} == {stored.submission.id}


@pytest.mark.slow
@pytest.mark.turns(3)
def test_other_pages_stay_quick_while_a_hub_is_slow(hub, open_door):
    address, db = open_door(bounds=HubLimits(deadline=6.0, read=30.0))
    hub.make("slow")
    said, keys = [], headers_of_board(url_of(db))
    with (
        httpx.Client(base_url=address, timeout=30) as client,
        httpx.Client(base_url=address, headers=keys, timeout=30) as other,
    ):
        waiting = threading.Thread(target=lambda: said.append(ask(other, model="org/slow")))
        waiting.start()
        time.sleep(0.1)
        for _ in range(3):
            assert client.get("/queue").status_code == 200
        assert waiting.is_alive()
        waiting.join(timeout=20)
    assert [one.json()["findings"][0]["code"] for one in said] == ["hub_timeout"]


HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m\x00 {{ 7*7 }} =1+1 'x' \"y\""


def test_hostile_text_is_inert_and_a_hostile_id_is_a_finding(hub, own):
    client, _ = own
    hub.make("pebble")
    sent = ask(client, model="org/pebble", note=HOSTILE, contact=HOSTILE)
    assert sent.status_code == 201
    for page in (client.get(f"/submissions/{sent.json()['id']}").text, send(client, model=HOSTILE, note=HOSTILE).text):
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page
        assert not set(page) & set("\x1b\x00")
        assert "49" not in page.partition("{{ 7")[0][-40:]
    for model in (
        HOSTILE,
        "../../etc/passwd",
        "org/../x",
        "a--b/c",
        "http://127.0.0.1/x",
        "org/x?y",
        "org/x\n",
        "é/x",
        "",
    ):
        answer = ask(client, model=model)
        assert [one["field"] for one in answer.json()["findings"]] == ["model"]
    for revision in ("../x", "a b", "", "main/../../x", "x" * 300):
        assert [one["field"] for one in ask(client, model="org/pebble", revision=revision).json()["findings"]] == [
            "revision"
        ]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"null", b'{"model": 7}', b'{"x": 1}', b"\xff", b'{"model": "org/a", "dtype": ["auto"]}']
)
def test_a_body_that_is_no_submission_is_refused_with_findings(own, body):
    answer = own[0].post("/api/v1/submissions", content=body)
    assert answer.status_code == 422
    assert answer.json()["findings"]


def test_a_long_body_is_refused(own):
    assert own[0].post("/api/v1/submissions", content=b" " * 70_000).status_code == 413


@pytest.fixture
def two_users(hub, open_door):
    """A board with accounts: headers of Ada, of Bob, of Ada's token that may only read, and of an admin."""
    address, db = open_door(url="http://127.0.0.1:1", oidc=OIDC, secret_key="k" * 40, daily_submissions=2)
    hub.make("pebble")
    headers = []
    for name, scopes in (("ada", ["submit"]), ("bob", ["submit"]), ("ada", ["read"]), ("root", ["submit", "admin"])):
        user, _ = accounts.sign_in(db, f"sub-{name}", name, admin=name == "root")
        headers.append({"Authorization": f"Bearer {accounts.create_token(db, user.id, name, scopes)[1]}"})
    with httpx.Client(base_url=address, timeout=30, headers={"Host": "127.0.0.1:1"}) as client:
        yield client, *headers


def test_only_who_may_submit_submits_and_within_a_quota(two_users):
    client, ada, bob, reader, _ = two_users
    body = {"model": "org/pebble"}
    assert client.post("/api/v1/submissions", json=body).status_code == 401
    assert client.post("/api/v1/submissions", json=body, headers=reader).status_code == 403
    assert "Sign in" in client.get("/submit").text
    said = [
        client.post("/api/v1/submissions", json={**body, "dtype": dtype}, headers=ada).status_code
        for dtype in ("auto", "float32", "float16")
    ]
    assert said == [201, 201, 429]
    assert client.post("/api/v1/submissions", json={**body, "dtype": "float16"}, headers=bob).status_code == 201
    assert client.get("/api/v1/submissions?owner=me", headers=ada).json()["total"] == 2
    assert client.get("/api/v1/submissions?owner=me").status_code == 401


@pytest.mark.slow
def test_owners_and_admins_alone_see_the_contact_and_cancel(two_users):
    client, ada, bob, reader, root = two_users
    body = {"model": "org/pebble", "contact": "ada@example.org"}
    one = client.post("/api/v1/submissions", json=body, headers=ada).json()["id"]
    contacts = [client.get(f"/api/v1/submissions/{one}", headers=who).json()["contact"] for who in ({}, bob, ada, root)]
    assert contacts == [None, None, "ada@example.org", "ada@example.org"]
    assert "ada@example.org" not in client.get(f"/submissions/{one}", headers=bob).text
    assert "ada@example.org" in client.get(f"/submissions/{one}", headers=ada).text
    said = [client.delete(f"/api/v1/submissions/{one}", headers=who).status_code for who in ({}, bob, reader, ada, ada)]
    assert said == [401, 403, 403, 200, 409]
    assert client.get(f"/api/v1/submissions/{one}").json()["state"] == "cancelled"


def test_a_form_of_another_page_is_refused(hub, own):
    client, db = own
    hub.make("pebble")
    assert client.post("/submit", data={"model": "org/pebble"}).status_code == 403
    assert client.post("/submit", data={"model": "org/pebble", "csrf": "0" * 64}).status_code == 403
    assert queue.list_submissions(db, None, None, 1, 0)[1] == 0


def test_a_season_brings_its_own_suite(hub, own):
    client, db = own
    hub.make("pebble")
    with writing(db) as session:
        for name, state in (("winter", "open"), ("autumn", "closed")):
            row = {"id": name, "state": state, "suite": "standard", "secret": b"", "terms": {}, "practice_seed": "1"}
            session.add(SeasonRow(**row, created_at=utc_now()))
    page = client.get("/submit").text
    assert '<option value="winter">' in page
    assert "autumn" not in page
    assert ask(client, model="org/pebble", season="winter").json()["suite"] == "standard"
    assert ask(client, model="org/pebble", season="autumn").json()["findings"][0]["field"] == "season"


def test_the_web_process_reads_the_head_of_the_weights_alone(hub, own):
    repo = hub.make("pebble")
    assert ask(own[0], model="org/pebble").status_code == 201
    read = [path for _, path in repo.asked if "/resolve/" in path]
    assert len(read) == 3  # config, tokenizer's config, and one part of the weights
    assert repo.n_sent < len(repo.files["model.safetensors"]) / 10

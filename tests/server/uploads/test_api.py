"""Results made elsewhere over HTTP: graded here, refused with a reason, taken once whatever breaks."""

import gzip
import json
import re
import socket
import threading
import time
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from fathom.harness.db import read
from fathom.harness.db.audit import list_entries
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.schema.service import SubmissionRow
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.io.parcel import parcel_lines
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import PromptSettings, RunSettings
from fathom.harness.service.seasons import store as seasons
from fathom.harness.settings import OidcSettings, ServiceSettings
from fathom.server.accounts import store as accounts
from fathom.server.app import ServerSettings, create_app
from fathom.server.web.bodies import MinimumRate, UploadSlots
from fathom.server.web.forms import csrf_of
from fathom.tasks.suites import Selection, open_suite

SMALL = Selection(levels=("n4k1", "n8k2"), styles=("direct", "choice"), n=6)
URL = "http://board.test"
KEY = "a key of at least thirty-two characters"


def play(url, selection, model="oracle/noisy", suite="quick"):
    """Evaluate the oracle; return the run's id and the lines of its parcel, under a name that may be sent."""
    db = open_database(url, create=True)
    plan = Plan(
        ModelSource(model, None, model),
        open_suite(suite, "2026", selection),
        RunSettings(engine=EngineSettings("oracle")),
    )
    run = evaluate(plan, db).run
    lines = [json.loads(line) for line in parcel_lines(db, run, model="org/noisy", sha="c" * 40)]
    db.dispose()
    return run, lines


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of 24 items made elsewhere."""
    url = f"sqlite:///{tmp_path_factory.mktemp('made') / 'runs.db'}"
    return url, *play(url, SMALL)


@dataclass(frozen=True)
class Home:
    """A board with accounts, for which two people have signed in."""

    app: object
    db: object
    cookies: tuple[str, str]

    @property
    def csrf(self):
        return csrf_of(self.cookies[0])

    def headers(self, user=0):
        """Return what the browser of a user sends; of None, a stranger's."""
        cookie = {} if user is None else {"Cookie": f"fathom={self.cookies[user]}"}
        return {"Host": "board.test", "Origin": URL, **cookie}


def open_home(folder):
    url = f"sqlite:///{folder / 'home.db'}"
    db = open_database(url, create=True)
    cookies = tuple(accounts.sign_in(db, f"subject {user}", f"User {user}")[1] for user in range(2))
    service = ServiceSettings(url=URL, secret_key=KEY, oidc=OidcSettings("http://127.0.0.1:9", "fathom", "secret"))
    return Home(create_app(ServerSettings(url, service=service)), db, cookies)


@pytest.fixture
def home(tmp_path, serve, copy_tables):
    """A board over HTTP, and the clients of two of its users and of a stranger."""
    copy_tables(f"sqlite:///{tmp_path / 'home.db'}")
    opened = open_home(tmp_path)
    address = serve(opened.app)
    clients = [httpx.Client(base_url=address, timeout=60, headers=opened.headers(user)) for user in (0, 1, None)]
    yield opened, *clients
    for client in clients:
        client.close()
    opened.db.dispose()


def packed(lines):
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def changed(lines, at, **values):
    return [line | values if here == at else line for here, line in enumerate(lines)]


def post(client, data, **headers):
    return client.post("/api/v1/results", content=data, headers=headers)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_results_become_a_run_of_tier_1(made, home, pack):
    source, run, lines = made
    opened, client, *_ = home
    db = opened.db
    forged = [lines[0], *(line | {"correct": True, "label": "correct", "found": "none"} for line in lines[1:])]
    answer = post(client, pack(packed(forged)))
    assert answer.status_code == 201, answer.text
    got = answer.json()
    elsewhere = open_database(source, create=False)
    detail = read.get_run(elsewhere, run)
    elsewhere.dispose()
    assert (got["n_items"], got["n_right"], got["tier"]) == (24, detail.summary.k, 1)
    stored = read.get_run(db, got["run"])
    assert (stored.summary.tier, stored.summary.k, stored.suite_digest) == (1, detail.summary.k, detail.suite_digest)
    assert [cell.found for cell in stored.cells] == [cell.found for cell in detail.cells]
    assert stored.summary.n_asked == 24
    assert "unchecked" in client.get(f"/runs/{got['run']}").text
    shown = client.get(got["page"])
    assert f"{detail.summary.k}/24" in shown.text
    assert f'href="/runs/{got["run"]}"' in shown.text


@pytest.mark.parametrize("asked", [PromptSettings(chat=True), PromptSettings(2)], ids=["chat", "after shots"])
def test_answers_are_read_as_the_run_itself_reads_them(home, tmp_path, asked):
    db = open_database(str(tmp_path / "chat.db"), create=True)
    suite = open_suite("quick", "2026", SMALL)
    plan = Plan(
        ModelSource("oracle/noisy", None, "x"),
        suite,
        RunSettings(asked, engine=EngineSettings("oracle")),
    )
    run = evaluate(plan, db).run
    lines = [json.loads(line) for line in parcel_lines(db, run, model="org/noisy", sha="c" * 40)]
    if asked.chat:
        lines[0]["manifest"]["decisive"]["chat_template"] = "0" * 32
    for line in lines[1:]:
        if line["scores"] is None and asked.chat:
            line["completion"] = f"\n\n{line['completion']}\nThat is what I think."
    got = post(home[1], packed(lines)).json()
    assert got["n_right"] == read.get_run(db, run).summary.k > 0
    decisive = read.get_run(home[0].db, got["run"]).manifest.stored["decisive"]
    assert decisive["sampling"]["shots"] == asked.n_shots
    assert (decisive["sampling"]["chat_template"], decisive.get("chat_template")) == (
        asked.chat, "0" * 32 if asked.chat else None,
    )  # fmt: skip
    db.dispose()


def test_an_upload_is_ranked_only_among_runs_of_every_tier(made, home):
    _, _, lines = made
    opened, client, *_ = home
    db = opened.db
    got = post(client, packed(lines)).json()
    update_leaderboard(db)
    pools = {pool.id: pool.n_models for pool in db_board.list_pools(db)}
    assert pools == {f"{read.get_run(db, got['run']).pool}-all": 1}


def test_a_header_that_names_an_encoding_decodes_nothing_twice(made, home):
    _, _, lines = made
    answer = post(home[1], gzip.compress(packed(lines)), **{"Content-Encoding": "gzip"})
    assert answer.status_code == 201
    twice = post(home[1], gzip.compress(gzip.compress(packed(lines))), **{"Content-Encoding": "gzip"})
    assert twice.status_code == 422


def test_the_same_results_twice_are_a_conflict_with_a_link(made, home):
    _, _, lines = made
    first = post(home[1], packed(lines)).json()
    again = post(home[1], packed(lines))
    assert again.status_code == 409
    assert again.json()["detail"].endswith(first["page"])
    shown = send_form(home, packed(lines))
    assert shown.status_code == 409
    assert f'<a href="{first["page"]}">' in shown.text


WRONG = {
    "missing": (lambda lines: lines[:-3], 422, "3 of 24 items are missing, the first is depo@2/n8k2/symbol/2026/3 (choice)"),
    "doubled": (lambda lines: [*lines, lines[-1]], 422, "line 26: depo@2/n8k2/symbol/2026/5 (choice) comes twice"),
    "edited": (lambda lines: changed(lines, 5, prompt="0" * 16), 422, "line 6: the prompt of depo@2/n4k1/symbol/2026/4 is not"),
    "shots": (
        lambda lines: changed(lines, 0, manifest={"decisive": {"sampling": {"temperature": 0.0, "temperature_free": 1.0, "shots": 5}}}),
        422, "line 2: the prompt of depo@2/n4k1/symbol/2026/0 is not",
    ),
    "long line": (lambda lines: changed(lines, 3, completion="x" * 600_000), 413, "line 4 has more than 512 kB"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_parcel_is_refused_with_what_a_user_sees_and_leaves_nothing(made, home, wrong):
    change, status, message = WRONG[wrong]
    opened, client, *_ = home
    db = opened.db
    answer = post(client, packed(change(made[2])))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert message in answer.json()["detail"]
    assert read.count_runs(db) == 0
    assert "upload-refused" in [one.action for one in list_entries(db)]  # the header was taken: its rows were removed


# --- the form ---


def send_form(home, data, csrf=None, name="file", order=("csrf", "file")):
    csrf = home[0].csrf if csrf is None else csrf
    parts = {
        "csrf": f'--B\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{csrf}\r\n'.encode(),
        "file": f'--B\r\nContent-Disposition: form-data; name="{name}"; filename="r.gz"\r\n'.encode()
        + b"Content-Type: application/gzip\r\n\r\n" + data + b"\r\n",
    }  # fmt: skip
    body = b"".join(parts[part] for part in order) + b"--B--\r\n"
    return home[1].post("/submit/results", content=body, headers={"Content-Type": "multipart/form-data; boundary=B"})


def test_a_file_sent_by_a_browser_leads_to_a_page_of_what_was_graded(made, home):
    opened, client, *_ = home
    db = opened.db
    assert f'value="{opened.csrf}"' in client.get("/submit/results").text
    answer = client.post(
        "/submit/results", data={"csrf": opened.csrf}, files={"file": ("r.gz", gzip.compress(packed(made[2])))}
    )
    assert answer.status_code == 303
    page = client.get(answer.headers["location"])
    assert page.status_code == 200
    assert "org/noisy" in page.text
    assert read.count_runs(db) == 1


@pytest.mark.parametrize("sent", [{"csrf": "wrong"}, {"csrf": ""}, {"order": ("file", "csrf")}, {"order": ("file",)}])
def test_a_form_of_another_site_is_refused_before_its_file_is_read(made, home, sent):
    answer = send_form(home, packed(made[2]), **sent)
    assert answer.status_code == 403
    assert "load its page again" in answer.text
    assert read.count_runs(home[0].db) == 0


def test_what_is_wrong_with_a_file_stands_beside_its_field(made, home):
    answer = send_form(home, gzip.compress(packed(made[2][:-1])))
    assert answer.status_code == 422
    assert re.search(r'id="file-problem".*1 of 24 items are missing', answer.text)
    assert 'aria-describedby="file-says file-problem"' in answer.text


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"", "multipart/form-data; boundary=B", "the form is cut off"),
        (b"--B--\r\n", "multipart/form-data; boundary=B", "choose a file"),
        (b"junk", "multipart/form-data; boundary=B", "cannot be read"),
        (b"a=b", "application/x-www-form-urlencoded", "send the form as multipart/form-data"),
        (b"x", "multipart/form-data", "send the form as multipart/form-data"),
        (b"x", "multipart/form-data; boundary=" + "b" * 5000, "cannot be read"),
    ],
)
def test_a_form_that_is_none_is_refused_in_words(home, body, kind, message):
    answer = home[1].post("/submit/results", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert message in answer.text


# --- what the line and the sender may do ---


def raw(client, head, body=b""):
    """Speak HTTP by hand; return the connection."""
    lines = "\r\n".join(f"{name}: {client.headers[name]}" for name in ("Host", "Origin", "Cookie"))
    host, port = client.base_url.host, client.base_url.port
    line = socket.create_connection((host, port), timeout=20)
    line.sendall(f"POST /api/v1/results HTTP/1.1\r\n{lines}\r\n{head}\r\n\r\n".encode() + body)
    return line


def first_line(line):
    with line, line.makefile("rb") as stream:
        return stream.readline().decode().strip()


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(home):
    began = time.monotonic()
    assert " 413 " in first_line(raw(home[1], f"Content-Length: {1 << 34}"))
    assert time.monotonic() - began < 2


def test_a_body_that_is_shorter_than_it_says_leaves_nothing(made, home):
    opened, client, *_ = home
    db = opened.db
    data = packed(made[2])
    line = raw(client, f"Content-Length: {len(data)}", data[:-100])
    time.sleep(0.3)
    line.close()
    wait_until(lambda: not submissions(db))
    assert read.count_runs(db) == 0


def submissions(db):
    with Session(db) as session:
        return session.execute(select(SubmissionRow.id, SubmissionRow.state)).all()


def wait_until(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def test_a_trickle_is_given_up(made, home):
    opened, client, *_ = home
    app, db = opened.app, opened.db
    app.state.uploads = UploadSlots(rate=MinimumRate(0.5, 100_000))
    line = raw(client, "Transfer-Encoding: chunked")

    def trickle():
        for byte in packed(made[2])[:100]:
            time.sleep(0.05)
            try:
                line.sendall(b"1\r\n%c\r\n" % byte)
            except OSError:
                return

    began = time.monotonic()
    thread = threading.Thread(target=trickle)
    thread.start()
    assert " 408 " in first_line(line)
    assert time.monotonic() - began < 5
    thread.join()
    assert not submissions(db)


def test_a_user_sends_two_at_a_time_and_is_told_when_to_come_again(made, home):
    client = home[1]
    hanging = [raw(client, "Content-Length: 5000") for _ in range(2)]
    time.sleep(0.3)
    answer = post(client, packed(made[2]))
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    for line in hanging:
        line.close()
    wait_until(lambda: post(client, packed(made[2])).status_code in (201, 409))


def test_strangers_send_nothing(made, home):
    stranger = home[3]
    assert post(stranger, packed(made[2])).status_code == 401
    assert stranger.post("/submit/results", files={"file": b"x"}).status_code == 401
    assert "Sign in" in stranger.get("/submit/results").text


def test_a_token_sends_results_if_it_may(made, home):
    opened, *_, stranger = home
    tokens = [accounts.create_token(opened.db, 2, scope, (scope,))[1] for scope in ("read", "submit")]
    status = [post(stranger, packed(made[2]), Authorization=f"Bearer {one}").status_code for one in tokens]
    assert status == [403, 201]


def test_seeds_of_seasons_are_refused(made, home):
    opened, client, *_ = home
    seasons.new_season(opened.db, "winter", "quick", KEY, 1)
    seasons.commit_season(opened.db, "winter", KEY)
    seasons.open_season(opened.db, "winter", seasons.Beacon("5d1f3c0b7a9e44d0", "drand round 4816212"), KEY)
    lines = changed(made[2], 0, seed=seasons.season_seed(opened.db, "winter", KEY))
    said = [post(client, packed(lines))]
    seasons.close_season(opened.db, "winter")
    seasons.reveal_season(opened.db, "winter", KEY)
    said.append(post(client, packed(lines)))
    assert [one.status_code for one in said] == [422, 422]
    assert said[0].json()["detail"] == (
        "seed: this is the seed of season winter, which only this server may know"
    )  # fmt: skip
    assert "the seed of season winter, which is over: its items are public" in said[1].json()["detail"]


def test_a_user_who_sends_too_often_is_stopped_for_a_while(home):
    opened, client, other, _ = home
    opened.app.state.uploads = UploadSlots(hourly=2)
    assert [post(client, b"x").status_code for _ in range(3)] == [422, 422, 429]
    assert post(other, b"x").status_code == 422


# --- replay ---


def test_a_replay_is_for_the_owner_and_asked_for_once(made, home):
    opened, client, *_ = home
    db = opened.db
    got = post(client, packed(made[2])).json()
    address = f"/api/v1/submissions/{got['submission']}/replay"
    assert home[2].post(address).status_code == 403
    assert "Request a replay" not in home[2].get(got["page"]).text
    assert "Request a replay" in client.get(got["page"]).text
    form = f"{got['page']}/replay"
    assert client.post(form, data={"csrf": "wrong"}).status_code == 403
    assert client.post(form, data={"csrf": opened.csrf}).status_code == 303
    assert client.post(address).status_code == 409
    assert "0 of 24 random items answered again" in client.get(got["page"]).text
    assert [one.action for one in list_entries(db)][:2] == ["replay-asked", "upload"]
    assert client.post("/api/v1/submissions/abc/replay").status_code == 404


def test_results_without_a_commit_cannot_be_replayed(made, home):
    got = post(home[1], packed(changed(made[2], 0, sha=""))).json()
    answer = home[1].post(f"/api/v1/submissions/{got['submission']}/replay")
    assert answer.status_code == 422
    assert "fathom submit --sha COMMIT" in answer.json()["detail"]

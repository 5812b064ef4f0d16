"""A folder can be evaluated on a board without accounts, from its own machine; to others the disk stays dark."""

import json
import os
import shutil

import httpx
import pytest

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.engines.model import folder_digest
from fathom.harness.service.worker.protocol import ClaimRequest
from fathom.harness.settings import OidcSettings, ServiceSettings
from fathom.server.accounts import store as accounts
from fathom.server.app import ServerSettings, create_app
from fathom.server.jobs import leases as jobs
from fathom.server.submissions.examine import read_address
from fathom.server.submissions.planner import plan_submissions
from tests.hub import PEBBLE
from tests.keys import cookies_of_app

URL = "http://127.0.0.1:1"
DARK = pytest.mark.cases(None)


@pytest.fixture
def board(serve, tmp_path, copy_tables):
    """The board of this machine's user, without background tasks in between: a client and its database."""
    copy_tables(f"sqlite:///{tmp_path / 'board.db'}")
    app = create_app(ServerSettings(str(tmp_path / "board.db"), service=ServiceSettings(hub="http://127.0.0.1:9")))
    db = open_database(str(tmp_path / "board.db"), create=False)
    with httpx.Client(base_url=serve(app), cookies=cookies_of_app(app), timeout=30) as client:
        yield client, db
    db.dispose()


@pytest.fixture
def mine(tmp_path):
    """A copy of the reference model in a folder."""
    return shutil.copytree(PEBBLE, tmp_path / "deep" / "my-model")


def check(client, model, **fields):
    return client.get("/submit/check", params={"model": str(model), **fields})


def test_what_a_folder_would_be_asked_is_shown_before_it_is_submitted(board, mine):
    client, _ = board
    page = check(client, mine, style="choice").text
    for words in (
        "my-model",
        "1.11M",
        "2.7 MB",
        "base",
        "no chat template",
        "in plain text, zero-shot",
        "180",
        "unknown",
    ):
        assert words in page
    assert "deep" not in page


def test_a_chat_template_is_seen(board, mine):
    (mine / "chat_template.jinja").write_text("{{ messages }}")
    page = check(board[0], mine).text
    for words in ("chat template found", "in a chat, zero-shot"):
        assert words in page


def test_a_folder_is_submitted_by_its_digest_and_named_without_its_path(board, mine):
    client, db = board
    sent = client.post("/api/v1/submissions", json={"model": str(mine), "style": "choice"})
    assert sent.status_code == 201, sent.text
    said = sent.json()
    assert (said["model"], said["sha"], said["revision"], said["tier"]) == ("my-model", folder_digest(mine), "", 3)
    again = client.post("/api/v1/submissions", json={"model": f"{mine}/", "style": "choice"})
    assert (again.status_code, again.json()["submission"]) == (409, said["id"])
    plan_submissions(db, lambda _db, _season: "7")
    (run,) = [one for one in read.list_runs(db) if one.layer == "main"]
    for page in (f"/submissions/{said['id']}", f"/runs/{run.run}", "/queue", f"/api/v1/submissions/{said['id']}"):
        text = client.get(page).text
        assert "my-model" in text
        assert str(mine.parent) not in text


def test_two_folders_of_one_name_are_two_models(board, mine, tmp_path):
    client, db = board
    other = shutil.copytree(mine, tmp_path / "other" / "my-model")
    (other / "README.md").unlink()
    (other / "generation_config.json").write_text('{"eos_token_id": 1}')
    for folder in (mine, other):
        sent = client.post("/api/v1/submissions", json={"model": str(folder), "style": "choice"})
        assert sent.status_code == 201, sent.text
    plan_submissions(db, lambda _db, _season: "7")
    names = {one.model for one in read.list_runs(db)}
    assert len(names) == 2
    assert all(name.startswith("my-model") for name in names)


def test_only_a_worker_of_this_machine_is_given_a_folder(board, mine):
    client, db = board
    client.post("/api/v1/submissions", json={"model": str(mine), "style": "choice"}).raise_for_status()
    plan_submissions(db, lambda _db, _season: "7")
    assert jobs.claim_job(db, ClaimRequest(name="far", engine="vllm")) is None
    job = jobs.claim_job(db, ClaimRequest(name="near", engine="vllm", folders=True))
    assert job.folder == str(mine.resolve())


def test_models_that_come_with_fathom_go_by_their_names(board):
    client, db = board
    assert "which comes with Fathom" in check(client, "reference/pebble").text
    sent = client.post("/api/v1/submissions", json={"model": "reference/pebble", "style": "choice"})
    assert sent.json()["model"] == "reference/pebble"
    plan_submissions(db, lambda _db, _season: "7")
    assert {one.model for one in read.list_runs(db)} == {"reference/pebble"}
    wrong = client.post("/api/v1/submissions", json={"model": "reference/../../x"})
    assert "There is no such model" in wrong.text


def test_what_is_wrong_with_a_folder_is_told_with_its_fix(board, mine, tmp_path):
    client, _ = board
    config = json.loads((mine / "config.json").read_text())
    cases = {
        "There is no such folder": lambda folder: shutil.rmtree(folder),
        "There is no config.json": lambda folder: (folder / "config.json").unlink(),
        "cannot be read as JSON": lambda folder: (folder / "config.json").write_text("{"),
        "asks for code of the repository": lambda folder: (folder / "config.json").write_text(
            json.dumps({**config, "auto_map": {"AutoModel": "x.Y"}})
        ),
        "not stored as safetensors": lambda folder: (folder / "model.safetensors").unlink(),
        "is cut off": lambda folder: os.truncate(folder / "model.safetensors", 1000),
        "There is no tokenizer": lambda folder: [one.unlink() for one in folder.glob("tokenizer*")],
        "not all plain files": lambda folder: os.mkfifo(folder / "extra.json"),
    }
    for at, (words, spoil) in enumerate(cases.items()):
        folder = shutil.copytree(mine, tmp_path / str(at) / "model")
        spoil(folder)
        assert words in check(client, folder).text, words
        refused = client.post("/api/v1/submissions", json={"model": str(folder)})
        assert refused.status_code == 422
        assert words in refused.text


@pytest.mark.parametrize(
    "model", ["/", "~", "~nobody-of-this-name/x", "/" + "x" * 900, "/a\0b", "/proc/self/environ", "//"]
)
@DARK
def test_no_path_is_a_fault(board, model):
    for answer in (check(board[0], model), board[0].post("/api/v1/submissions", json={"model": model})):
        assert answer.status_code in (200, 422)


@DARK
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_from_elsewhere_no_folder_can_be_named(board, mine, header):
    client, _ = board
    there, nowhere = (
        client.get("/submit/check", params={"model": str(path)}, headers={header: "203.0.113.7"})
        for path in (mine, mine / "none")
    )
    assert there.text == nowhere.text
    assert "on its own machine only" in there.text
    sent = client.post("/api/v1/submissions", json={"model": str(mine)}, headers={header: "203.0.113.7"})
    assert sent.status_code == 422
    assert "folder of this machine" not in client.get("/submit", headers={header: "203.0.113.7"}).text


@pytest.fixture
def public(serve, tmp_path):
    """A board with accounts, and an admin of it."""
    oidc = OidcSettings("http://127.0.0.1:9", "fathom", "secret")
    service = ServiceSettings(url=URL, oidc=oidc, secret_key="k" * 40, hub="http://127.0.0.1:9")
    app = create_app(ServerSettings(str(tmp_path / "public.db"), service=service))
    db = open_database(str(tmp_path / "public.db"), create=False)
    _, cookie = accounts.sign_in(db, "sub-1", "root", admin=True)
    headers = {"Host": URL.removeprefix("http://"), "Cookie": f"fathom={cookie}", "Origin": URL}
    with httpx.Client(base_url=serve(app), headers=headers, timeout=30) as client:
        yield client
    db.dispose()


@DARK
def test_a_board_with_accounts_answers_to_every_path_alike(public, mine, tmp_path):
    paths = [mine, tmp_path / "none", "/etc/passwd", "/etc", "~", "~root", "/proc/self"]
    shown = {check(public, path).text for path in paths}
    assert len(shown) == 1
    assert "This is not a model id" in shown.pop()
    told = {public.post("/api/v1/submissions", json={"model": str(path)}).text for path in paths}
    assert len(told) == 1
    assert "folder" not in public.get("/submit").text


@DARK
def test_strangers_are_shown_nothing(board, public, mine):
    for client in (board[0], public):
        stranger = httpx.Client(base_url=client.base_url, headers={"Host": client.headers.get("Host", "127.0.0.1")})
        answers = {check(stranger, path).status_code for path in (mine, mine / "none", "org/name")}
        stranger.close()
        assert answers == {401}


@pytest.mark.parametrize(
    ("typed", "model", "revision"),
    [
        ("https://huggingface.co/org/name", "org/name", "main"), ("https://huggingface.co/org/name/", "org/name", "main"),
        ("https://huggingface.co/org/name/tree/v1.0", "org/name", "v1.0"),
        ("http://hf.co/org/name/blob/main/config.json?download=true#x", "org/name", "main"),
        ("https://hub.example/org/name/tree/x%2Fy", "org/name", "x/y"), ("org/name", "org/name", "main"),
        ("https://evil.example/org/name", "https://evil.example/org/name", "main"),
        ("https://huggingface.co/datasets/org/name", "https://huggingface.co/datasets/org/name", "main"),
        ("https://[", "https://[", "main"),
    ],
)  # fmt: skip
@DARK
def test_the_address_of_a_models_page_is_understood(typed, model, revision):
    assert read_address(typed, "main", "https://hub.example") == (model, revision)

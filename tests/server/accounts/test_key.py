"""A board without accounts: everybody on the machine may read, and who has its key may change things."""

import os
import re
from pathlib import Path

import httpx
import pytest

from fathom.harness.errors import BadInput
from fathom.harness.service.board_key import derived, key_file, key_of_board, noted_board, open_key
from fathom.harness.settings import ServiceSettings
from fathom.server.app import ServerSettings, create_app
from tests.keys import cookies_of
from tests.server.test_roles import ROWS

pytestmark = pytest.mark.cases(None)


@pytest.fixture
def keyless(serve, fresh):
    """A client of somebody without the key, and the key."""
    app = create_app(ServerSettings(fresh[1], service=ServiceSettings(hub="http://127.0.0.1:9")))
    with httpx.Client(base_url=serve(app), timeout=30) as client:
        yield client, app.state.service.key


def ask(client, row, **headers):
    method, path = row.split(" ")
    path = re.sub(r"\{(token|job|sample)\}", "7", path).replace("{kind}", "csv").replace("{action}", "cancel")
    path = re.sub(r"\{[\w:]+\}", "abc", path)
    with client.stream(method, path, headers={"X-Fathom-Lease": "x", **headers}) as answer:
        return answer.status_code


def test_without_the_key_nothing_can_be_changed_and_nothing_private_be_seen(keyless):
    client, key = keyless
    changing = [row for row, who in ROWS.items() if not row.startswith("GET ") or who[0] in (401, 403)]
    assert len(changing) > 25
    told = {row: ask(client, row) for row in changing}
    assert set(told.values()) == {401}, told
    with_key = {row: ask(client, row, Authorization=f"Bearer {key}") for row in changing}
    assert 401 not in with_key.values(), with_key


def test_without_the_key_the_board_can_be_read(keyless):
    client, _ = keyless
    for page in ("/", "/runs", "/queue", "/submit", "/submit/results", "/families", "/api/v1/runs"):
        assert client.get(page).status_code == 200


def test_pages_with_a_form_say_how_to_get_the_key(keyless):
    client, _ = keyless
    for page in ("/submit", "/submit/results"):
        text = client.get(page).text
        assert "open the address that <code>fathom serve</code> printed" in text
        assert "<form" not in text
    for page in ("/account", "/admin", "/sign-in"):
        answer = client.get(page, follow_redirects=True)
        assert answer.status_code == 401
        assert "open the address that `fathom serve` printed" in answer.text


def test_the_key_in_an_address_becomes_a_strict_cookie_and_leaves_the_address(keyless):
    client, key = keyless
    answer = client.get("/queue", params={"key": key, "a": "b&c"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/queue?a=b%26c")
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    (cookie,) = answer.headers.get_list("set-cookie")
    assert re.fullmatch(r"fathom-[0-9a-f]{8}=[0-9a-f]{64}; Path=/; Max-Age=\d+; HttpOnly; SameSite=Strict", cookie)
    assert key not in cookie
    assert client.get("/account").status_code == 200


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/%2F/evil.example"])
def test_the_redirect_stays_on_the_board(keyless, path):
    client, key = keyless
    url = client.base_url.copy_with(raw_path=f"{path}?key={key}".encode())
    place = client.get(url).headers["location"]
    assert re.match(r"/[^/\\]", place), place


@pytest.mark.parametrize("key", ["", "x", "\xff", "k" * 43])
def test_a_wrong_key_is_told(keyless, key):
    client, _ = keyless
    answer = client.get("/", params={"key": key})
    assert (answer.status_code, answer.headers.get("set-cookie")) == (401, None)
    assert (
        client.get("/api/v1/me", headers={"Authorization": f"Bearer {key or 'x'}".encode("latin-1")}).status_code == 401
    )


def test_a_board_with_accounts_knows_no_key(sign_in_desk):
    desk = sign_in_desk()
    assert desk.app.state.service.key == ""
    assert desk.browser(follow=False).get("/?key=").status_code in (200, 422)
    for secret in ("x", derived("", "worker"), derived("", "cookie")):
        headers = {"Authorization": f"Bearer {secret}", "Cookie": f"fathom={derived('', 'cookie')}"}
        answer = httpx.get(f"{desk.address}/api/v1/me", headers=headers)
        assert answer.status_code == 401


def test_the_workers_secret_does_no_more_than_work(keyless):
    client, key = keyless
    mine = {"Authorization": f"Bearer {derived(key, 'worker')}"}
    assert client.get("/api/v1/me", headers=mine).json()["scopes"] == ["worker"]
    assert client.post("/api/v1/submissions", json={}, headers=mine).status_code == 403
    assert client.post("/api/v1/jobs/claim", json={"name": "w", "engine": "oracle"}, headers=mine).status_code == 204


def test_a_program_with_the_key_needs_no_token_of_a_form(keyless):
    client, key = keyless
    made = {"name": "ci", "days": "30", "scope-read": "1"}
    answer = client.post("/account/tokens", data=made, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    assert "fth_" in answer.text


def test_a_page_of_another_port_changes_nothing(keyless):
    client, key = keyless
    client.cookies.update(cookies_of(key))
    assert client.post("/submit", headers={"Origin": "http://127.0.0.1:1"}).status_code == 403


def test_the_key_lies_beside_the_database_for_its_owner_alone_and_stays(tmp_path):
    database = tmp_path / "a.db"
    key = open_key(str(database))
    file = key_file(f"sqlite:///{database}")
    assert file == Path(f"{database}.key")
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(key) == 43
    assert open_key(f"sqlite:///{database}") == key
    file.chmod(0o644)
    assert open_key(str(database)) not in ("", key)  # others may have read it
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_key_that_another_user_put_there_is_refused(tmp_path):
    file = key_file(str(tmp_path / "a.db"))
    file.write_text("k" * 43)
    file.chmod(0o600)
    if os.getuid() == 0:
        os.chown(file, 12345, 12345)
        with pytest.raises(BadInput, match="belongs to another user"):
            open_key(str(tmp_path / "a.db"))
        file.unlink()
    file.unlink(missing_ok=True)
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="cannot be kept"):
        open_key(str(tmp_path / "a.db"))


def test_databases_of_a_server_have_keys_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, other = (open_key(f"postgresql://me:pass@localhost/{name}") for name in ("a", "b"))
    assert one != other
    assert "pass" not in str(key_file("postgresql://me:pass@localhost/a"))


def test_commands_find_the_key_of_a_board_that_is_served_here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    database = str(tmp_path / "a.db")
    key = open_key(database)
    with noted_board(8123, database):
        assert key_of_board("http://127.0.0.1:8123") == key_of_board("http://localhost:8123/") == key
        for elsewhere in ("http://127.0.0.1:8124", "http://fathom.example:8123", "http://[", "x", "http://127.0.0.1:x"):
            assert key_of_board(elsewhere) == ""
    assert key_of_board("http://127.0.0.1:8123") == ""

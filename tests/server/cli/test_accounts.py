"""The commands of who operates a board, and where a board may listen."""

import re

import pytest

from fathom.harness.db import audit
from fathom.harness.db.engine import open_database
from fathom.harness.errors import BadInput
from fathom.harness.settings import OidcSettings, ServiceSettings, read_service_settings
from fathom.server.accounts import store as accounts
from fathom.server.cli.serve import check_bind

OIDC = OidcSettings("https://hub.example", "id", "secret")
PUBLIC = {"oidc": OIDC, "secret_key": "k" * 32, "url": "https://fathom.example"}


@pytest.fixture
def people(tmp_path):
    """A database with two users who have signed in, and its URL."""
    url = f"sqlite:///{tmp_path / 'people.db'}"
    db = open_database(url, create=True)
    for subject in ("hub|1", "hub|2"):
        accounts.sign_in(db, subject, "ada \x1b[31m\u202e")
    yield db, url
    db.dispose()


def test_a_token_is_printed_once_and_works(fathom, people):
    db, url = people
    made = fathom("token", "create", "--name", "gpu box", "--scopes", "worker, read", "--db", url)
    token = made.stdout.strip()
    assert re.fullmatch(r"fth_[\w-]{43}", token)
    user, found = accounts.find_token(db, token)
    assert (user.subject, found.scopes) == ("local", ("read", "worker"))
    listed = fathom("token", "list", "--db", url).stdout
    assert "gpu box" in listed
    assert token not in listed
    assert fathom("token", "revoke", found.id, "--db", url).returncode == 0
    with pytest.raises(accounts.NotSignedIn):
        accounts.find_token(db, token)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "--name", "x", "--scopes", "root"), "name some of"), (("create", "--name", "x", "--scopes", ","), "name some of"),
        (("create", "--name", "x", "--scopes", "read", "--user", "nobody"), "fathom user list"), (("revoke", 99), "account page"),
    ],
)  # fmt: skip
def test_bad_words_are_one_line_of_advice(fathom, people, words, said):
    accounts.local_user(people[0])
    done = fathom("token", *words, "--db", people[1])
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


def test_admins_are_made_and_unmade_and_it_is_noted(fathom, people):
    db, url = people
    assert fathom("user", "promote", "hub|1", "--db", url).returncode == 0
    assert accounts.find_user(db, "hub|1").role == "admin"
    listed = fathom("user", "list", "--db", url).stdout
    assert "admin" in listed
    assert "\x1b" not in listed
    assert "\u202e" not in listed
    assert fathom("user", "demote", f"~{accounts.find_user(db, 'hub|1').id}", "--db", url).returncode == 0
    assert accounts.find_user(db, "hub|1").role == "user"
    assert [one.action for one in audit.list_entries(db, limit=2)] == ["made user", "made admin"]


def test_somebody_is_shut_out_with_a_reason(fathom, people):
    db, url = people
    _, token = accounts.create_token(db, accounts.find_user(db, "hub|2").id, "a", ["read"])
    done = fathom("user", "ban", "hub|2", "--reason", "spam", "--db", url)
    assert done.returncode == 0, done.stderr
    with pytest.raises(accounts.NotSignedIn):
        accounts.find_token(db, token)
    (entry,) = audit.list_entries(db, limit=1)
    assert (entry.actor, entry.action, entry.detail["reason"]) == ("operator", "ban", "spam")
    assert fathom("user", "ban", "hub|2", "--reason", "spam", "--db", url).returncode == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.9"])
def test_loopback_needs_nothing(host):
    check_bind(host, ServiceSettings())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "fathom.example", ""])
@pytest.mark.parametrize(
    ("without", "said"),
    [("oidc", "CLIENT_ID"), ("secret_key", "SECRET_KEY"), ("url", "FATHOM_URL")],
)  # fmt: skip
def test_any_other_address_needs_accounts_a_key_and_https(host, without, said):
    with pytest.raises(BadInput, match=said):
        check_bind(host, ServiceSettings(**{key: value for key, value in PUBLIC.items() if key != without}))


@pytest.mark.parametrize("change", [{"secret_key": "short"}, {"url": "http://fathom.example"}])
def test_a_weak_key_or_plain_http_is_refused(change):
    with pytest.raises(BadInput):
        check_bind("0.0.0.0", ServiceSettings(**{**PUBLIC, **change}))


def test_a_public_board_may_listen_everywhere():
    check_bind("0.0.0.0", ServiceSettings(**PUBLIC))


def test_the_command_refuses_before_it_listens(fathom, tmp_path):
    done = fathom("serve", "--host", "0.0.0.0", "--port", 0, "--db", tmp_path / "a.db")
    assert done.returncode == 2
    assert "for this machine only" in done.stderr
    assert not (tmp_path / "a.db").exists()


def test_secrets_come_from_files_and_never_show(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("s" * 40 + "\n")
    monkeypatch.setenv("FATHOM_SECRET_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("FATHOM_OIDC_CLIENT_ID", "id")
    monkeypatch.setenv("FATHOM_OIDC_CLIENT_SECRET", "hunter2")
    found = read_service_settings()
    assert found.secret_key == "s" * 40
    assert "hunter2" not in repr(found)
    assert "s" * 40 not in repr(found)
    monkeypatch.setenv("FATHOM_SECRET_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(BadInput, match="cannot be read"):
        read_service_settings()


@pytest.mark.parametrize("number", ["-1", "ten", "1e3", "²"])
def test_a_number_that_is_none_is_refused(monkeypatch, number):
    monkeypatch.setenv("FATHOM_DAILY_SUBMISSIONS", number)
    with pytest.raises(BadInput, match="whole number"):
        read_service_settings()

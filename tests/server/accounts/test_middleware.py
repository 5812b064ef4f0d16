"""Who asks: this machine's user, a browser that signed in, a program with a token, or nobody."""

import datetime as dt
import re

import httpx
import pytest
from fastapi import Response
from sqlalchemy import text

from fathom.harness.db.engine import open_database
from fathom.harness.errors import NotSignedIn, TooMany
from fathom.harness.settings import OidcSettings, ServiceSettings
from fathom.server.accounts import store as accounts
from fathom.server.accounts.middleware import cookie_policy
from fathom.server.app import ServerSettings, create_app
from fathom.server.web.actor import ActorOf, require
from fathom.server.web.forms import FormOf
from fathom.server.web.rate_limits import count_use, delete_old_limits, network_key, visitor_address
from fathom.server.web.render import PRIVATE
from tests.keys import cookies_of_app

HUB = OidcSettings("http://127.0.0.1:9", "fathom", "secret")


def add_test_routes(app):
    """Add what a form and a program would call; the real ones are tested with their pages."""

    @app.get("/test/who")
    def who(actor: ActorOf):
        return {"id": actor.user_id, "role": actor.role, "scopes": sorted(actor.scopes), "csrf": actor.csrf}

    @app.get("/test/page")
    def show():
        return Response("a form", media_type="text/html", headers={"Cache-Control": PRIVATE})

    @app.post("/test/form")
    def take(form: FormOf, actor: ActorOf):
        return {"form": dict(form), "user": require(actor, "submit")}

    @app.post("/api/test")
    def change(actor: ActorOf):
        return {"user": require(actor, "submit")}


@pytest.fixture
def served(serve, tmp_path, copy_tables):
    """Serve an application with settings; return a client of it and its database."""
    opened = []

    def start(**service):
        url = f"sqlite:///{tmp_path / 'accounts.db'}"
        copy_tables(url)
        app = create_app(ServerSettings(url, service=ServiceSettings(**service)))
        add_test_routes(app)
        cookies = {} if "oidc" in service else cookies_of_app(app)
        client = httpx.Client(base_url=serve(app), cookies=cookies, timeout=30)
        opened.append((client, open_database(url, create=False)))
        return opened[-1]

    yield start
    for client, db in opened:
        client.close()
        db.dispose()


def test_without_accounts_who_has_the_key_may_do_everything(served):
    client, _ = served()
    who = client.get("/test/who").json()
    assert (who["role"], who["scopes"]) == ("admin", ["admin", "read", "submit", "worker"])


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "[::2]", "localhost.evil:8000"])
def test_a_page_that_rebinds_its_name_is_refused(served, host):
    client, _ = served()
    assert client.get("/test/who", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:81", "127.0.0.1", "[::1]:8000"])
def test_this_machine_goes_by_several_names(served, host):
    client, _ = served()
    assert client.get("/test/who", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://127.0.0.1:1"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("address", ["/api/test", "/test/form"])
def test_pages_of_other_sites_change_nothing(served, headers, address):
    client, _ = served()
    assert client.post(address, headers=headers).status_code == 403


def test_a_form_needs_the_token_of_its_own_visitor(served):
    client, _ = served()
    csrf = client.get("/test/who").json()["csrf"]
    sent = client.post("/test/form", data={"a": "1", "csrf": csrf})
    assert (sent.status_code, sent.json()["form"]) == (200, {"a": "1"})
    for data in ({"a": "1"}, {"a": "1", "csrf": ""}, {"a": "1", "csrf": "0" * 64}, {"csrf": "\udcff"}):
        data = {key: value.encode("utf-8", "surrogatepass") for key, value in data.items()}
        assert client.post("/test/form", data=data).status_code == 403
    other = httpx.Client(base_url=client.base_url)
    assert other.post("/test/form", data={"csrf": csrf}).status_code == 401
    other.close()


def test_forms_are_bounded_and_typed(served):
    client, _ = served()
    csrf = client.get("/test/who").json()["csrf"]
    assert client.post("/test/form", data={"csrf": csrf, "a": "x" * 70_000}).status_code == 413
    assert client.post("/test/form", json={"csrf": csrf}).status_code == 422
    assert client.post("/test/form", data={"csrf": csrf, **{f"f{at}": "" for at in range(200)}}).status_code == 422
    assert client.post("/test/form", content=b"\xff=%ff", headers={"Content-Type": "application/x-www-form-urlencoded"}).status_code in (403, 422)  # fmt: skip


@pytest.fixture
def public(served, unused_port):
    """A server with accounts at a known address, a signed-in browser, and its user."""
    url = f"http://127.0.0.1:{unused_port}"
    client, db = served(oidc=HUB, url=url, secret_key="k" * 40)
    client.headers["Host"] = url.removeprefix("http://")
    user, cookie = accounts.sign_in(db, "hub|7", "ada")
    return client, db, user, cookie, url


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_with_accounts_strangers_read_and_no_more(public):
    client, *_ = public
    assert client.get("/").status_code == 200
    assert client.post("/api/test").status_code == 401
    assert client.get("/", headers={"Host": "other.example"}).status_code == 421
    for address in ("/healthz", "/metrics"):
        assert client.get(address, headers={"Host": "10.0.0.7"}).status_code == 200


def test_a_cookie_stands_for_its_user_until_sign_out(public):
    client, db, user, cookie, _ = public
    mine = {"Cookie": f"fathom={cookie}"}
    assert client.get("/test/who").json()["role"] == "nobody"
    assert client.get("/test/who", headers=mine).json()["id"] == user.id
    accounts.end_logins(db, user.id, cookie)
    assert client.get("/test/who", headers=mine).json()["role"] == "nobody"


def test_a_login_ends_by_time_and_by_ban(public):
    client, db, _, cookie, _ = public
    mine = {"Cookie": f"fathom={cookie}"}
    with db.begin() as connection:
        connection.execute(text("UPDATE users SET banned_at = '2026-01-01'"))
    assert client.get("/test/who", headers=mine).json()["role"] == "nobody"
    with pytest.raises(NotSignedIn, match="banned"):
        accounts.sign_in(db, "hub|7", "ada")
    with db.begin() as connection:
        connection.execute(text("UPDATE users SET banned_at = NULL"))
        connection.execute(text("UPDATE logins SET expires_at = '2026-01-01'"))
    assert client.get("/test/who", headers=mine).json()["role"] == "nobody"
    assert accounts.delete_expired_logins(db) == 1


def test_a_cookie_is_no_token_for_programs(public):
    client, _, _, cookie, url = public
    mine = {"Cookie": f"fathom={cookie}"}
    assert client.post("/api/test", headers=mine).status_code == 403
    assert client.post("/api/test", headers={**mine, "Origin": url}).status_code == 200


def test_neither_cookies_nor_tokens_are_stored(public):
    _, db, user, cookie, _ = public
    _, token = accounts.create_token(db, user.id, "laptop", ["read"])
    with db.connect() as connection:
        stored = str([connection.execute(text(f"SELECT * FROM {table}")).all() for table in ("logins", "tokens", "users", "audit")])  # fmt: skip
    assert cookie not in stored
    assert token not in stored


@pytest.mark.parametrize(
    ("role", "wanted", "given"),
    [("user", ["read", "submit", "worker", "admin"], ["read", "submit"]), ("admin", ["worker"], ["worker"])],
)
def test_a_token_gives_what_it_says_and_its_owners_role_allows(public, role, wanted, given):
    client, db, user, _, _ = public
    with db.begin() as connection:
        connection.execute(text("UPDATE users SET role = :role"), {"role": role})
    _, token = accounts.create_token(db, user.id, "laptop", wanted)
    answer = client.get("/test/who", headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["scopes"] == given


def test_a_token_ends_by_time_revocation_and_ban(public):
    client, db, user, _, _ = public
    known, token = accounts.create_token(db, user.id, "a", ["read"])
    _, over = accounts.create_token(db, user.id, "b", ["read"], dt.timedelta(seconds=-1))

    def status(one):
        return client.get("/test/who", headers={"Authorization": f"Bearer {one}".encode("latin-1")}).status_code

    assert (status(token), status(over), status("fth_nonsense"), status("\xff")) == (200, 401, 401, 401)
    assert accounts.list_tokens(db, user.id)[1].used_at is not None
    accounts.revoke_token(db, user.id, known.id)
    assert status(token) == 401
    answer = client.get("/test/who", headers={"Authorization": "Bearer x"})
    assert answer.headers["www-authenticate"] == "Bearer"


def test_cookies_are_out_of_reach():
    local = cookie_policy(ServiceSettings(key="k" * 43))
    header = local.header("0" * 64)
    assert re.fullmatch(r"fathom-[0-9a-f]{8}=0{64}; Path=/; Max-Age=\d+; HttpOnly; SameSite=Strict", header)
    assert local.cookie != cookie_policy(ServiceSettings(key="j" * 43)).cookie  # two boards of one machine
    secure = cookie_policy(ServiceSettings(url="https://fathom.example", oidc=HUB))
    assert (secure.cookie, secure.header("x").endswith("; Secure")) == ("__Host-fathom", True)


def test_pages_that_all_may_share_set_no_cookie(served):
    client, _ = served()
    for address in ("/", "/about", "/runs", "/healthz"):
        assert "set-cookie" not in client.get(address).headers


def test_strangers_cost_no_statement(public, count_statements):
    client, *_ = public
    client.get("/about")
    assert count_statements(lambda: client.get("/about")) == 0


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"), ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"), ("10.0.0.1", ["1.1.1.1", "198.51.100.1, 10.0.0.1"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
    ],
)  # fmt: skip
def test_only_our_own_proxies_are_believed(peer, forwarded, address):
    headers = [(b"x-forwarded-for", one.encode()) for one in forwarded]
    assert visitor_address({"type": "http", "client": (peer, 1), "headers": headers}, ("10.0.0.1",)) == address


def test_a_limit_counts_in_windows_and_forgets(db):
    clock = [1_000_000.0]
    for _ in range(3):
        count_use(db, "k", 3, 60, lambda: clock[0])
    with pytest.raises(TooMany, match="try again"):
        count_use(db, "k", 3, 60, lambda: clock[0])
    count_use(db, "other", 3, 60, lambda: clock[0])
    clock[0] += 60
    count_use(db, "k", 3, 60, lambda: clock[0])
    assert delete_old_limits(db) == 3


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"), ("2001:db8::1", "2001:db8::/64"), ("2001:db8::ffff:1", "2001:db8::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"), ("nonsense", "unknown"),
    ],
)  # fmt: skip
def test_holders_of_a_network_count_once(address, counted):
    assert network_key(address) == counted

"""Somebody signs in at a real provider, and nobody who only seems to."""

from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from sqlalchemy import text

from fathom.harness.db.audit import list_entries
from fathom.harness.errors import BadInput
from fathom.harness.settings import OidcSettings, ServiceSettings
from fathom.server.accounts import store as accounts
from fathom.server.accounts.oidc import safe_next
from fathom.server.app import ServerSettings, create_app


@pytest.fixture
def desk(sign_in_desk):
    return sign_in_desk()


def test_a_visitor_signs_in_and_comes_back_to_where_they_were(desk):
    browser = desk.browser()
    answer = browser.get("/sign-in?next=/runs")
    asked = desk.provider.asked[-1]
    assert (answer.status_code, answer.url.path) == (200, "/runs")
    assert asked["code_challenge_method"] == "S256"
    assert asked["scope"] == "openid profile"
    assert browser.get("/api/v1/me").json() == {"user": 1, "name": "ada", "role": "user", "scopes": ["read", "submit"]}


def test_cookies_are_out_of_reach_of_scripts_and_stored_hashed(desk):
    browser = desk.browser()
    browser.get("/sign-in")
    said = [line for one in desk.answers for line in one.headers.get_list("set-cookie")]
    assert all("HttpOnly" in line and "samesite=lax" in line.lower() for line in said)
    cookie = browser.cookies["fathom"]
    with desk.db.connect() as connection:
        stored = connection.execute(text("SELECT digest FROM logins")).scalars().all()
    assert stored == [accounts.hash_secret(cookie)]
    assert "fathom-attempt" not in browser.cookies


def test_a_second_sign_in_is_the_same_user_by_subject_whatever_the_name(desk):
    desk.browser().get("/sign-in")
    desk.provider.person = {"sub": "1001", "preferred_username": "countess"}
    again = desk.browser()
    again.get("/sign-in")
    assert again.get("/api/v1/me").json()["user"] == 1
    assert [user.name for user in accounts.list_users(desk.db)] == ["countess"]


FORGED = {
    "another nonce": {"claims": {"nonce": "x" * 43}},
    "no nonce": {"claims": {"nonce": None}},
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "another application": {"claims": {"aud": "somebody-else"}},
    "made for another of two": {"claims": {"aud": ["fathom-test", "evil"], "azp": "evil"}},
    "over": {"claims": {"exp": 1_000_000_000}},
    "without an end": {"claims": {"exp": None}},
    "of nobody": {"claims": {"sub": None}},
    "not signed": {"forge": "none"},
    "signed by another key": {"forge": "other-key"},
    "signed with the public key": {"forge": "hmac"},
    "no token at all": {"forge": "garbage"},
}


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_id_token_signs_nobody_in(desk, how):
    for name, value in FORGED[how].items():
        setattr(desk.provider, name, value)
    browser = desk.browser()
    answer = browser.get("/sign-in")
    assert answer.status_code == 400
    assert "start again" in answer.text
    assert "fathom" not in browser.cookies
    assert accounts.list_users(desk.db) == []


def test_the_answer_to_another_browsers_attempt_is_refused(desk):
    """Else a page could sign a visitor in as somebody else, and read what they then do."""
    attacker, victim = desk.browser(follow=False), desk.browser(follow=False)
    back = attacker.get(attacker.get("/sign-in").headers["location"]).headers["location"]
    victim.get("/sign-in")
    assert victim.get(back).status_code == 400
    assert desk.browser().get(back).status_code == 400
    assert attacker.get(back).status_code == 303


def test_a_code_counts_once(desk):
    browser = desk.browser(follow=False)
    back = browser.get(browser.get("/sign-in").headers["location"]).headers["location"]
    kept = browser.cookies["fathom-attempt"]
    assert browser.get(back).status_code == 303
    browser.cookies.clear()
    browser.cookies.set("fathom-attempt", kept, domain="127.0.0.1")
    assert browser.get(back).status_code == 400


@pytest.mark.slow
def test_a_stolen_code_is_worth_nothing_without_its_verifier(desk):
    browser = desk.browser(follow=False)
    back = browser.get(browser.get("/sign-in").headers["location"]).headers["location"]
    stolen = dict(parse_qsl(urlsplit(back).query))["code"]
    thief = desk.browser(follow=False)
    asked = dict(parse_qsl(urlsplit(thief.get("/sign-in").headers["location"]).query))
    assert thief.get("/sign-in/callback", params={"code": stolen, "state": asked["state"]}).status_code == 400


def test_who_declines_reads_so_and_the_providers_words_are_text(desk):
    desk.provider.declines = True
    answer = desk.browser().get("/sign-in")
    assert answer.status_code == 400
    assert "&lt;b&gt;no&lt;/b&gt;" in answer.text
    assert "\u202e" not in answer.text


def test_a_provider_that_is_down_is_said_to_be(desk):
    desk.provider.down = True
    answer = desk.browser().get("/sign-in")
    assert answer.status_code == 503
    assert "try to sign in again" in answer.text


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", "evil", "", "/sign-out"]
)
def test_signing_in_leads_nowhere_else(desk, wanted):
    assert safe_next(wanted) == "/account"


def test_signing_out_ends_this_login_or_all(desk):
    one, two = desk.signed_in(), desk.signed_in()
    assert desk.post(one, "/sign-out").status_code == 303
    assert one.get("/api/v1/me").status_code == 401
    assert two.get("/api/v1/me").status_code == 200
    three = desk.signed_in()
    desk.post(three, "/sign-out", everywhere="1")
    assert two.get("/api/v1/me").status_code == 401


def test_a_user_name_makes_an_admin_once_and_a_subject_always(sign_in_desk):
    desk = sign_in_desk(admins=("@ada", "7007"))
    assert desk.signed_in("1001", "ada").get("/api/v1/me").json()["role"] == "admin"
    assert desk.signed_in("2002", "ada").get("/api/v1/me").json()["role"] == "user"
    assert desk.signed_in("3003", "7007").get("/api/v1/me").json()["role"] == "user"
    assert desk.signed_in("7007", "eve").get("/api/v1/me").json()["role"] == "admin"
    assert {"name/ada", "user/4"} <= {entry.subject for entry in list_entries(desk.db)}


def test_an_address_may_try_thirty_times(desk):
    browser = desk.browser(follow=False)
    answers = [browser.get("/sign-in").status_code for _ in range(31)]
    assert answers == [303] * 30 + [429]


def test_accounts_need_an_address_and_a_key(tmp_path):
    provider = OidcSettings("https://hub.example", "id", "secret")
    for service in (
        ServiceSettings(oidc=provider, secret_key="k" * 32),
        ServiceSettings(oidc=provider, url="https://a.example", secret_key="short"),
    ):
        with pytest.raises(BadInput, match="FATHOM_"):
            create_app(ServerSettings(f"sqlite:///{tmp_path / 'a.db'}", service=service))


def test_behind_tls_the_cookie_is_bound_to_this_host(sign_in_desk):
    desk = sign_in_desk(url="https://fathom.example")
    with httpx.Client(base_url=desk.address, headers={"Host": "fathom.example"}) as client:
        answer = client.get("/sign-in")
    assert answer.headers["set-cookie"].startswith("__Host-fathom-attempt=")
    assert "Secure" in answer.headers["set-cookie"]
    assert "Path=/" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"] == "max-age=31536000"

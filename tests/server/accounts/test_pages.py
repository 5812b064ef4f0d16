"""What a user sees and does on the page of the account."""

import re

import httpx
import pytest

from fathom.harness.db.audit import list_entries
from fathom.server.accounts import store as accounts


@pytest.fixture(scope="module")
def desk(sign_in_desk):
    return sign_in_desk(admins=("9",))


def test_strangers_are_sent_to_sign_in_and_come_back(desk):
    answer = desk.browser(follow=False).get("/account")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/account")
    assert desk.browser().get("/account").url.path == "/account"


def make(desk, browser, **fields):
    answer = desk.post(browser, "/account/tokens", **{"name": "laptop", "days": "30", "scope-submit": "1", **fields})
    return answer, (re.findall(r"fth_[\w-]{43}", answer.text) or [""])[0]


def test_a_token_is_shown_once_and_works_until_it_is_revoked(desk):
    browser = desk.signed_in("41", "ada")
    answer, token = make(desk, browser, name="<b>my</b> laptop")
    assert answer.headers["cache-control"] == "private, no-store"
    page = browser.get("/account").text
    assert token
    assert token not in page
    assert "&lt;b&gt;my&lt;/b&gt; laptop" in page
    program = httpx.Client(base_url=desk.address, headers={"Authorization": f"Bearer {token}"})
    me = program.get("/api/v1/me").json()
    assert (me["name"], me["scopes"]) == ("ada", ["submit"])
    number = re.search(r"/account/tokens/(\d+)/revoke", page).group(1)
    other = desk.signed_in("42", "bob")
    assert desk.post(other, f"/account/tokens/{number}/revoke").status_code == 404
    assert desk.post(browser, f"/account/tokens/{number}/revoke").status_code == 303
    assert program.get("/about").status_code == 401
    program.close()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, "name"), ({"name": "x" * 61}, "name"), ({"days": "1000000"}, "days"), ({"days": "-1"}, "days"),
        ({"scope-submit": ""}, "scopes"), ({"scope-admin": "1"}, "scopes"), ({"scope-worker": "1"}, "scopes"),
    ],
)  # fmt: skip
def test_a_token_gets_no_more_than_its_user_has(desk, fields, words):
    answer, token = make(desk, desk.signed_in("43", "eve"), **fields)
    assert (answer.status_code, token) == (422, "")
    assert words in answer.text


def test_tokens_make_no_tokens(desk):
    """Else one that may only read would make one that may all."""
    _, token = accounts.create_token(desk.db, accounts.sign_in(desk.db, "x#9", "root", admin=True)[0].id, "t", ["read"])
    with httpx.Client(base_url=desk.address, headers={"Authorization": f"Bearer {token}"}) as program:
        answer = program.post("/account/tokens", data={"name": "more", "days": "", "scope-admin": "1"})
    assert answer.status_code == 403


def test_a_form_of_another_site_does_nothing(desk):
    browser = desk.signed_in("44", "ada")
    for headers, fields in (
        (
            {"Origin": "https://evil.example"},
            {"csrf": re.search('csrf" value="(.*?)"', browser.get("/account").text)[1]},
        ),
        ({"Origin": desk.address}, {"csrf": "0" * 64}),
        ({"Origin": desk.address}, {}),
    ):
        data = {"name": "laptop", "days": "", "scope-submit": "1", **fields}
        assert browser.post("/account/tokens", data=data, headers=headers).status_code == 403
    user = browser.get("/api/v1/me").json()["user"]
    assert accounts.list_tokens(desk.db, user) == []


def test_making_tokens_is_limited_and_logged(desk):
    browser = desk.signed_in("45", "ada")
    answers = [make(desk, browser)[0].status_code for _ in range(21)]
    assert answers == [200] * 20 + [429]
    user = browser.get("/api/v1/me").json()["user"]
    assert [one.actor for one in list_entries(desk.db, limit=20)] == [f"user/{user}"] * 20


def test_without_accounts_the_page_is_of_who_has_the_key(board):
    page = board.get("/account").text
    assert "You have the key of this board" in page
    assert "Sign out" not in page
    assert board.get("/api/v1/me").json()["role"] == "admin"

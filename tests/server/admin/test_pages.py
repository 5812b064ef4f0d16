"""What admins see and do."""

import pytest
from sqlalchemy import insert
from sqlalchemy.orm import Session

from fathom.harness.db.audit import list_entries
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.db.schema.service import SubmissionRow
from fathom.harness.db.write import utc_now


@pytest.fixture(scope="module")
def desk(sign_in_desk):
    return sign_in_desk(admins=("9",))


@pytest.fixture(scope="module")
def admin(desk):
    return desk.signed_in("9", "root")


def do(desk, browser, action, subject, reason="because"):
    return desk.post(browser, "/admin/do", action=action, subject=subject, reason=reason)


def put(db, run, number, **values):
    now = utc_now()
    row = {
        "id": number, "kind": "upload", "owner_id": 1, "model": "org/<i>m</i>", "suite": "quick", "state": "finished", "tier": 1,
        "run_id": run, "flags": {}, "created_at": now, "changed_at": now, **values,
    }  # fmt: skip
    with Session(db) as session, session.begin():
        session.execute(insert(SubmissionRow), [row])


def test_a_hidden_run_leaves_the_board_and_comes_back(desk, admin, write_run):
    run = write_run(desk.db, write_run.story(model="org/hidden"))
    write_run(desk.db, write_run.story(model="org/stays", n_right=1))
    assert "org/hidden" in admin.get("/").text
    assert do(desk, admin, "hide", run).status_code == 303
    update_leaderboard(desk.db)
    assert "org/hidden" not in admin.get("/").text
    assert admin.get(f"/runs/{run}").status_code == 200  # nothing is deleted
    assert do(desk, admin, "hide", run).status_code == 409
    do(desk, admin, "unhide", run)
    update_leaderboard(desk.db)
    assert "org/hidden" in admin.get("/").text
    assert [one.action for one in list_entries(desk.db, f"run/{run}")] == ["unhide", "hide"]


def test_a_verified_upload_is_ranked(desk, admin, write_run):
    run = write_run(desk.db, write_run.story(model="org/sent", seed=8))
    with Session(desk.db) as session, session.begin():
        session.get_one(RunRow, run).tier = 1
    put(desk.db, run, "abc1")
    assert "abc1" in admin.get("/admin").text
    answer = do(desk, admin, "verify", "abc1", "I ran it")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/submissions/abc1")
    with Session(desk.db) as session:
        assert session.get_one(RunRow, run).tier == session.get_one(SubmissionRow, "abc1").tier == 2
    page = admin.get("/admin/submissions/abc1").text
    assert "I ran it" in page
    assert "org/&lt;i&gt;m&lt;/i&gt;" in page
    assert do(desk, admin, "verify", "abc1").status_code == 409


def test_a_ban_shuts_out_at_once(desk, admin):
    browser = desk.signed_in("51", "<script>mallory")
    number = browser.get("/api/v1/me").json()["user"]
    assert "&lt;script&gt;mallory" in admin.get("/admin/users").text
    assert do(desk, admin, "ban", str(number), "spam").status_code == 303
    assert browser.get("/api/v1/me").status_code == 401
    desk.provider.person = {"sub": "51", "preferred_username": "mallory"}
    assert desk.browser().get("/sign-in").status_code == 401


def test_an_admin_who_was_demoted_is_none_any_more(desk, admin):
    other = desk.signed_in("52", "carl")
    number = str(other.get("/api/v1/me").json()["user"])
    do(desk, admin, "promote", number)
    assert other.get("/admin").status_code == 200
    do(desk, admin, "demote", number)
    assert other.get("/admin").status_code == 403


@pytest.mark.parametrize(
    ("deed", "subject", "reason", "status"),
    [
        ("delete", "1", "why", 422), ("", "", "", 422), ("flag", "abc", "", 422), ("flag", "abc", "why", 404),
        ("ban", "x", "why", 404), ("hide", "nope", "why", 404), ("rerun", "../../etc", "why", 404), ("verify", "\0", "why", 404),
    ],
)  # fmt: skip
def test_a_deed_that_cannot_be_done_says_why(desk, admin, deed, subject, reason, status):
    assert do(desk, admin, deed, subject, reason).status_code == status


def test_the_log_is_paged_and_filtered(desk, admin):
    assert admin.get("/admin/audit").status_code == 200
    for at in range(2):
        do(desk, admin, "ban", "999999", f"none {at}")  # refused, so not in the log
    newest = list_entries(desk.db)[0].id
    page = admin.get(f"/admin/audit?before={newest}").text
    assert f'<th scope="row">{newest}</th>' not in page
    assert "999999" not in page
    assert "No entries." in admin.get("/admin/audit?subject=user/424242").text

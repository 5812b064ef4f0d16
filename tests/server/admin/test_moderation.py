"""Admins' deeds: done whole with a line in the log, or not at all."""

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from fathom.harness.db.audit import list_entries
from fathom.harness.db.schema.service import JobRow, SubmissionRow, UserRow
from fathom.harness.db.write import utc_now
from fathom.harness.errors import BadInput, Conflict, NotSignedIn, UnknownSubmission
from fathom.server.accounts import store as accounts
from fathom.server.admin import moderation
from fathom.server.admin.moderation import AdminAction
from fathom.server.submissions import status


def submit(db, owner, number, state="queued", **values):
    now = utc_now()
    row = {
        "id": number, "kind": "model", "owner_id": owner, "fingerprint": f"mark-{number}", "model": "org/m", "suite": "quick",
        "state": state, "flags": {}, "created_at": now, "changed_at": now, **values,
    }  # fmt: skip
    job = {
        "submission_id": number, "owner_id": owner, "kind": "run", "shard": 0, "cells": [0], "state": state,
        "not_before": now, "created_at": now, "progress_total": 1,
    }  # fmt: skip
    with Session(db) as session, session.begin():
        session.execute(insert(SubmissionRow), [row])
        if state == "queued":
            session.execute(insert(JobRow), [job])


def get(db, number):
    with Session(db) as session:
        return session.get_one(SubmissionRow, number)


@pytest.fixture
def ada(db):
    return accounts.sign_in(db, "hub#1", "ada")


def test_a_ban_ends_logins_tokens_and_what_is_queued(db, ada):
    user, cookie = ada
    _, token = accounts.create_token(db, user.id, "mine", ["submit"])
    submit(db, user.id, "a1")
    submit(db, user.id, "a2", "finished")
    moderation.ban(db, AdminAction("user/9", str(user.id), "spam"))
    assert accounts.user_of_login(db, cookie) is None
    with pytest.raises(NotSignedIn, match="revoked"):
        accounts.find_token(db, token)
    with pytest.raises(NotSignedIn, match="banned"):
        accounts.sign_in(db, "hub#1", "ada")
    assert [(get(db, one).state, get(db, one).fingerprint) for one in ("a1", "a2")] == [
        ("cancelled", None),
        ("finished", "mark-a2"),
    ]
    with Session(db) as session:
        assert session.scalars(select(JobRow.state)).all() == ["cancelled"]
    newest = list_entries(db)[0]
    assert (newest.actor, newest.action, newest.detail["cancelled"]) == ("user/9", "ban", ["a1"])


def test_who_was_let_in_again_signs_in_but_old_tokens_stay_revoked(db, ada):
    _, token = accounts.create_token(db, ada[0].id, "mine", ["submit"])
    for deed in (moderation.ban, moderation.unban):
        deed(db, AdminAction("user/9", str(ada[0].id), "a mistake"))
    accounts.sign_in(db, "hub#1", "ada")
    with pytest.raises(NotSignedIn, match="revoked"):
        accounts.find_token(db, token)


def test_nobody_bans_themselves_or_this_machines_user(db, ada):
    local = accounts.local_user(db)
    for actor, subject in ((f"user/{ada[0].id}", ada[0].id), ("operator", local.id)):
        with pytest.raises(Conflict, match="cannot ban"):
            moderation.ban(db, AdminAction(actor, str(subject), "why not"))


def test_running_again_supersedes_and_takes_the_fingerprint_along(db, ada):
    submit(db, ada[0].id, "a1", "finished", note="mine")
    new = moderation.rerun(db, AdminAction("user/9", "a1", "the engine was broken"))
    assert (get(db, "a1").state, get(db, "a1").fingerprint) == ("superseded", None)
    again = get(db, new)
    assert (again.state, again.fingerprint, again.owner_id, again.note) == ("validating", "mark-a1", ada[0].id, "mine")
    assert again.run_id is None
    with pytest.raises(Conflict):
        moderation.rerun(db, AdminAction("user/9", "a1", "once more"))


def test_flags_come_and_go_and_the_log_keeps_them(db, ada):
    submit(db, ada[0].id, "a1", "finished", flags={"withdrawn": {}})
    moderation.flag(db, AdminAction("user/9", "a1", "it looks copied"))
    assert get(db, "a1").flags == {"withdrawn": {}, "admin": {"reason": "it looks copied"}}
    assert [case.id for case in status.list_needing_attention(db)] == ["a1"]
    moderation.unflag(db, AdminAction("user/9", "a1", "it is not"))
    assert get(db, "a1").flags == {"withdrawn": {}}
    assert list_entries(db)[0].detail["flags"] == {"admin": {"reason": "it looks copied"}}


def test_what_needs_nobody_is_not_listed(db, ada):
    submit(db, ada[0].id, "a1", "finished")
    submit(db, ada[0].id, "a2", "failed")
    submit(db, ada[0].id, "a3", "finished", kind="upload", tier=1)
    assert {case.id for case in status.list_needing_attention(db)} == {"a2", "a3"}


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1001])
def test_no_deed_without_a_reason_of_bearable_length(db, ada, reason):
    for deed in (
        moderation.flag,
        moderation.hide,
        moderation.ban,
        moderation.promote_user,
        moderation.verify_upload,
        moderation.rerun,
    ):
        with pytest.raises(BadInput, match="reason"):
            deed(db, AdminAction("user/9", str(ada[0].id), reason))


@pytest.mark.parametrize("subject", ["", "7777", "1 OR 1", "٣", "\0", "9" * 30])
def test_a_deed_to_nothing_says_so(db, subject):
    for deed in (moderation.ban, moderation.flag):
        with pytest.raises(UnknownSubmission):
            deed(db, AdminAction("user/9", subject, "why"))


def test_roles_change_once(db, ada):
    moderation.promote_user(db, AdminAction("user/9", str(ada[0].id), "helps"))
    with Session(db) as session:
        assert session.get_one(UserRow, ada[0].id).role == "admin"
    with pytest.raises(Conflict, match="already"):
        moderation.promote_user(db, AdminAction("user/9", str(ada[0].id), "helps"))


def test_a_deed_and_its_line_in_the_log_are_one(db, ada):
    """Where the log cannot be written, nothing is done."""
    submit(db, ada[0].id, "a1", "finished")
    with db.begin() as connection:
        connection.execute(text("ALTER TABLE audit RENAME TO elsewhere"))
    with pytest.raises(BadInput):
        moderation.flag(db, AdminAction("user/9", "a1", "why"))
    assert get(db, "a1").flags == {}

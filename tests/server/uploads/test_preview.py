"""A file is seen before it is sent: the same checks as an upload, and nothing is stored."""

import gzip
from dataclasses import dataclass

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.db.schema.service import AuditRow, SubmissionRow
from fathom.harness.errors import BadInput
from fathom.harness.io.parcel import ParcelHeader
from fathom.harness.io.parcel_checks import check_parcel
from fathom.harness.io.upload import Parcel, send_parcel, write_parcel
from tests.server.uploads.test_api import changed, home, made, packed  # noqa: F401  # fixtures


@dataclass(frozen=True)
class Counts:
    """Rows that an upload would add to."""

    runs: int
    submissions: int
    audit: int


def counts(db):
    with Session(db) as session:
        submissions, audit = (
            session.scalar(select(func.count()).select_from(row)) for row in (SubmissionRow, AuditRow)
        )
    return Counts(read.count_runs(db), submissions, audit)


def look(home, data, user=0, **fields):  # noqa: F811
    opened, *clients = home
    fields = {"csrf": opened.csrf, "preview": "1", **fields}
    return clients[user].post("/submit/results", data=fields, files={"file": ("r.gz", data)})


def test_a_preview_tells_what_is_in_a_file_and_stores_nothing(made, home):  # noqa: F811
    before = counts(home[0].db)
    answer = look(home, gzip.compress(packed(made[2])))
    assert answer.status_code == 200
    for words in (
        "This file can be uploaded",
        "org/noisy",
        "quick",
        ">24 ",
        " right",
        "in plain text, zero-shot",
        "oracle",
    ):
        assert words in answer.text
    assert "<html" not in answer.text
    assert counts(home[0].db) == before


def test_a_preview_tells_what_would_be_refused_and_stores_nothing(made, home):  # noqa: F811
    lines, before = made[2], counts(home[0].db)
    for data, words in (
        (packed(lines[:-1]), "1 of 24 items are missing"), (packed(changed(lines, 0, model="no id")), "is not a hub id"),
        (packed(changed(lines, 0, model="reference/x")), "are reserved"), (b"{}", "line 1 is not a header"), (b"", "empty"),
        (packed(changed(lines, 1, prompt="0" * 32)), "the prompt of"), (packed(changed(lines, 0, suite_digest="0" * 32)), "suite_digest"),
    ):  # fmt: skip
        answer = look(home, data)
        assert answer.status_code == 422, words
        assert "This would be refused" in answer.text
        assert words in answer.text
    assert counts(home[0].db) == before


def test_a_preview_of_what_is_here_already_leads_to_it(made, home):  # noqa: F811
    _, client, *_ = home
    sent = client.post("/api/v1/results", content=packed(made[2])).json()
    answer = look(home, packed(made[2]))
    assert answer.status_code == 409
    assert f'href="{sent["page"]}"' in answer.text


def test_a_preview_counts_as_an_upload_and_is_for_those_who_may_send(made, home):  # noqa: F811
    opened, *_ = home
    opened.app.state.uploads.hourly = 2
    assert look(home, packed(made[2]), user=2).status_code == 401
    assert look(home, packed(made[2]), csrf="wrong").status_code == 403
    assert look(home, packed(made[2])).status_code == 200
    assert look(home, packed(made[2])).status_code == 429


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "no id"}, "is not a hub id"), ({"season": "winter"}, "only a board's own workers"),
        ({"suite": "mine"}, "a board asks"), ({"manifest": {"decisive": {}}}, "sampling is missing"),
        ({"manifest": {"decisive": {"sampling": {"temperature": 1.0, "temperature_free": 1.0, "shots": 0}}}}, "must be 0"),
    ],
)  # fmt: skip
def test_boards_and_senders_share_one_check_of_the_header(made, changes, words):  # noqa: F811
    with pytest.raises(BadInput, match=words):
        check_parcel(ParcelHeader.model_validate({**made[2][0], **changes}))


def test_what_every_board_would_refuse_is_neither_written_nor_sent(made, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("fathom.harness.io.parcel_checks.SUITE_VERSION", "2099.1")  # an older Fathom made the run
    db, out = open_database(made[0], create=False), tmp_path / "out.jsonl.gz"
    parcel = Parcel(db, made[1], "org/noisy")
    for send in (lambda: write_parcel(parcel, out), lambda: send_parcel(parcel, "http://127.0.0.1:9", "", patience=0)):
        with pytest.raises(BadInput, match="run it again"):
            send()
    assert not out.exists()
    db.dispose()

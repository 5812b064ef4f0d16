"""Pictures of link previews: PNG, drawn once, and no more than a core can bear."""

import struct
import threading

import pytest
from sqlalchemy.orm import Session

from fathom.harness.db.schema.runs import RunRow
from fathom.harness.errors import Busy
from fathom.server.board.previews import MOST_A_MINUTE, PreviewPainter

SMALL = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" width="9" height="9"/>'


@pytest.fixture
def drawn(board_app, monkeypatch):
    """Client of a board, and the SVGs that its painter was given."""
    client, app = board_app
    seen, paint = [], app.state.previews.paint

    def note(describe):
        return paint(lambda: seen.append(describe()) or seen[-1])

    monkeypatch.setattr(app.state.previews, "paint", note)
    return client, seen


def size_of(png):
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize(
    ("path", "said", "n_charts"),
    [
        ("board", "2 models on questions that get harder", 8), ("models/oracle/noisy", "oracle/noisy", 8),
        ("families/depo", "Follow arrows", 3), ("models/oracle/nobody", "No result yet.", 0),
    ],
)  # fmt: skip
def test_a_preview_is_a_png_that_is_drawn_once(drawn, path, said, n_charts):
    client, seen = drawn
    answers = [client.get(f"/previews/{path}.png") for _ in range(2)]
    assert [(one.status_code, one.headers["content-type"]) for one in answers] == [(200, "image/png")] * 2
    assert size_of(answers[0].content) == (1200, 630)
    assert len(answers[0].content) < 300_000
    assert len(seen) == 1
    assert said in seen[0]
    assert seen[0].count('<g transform="scale(') == n_charts


@pytest.mark.parametrize("path", ["models/nobody", "families/nothing", f"models/{'n' * 401}"])
def test_a_preview_of_nothing_is_no_picture(drawn, path):
    client, seen = drawn
    assert client.get(f"/previews/{path}.png").status_code in (404, 422)
    assert seen == []


def test_what_nobody_has_checked_shows_no_curve(browse, fresh, write_run):
    db, url = fresh
    run = write_run(db, write_run.story(model="openai/gpt-6", levels=("n8k1", "n8k2"), n_right=1))
    with Session(db) as session, session.begin():
        session.get_one(RunRow, run).tier = 1
    page = browse(url).get("/models/openai/gpt-6").text
    assert '<meta property="og:description" content="Unchecked: sent by a user, and not ranked.' in page


def test_one_picture_is_drawn_at_a_time():
    painter, entered, leave = PreviewPainter(), threading.Event(), threading.Event()

    def slow():
        entered.set()
        leave.wait(30)
        return SMALL

    thread = threading.Thread(target=lambda: painter.paint(slow))
    thread.start()
    entered.wait(30)
    with pytest.raises(Busy, match="another picture"):
        painter.paint(lambda: SMALL)
    leave.set()
    thread.join()
    assert size_of(painter.paint(lambda: SMALL)) == (9, 9)


def test_no_more_than_so_many_are_drawn_in_a_minute():
    now = [0.0]
    painter = PreviewPainter(clock=lambda: now[0])

    def fail():
        raise ValueError

    for _ in range(MOST_A_MINUTE):
        with pytest.raises(ValueError):  # noqa: PT011
            painter.paint(fail)
    with pytest.raises(Busy, match="in a minute"):
        painter.paint(lambda: SMALL)
    now[0] = 60.0
    assert size_of(painter.paint(lambda: SMALL)) == (9, 9)


def test_what_cannot_be_drawn_is_said_and_holds_nobody_up():
    painter = PreviewPainter()
    with pytest.raises(Busy, match="cannot be drawn"):
        painter.paint(lambda: "<svg")
    assert size_of(painter.paint(lambda: SMALL)) == (9, 9)

"""Text from models and strangers stays text, and stays small."""

import re

import pytest

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": '"><img src=x onerror=alert(1)>',
    "bidi": "safe\u202egnp.exe\u2066\u200f",
    "control": "bell\x07 escape\x1b[31m null\x00 delete\x7f",
    "template": "{{ 7 * 7 }}{% raw %}",
    "line": "x" * 1_000_000,
    "surrogate": "lone \ud800 surrogate",
}
HIDDEN = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\x00-\x08\x0b-\x1f\x7f\ufdd0]")


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE.keys())
def pages(request, browse, fresh, write_run):
    """Every page of a database in which one text stands wherever a stranger can put it."""
    db, url = fresh
    text = request.param
    name = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    story = write_run.story(
        model=name, texts=(text, f"{text}\n{text}"), label=name[:60], parsed=text, error=name, log=name,
        state="failed", manifest={"decisive": {"model": {name: name}}, "context": name, "engine_facts": [name]},
    )  # fmt: skip
    run = write_run(db, story)
    write_run(db, write_run.story(model=name, texts=(text,), label=name[:60], style="choice"))
    client = browse(url)
    return [client.get(address) for address in ("/", f"/runs/{run}", f"/runs/{run}/samples")]


def test_foreign_text_is_inert_on_every_page(pages):
    for page in pages:
        assert page.status_code == 200
        assert "<script" not in page.text
        assert "<img src=x" not in page.text
        assert not HIDDEN.search(page.text)
        assert ">49" not in page.text
        assert len(page.content) < 200_000


def test_a_printable_label_can_be_filtered_by_and_no_other(browse, fresh, write_run):
    db, url = fresh
    runs = {label: write_run(db, write_run.story(label=label)) for label in ('<b>"&amp;</b>', "a\u202eb")}
    client = browse(url)
    found = [client.get(f"/runs/{run}/samples", params={"label": label}).status_code for label, run in runs.items()]
    assert found == [200, 404]


def test_a_long_completion_is_cut_and_the_page_says_by_how_much(browse, fresh, write_run):
    db, url = fresh
    run = write_run(db, write_run.story(texts=("x" * 1_000_000,)))
    assert "996,000 characters in the middle are left out" in browse(url).get(f"/runs/{run}/samples").text


def test_hidden_characters_are_shown_as_escapes(browse, fresh, write_run):
    db, url = fresh
    run = write_run(db, write_run.story(model="a\u202eb", texts=("c\u2066d\x07",)))
    client = browse(url)
    assert r"a\u202eb" in client.get("/").text
    assert r"c\u2066d\x07" in client.get(f"/runs/{run}/samples").text


def test_what_an_address_asks_for_comes_back_inert(board):
    for address in ("/<script>alert(1)</script>", "/runs/<script>alert(1)</script>"):
        page = board.get(address)
        assert page.status_code == 404
        assert "<script" not in page.text

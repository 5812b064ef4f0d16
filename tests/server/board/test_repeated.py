"""A run whose items were asked several times, as a visitor and a program meet it."""

import html
import re

import pytest

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings, SamplingSettings
from fathom.tasks.suites import Selection, open_suite


@pytest.fixture(scope="module")
def sampled(browse, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('repeated') / 'runs.db'}"
    db = open_database(url, create=True)
    suite = open_suite("quick", 7, Selection(families=("depo",), styles=("direct",), levels=("n8k2", "n8k3"), n=6))
    plan = Plan(
        ModelSource("oracle/noisy", None, "noisy"),
        suite,
        RunSettings(sampling=SamplingSettings(3, 1.0), engine=EngineSettings("oracle")),
    )
    run = evaluate(plan, db).run
    yield browse(url), read.get_run(db, run), run
    db.dispose()


def text_of(page):
    assert page.status_code == 200
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def test_its_page_tells_repeats_apart_from_items(sampled):
    client, detail, run = sampled
    shown = text_of(client.get(f"/runs/{run}"))
    for wanted in (
        "Stored 36/36",
        "Items 12, 3 answers each",
        "pass@2 pass@3 majority@3 between repeats",
        "is not ranked",
    ):
        assert wanted in shown
    for cell in detail.cells:
        low, high = cell.interval.low, cell.interval.high
        assert f"{100 * low:.1f}–{100 * high:.1f}%" in shown
        assert f"{cell.k}/{cell.n}" in shown


def test_lists_and_feed_count_answers_and_the_board_leaves_it_out(sampled):
    client, detail, run = sampled
    assert "of 12 items × 3" in text_of(client.get("/runs"))
    assert "sampled" in text_of(client.get("/runs"))
    assert f"{detail.summary.k}/36 right" in client.get("/feed.atom").text
    assert run not in client.get("/").text
    assert client.get("/api/v1/suites").json() == []


def test_the_api_says_which_answer_a_sample_is_and_what_repeats_come_to(sampled):
    client, detail, run = sampled
    found = client.get(f"/api/v1/runs/{run}").json()
    assert (found["n_repeats"], found["n_items"], found["n_done"], found["layer"]) == (3, 12, 36, "sampled")
    assert found["cells"][0]["spread"]["hits"] == list(detail.cells[0].spread.hits)
    samples = client.get(f"/api/v1/runs/{run}/samples", params={"limit": 4}).json()["samples"]
    assert [(one["item"].rpartition("/")[2], one["repeat"]) for one in samples] == [
        ("0", 0),
        ("0", 1),
        ("0", 2),
        ("1", 0),
    ]
    lines = client.get(f"/runs/{run}/samples.csv").text.splitlines()
    assert "repeat" in lines[0]
    assert "answer 3" in text_of(client.get(f"/runs/{run}/samples"))

"""What other programs watch: a feed, badges, health, metrics."""

import datetime as dt
import re
import xml.etree.ElementTree as ET

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fathom.harness.db.engine import writing
from fathom.harness.db.leaderboard.standings import mark_pools_stale, update_leaderboard
from fathom.harness.db.schema.runs import RunRow
from fathom.server.web.render import points

ATOM = "{http://www.w3.org/2005/Atom}"
SVG = "{http://www.w3.org/2000/svg}"


def feed_of(client, query=""):
    answer = client.get(f"/feed.atom{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/atom+xml")
    return ET.fromstring(answer.content)


def test_the_feed_is_atom_with_an_entry_a_run_newest_first(board, played):
    feed = feed_of(board)
    entries = feed.findall(f"{ATOM}entry")
    runs = [one.summary for one in (played.failed, played.perfect, played.noisy)]
    assert [one.findtext(f"{ATOM}title") for one in entries] == [
        "oracle/nobody: failed", "oracle/perfect: finished", "oracle/noisy: finished"
    ]  # fmt: skip
    assert [one.find(f"{ATOM}link").get("href") for one in entries] == [f"/runs/{run.run}" for run in runs]
    assert f"{runs[1].k}/{runs[1].n_done} right" in entries[1].findtext(f"{ATOM}summary")
    for one in (feed, *entries):
        assert dt.datetime.fromisoformat(one.findtext(f"{ATOM}updated")).tzinfo is not None
        assert re.fullmatch(r"urn:fathom:[A-Za-z0-9:~]+", one.findtext(f"{ATOM}id"))  # a valid IRI
    assert feed.findtext(f"{ATOM}updated") == entries[0].findtext(f"{ATOM}updated")
    assert all(one.findtext(f"{ATOM}author/{ATOM}name") for one in entries)


def test_a_models_feed_holds_its_runs_alone(board, played):
    feed = feed_of(board, "?model=oracle/noisy")
    assert "oracle/noisy" in feed.findtext(f"{ATOM}title")
    assert [one.find(f"{ATOM}link").get("href") for one in feed.findall(f"{ATOM}entry")] == [
        f"/runs/{played.noisy.summary.run}"
    ]
    assert feed_of(board, "?model=").findtext(f"{ATOM}id") != feed.findtext(f"{ATOM}id")


def test_the_feed_of_an_empty_board_is_a_feed(browse, fresh):
    assert feed_of(browse(fresh[1])).findall(f"{ATOM}entry") == []


def test_the_feed_names_fifty_runs_at_most(browse, fresh, write_run):
    db, url = fresh
    for _ in range(52):
        write_run(db, write_run.story(state="failed"))
    assert len(feed_of(browse(url)).findall(f"{ATOM}entry")) == 50


def test_pages_tell_of_their_feeds(board):
    for page, feed in (("/", "/feed.atom"), ("/models/oracle/noisy", "/feed.atom?model=oracle/noisy")):
        assert '<link rel="alternate" type="application/atom+xml" title="' in board.get(page).text
        assert f'href="{feed}"' in board.get(page).text


def badge_of(client, name):
    answer = client.get(f"/badge/{name}.svg")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.headers["content-security-policy"] == "default-src 'none'"
    return ET.fromstring(answer.content)


def test_a_badge_says_score_and_rank_as_the_board_shows_them_first(board):
    one = board.get("/api/v1/board?q=noisy").json()["standings"][0]
    badge = badge_of(board, "oracle/noisy")
    half = f"{50 * (one['overall']['high'] - one['overall']['low']):.1f}"
    said = f"{points(one['overall']['score'])} ±{half}, rank 2 of 2 (at once, run here)"
    assert badge.findtext(f"{SVG}title") == badge.get("aria-label") == f"Fathom: {said}"
    assert [text.text for text in badge.iter(f"{SVG}text")] == ["Fathom", said]


def test_a_badge_without_a_finished_run_says_so(board):
    assert badge_of(board, "oracle/nobody").findtext(f"{SVG}title") == "Fathom: no result yet"


@pytest.mark.parametrize("address", ["/badge/nobody.svg", "/feed.atom?model=nobody", "/badge/.svg"])
def test_a_badge_or_feed_of_an_unknown_model_is_404(board, address):
    assert board.get(address).status_code == 404


def metrics_of(client):
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_count_runs_by_state_and_requests_by_route(browse, fresh, write_run):
    db, url = fresh
    for state in ("done", "done", "failed", None):
        write_run(db, write_run.story(state=state))
    client = browse(url)
    for _ in range(3):
        client.get("/runs")
    found = metrics_of(client)
    assert {key[1][1]: value for key, value in found.items() if key[0] == "fathom_runs"} == {
        "done": 2, "failed": 1, "running": 1
    }  # fmt: skip
    assert found["fathom_requests_total", ("method", "GET"), ("route", "/runs"), ("status", "200")] == 3
    assert found["fathom_request_seconds_count", ("route", "/runs")] == 3
    assert found["fathom_request_seconds_sum", ("route", "/runs")] > 0


def test_unknown_addresses_and_methods_do_not_grow_the_metrics(browse, fresh):
    client = browse(fresh[1])

    def visit(start):
        for at in range(start, start + 20):
            for address in (
                f"/none{at}",
                f"/runs/{at}",
                f"/models/m{at}",
                f"/badge/m{at}.svg",
                f"/static/s{at}",
                f"/api/v1/x{at}",
            ):
                client.get(address)
            client.request(f"METHOD{at}", "/")

    visit(0)
    client.get("/metrics")
    before = set(metrics_of(client))
    visit(20)
    assert set(metrics_of(client)) == before


def test_what_an_impostor_sends_has_no_number_and_no_rank(browse, fresh, write_run):
    db, url = fresh
    run = write_run(db, write_run.story(model="openai/gpt-6", n_right=5))
    with writing(db) as session:
        mark_pools_stale(session, [run])  # of the tier that it had
        session.get_one(RunRow, run).tier = 1
        session.flush()
        mark_pools_stale(session, [run])
    update_leaderboard(db)
    client = browse(url)
    badge = client.get("/badge/openai/gpt-6.svg").text
    assert "unchecked upload, not ranked" in badge
    assert "rank 1" not in badge
    page = client.get("/models/openai/gpt-6").text
    assert "Unchecked." in page
    assert "not ranked" in page
    (place,) = client.get("/api/v1/models/openai/gpt-6").json()["places"]
    assert (place["tier"], place["rank"], place["rank_low"]) == (1, None, None)
    assert "Unchecked:" in client.get(f"/runs/{run}").text

"""How answers were found stands beside what is right, on every page, in the API and in files."""

import html
import re

import pytest

from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.engines.base import Completion
from fathom.tasks.base import Verdict
from fathom.tasks.suites import Selection, open_suite

VERDICTS = (
    *[Verdict(True, "AB", "correct", found="asked")] * 5,
    *[Verdict(False, "CD", "other_node", found="read")] * 2,
    *[Verdict(False, None, "no_answer")] * 2,
    Verdict(False, None, "cut_off"),
)


def put(db, model, verdicts):
    suite = open_suite("quick", 7, Selection(levels=("n8k1",), styles=("direct",), n=len(verdicts)))
    run = write.start_run(db, write.NewRun(model, "hf", suite, suite.digest(), {}, "0" * 32))
    (cell,) = read.get_run(db, run).cells
    samples = [
        write.Sample(0, at, 0, f"{run}/{at}", Completion(f"{run}/{at}", " AB", "stop", 9, 3, 0.25), verdict)
        for at, verdict in enumerate(verdicts)
    ]
    write.record_samples(db, run, [cell.id], samples)
    write.finish_run(db, run, write.Ending("done", 5.0))
    update_leaderboard(db)
    return run


@pytest.fixture(scope="module")
def pair(browse, tmp_path_factory):
    """A board with two models, and the id of the run that has answers of every kind."""
    url = f"sqlite:///{tmp_path_factory.mktemp('found') / 'runs.db'}"
    db = open_database(url, create=True)
    run = put(db, "org/mixed", VERDICTS)
    put(db, "org/plain", [Verdict(True, "AB", "correct", found="asked")] * 10)
    db.dispose()
    return browse(url), run


def cells_of(page, first):
    """Return the texts of each row of the page whose first cell is `first`."""
    rows = re.findall(r"<tr>(.*?)</tr>", page.text, re.S)
    texts = [
        [" ".join(html.unescape(re.sub("<[^>]+>", "", cell)).split()) for cell in re.split("</t[hd]>", row)]
        for row in rows
    ]
    return [[text for text in row if text] for row in texts if row and row[0] == first]


def test_the_run_page_counts_them_and_links_to_them(pair):
    board, run = pair
    page = board.get(f"/runs/{run}")
    counts = dict(re.findall(r"<dt>([^<]*)</dt><dd>(.*?)</dd>", page.text, re.S))
    assert counts["In the form asked for"] == "5"
    assert f'href="/runs/{run}/samples?reading=unread">2</a>' in counts["Unread"]
    assert f'href="/runs/{run}/samples?reading=cut">1</a>' in counts["Cut off"]
    assert cells_of(page, "At once") == [["At once", "50%", "50%", "20%", "10%", "10"]]
    assert cells_of(page, "depo") == [["depo", "50%", "50%", "20%", "10%", "10"]]


def test_the_model_page_and_the_comparison_have_the_same_shares(pair):
    board, _ = pair
    assert cells_of(board.get("/models/org/mixed"), "At once") == [["At once", "50%", "50%", "20%", "10%", "10"]]
    assert cells_of(board.get("/models/org/plain"), "At once") == [["At once", "100%", "100%", "0%", "0%", "10"]]
    page = board.get("/compare?m=org/mixed&m=org/plain")
    (first,) = cells_of(page, "all")
    assert first == ["all", "mixed", "50%", "50%", "20%", "10%"]
    assert cells_of(page, "plain")[0] == ["plain", "100%", "100%", "0%", "0%"]


@pytest.mark.parametrize(("reading", "n"), [("asked", 5), ("read", 2), ("unread", 2), ("cut", 1)])
def test_samples_are_chosen_by_how_they_were_found(pair, reading, n):
    board, run = pair
    found = board.get(f"/api/v1/runs/{run}/samples?reading={reading}").json()
    assert found["total"] == len(found["samples"]) == n
    assert board.get(f"/runs/{run}/samples?reading={reading}").text.count('<article class="sample') == n
    assert len(board.get(f"/runs/{run}/samples.jsonl?reading={reading}").text.splitlines()) == n
    assert {one["found"] for one in found["samples"]} == {reading if reading in ("asked", "read") else "none"}


def test_a_way_that_there_is_not_is_refused(pair):
    board, run = pair
    assert board.get(f"/api/v1/runs/{run}/samples?reading=guessed").status_code == 422


def test_the_api_has_counts_of_the_run_its_cells_and_both_sides_of_a_comparison(pair):
    board, run = pair
    whole = board.get(f"/api/v1/runs/{run}").json()
    counts = {"n_asked": 5, "n_unread": 2, "n_cut": 1}
    assert counts.items() <= whole.items()
    assert counts.items() <= whole["cells"][0].items()
    assert whole["answers"][0] == {"family": None, "style": "direct", "n": 10, "k": 5, **counts}
    both = board.get("/api/v1/compare?m=org/mixed&m=org/plain").json()
    assert [side[0]["n_asked"] for side in both["answers"]] == [5, 10]
    assert (both["cells"][0]["n_cut_first"], both["cells"][0]["n_cut_second"]) == (1, 0)


def test_a_run_of_an_older_version_says_that_it_is_not_known(pair, fresh, browse):
    db, url = fresh
    run = put(db, "org/old", VERDICTS)
    with db.begin() as connection:
        connection.exec_driver_sql("UPDATE samples SET found = NULL")
    write.finish_run(db, run, write.Ending("done", 5.0))
    board = browse(url)
    for address in (f"/runs/{run}", "/models/org/old"):
        page = board.get(address).text
        assert "How answers were found is not known" in page
        assert "<dt>Unread</dt>" not in page
    whole = board.get(f"/api/v1/runs/{run}").json()
    assert (whole["n_unread"], whole["cells"][0]["n_cut"], whole["answers"][0]["n_asked"]) == (None, None, None)

"""A season's pages say what was promised, what is sealed, and how to check it."""

import json

import pytest

from fathom.harness.db.engine import open_database
from fathom.harness.service.seasons import store as seasons
from fathom.harness.service.seasons.commitment import verify_season
from fathom.harness.service.seasons.store import Beacon

KEY = "a key of at least thirty-two characters"
STATES = ("new", "committed", "open", "closed", "revealed")
SUITE = "quick"


def bring(db, state, name=None):
    """Bring a season as far as this state."""
    name = name or state
    far = STATES.index(state)
    seasons.new_season(db, name, SUITE, KEY, 1)
    steps = (
        lambda: seasons.commit_season(db, name, KEY),
        lambda: seasons.open_season(db, name, Beacon(f"<b>beacon of {name}", "drand <i>round 1"), KEY),
        lambda: seasons.close_season(db, name),
        lambda: seasons.reveal_season(db, name, KEY),
    )  # fmt: skip
    for step in steps[:far]:
        step()


@pytest.fixture(scope="module")
def stage(browse, tmp_path_factory):
    """A board with a season in each state."""
    url = f"sqlite:///{tmp_path_factory.mktemp('seasons') / 'runs.db'}"
    db = open_database(url, create=True)
    for state in STATES:
        bring(db, state)
    yield browse(url), db, url
    db.dispose()


def test_the_list_names_each_season_with_its_state(stage):
    page = stage[0].get("/seasons").text
    assert page.count('<span class="state') == len(STATES)
    for state in STATES:
        assert f'href="/seasons/{state}"' in page


def test_without_seasons_the_list_says_so(browse, fresh):
    page = browse(fresh[1]).get("/seasons")
    assert (page.status_code, "practice seed 2026" in page.text) == (200, True)


@pytest.mark.parametrize("state", STATES)
def test_a_season_shows_what_is_public_and_nothing_more(stage, state):
    client, db, _ = stage
    season = seasons.get_season(db, state)
    told = "".join(
        client.get(f"{start}/seasons/{state}{end}").text for start, end in (("", ""), ("", ".json"), ("/api/v1", ""))
    )
    shown = [season.commitment, season.terms.get("prompt_digest"), season.suite_digest, season.revealed]
    assert [value in told for value in shown if value] == [True] * {"new": 0, "revealed": 4}.get(state, 2)
    if season.beacon and not season.revealed:
        seed = seasons.season_seed(db, state, KEY)
        assert seed not in told
        assert seasons.season_suite(db, state, KEY).digest() not in told
        assert "sealed until the season ends" in told
    assert "--seed 2026 --n 1" in told


def test_foreign_text_of_a_season_stays_text(stage):
    page = stage[0].get("/seasons/open").text
    assert "&lt;b&gt;beacon of open" in page
    assert "drand &lt;i&gt;round 1" in page


def test_a_season_says_why_its_scores_compare_with_those_of_others(stage):
    client = stage[0]
    for said in (client.get("/seasons/open").text, client.get("/seasons/open.json").json()["exchangeability"]):
        assert "exchangeable by construction" in said
        assert "generator versions" in said
    assert "generator versions" in client.get("/seasons/closed").text


def test_the_document_is_what_verifies_the_season(stage, fathom, tmp_path):
    client, _, _ = stage
    document = client.get("/seasons/revealed.json").json()
    assert all(check.ok for check in verify_season(document))
    api = client.get("/api/v1/seasons/revealed").json()
    assert all(check.ok for check in verify_season(api))
    done = fathom("verify-season", "revealed", "--server", client.base_url)
    assert (done.returncode, "all 11 checks passed" in done.stdout) == (0, True)
    file = tmp_path / "s.json"
    file.write_text(json.dumps({**document, "beacon": "another beacon 1234"}))
    done = fathom("verify-season", file)
    assert (done.returncode, "FAILED  every item" in done.stdout) == (1, True)


def test_the_verify_command_names_this_board(stage):
    client = stage[0]
    assert f"fathom verify-season revealed --server {client.base_url}" in client.get("/seasons/revealed").text
    assert "verify-season" not in client.get("/seasons/open").text


@pytest.mark.parametrize("name", ["nothing", "a'b", "%3Cscript%3E", "x" * 64, "%00"])
def test_a_season_that_is_not_there_is_a_404(stage, name):
    for address in (f"/seasons/{name}", f"/seasons/{name}.json", f"/api/v1/seasons/{name}"):
        answer = stage[0].get(address)
        assert answer.status_code in (404, 422)
        assert "json" in answer.headers["content-type"] or "<script>" not in answer.text


def test_the_api_lists_all_seasons(stage):
    found = stage[0].get("/api/v1/seasons").json()
    assert (found["total"], {one["state"] for one in found["seasons"]}) == (5, set(STATES))


def test_a_season_with_standings_links_to_them(browse, tmp_path, write_run):

    from fathom.harness.db import read, write
    from fathom.harness.db.leaderboard.standings import update_leaderboard
    from fathom.harness.engines.base import Completion
    from fathom.tasks.base import Verdict

    url = f"sqlite:///{tmp_path / 'runs.db'}"
    db = open_database(url, create=True)
    bring(db, "open")
    suite = seasons.season_suite(db, "open", KEY)
    new = write.NewRun("org/model", "vllm", suite, suite.digest(), {}, "0" * 32, season="open", sealed=True)
    run = write.start_run(db, new)
    cells = [cell.id for cell in read.get_run(db, run).cells]
    write.record_samples(db, run, cells, [
        write.Sample(at, 0, 0, f"{at}", Completion("", "x", "stop", 1, 1, 0.1), Verdict(True, "x", "correct"))
        for at in range(len(cells))
    ])  # fmt: skip
    write.finish_run(db, run, write.Ending("done", 1.0))
    update_leaderboard(db)
    client = browse(url)
    address = f"/?pool={suite.pool()}&season=open"
    assert address.replace("&", "&amp;") in client.get("/seasons/open").text
    assert "org/model" in client.get(address).text
    kept = client.get(f"/runs/{run}").text
    assert "sealed" in kept
    seasons.close_season(db, "open")
    seasons.reveal_season(db, "open", KEY)
    seed = seasons.season_seed(db, "open", "")
    assert seed in client.get(f"/runs/{run}").text
    assert seed in client.get(f"/board.csv?pool={suite.pool()}").text
    db.dispose()

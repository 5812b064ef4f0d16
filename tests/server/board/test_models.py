"""A model's page: where it stands, how it falls with difficulty, its runs, and how to do it again."""

import html
import re

import httpx
import pytest
from sqlalchemy import text

from fathom.harness import format as words
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.settings import ServiceSettings
from fathom.server.app import ServerSettings, create_app
from fathom.server.board.portrait import depth_of_ladder
from fathom.server.web.render import STYLE_WORDS, points


def text_of(page):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


@pytest.fixture(scope="module")
def noisy(board):
    return board.get("/models/oracle/noisy")


def test_the_page_shows_each_place_with_rank_range_and_score(noisy, played):
    db = open_database(played.url, create=False)
    places = db_board.ranks_of_models(db, [played.noisy.summary.model_id])[played.noisy.summary.model_id]
    db.dispose()
    shown = text_of(noisy)
    assert {one.style for one in places} == {"direct", "cot", "choice"}
    for one in places:
        half = f"{50 * (one.score.interval.high - one.score.interval.low):.1f}"
        rank = f"{one.rank} {words.ranks(one.rank_low, one.rank_high)}"
        assert f"{STYLE_WORDS[one.style]} {rank} {points(one.score.value)} ±{half} 2" in shown


def test_the_page_shows_each_ladder_with_score_and_depth(noisy, board, played):
    scores = board.get(f"/api/v1/runs/{played.noisy.summary.run}").json()["scores"]
    shown = text_of(noisy)
    assert len(scores["ladders"]) > 10
    for one in scores["ladders"]:
        found = depth_of_ladder(one)
        depth = found.text or f"? no depth: {found.reason}"
        row = f"{one['ladder']} {one['channel']} {STYLE_WORDS[one['style']]} {points(one['score'])} ±"
        assert re.search(rf"{re.escape(row)}[\d.]+ {re.escape(depth)}", shown), row


def test_thinking_adds_stands_beside_cot_where_both_styles_were_asked(noisy, board, played):
    gaps = board.get(f"/api/v1/runs/{played.noisy.summary.run}").json()["scores"]["gaps"]
    assert gaps
    for one in gaps:
        assert f"{100 * one['score']:+.1f} ±".replace("-", "\N{MINUS SIGN}") in text_of(noisy)


def test_each_picture_is_drawn_and_has_words_and_a_table_beside_it(noisy, board):
    figures = re.findall(r"<figure>.*?</figure>", noisy.text, re.DOTALL)
    assert len(figures) > 20
    for figure in figures:
        light = html.unescape(re.findall(r'<img src="([^"]+)"', figure)[0])
        assert html.unescape(re.findall(r'<source srcset="([^"]+)"', figure)[0]) == light.replace("=light", "=dark")
        assert len(re.findall(r' alt="([^"]+)"', figure)[0]) > 40
        assert figure.count("<tr>") > 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_picture_is_an_inert_svg_that_is_sent_once(noisy, board, theme):
    address = html.unescape(re.findall(r'<img src="(/pictures[^"]+)"', noisy.text)[0]).replace("=light", f"={theme}")
    picture = board.get(address)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/svg+xml")
    assert picture.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert "<script" not in picture.text
    again = board.get(address, headers={"If-None-Match": picture.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("family=nope&ladder=main&channel=symbol", 404), ("family=depo&ladder=nope&channel=symbol", 404),
        ("family=depo&ladder=main&channel=smell", 404), ("family=depo&ladder=main&channel=symbol&style=sung", 404),
        ("family=depo&ladder=main", 422), ("family=depo&ladder=main&channel=symbol&theme=pink", 422),
        ("family=%00&ladder=main&channel=symbol", 422), (f"family={'f' * 65}&ladder=main&channel=symbol", 422),
    ],
)  # fmt: skip
def test_a_picture_of_nothing_is_a_page_that_says_so(board, played, query, status):
    assert board.get(f"/pictures/curves.svg?run={played.noisy.summary.run}&{query}").status_code == status


@pytest.mark.parametrize("run", ["", "run=", "run=fff", "run=%27", "run=1&run=2&run=3", f"run={'f' * 33}"])
def test_a_picture_of_an_unknown_run_is_a_page_that_says_so(board, run):
    for kind in ("curves", "mistakes"):
        page = board.get(f"/pictures/{kind}.svg?{run}&family=depo&ladder=main&channel=symbol&style=direct")
        assert page.status_code in (404, 422)


def test_a_model_is_shown_by_the_run_that_is_named(browse, fresh, write_run):
    db, url = fresh
    first, second = (write_run(db, write_run.story(texts=(" AB",) * 2, n_right=n)) for n in (0, 2))
    client = browse(url)
    for address, run in (("", second), (f"?run={first}", first), (f"?run={second[:6]}", second)):
        assert f"( run {run}" in text_of(client.get(f"/models/org/model{address}"))


@pytest.mark.parametrize("host", ["localhost:81", "127.0.0.1"])
def test_the_badge_to_copy_has_the_address_by_which_this_machine_was_asked(board, host):
    page = board.get("/models/oracle/noisy", headers={"Host": host}).text
    assert f"[![Fathom](http://{host}/badge/oracle/noisy.svg)](http://{host}/models/oracle/noisy)" in page
    assert board.get("/models/oracle/noisy", headers={"Host": "evil.example"}).status_code == 421


def test_a_configured_address_goes_before_the_host_header(serve, played):
    app = create_app(ServerSettings(played.url, service=ServiceSettings(url="https://fathom.example")))
    client = httpx.Client(base_url=serve(app), timeout=60)
    page = client.get("/models/oracle/noisy", headers={"Host": "localhost:81"}).text
    assert "](https://fathom.example/badge/oracle/noisy.svg)" in page
    assert '<meta property="og:image" content="https://fathom.example/previews/models/oracle/noisy.png">' in page
    assert "localhost:81" not in page
    client.close()


def test_a_run_of_another_model_is_not_shown(board, played):
    page = board.get(f"/models/oracle/noisy?run={played.perfect.summary.run}")
    assert page.status_code == 404
    assert "belongs to another model" in page.text


def test_a_model_that_never_finished_is_shown_by_its_failed_run(board, played):
    page = board.get("/models/oracle/nobody")
    assert page.status_code == 200
    assert f"( run {played.failed.summary.run}" in text_of(page)
    assert "the oracle engine has no model" in html.unescape(page.text)


@pytest.mark.parametrize(
    "name", ["org/b\u202eb", "a b", "org/50%", "../../etc", "~", "x?y=1", "#", "org/ä", "-rf", "a/b/c/d/e"]
)
@pytest.mark.slow
@pytest.mark.cases(3)
def test_a_model_of_any_name_has_a_page_to_which_the_board_leads(browse, fresh, write_run, name):
    db, url = fresh
    write_run(db, write_run.story(model=name))
    client = browse(url)
    link = re.findall(r'<a href="(/models/[^"]+)"', client.get("/").text)[0]
    assert link == "/models/~1"
    page = client.get(link)
    assert page.status_code == 200
    assert f"<h1><bdi>{html.escape(words.visible(name))}</bdi></h1>" in page.text


@pytest.mark.parametrize("name", ["nobody", "~99", "~", "~-1", "~99999999999", "oracle", "oracle/noisy/", "n" * 400])
def test_an_unknown_model_is_404_with_a_page(board, name):
    page = board.get(f"/models/{name}")
    assert page.status_code == 404
    assert "search for it on the board" in page.text


def test_a_name_that_no_text_holds_is_refused_by_both_databases(browse, database):
    client = browse(database)
    for address in (
        "/models/a%00b", "/badge/a%00b.svg", "/feed.atom?model=a%00b", "/compare?m=a%00b&m=c", "/api/v1/models?q=%00",
        "/api/v1/models/%00", "/api/v1/compare?m=%00&m=b", "/?q=%00", "/compare.csv?m=%00&m=b",
        "/compare/items?m=%00&m=b&cell=c", "/runs/%00",
    ):  # fmt: skip
        assert client.get(address).status_code in (404, 422), address


CURVE = [[1, 7.5, None], [100, 2.0, 2.5], [1000, 0.5, 0.625]]


@pytest.mark.parametrize(
    ("training", "tier", "told"),
    [
        (CURVE, 3, "Over 1,000 steps the loss fell from 7.50 to 0.50 nats a token, on held-out text to 0.62."),
        ([[at, loss, None] for at, loss, _ in CURVE], 3, "the loss fell from 7.50 to 0.50 nats a token."),
        (CURVE, 1, ""),  # an upload may say anything, and a replay checks its answers alone
        (CURVE, 2, ""),
        ([[1, 1e308, None], [2, 1e-5, None]], 3, "Over 2 steps the loss fell from 1"),
        (CURVE[:1], 3, ""),
        ([*CURVE, [500, 1.0, None]], 3, ""),
        ([[1, -1.0, None], [2, 3.0, None]], 3, ""),
    ],
)
@pytest.mark.cases(None)
def test_the_training_is_drawn_where_the_models_files_tell_it(browse, fresh, write_run, training, tier, told):
    db, url = fresh
    run = write_run(db, write_run.story(manifest={"decisive": {}, "context": {"training": training}}))
    with db.begin() as connection:
        connection.execute(text("UPDATE runs SET tier = :tier WHERE id = :run"), {"tier": tier, "run": run})
    page = browse(url).get("/models/org/model").text
    drawn = page.partition('id="training"')[2].partition("</section>")[0]
    assert (told in drawn) if told else (drawn == "")
    assert drawn.count('class="guess"') == ("held-out" in told)
    assert "nan" not in "".join(re.findall(r' d="([^"]+)"', drawn))

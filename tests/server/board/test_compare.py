"""Two models: what one can do and the other cannot, in numbers and on items."""

import html
import re

import pytest

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.db.find import open_pair
from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.format import p_value
from fathom.harness.reports.comparison import compare_run_pair, comparison_json, pair_cells
from fathom.harness.stats.paired import compare
from fathom.server.board.compare import short_names
from fathom.server.web.render import points, signed

PAIR = "m=oracle/noisy&m=oracle/perfect"


def text_of(page):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


@pytest.fixture(scope="module")
def pairs(played):
    """The cells of both oracles, paired."""
    db = open_database(played.url, create=False)
    both = played.noisy, played.perfect
    marks = db_board.marks_of(db, {one.summary.run: one.suite.n_items for one in both})
    db.dispose()
    return pair_cells(*both, marks)


@pytest.mark.parametrize("style", ["direct", "cot", "choice"])
def test_each_family_is_compared_by_scores_test_and_verdict(board, pairs, style):
    shown = text_of(board.get(f"/compare?{PAIR}&style={style}"))
    found = [one for one in compare([pair for pair in pairs if pair.first.style == style]) if one.name]
    assert found
    for one in found:
        verdict = ("no significant difference", "noisy is ahead", "perfect is ahead")[one.ahead]
        counts = f"{one.only_first}/{one.n} {one.only_second}/{one.n} {p_value(one.p_holm)} {verdict}"
        assert f"{signed(one.difference)} {counts}" in shown
        assert re.search(rf"{one.name} {points(one.first.value)} ±[\d.]+ {points(one.second.value)} ±[\d.]+", shown)


def test_the_command_line_says_the_same(board, played):
    db = open_database(played.url, create=False)
    found = comparison_json(compare_run_pair(db, *open_pair(db, "oracle/noisy", "oracle/perfect")))
    db.dispose()
    page = board.get(f"/api/v1/compare?{PAIR}").json()
    assert [found["first"]["run"], found["second"]["run"]] == page["runs"]
    verdicts = ("tie", "first", "second")
    for mine, theirs in zip(found["comparisons"], page["comparisons"], strict=True):
        same = ("style", "only_first", "only_second", "p", "p_holm")
        assert {name: mine[name] for name in same} == {name: theirs[name] for name in same}
        assert (mine["family"] or "", mine["n"], mine["verdict"]) == (
            theirs["family"], theirs["n_shared"], verdicts[theirs["ahead"]]
        )  # fmt: skip


def test_who_is_named_first_stands_first(board):
    turned = text_of(board.get("/compare?m=oracle/perfect&m=oracle/noisy"))
    assert "oracle/perfect and oracle/noisy" in turned
    assert "Over all families perfect is ahead (+" in turned
    items = text_of(board.get("/compare/items?m=oracle/perfect&m=oracle/noisy&cell=depo/n8k4/symbol/direct"))
    assert "only perfect is right" in items
    assert "only noisy is right" in items


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (("org/a", "org/b"), ("a", "b")), (("x/a", "y/a"), ("x/a", "y/a")), (("a", "org/b"), ("a", "b")),
        (("org/a", "org/a"), ("1: org/a", "2: org/a")), (("org/", "org/a"), ("org/", "org/a")),
    ],
)  # fmt: skip
def test_short_names_still_tell_two_models_apart(names, short):
    assert short_names(names) == short


def test_one_item_where_they_differ_stands_on_the_page(board, pairs):
    page = board.get(f"/compare?{PAIR}")
    article = re.findall(r'<article class="sample both">.*?</article>', page.text, re.DOTALL)
    assert len(article) == 1
    assert [article[0].count(sign) for sign in ("✗ wrong", "✓ right")] == [1, 1]
    assert "Question" in article[0]
    best = max(
        (pair for pair in pairs if pair.first.style == "direct"),
        key=lambda pair: abs(pair.only_first - pair.only_second),
    )
    assert f"From {best.first.family} {best.first.level} , where they differ most" in text_of(page)


def test_each_cell_leads_to_its_items_whose_counts_agree(board, pairs):
    for pair in pairs[::7]:
        cell = f"{pair.first.family}/{pair.first.level}/{pair.first.channel}/{pair.first.style}"
        both_wrong = pair.n - int((pair.first_right | pair.second_right).sum())
        counts = {"first": pair.only_first, "second": pair.only_second, "neither": both_wrong}
        for only, n in counts.items():
            page = board.get(f"/compare/items?{PAIR}&cell={cell}&only={only}")
            assert page.status_code == 200
            assert page.text.count('<article class="sample both">') == n
            verdicts = re.findall(r">(✓ right|✗ wrong)<", page.text)
            wanted = {"first": ["✓ right", "✗ wrong"], "second": ["✗ wrong", "✓ right"], "neither": ["✗ wrong"] * 2}
            assert verdicts == wanted[only] * n


def test_items_come_ten_a_page(browse, fresh, write_run):
    db, url = fresh
    for model, n_right in (("org/a", 23), ("org/b", 0)):
        write_run(db, write_run.story(model=model, texts=(" AB",) * 25, n_right=n_right))
    client = browse(url)
    address, seen = "/compare/items?m=org/a&m=org/b&cell=depo/n4k1/symbol/direct", []
    while address:
        page = client.get(address)
        seen += re.findall(r'<h3 class="id">([^ ]+)', page.text)
        following = re.findall(r'rel="next" href="([^"]+)"', page.text)
        address = "/compare/items" + html.unescape(following[0]) if following else None
    assert seen == [f"depo@2/n4k1/symbol/7/{at}" for at in range(23)]


def test_models_of_two_seeds_are_compared_by_scores_and_share_no_item(browse, fresh, write_run):
    db, url = fresh
    for model, seed in (("org/a", 7), ("org/b", 8)):
        write_run(db, write_run.story(model=model, seed=seed, texts=(" AB",) * 9, n_right=seed))
    client = browse(url)
    shown = text_of(client.get("/compare?m=org/a&m=org/b"))
    assert "Their seeds differ, so they share no item" in shown
    assert "none shared" in shown
    assert client.get("/compare/items?m=org/a&m=org/b&cell=depo/n4k1/symbol/direct").status_code == 404
    assert client.get("/api/v1/compare?m=org/a&m=org/b").json()["paired"] is False


def test_the_largest_suite_that_both_have_finished_is_compared(browse, fresh, write_run):
    db, url = fresh
    shared = [write_run(db, write_run.story(model=f"org/{name}", texts=(" AB",) * 3)) for name in "ab"]
    write_run(db, write_run.story(model="org/a", texts=(" AB",) * 9))
    page = browse(url).get("/api/v1/compare?m=org/a&m=org/b")
    assert page.json()["runs"] == shared


def test_what_cannot_be_compared_is_a_page_that_says_why(browse, fresh, write_run):
    db, url = fresh
    write_run(db, write_run.story(model="org/a"))
    write_run(db, write_run.story(model="org/steps", style="cot", levels=("n8k2",)))
    write_run(db, write_run.story(model="org/failed", state="failed"))
    client = browse(url)
    for other, said in (
        ("org/steps", "have no cell in common"), ("org/failed", "has not finished a run yet"), ("nobody", "no model"),
    ):  # fmt: skip
        page = client.get("/compare", params={"m": ["org/a", other]})
        assert page.status_code == 404
        assert said in text_of(page)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "or tick them on"),
        ("m=oracle/noisy", "or tick them on"),
        ("m=a&m=b&m=c&m=d&m=e&m=f&m=g", "7 models were named"),
    ],
)
def test_fewer_than_two_models_or_more_than_six_are_asked_for(board, query, said):
    page = board.get(f"/compare?{query}")
    assert page.status_code == 200
    assert said in text_of(page)
    given = re.findall(r'name="m"[^>]* value="([^"]*)"', page.text)
    assert given == [*re.findall(r"m=([^&]+)", query), *[""] * 6][:6]


@pytest.mark.parametrize("others", [["oracle/noisy"], ["oracle/noisy", "oracle/perfect"]])
def test_an_unknown_model_is_named_and_the_others_stay(board, others):
    named = [*others, "nobody/here"]
    page = board.get("/compare", params={"m": named})
    assert page.status_code == 404
    assert "This board has no model nobody/here" in text_of(page)
    fields = re.findall(r'<input id="model-\d" name="m"[^>]*>', page.text)
    assert [re.search(r'value="([^"]*)"', one)[1] for one in fields][: len(named)] == named
    assert [place for place, one in enumerate(fields) if "aria-invalid" in one] == [len(others)]
    without = re.findall(r'href="(\?[^"]*)">Compare the others', page.text)
    assert [board.get("/compare" + html.unescape(one)).status_code for one in without] == [200] * (len(others) > 1)


def test_three_to_six_models_stand_side_by_side(browse, fresh, write_run):
    db, url = fresh
    names = [f"org/m{place}" for place in range(4)]
    for place, model in enumerate(names):
        write_run(db, write_run.story(model=model, levels=("n8k1", "n8k2"), texts=(" AB",) * 10, n_right=2 * place))
    client = browse(url)
    page = client.get("/compare", params={"m": names})
    assert page.status_code == 200
    shown = text_of(page)
    assert "4 models side by side" in shown
    rows = re.findall(r'<th scope="row" class="line-(\d)">.*?<bdi>(.*?)</bdi>', page.text)
    assert rows == [(str(place), model) for place, model in enumerate(names)]
    assert page.text.count('<g class="hue-') == 4
    pair = html.unescape(re.findall(r'href="(/compare\?[^"]*)" aria-label="Compare org/m0', page.text)[0])
    assert pair == "/compare?m=org%2Fm0&m=org%2Fm3&style=direct"
    assert client.get(pair).status_code == 200
    other = client.get("/compare", params={"m": names, "style": "cot"})
    assert other.status_code == 404
    assert "have no style" in text_of(other)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (f"{PAIR}&cell=depo/n8k4/symbol/direct&only=both", 422), (f"{PAIR}&cell=depo/n8k4/symbol/direct&page=99", 404),
        (f"{PAIR}&cell=depo/n8k4/symbol/direct&only=&page=1", 200), (f"{PAIR}&cell=", 404), (f"{PAIR}", 422),
        (f"{PAIR}&cell=%3Cscript%3E", 404), (f"{PAIR}&cell={'c' * 201}", 422), ("m=oracle/noisy&cell=a/b/c/d", 404),
        (f"m={'m' * 401}&m=b&cell=a", 422), ("m=a&" * 21 + "cell=a", 422),
    ],
)  # fmt: skip
def test_a_bad_address_of_items_is_a_page_that_says_so(board, query, status):
    page = board.get(f"/compare/items?{query}")
    assert page.status_code == status
    assert "<h1>" in page.text


def test_an_unknown_style_is_404_and_names_the_known_ones(board):
    page = board.get(f"/compare?{PAIR}&style=sung")
    assert page.status_code == 404
    assert "known: direct, cot, choice" in text_of(page)


def test_a_model_compared_with_itself_is_ahead_of_nobody(board):
    shown = text_of(board.get("/compare?m=oracle/noisy&m=oracle/noisy"))
    assert "is ahead" not in shown
    assert "no significant difference" in shown


def test_how_deep_each_gets_is_said_for_each_ladder(board, played):
    db = open_database(played.url, create=False)
    stored = [db_board.get_result(db, one.summary.run) for one in (played.noisy, played.perfect)]
    db.dispose()
    shown = text_of(board.get(f"/compare?{PAIR}"))
    depths = [
        {
            (one["family"], one["ladder"], one["channel"]): f"{one['depth50']['text']} {one['depth50']['unit']}"
            for one in result["ladders"]
            if one["style"] == "direct" and one["depth50"]
        }
        for result in stored
    ]
    assert len(depths[0]) > 5
    for key in set(depths[0]) & set(depths[1]):
        assert f"{key[1]} {key[2]} {depths[0][key]} {depths[1][key]}" in shown


def test_items_whose_completions_are_gone_are_counted_but_not_shown(browse, fresh, write_run):
    db, url = fresh
    for model, n_right in (("org/a", 2), ("org/b", 0)):
        run = write_run(db, write_run.story(model=model, texts=(" AB",) * 3, n_right=n_right))
    cell = read.get_run(db, run).cells[0].id
    with db.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM samples WHERE cell_id = {cell}")
    client = browse(url)
    page = text_of(client.get("/compare/items?m=org/a&m=org/b&cell=depo/n4k1/symbol/direct"))
    assert page.count("This completion is not stored.") == 2
    with db.begin() as connection:
        connection.exec_driver_sql("DELETE FROM samples")
    page = text_of(client.get("/compare/items?m=org/a&m=org/b&cell=depo/n4k1/symbol/direct"))
    assert "The completions of these items are not stored." in page

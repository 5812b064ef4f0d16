"""The board: who stands where, whatever filter, order, columns and page a visitor asks for."""

import html
import re
from dataclasses import dataclass
from urllib.parse import parse_qs

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.db.leaderboard.standings import mark_pools_stale, update_leaderboard
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.engines.base import Completion
from fathom.server.board.leaderboard import BoardQuery
from fathom.server.web.render import points, whole
from fathom.tasks.base import Verdict
from fathom.tasks.suites import Selection, open_suite

LEVELS = ("n4k1", "n8k2", "p23l1")
"""Two levels of depo and one of mano."""

FLEET = (  # name, engine, dtype, kind, parameters, right of ten
    ("org/heron-7b", "vllm", "bfloat16", "chat", 7_000_000_000, 9),
    ("org/tern-1b", "vllm", "float32", "base", 1_000_000_000, 5),
    ("lab/heron-70b", "hf", "bfloat16", "chat", 70_000_000_000, 10),
    ("lab/wren", "oracle", None, None, None, 2),
)


def text_of(page):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def names_of(page):
    return [html.unescape(name) for name in re.findall(r'<th scope="row" data-name="([^"]*)"', page.text)]


def heads_of(page):
    return {
        " ".join(re.sub(r"<[^>]+>", " ", words).split()).rstrip(" ↑↓"): (order, html.unescape(link))
        for order, link, words in re.findall(r'<th [^>]*aria-sort="(\w+)"[^>]*><a href="([^"]*)">(.*?)</a>', page.text)
    } | {
        family: (order, html.unescape(link))
        for order, link, family in re.findall(
            r'<th [^>]*aria-sort="(\w+)"><a [^>]*>\w+</a><a class="sort" href="([^"]*)" aria-label="Sort by (\w+)"',
            page.text,
        )
    }


@pytest.fixture(scope="module")
def fleet(browse, write_run, tmp_path_factory):
    """A board of four models, one of which lacks answers, and its database."""
    url = f"sqlite:///{tmp_path_factory.mktemp('fleet') / 'runs.db'}"
    db = open_database(url, create=True)
    for name, engine, dtype, kind, size, n_right in FLEET:
        n = 8 if name == "lab/wren" else 10
        story = write_run.story(
            model=name, engine=engine, dtype=dtype, kind=kind, n_parameters=size, levels=LEVELS, texts=(" AB",) * n,
            n_planned=10, n_right=n_right,
        )  # fmt: skip
        write_run(db, story)
    yield browse(url), db
    db.dispose()


@dataclass(frozen=True)
class BoardCase:
    query: str
    names: tuple[str, ...]


BY_RANK = ("lab/heron-70b", "org/heron-7b", "org/tern-1b", "lab/wren")


@pytest.mark.parametrize(
    "asked",
    [
        BoardCase("", BY_RANK),
        BoardCase("q=heron", BY_RANK[:2]),
        BoardCase("q=HERON+org", ("org/heron-7b",)),
        BoardCase("q=%25", ()),
        BoardCase("kind=chat", BY_RANK[:2]),
        BoardCase("kind=base", ("org/tern-1b",)),
        BoardCase("dtype=bfloat16&q=7b", ("org/heron-7b",)),
        BoardCase("engine=oracle", ("lab/wren",)),
        BoardCase("engine=nothing", ()),
        BoardCase("min=7", BY_RANK[:2]),
        BoardCase("min=0.5&max=7", ("org/heron-7b", "org/tern-1b")),
        BoardCase("max=0.1", ()),
        BoardCase("complete=true", BY_RANK[:3]),
        BoardCase("sort=rank&order=desc", BY_RANK[::-1]),
        BoardCase("sort=model", ("lab/heron-70b", "lab/wren", "org/heron-7b", "org/tern-1b")),
        BoardCase("sort=model&order=desc", ("org/tern-1b", "org/heron-7b", "lab/wren", "lab/heron-70b")),
        BoardCase("sort=size", BY_RANK),
        BoardCase("sort=size&order=asc", ("org/tern-1b", "org/heron-7b", "lab/heron-70b", "lab/wren")),
        BoardCase("sort=date&order=asc", tuple(name for name, *_ in FLEET)),
        BoardCase("sort=depo", BY_RANK),
        BoardCase("sort=mano&order=asc", BY_RANK[::-1]),
        BoardCase("q=&kind=&dtype=&engine=&min=&max=&family=&channel=&order=&pool=&style=", BY_RANK),
        BoardCase("style=direct&family=depo&sort=depo&order=asc", BY_RANK[::-1]),
    ],
    ids=lambda asked: asked.query,
)
def test_a_query_shows_these_models_in_this_order(fleet, asked):
    client, _ = fleet
    page = client.get(f"/?{asked.query}")
    assert page.status_code == 200
    assert names_of(page) == list(asked.names)
    if not asked.names:
        assert "No model matches these filters" in page.text


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("pool=nope", 404), ("style=cot", 404), ("style=sung", 404), ("family=years", 404), ("family=%3Cb%3E", 404),
        ("family=depo&channel=smell", 404), ("columns=years", 404), ("sort=weight", 404), ("page=2", 404), ("page=0", 422),
        ("page=x", 422), ("order=up", 422), ("min=-1", 422), ("min=nan", 422), ("max=inf", 422), ("max=9e99", 422),
        (f"q={'q' * 101}", 422), ("q=%00", 422), ("q=%E2%80%AE", 422), ("sort=%00", 422), ("complete=perhaps", 422),
        ("unknown=1", 422), ("q=a&q=b", 200),
    ],
)  # fmt: skip
def test_what_the_board_does_not_have_is_a_page_that_says_so(fleet, query, status):
    page = fleet[0].get(f"/?{query}")
    assert page.status_code == status
    assert "<h1>" in page.text


def test_each_row_shows_rank_range_size_engine_and_scores(fleet):
    client, db = fleet
    (pool,) = db_board.list_pools(db)
    page = client.get("/")
    rows = [
        " ".join(html.unescape(re.sub(r"<[^>]+>", " ", row)).split())
        for row in re.findall(r"<tr[ >].*?</tr>", page.text, re.S)
    ]
    found = db_board.list_standings(db, db_board.StandingQuery(pool.id, "direct")).standings
    for one, row in zip(found, rows[1:], strict=True):
        assert row.startswith(f"{one.rank} ")
        assert f", tie group {one.tie} {one.model.name}" in row
        assert points(one.score.value) in row
        for score in one.families.values():
            half = f"{50 * (score.interval.high - score.interval.low):.1f}"
            assert f'title="±{half}">{whole(score.value)}</td>' in page.text
    assert "70B" in rows[1]
    assert '<span title="bfloat16">chat</span>' in page.text
    assert "6 ungraded" in rows[4]


def test_a_line_parts_tie_groups_only_where_the_order_is_that_of_ranks(fleet):
    client, db = fleet
    (pool,) = db_board.list_pools(db)
    ties = {one.tie for one in db_board.list_standings(db, db_board.StandingQuery(pool.id, "direct")).standings}
    assert len(ties) > 1
    assert client.get("/").text.count('<tr class="group">') == len(ties) - 1
    assert client.get("/?sort=model").text.count('<tr class="group">') == 0


def test_a_head_sorts_by_its_column_and_turns_round_when_followed_again(fleet):
    client, _ = fleet
    for column, first, turned in (("Model", "ascending", "descending"), ("depo", "descending", "ascending")):
        page = client.get("/?q=r&max=80")
        kept = set(names_of(page))
        for wanted in (first, turned, first):
            page = client.get("/" + heads_of(page)[column][1])
            assert {head: order for head, (order, _) in heads_of(page).items() if order != "none"} == {column: wanted}
            assert set(names_of(page)) == kept


def test_chosen_columns_are_shown_and_no_other(fleet):
    client, _ = fleet
    assert set(heads_of(client.get("/"))) == {"Rank", "Model", "Size", "Depth", "depo", "mano"}
    assert set(heads_of(client.get("/?columns=mano"))) == {"Rank", "Model", "Size", "Depth", "mano"}


def test_level_by_level_shows_accuracy_count_and_interval_of_each_cell(fleet):
    client, _ = fleet
    shown = text_of(client.get("/?family=depo"))
    for wanted in ("n4k1 1 hop, chance 33.3%", "n8k2 2 hops, chance 20.0%", "100% 10/10", "50% ≈", "2/8"):
        assert wanted in shown
    assert 'title="95% interval 72.2–100.0%"' in client.get("/?family=depo").text
    assert not re.search(r"<th[^>]*>p23l1", client.get("/?family=depo").text)


def test_squares_at_chance_are_marked_with_a_sign_and_words(browse, fresh, write_run):
    db, url = fresh
    write_run(db, write_run.story(texts=(" x",) * 50, n_right=17))
    write_run(db, write_run.story(model="org/worse", texts=(" x",) * 50))
    shown = text_of(browse(url).get("/?family=depo"))
    assert "≈ , not distinguishable from chance" in shown
    assert "↓ , below chance" in shown


def test_the_form_keeps_what_the_address_asks_for(fleet):
    client, _ = fleet
    page = client.get(
        "/?style=direct&q=heron&kind=chat&dtype=bfloat16&engine=vllm&min=1&max=80&complete=true&sort=size&order=asc&columns=depo"
    )
    form = re.findall(r'<form class="controls".*?</form>', page.text, re.S)[0]
    sent = dict(re.findall(r'<input (?:type="hidden" )?(?:id="\w+" )?name="(\w+)"[^>]*?value="([^"]*)"', form))
    chosen = r'<select id="\w+" name="(\w+)">(?:(?!</select>).)*?<option value="([^"]*)" selected'
    sent |= dict(re.findall(chosen, form, re.S))
    checked = re.findall(r'name="(\w+)" type="checkbox" value="(\w+)" checked', form)
    assert checked == [("complete", "true"), ("columns", "depo")]
    assert {key: sent[key] for key in ("style", "q", "kind", "dtype", "engine", "sort", "order")} == {
        "style": "direct", "q": "heron", "kind": "chat", "dtype": "bfloat16", "engine": "vllm", "sort": "size", "order": "asc",
    }  # fmt: skip
    assert (float(sent["min"]), float(sent["max"])) == (1, 80)


@pytest.mark.parametrize(
    "values",
    [
        {}, {"q": "a b&c=%"}, {"style": "cot", "sort": "depo", "order": "asc"}, {"columns": ["depo", "mano"]}, {"min": 0.5},
        {"min": 0.0, "max": 70.0}, {"complete": True, "page": 3}, {"family": "depo", "channel": "symbol", "kind": "chat"},
    ],
)  # fmt: skip
def test_the_link_of_a_query_leads_back_to_it(values):
    query = BoardQuery(**values)
    link = query.link(page=query.page)
    read = {key: found if key == "columns" else found[0] for key, found in parse_qs(link[1:]).items()}
    assert BoardQuery(**read) == query


@pytest.mark.slow
def test_a_hundred_models_stand_on_a_page_and_pages_keep_filter_and_order(browse, fresh, write_run):
    db, url = fresh
    for at in range(103):
        write_run(db, write_run.story(model=f"org/model{at:03}"))
    client = browse(url)
    address, seen = "/?q=org&sort=model&order=desc", []
    while address:
        page = client.get(address)
        seen.append(names_of(page))
        following = re.findall(r'rel="next" href="([^"]+)"', page.text)
        address = "/" + html.unescape(following[0]) if following else None
    assert [len(names) for names in seen] == [100, 3]
    assert [name for names in seen for name in names] == [f"org/model{at:03}" for at in reversed(range(103))]
    assert "101–103 of 103 models" in text_of(client.get("/?page=2"))


def test_suites_are_a_choice_and_each_has_its_own_models_and_styles(browse, fresh, write_run):
    db, url = fresh
    write_run(db, write_run.story(model="org/whole", texts=(" AB",) * 4))
    write_run(db, write_run.story(model="org/other", texts=(" AB",) * 4))
    write_run(db, write_run.story(model="org/steps", style="cot", levels=("n8k2",)))
    client = browse(url)
    page = client.get("/")
    suites = re.findall(r'<select id="pool" name="pool">(.*?)</select>', page.text)[0]
    pools = re.findall(r'<option value="([^"]*)"', suites)
    assert [set(names_of(client.get(f"/?pool={pool}"))) for pool in pools] == [
        {"org/whole", "org/other"},
        {"org/steps"},
    ]


def test_a_model_whose_newest_run_failed_stays_by_its_finished_one(browse, fresh, write_run):
    db, url = fresh
    done = write_run(db, write_run.story(n_right=1))
    write_run(db, write_run.story(state="failed", error="no memory"))
    client = browse(url)
    assert names_of(client.get("/")) == ["org/model"]
    assert client.get("/api/v1/board").json()["standings"][0]["run"] == done


def test_a_board_whose_runs_all_failed_says_where_to_look(browse, fresh, write_run):
    db, url = fresh
    write_run(db, write_run.story(state="failed", error="no memory"))
    page = text_of(browse(url).get("/"))
    assert "No run on a suite with fixed questions has finished yet" in page
    assert "See their progress" in page


def test_depth_is_a_column_a_sort_and_what_families_say(fleet):
    client, db = fleet
    (pool,) = [one for one in db_board.list_pools(db) if one.tier > 1][:1]
    found = db_board.list_standings(db, db_board.StandingQuery(pool.id, "direct", sort="depth", order="desc")).standings
    known = [one.depth for one in found if one.depth is not None]
    assert known == sorted(known, reverse=True)
    assert all(0 <= depth <= 1 for depth in known)
    page = client.get("/?show=depth&sort=depth")
    assert heads_of(page)["Depth"][0] == "descending"
    named = [one for one in found if "depo" in one.depths]
    assert named
    assert f'title="{html.escape(named[0].depths["depo"].text)}"' in page.text
    assert named[0].depths["depo"].text.endswith(" hops")
    shown = client.get("/api/v1/board?style=direct").json()["standings"]
    assert {one["run"]: one["depth"] for one in shown} == {one.run: one.depth for one in found}


@pytest.fixture
def with_upload(browse, fresh):
    """A client of a board with a checked run of the whole suite, and an unchecked one, found by its name."""
    db, url = fresh
    suite = open_suite("quick", 7, Selection(n=1))
    runs = []
    for model in ("org/ours", "org/sent"):
        run = write.start_run(db, write.NewRun(model, "vllm", suite, suite.digest(), {}, "0" * 32))
        samples = [
            write.Sample(at, 0, 0, f"{run}{at}", Completion(f"{run}{at}", " AB", "stop", 1, 1, 0.1), Verdict(True, "AB", "correct"))
            for at in range(len(suite.cells))
        ]  # fmt: skip
        write.record_samples(db, run, [cell.id for cell in read.get_run(db, run).cells], samples)
        write.finish_run(db, run, write.Ending("done", 1.0))
        runs.append(run)
    with Session(db) as session, session.begin():
        session.execute(update(RunRow).where(RunRow.id == runs[1]).values(tier=1))
        mark_pools_stale(session, runs)
    update_leaderboard(db)
    return browse(url)


def test_the_first_page_keeps_unchecked_uploads_behind_a_link(with_upload):
    page = with_upload.get("/")
    assert names_of(page) == ["org/ours"]
    assert '<select id="pool"' not in page.text
    assert "2 models stand on the board with unchecked uploads" in text_of(page)
    link = html.unescape(re.findall(r'href="([^"]*)">with unchecked uploads', page.text)[0])
    other = with_upload.get(f"/{link}")
    assert set(names_of(other)) == {"org/ours", "org/sent"}
    assert "Anybody may send results under any name" in text_of(other)
    back = html.unescape(re.findall(r'href="([^"]*)">Back to checked results', other.text)[0])
    assert names_of(with_upload.get(f"/{back}")) == ["org/ours"]


def test_a_search_says_how_many_match_among_unchecked_uploads(with_upload):
    page = with_upload.get("/?q=sent")
    assert names_of(page) == []
    found = html.unescape(re.findall(r'href="([^"]*)">1 more among unchecked uploads', page.text)[0])
    assert names_of(with_upload.get(f"/{found}")) == ["org/sent"]

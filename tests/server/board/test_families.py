"""The pages of the families, and a question that a visitor may answer."""

import html
import re
from itertools import pairwise

import pytest

from fathom.server.board.example import ladders_of
from fathom.server.board.glossary import by_part, explain
from fathom.server.board.samples import labels_of
from fathom.tasks.base import PARTS, channels_of, demonstrate, make_instance, pose, styles_of
from fathom.tasks.registry import all_families, find_family

FAMILIES = all_families()
CELLS = [
    (name, ladder, style)
    for name, family in FAMILIES.items()
    for ladder, levels in ladders_of(family).items()
    for style in styles_of(family, levels[0])
]
PAGES = ("/families", "/about", "/families/depo?level=n8k2&seed=7", "/families/years?level=y8k2-32k&seed=7&answer=1960")


def text_of(page):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def ask(board, name, **values):
    page = board.get(f"/families/{name}", params=values)
    assert page.status_code == 200, text_of(page)
    return page


def first_cell(name, ladder, style):
    family = FAMILIES[name]
    level = ladders_of(family)[ladder][0]
    return family, level, channels_of(family, level)[0], style


def answer_form(page):
    form = re.findall(r'<form class="answer".*?</form>', page.text, re.DOTALL)[0]
    return {
        key: html.unescape(value) for key, value in re.findall(r'<input type="hidden" name="(\w+)" value="(.*?)"', form)
    }


def links_of(page):
    return {
        html.unescape(words): html.unescape(at) for at, words in re.findall(r'href="(\?[^"]*)">([^<]*)<', page.text)
    }


def test_every_family_stands_under_its_part_with_what_it_asks(board):
    page = text_of(board.get("/families"))
    places = [page.index(f"{name} {family.summary}") for name, family in _in_order()]
    assert places == sorted(places)
    for family in FAMILIES.values():
        assert f"{len(family.levels)} on {len(ladders_of(family))} ladder" in page
        assert family.reference in page


def _in_order():
    return [(family.name, family) for families in by_part(FAMILIES.values()).values() for family in families]


def test_families_are_grouped_by_their_part_in_the_order_of_the_parts():
    groups = by_part(FAMILIES.values())
    assert [part for part in PARTS if part in groups] == list(groups)
    assert sorted(family.name for families in groups.values() for family in families) == list(FAMILIES)


def test_every_label_of_every_family_and_of_the_harness_has_a_sentence():
    labels = [(name, label) for name, family in FAMILIES.items() for label in family.labels]
    labels += [(name, label) for name in FAMILIES for label in labels_of(())]
    assert [pair for pair in labels if not explain(*pair).endswith(".")] == []


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_page_lists_its_labels_and_all_its_levels_with_chance(board, name):
    family, page = FAMILIES[name], text_of(ask(board, name))
    for label in family.labels:
        assert f"{label} {explain(name, label)}" in page
    for level in family.levels.values():
        chance = family.chance(level, styles_of(family, level)[0])
        assert re.search(rf"{re.escape(level.name)} {level.hardness:.9g} .*? {100 * chance:.1f}%", page)


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_the_prompt_is_shown_exactly_as_a_model_is_sent_it(board, cell):
    family, level, channel, style = first_cell(*cell)
    page = ask(board, family.name, level=level.name, channel=channel, style=style, seed=5)
    shown = re.findall(r'aria-label="Prompt"><pre>(.*?)</pre>', page.text, re.DOTALL)
    assert [html.unescape(one) for one in shown] == [
        pose(family, make_instance(family, level.name, channel, 5, 0), style)
    ]


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_before_an_answer_only_prompt_and_candidates_depend_on_the_item(board, cell):
    family, level, channel, style = first_cell(*cell)
    seen = set()
    for seed in ("aaaa", "bbbb", "cccc"):
        page = ask(board, family.name, level=level.name, channel=channel, style=style, seed=seed).text
        page = re.sub(r'aria-label="Prompt"><pre>.*?</pre>', "", page, flags=re.DOTALL)
        page = re.sub(
            r'<label><input type="radio" name="answer" value="([^"]*)" required> <code>\1</code></label>\s*', "", page
        )
        seen.add(page.replace(seed, ""))
    assert len(seen) == 1  # so neither the gold nor its place among the candidates can be told


def test_a_gold_that_the_prompt_does_not_hold_is_nowhere_before_an_answer(board):
    family = find_family("mano")
    item = next(
        one
        for seed in range(99)
        if (one := make_instance(family, "p23l4", "symbol", f"c{seed}c", 0)).gold not in one.question
    )
    page = ask(board, "mano", level="p23l4", seed=item.seed).text.partition("<h2>How it is graded")[0]
    trial = page.partition('class="pair"')[2].replace(item.id, "").replace(item.seed, "")
    assert not re.search(rf"\b{item.gold}\b", re.sub(r'rows="\d+"', "", trial))


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_the_gold_is_right_and_comes_with_the_solution(board, cell):
    family, level, channel, style = first_cell(*cell)
    item = make_instance(family, level.name, channel, 5, 0)
    said = demonstrate(family, item, style) if style == "cot" else item.gold
    page = ask(board, family.name, level=level.name, channel=channel, style=style, seed=5, index=0, answer=said)
    assert "✓ Right" in text_of(page)
    assert html.escape(family.solution(item).strip(), quote=False) in page.text.replace("&#39;", "'")


def test_a_wrong_answer_shows_label_sentence_place_note_answer_and_gold(board):
    item = make_instance(find_family("brevo"), "needs8", "symbol", 7, 0)
    names = item.gold.split(", ")
    page = text_of(ask(board, "brevo", level="needs8", seed=7, answer=", ".join(names[1:])))
    for wanted in (
        f"✗ Wrong missing {explain('brevo', 'missing')}",
        "First fault at position 1",
        f"Note 0 of {len(names)} right",
        f"Answer read {', '.join(names[1:])}",
        f"One right answer {item.gold}",
    ):
        assert wanted in page


def test_a_visitor_answers_through_the_form_and_gets_the_same_question_back(board):
    page = ask(board, "depo", level="n8k2")
    form = answer_form(page)
    gold = make_instance(find_family("depo"), "n8k2", form["channel"], form["seed"], int(form["index"])).gold
    judged = ask(board, "depo", **form, answer=gold)
    assert answer_form(judged) == form
    assert "✓ Right" in text_of(judged)


def test_the_link_to_a_question_brings_it_back_and_another_question_is_another(board):
    page = ask(board, "depo", level="n8k2", channel="story", style="cot", seed="9f", index=3)
    links = links_of(page)
    assert answer_form(board.get("/families/depo" + links["Link to this question"].partition("#")[0])) == answer_form(
        page
    )
    other = answer_form(board.get("/families/depo" + links["Another question"].partition("#")[0]))
    assert other["seed"] != "9f"
    assert {**other, "seed": "9f", "index": "3"} == answer_form(page)


def test_a_fresh_question_is_never_kept_by_a_browser(board):
    pages = [ask(board, "depo") for _ in range(2)]
    assert answer_form(pages[0])["seed"] != answer_form(pages[1])["seed"]
    assert [page.headers.get_list("cache-control") for page in pages] == [["no-store"]] * 2
    assert ask(board, "depo", seed=7).headers.get_list("cache-control") == ["no-cache"]


@pytest.mark.parametrize("name", FAMILIES)
def test_harder_and_easier_walk_along_every_ladder(board, name):
    for levels in ladders_of(FAMILIES[name]).values():
        hardness = [level.hardness for level in levels]
        assert hardness == sorted(hardness)
        for at, level in enumerate(levels):
            links = links_of(ask(board, name, level=level.name))
            for words, step in (("← Easier", at - 1), ("Harder →", at + 1)):
                wanted = f"?level={levels[step].name}" if 0 <= step < len(levels) else ""
                assert links.get(words, "").partition("&")[0] == wanted


def test_who_gives_up_is_shown_the_answer_and_the_way_to_it(board):
    page = ask(board, "depo", level="n8k2", seed=7)
    shown = board.get("/families/depo" + links_of(page)["Show me the answer"].partition("#")[0])
    item = make_instance(find_family("depo"), "n8k2", "symbol", 7, 0)
    assert f"Gold {item.gold} Solution" in text_of(shown)
    assert "Right" not in text_of(shown).partition("How it is graded")[0]


def test_a_choice_offers_each_candidate_and_takes_no_other(board):
    item = make_instance(find_family("bios"), "extract-k5", "story", 7, 0)
    cell = {"level": "extract-k5", "channel": "story", "style": "choice", "seed": 7}
    offered = re.findall(r'type="radio" name="answer" value="([^"]*)"', ask(board, "bios", **cell).text)
    assert tuple(html.unescape(one) for one in offered) == item.choices
    page = board.get("/families/bios", params={**cell, "answer": "Atlantis"})
    assert page.status_code == 422
    assert "one of the candidates" in text_of(page)


def test_a_direct_answer_ends_with_its_line_as_a_models_does(board):
    gold = make_instance(find_family("depo"), "n8k2", "symbol", 7, 0).gold
    page = text_of(ask(board, "depo", level="n8k2", seed=7, answer=f"{gold}\nor something else"))
    assert "✓ Right" in page
    assert "Only the first line was read" in page
    assert "first line was read" not in text_of(ask(board, "depo", level="n8k2", seed=7, answer=f" {gold} \n"))


def test_a_style_that_a_level_lacks_gives_way_with_a_note(board):
    page = ask(board, "lano", level="generate-f-50", channel="story", style="direct", seed=7)
    assert (answer_form(page)["style"], answer_form(page)["channel"]) == ("free", "symbol")
    assert "generate-f-50 is not asked in the style direct; this is free." in text_of(page)
    assert "There is no instruction" in text_of(page)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("level=n5k9", 404), ("level=%00", 404), (f"level={'n' * 99}", 422), ("channel=smell", 404), ("style=sung", 404),
        ("style=free", 404), ("seed=xyz", 422), ("seed=-1", 422), (f"seed={'f' * 65}", 422), ("seed=%E0%A5%A7", 422),
        ("seed=7&index=-1", 422), ("seed=7&index=99999999999999999999", 422), ("seed=7&index=x", 422), ("answer=AB", 422),
        (f"seed=7&answer={'x' * 4001}", 422), ("reveal=yes", 422),
        (f"seed=7&answer={'x' * 4000}", 200), (f"seed=7&answer={'%0D%0A' * 4000}", 200), ("seed=7&answer=", 200),
        ("seed=7&answer=%ED%A0%80%00%FF", 200), ("level=&channel=&style=&seed=&index=&reveal=", 200), ("unknown=1", 200),
        ("seed=7&index=2147483647", 200), ("seed=7&seed=8", 200),
    ],
)  # fmt: skip
def test_a_bad_address_is_a_page_that_says_what_to_do(board, query, status):
    page = board.get(f"/families/depo?{query}")
    assert page.status_code == status
    assert "<h1>" in page.text


@pytest.mark.parametrize("name", ["nope", "depo%00", "%2e%2e", "<script>", "d" * 3000, "DEPO"])
def test_an_unknown_family_is_404_and_names_the_known_ones(board, name):
    page = board.get(f"/families/{name}")
    assert page.status_code == 404
    assert re.findall("<script.*?>", page.text) == ['<script src="/static/site.js">']
    assert "known: bios, brevo, capo, depo" in text_of(page)


def test_what_a_visitor_wrote_is_inert_and_hides_nothing(board):
    hostile = "</textarea></pre><script>alert(1)</script> bell\x07 \u202egnp.exe \x00 {{ 7 * 7 }}"
    page = ask(board, "igsm", level="op4", style="cot", seed=7, answer=f"{hostile}\nAnswer: {hostile}")
    assert re.findall("<script.*?>", page.text) == ['<script src="/static/site.js">']
    assert not re.search("[\u202a-\u202e\x00-\x08\x0b-\x1f]", page.text)
    assert r"bell\x07 \u202egnp.exe \x00 {{ 7 * 7 }}" in text_of(page)


@pytest.mark.parametrize("text", ["x" * 4000, "= " * 2000, "a b c " * 666, "Answer: -1\n" * 360, "1, " * 1333])
@pytest.mark.parametrize("cell", CELLS[::2], ids="-".join)
@pytest.mark.slow
def test_no_answer_breaks_a_page(board, cell, text):
    family, level, channel, style = first_cell(*cell)
    if style != "choice":
        page = ask(board, family.name, level=level.name, channel=channel, style=style, seed=5, answer=text)
        assert "✗ Wrong" in text_of(page)


@pytest.mark.parametrize("address", PAGES)
def test_these_pages_are_plain_and_hardly_read_the_database(board, count_statements, address):
    pages = []
    board.get(address)  # the first request draws a family's curves
    n_allowed = int(address.startswith("/families/"))  # whether those curves are still true
    assert count_statements(lambda: pages.append(board.get(address))) == n_allowed
    page = pages[0].text
    for forbidden in ("<style", 'style="', "javascript:", "http://", "https://"):
        assert forbidden not in page
    assert re.findall("<script.*?>", page) == ['<script src="/static/site.js">']
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.count("<table") == page.count("<caption")
    assert page.count('class="scroll"') == page.count('class="scroll" role="region" tabindex="0" aria-label=')
    assert "set-cookie" not in pages[0].headers


def test_every_page_leads_to_the_families_and_to_about(board):
    for address in ("/", "/none", *PAGES):
        page = board.get(address).text
        assert '<a href="/families">Tasks</a>' in page
        assert '<a href="/about">About</a>' in page


def test_about_defines_what_the_board_shows(board):
    page = text_of(board.get("/about"))
    for wanted in (
        "Chance",
        "Wilson",
        "depth50",
        "Reasoning adds",
        "rank interval",
        "McNemar",
        "Holm",
        "tie group",
        "sets no cookie",
    ):
        assert wanted in page
    assert all(
        f'id="{at}"' in board.get("/about").text
        for at in re.findall(r'href="#(\w+)"', board.get("/about").text)
        if at != "content"
    )


def test_the_command_on_the_page_about_prints_questions(board, fathom):
    commands = re.findall(r"<code>(fathom sample .*?)</code>", board.get("/about").text)
    assert [len(fathom(*command.split()[1:]).stdout.splitlines()) for command in commands] == [2]


@pytest.mark.parametrize(
    "address", ["/families/{}", "/previews/families/{}.png", "/api/v1/items/{}?level=default&seed=1"]
)
def test_nobody_opens_a_data_set_that_no_result_asks(board, address):
    """Opening one may take minutes, so the name alone must not."""
    answer = board.get(address.format("rg:shortest_path"))
    assert (answer.status_code, "no result here asks" in html.unescape(answer.text)) == (404, True)


DASHED = re.compile(r'<path class="guess" d="([^"]+)"><title>([^<]+), published elsewhere</title>')


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("depo", {"Gemini 3 Pro: 60% at 2 hops, 34% at 3 hops", "Opus 4: 31% at 2 hops, 7% at 3 hops"}),
        ("igsm", {"Llama-3.1-8B: 50% at 6 operations"}),  # the levels asked here end at 6: of the others nothing fits
        ("mano", set()),
    ],
)
def test_curves_that_others_published_are_dashed_as_far_as_the_levels_reach(board, name, told):
    found = {html.unescape(words): path for path, words in DASHED.findall(board.get(f"/families/{name}").text)}
    assert told <= set(found)
    assert len(found) == {"depo": 3, "igsm": 1, "mano": 0}[name]
    for path in found.values():
        assert ("L" in path) == (name == "depo")

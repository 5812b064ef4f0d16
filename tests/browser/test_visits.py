"""What visitors do: narrow the board, sort it, compare two models, read an item, take files along."""

import csv
import json
import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.cases(1)

NAMES = ".board tbody th a bdi"


@pytest.fixture(params=[True, False], ids=["with JavaScript", "without"])
def visitor(request, chromium):
    """A page of a browser with and without JavaScript."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, java_script_enabled=request.param)
    yield context.new_page()
    context.close()


@pytest.fixture
def page(chromium):
    """A page of a browser with JavaScript."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    yield context.new_page()
    context.close()


def names_on(page):
    return [name for name in page.locator(NAMES).all_inner_texts() if name.startswith("or")]


def box_of(page, model):
    return page.locator(f"input[name=m][type=checkbox][value='{model}']")


def settled(page, address=None):
    """Wait until the board shows what its address says, and first for an address."""
    if address is not None:
        page.wait_for_url(address)
    expect(page.locator("[data-part=table][aria-busy=true]")).to_have_count(0)


def follow(page, link):
    """Click, and wait for the page that comes."""
    with page.expect_navigation():
        page.click(link)
    settled(page)


def test_a_visitor_narrows_the_board_by_a_name(visitor, site):
    visitor.goto(site.address)
    visitor.fill("#q", "PERF")
    visitor.press("#q", "Enter")
    settled(visitor, "**/?q=PERF**")
    assert names_on(visitor) == ["oracle/perfect"]
    assert visitor.input_value("#q") == "PERF"


def test_a_visitor_narrows_the_board_by_size_and_shows_all_again(visitor, site):
    visitor.goto(site.address)
    visitor.click("summary:text-is('More')")
    visitor.fill("#min", "900")
    visitor.press("#min", "Enter")
    settled(visitor, "**min=900**")
    expect(visitor.locator("text=No model matches these filters")).to_be_visible()
    follow(visitor, "text=Show all models")
    assert len(visitor.locator(NAMES).all()) == 3


def test_a_visitor_sees_one_family_level_by_level(visitor, site):
    visitor.goto(site.address)
    follow(visitor, "thead a:text-is('depo')")
    assert "family=depo" in visitor.url
    heads = visitor.locator(".board thead th").all_inner_texts()
    assert [head.split()[0] for head in heads[3:]] == ["n4k1", "n8k1", "n8k2", "n8k3", "n8k4"]


def test_a_visitor_sorts_by_a_head_and_turns_it_round(visitor, site):
    visitor.goto(f"{site.address}/?q=oracle")
    for wanted, address in (
        (["oracle/perfect", "oracle/noisy"], r"sort=igsm"), (["oracle/noisy", "oracle/perfect"], r"sort=igsm&order=asc"),
    ):  # fmt: skip
        visitor.click("thead a[aria-label='Sort by igsm']")
        settled(visitor, re.compile(address))
        assert names_on(visitor) == wanted
    visitor.goto(visitor.url)
    assert names_on(visitor) == ["oracle/noisy", "oracle/perfect"]


def test_a_visitor_turns_the_pages_of_a_long_board(visitor, long_site):
    visitor.goto(f"{long_site}/?sort=model&order=desc")
    assert len(names_on(visitor)) == 100
    follow(visitor, "text=Next →")
    assert names_on(visitor) == ["org/model000"]
    follow(visitor, "text=← Previous")
    assert names_on(visitor)[0] == "org/model100"
    visitor.click("thead >> text=Model")
    settled(visitor, re.compile("order=asc"))
    assert names_on(visitor)[0] == "org/model000"


def test_a_visitor_compares_two_models_and_reads_the_items_where_they_differ(visitor, site):
    visitor.goto(site.address)
    for model in ("oracle/noisy", "oracle/perfect"):
        box_of(visitor, model).check()
    follow(visitor, "button:text-is('Compare')")
    assert {"oracle/noisy", "oracle/perfect"} <= set(visitor.locator("h1 bdi").all_inner_texts())
    follow(visitor, "text=See all such items")
    verdicts = visitor.locator(".both .verdict").all_inner_texts()
    assert len(verdicts) > 2
    assert {verdict.split()[1] for verdict in verdicts} == {"right", "wrong"}
    follow(visitor, ".both .verdict a >> nth=0")
    assert visitor.locator("h1").inner_text().startswith("One sample of oracle/")
    assert visitor.locator("text=Print this question").is_visible()


def test_a_visitor_gets_from_the_board_to_the_wrong_answers(visitor, site):
    visitor.goto(site.address)
    follow(visitor, "a[href='/models/oracle/noisy']")
    follow(visitor, "text=Read the samples")
    visitor.select_option("#correct", "false")
    visitor.click("main button")
    visitor.wait_for_url("**correct=false**")
    verdicts = visitor.locator(".verdict b").all_inner_texts()
    assert verdicts
    assert all("wrong" in verdict for verdict in verdicts)


def test_a_visitor_answers_a_question_and_is_told_what_it_is_worth(visitor, site):
    visitor.goto(f"{site.address}/families/depo?level=n8k2&seed=7")
    visitor.fill("#answer", "nonsense")
    follow(visitor, "text=Grade my answer")
    assert visitor.locator(".ruling").inner_text().startswith("✗ Wrong no_answer")
    assert visitor.title().startswith("Wrong: depo")


@pytest.mark.parametrize("kind", ["CSV", "JSON"])
def test_a_visitor_takes_the_board_along(visitor, site, kind, tmp_path):
    visitor.goto(f"{site.address}/?q=oracle")
    with visitor.expect_download() as download:
        visitor.click(f".take a:text-is('{kind}')")
    file = tmp_path / "file"
    download.value.save_as(file)
    assert download.value.suggested_filename.endswith(f"-direct.{kind.lower()}")
    if kind == "CSV":
        assert [row["model"] for row in csv.DictReader(file.read_text().splitlines())] == [
            "oracle/perfect",
            "oracle/noisy",
        ]
    if kind == "JSON":
        assert len(json.loads(file.read_text())) == 2


def test_the_board_narrows_over_all_pages_while_a_name_is_typed(page, long_site):
    page.goto(long_site)
    page.evaluate("window.stayed = true")
    page.keyboard.press("/")
    for typed, wanted in (
        ("model00", "1–10 of 10"),
        ("model1", "1–1 of 1"),
        ("nobody", "0–0 of 0"),
        ("", "1–100 of 101"),
    ):
        page.locator("#q").fill(typed)
        expect(page.locator(".place")).to_contain_text(f"{wanted} model")
        assert page.evaluate("document.activeElement.id") == "q"
        assert page.url == (f"{long_site}/?q={typed}" if typed else f"{long_site}/")
    assert page.evaluate("window.stayed") is True


@pytest.mark.parametrize("head", ["Rank", "Model", "Size", "Sort by depo", "Sort by years"])
def test_a_head_sorts_without_a_load_as_the_server_would(page, site, head):
    page.goto(site.address)
    page.evaluate("window.stayed = true")
    link = f"thead a[aria-label='{head}']" if head.startswith("Sort") else f"thead >> text={head}"
    for _ in range(3):
        before = page.url
        page.click(link)
        settled(page, lambda address, before=before: address != before)
        names, order = names_and_order(page)
        groups = page.locator("tr.group").count()
        files = page.locator(".take a").first.get_attribute("href")
        assert page.evaluate("window.stayed") is True
        assert files.partition("?")[2] == page.url.partition("?")[2] != ""
        with page.context.expect_page() as fresh:
            page.evaluate("address => void open(address, '_blank', 'noopener')", page.url)
        assert names_and_order(fresh.value) == (names, order)
        assert fresh.value.locator("tr.group").count() == groups == (2 if head == "Rank" else 0)
        fresh.value.close()


def names_and_order(page):
    page.wait_for_load_state()
    return page.locator(NAMES).all_inner_texts(), page.locator("thead th").evaluate_all(
        "heads => heads.map(one => one.ariaSort)"
    )


def tick(page, model):
    before = page.url
    box_of(page, model).click()
    settled(page, lambda address: address != before)


def test_ticked_models_are_drawn_and_stay_ticked_on_other_pages_six_at_most(page, long_site):
    page.goto(long_site)
    names = page.locator(NAMES).all_inner_texts()[:7]
    for name in names[:6]:
        tick(page, name)
    drawn = page.locator(".key [class^=line-] > a:first-child")
    assert drawn.all_inner_texts() == names[:6]
    page.click("text=Next →")
    settled(page, "**page=2**")
    assert drawn.all_inner_texts() == names[:6]
    assert page.locator(".ticked").inner_text().startswith("6 ticked, no more can be")
    page.go_back()
    expect(page.locator(".place")).to_contain_text("1–100 of 101")
    box_of(page, names[6]).click()  # one too many
    assert not box_of(page, names[6]).is_checked()
    assert "no more can be" in page.locator(".ticked").inner_text()
    page.click(f"a[aria-label='Do not draw {names[0]}']")
    expect(drawn).to_have_text(names[1:6])
    with page.expect_navigation():
        page.click("button:text-is('Compare')")
    assert page.locator("h1").inner_text() == "5 models side by side"


def test_a_point_of_a_curve_leads_to_the_answers_behind_it(page, site):
    page.goto(f"{site.address}/?q=oracle/noisy")
    point = page.locator(".chart a circle").first
    said = point.locator("title").text_content()
    k, n = re.search(r"(\d+)/(\d+)", said).groups()
    with page.expect_navigation():
        point.click(force=True)
    assert f"of {n}" in page.locator("main").inner_text()
    assert int(k) <= int(n)


def test_the_theme_is_the_visitors_own_and_is_kept(page, site):
    page.goto(f"{site.address}{site.pages['model']}")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.click("button[aria-label^='Colours']")
    dark = page.evaluate(ground)
    assert dark != light
    page.goto(site.address)
    assert page.evaluate(ground) == dark
    for _ in range(2):
        page.click("button[aria-label^='Colours']")
    assert page.evaluate(ground) == light


def test_a_stranger_learns_who_goes_deeper_sees_an_item_and_takes_it_along_in_four_clicks(page, site):
    clicks = []

    def click(what):
        clicks.append(what)
        what.click()

    page.goto(site.address)
    click(box_of(page, "oracle/perfect"))
    click(box_of(page, "oracle/noisy"))
    with page.expect_navigation():
        click(page.locator("button:text-is('Compare')"))
    assert page.locator("h1").inner_text() == "oracle/perfect and oracle/noisy"
    depths = page.locator("#depo .depths tbody tr").first
    assert depths.is_visible()
    perfect, noisy = (re.search(r"[\d.]+", depths.locator("td").nth(at).inner_text())[0] for at in (1, 2))
    assert float(perfect) > float(noisy)
    assert depths.locator("td").nth(1).inner_text().endswith("hops")
    item = page.locator(".both")
    assert item.is_visible()
    assert item.locator(".asked pre").inner_text().strip()
    assert [one.split()[1] for one in item.locator(".verdict").all_inner_texts()] == ["right", "wrong"]
    with page.expect_download() as download:
        click(page.locator(".take a:text-is('CSV')").first)
    assert download.value.suggested_filename == "fathom-comparison.csv"
    assert len(clicks) <= 4


def test_what_a_stranger_wrote_does_not_run(page, site):
    for address in site.pages.values():
        page.goto(site.address + address)
        assert page.title().endswith("Fathom")
        own = r"found => found.every(one => /\/static\/(board|live|site|suggest|submit)\.js$/.test(one.src))"
        assert page.locator("script").evaluate_all(own)


def test_a_phone_compares_two_models_too(chromium, site):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = context.new_page()
    page.goto(site.address)
    for model in ("oracle/noisy", "oracle/perfect"):
        box_of(page, model).tap()
    page.tap("button:text-is('Compare')")
    page.wait_for_url("**/compare?**")
    assert page.locator(".both").is_visible()
    context.close()

"""What visitors do: narrow the board, sort it, compare two models, read an item, take files along."""

import csv
import json
import re

import pytest

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
    return page.locator(f"input[name=m][value='{model}']")


def follow(page, link):
    """Click, and wait for the page that comes."""
    with page.expect_navigation():
        page.click(link)


def test_a_visitor_narrows_the_board_by_a_name(visitor, site):
    visitor.goto(site.address)
    visitor.fill("#q", "PERF")
    visitor.press("#q", "Enter")
    visitor.wait_for_url("**/?q=PERF**")
    assert names_on(visitor) == ["oracle/perfect"]
    assert visitor.input_value("#q") == "PERF"


def test_a_visitor_narrows_the_board_by_size_and_shows_all_again(visitor, site):
    visitor.goto(site.address)
    visitor.click("text=More filters and columns")
    visitor.fill("#min", "900")
    visitor.click("button:text-is('Show')")
    visitor.wait_for_url("**min=900**")
    assert visitor.locator("text=No model matches these filters").count() == 1
    follow(visitor, "text=Show all models")
    assert len(visitor.locator(NAMES).all()) == 3


def test_a_visitor_sees_one_family_level_by_level(visitor, site):
    visitor.goto(site.address)
    visitor.select_option("#family", "depo")
    visitor.click("button:text-is('Show')")
    visitor.wait_for_url("**family=depo**")
    heads = visitor.locator(".board thead th").all_inner_texts()
    assert [head.split()[0] for head in heads[3:]] == ["n4k1", "n8k1", "n8k2", "n8k3", "n8k4"]


def test_a_visitor_sorts_by_a_head_and_turns_it_round(visitor, site):
    visitor.goto(f"{site.address}/?q=oracle")
    for wanted, address in (
        (["oracle/perfect", "oracle/noisy"], r"sort=igsm"), (["oracle/noisy", "oracle/perfect"], r"sort=igsm&order=asc"),
    ):  # fmt: skip
        visitor.click("thead >> text=igsm")
        visitor.wait_for_url(re.compile(address))
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
    visitor.wait_for_url(re.compile("order=asc"))
    assert names_on(visitor)[0] == "org/model000"


def test_a_visitor_compares_two_models_and_reads_the_items_where_they_differ(visitor, site):
    visitor.goto(site.address)
    for model in ("oracle/noisy", "oracle/perfect"):
        box_of(visitor, model).check()
    follow(visitor, "text=Compare the two ticked")
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
    visitor.click("button")
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


@pytest.mark.parametrize("kind", ["CSV", "JSON", "Parquet"])
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


def test_rows_narrow_while_a_name_is_typed(page, site):
    page.goto(site.address)
    for typed, wanted in (("ora", 2), ("oracle per", 1), ("per ORA", 1), ("nobody", 0), ("", 3)):
        page.fill("#q", typed)
        assert sum(row.is_visible() for row in page.locator(".board tbody tr").all()) == wanted
    assert page.url == f"{site.address}/"


@pytest.mark.parametrize("head", ["Rank", "Model", "Size", "depo", "years"])
def test_a_head_sorts_without_a_load_as_the_server_would(page, site, head):
    page.goto(site.address)
    page.evaluate("window.stayed = true")
    for _ in range(3):
        page.click(f"thead >> text={head}")
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


def test_a_third_tick_takes_away_the_first(page, site):
    page.goto(site.address)
    boxes = page.locator("input[name=m]").all()
    for box in boxes:
        box.check()
    assert [box.is_checked() for box in boxes] == [False, True, True]
    boxes[1].uncheck()
    boxes[0].check()
    assert [box.is_checked() for box in boxes] == [True, False, True]


def test_a_stranger_learns_who_goes_deeper_sees_an_item_and_takes_it_along_in_four_clicks(page, site):
    clicks = []

    def click(what):
        clicks.append(what)
        what.click()

    page.goto(site.address)
    click(box_of(page, "oracle/perfect"))
    click(box_of(page, "oracle/noisy"))
    with page.expect_navigation():
        click(page.locator("text=Compare the two ticked"))
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
        own = r"found => found.every(one => /\/static\/(board|live)\.js$/.test(one.src))"
        assert page.locator("script").evaluate_all(own)


def test_a_phone_compares_two_models_too(chromium, site):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = context.new_page()
    page.goto(site.address)
    for model in ("oracle/noisy", "oracle/perfect"):
        box_of(page, model).tap()
    page.tap("text=Compare the two ticked")
    page.wait_for_url("**/compare?**")
    assert page.locator(".both").is_visible()
    context.close()

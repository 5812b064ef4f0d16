"""What a real browser makes of every page: wide, on a phone, in the dark, on paper."""

import os

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from fathom.tasks.stream import Stream

WIDE, PHONE = (
    {"viewport": {"width": 1440, "height": 900}},
    {"viewport": {"width": 390, "height": 844}, "has_touch": True},
)
VIEWS = {
    "wide": WIDE, "phone": {**PHONE, "is_mobile": True, "device_scale_factor": 2}, "dark": {**WIDE, "color_scheme": "dark"},
    "phone in the dark": {**PHONE, "is_mobile": True, "color_scheme": "dark"},
}  # fmt: skip

# Contrast of each text with what lies behind it (WCAG 2.2, 1.4.3); a canvas turns any colour into sRGB.
FAINT_TEXTS = """() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const paint = (layers) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of layers) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const faint = [];
  for (const element of document.querySelectorAll('body *:not(.unseen, .skip, option)')) {
    const text = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join('');
    if (!text || !element.checkVisibility()) continue;
    const style = getComputedStyle(element), layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(getComputedStyle(at).backgroundColor);
    const [low, high] = [light(paint(layers)), light(paint([...layers, style.color]))].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return faint;
}"""
UNREACHABLE_SCROLLERS = """() => [...document.querySelectorAll('body *')].filter(element =>
  ['auto', 'scroll'].includes(getComputedStyle(element).overflowX)
  && element.scrollWidth > element.clientWidth && element.tabIndex < 0).map(element => element.className)"""


SIDEWAYS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
OPEN_ALL = "document.querySelectorAll('details').forEach(one => one.open = true)"
FOCUSABLE = """() => [...document.querySelectorAll(
  'a[href]:not([tabindex="-1"]), button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]')]
  .filter(element => element.checkVisibility())"""


@pytest.fixture
def opened(request, chromium, site):
    """A page of a fresh browser with the key of the board, and what it complained about."""
    context = chromium.new_context(**getattr(request, "param", WIDE))
    context.add_cookies(site.cookies)
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    # what is still on its way where a page is left, a stream of events above all, ends there
    page.on("requestfailed", lambda asked: asked.failure == "net::ERR_ABORTED" or page.complaints.append(asked.url))
    yield page
    context.close()


def share_of(view, names, config):
    """Return the pages to open in a view: all with --full, else a quarter of the pages, each in one view that is drawn."""
    if config.getoption("--full"):
        return set(names)
    stream = Stream(os.environ["FATHOM_TEST_SEED"], "views")
    return {name for name in names if stream.choice((*VIEWS, *[""] * 3 * len(VIEWS))) == view}


@pytest.mark.parametrize("opened", VIEWS.values(), ids=VIEWS.keys(), indirect=True)
def test_every_page_fits_is_legible_and_open_to_all(opened, site, empty_site, request):
    axe, faults = Axe(), {}
    served = {name: site.address + address for name, address in site.pages.items()}
    served |= {"empty board": f"{empty_site}/", "empty runs": f"{empty_site}/runs", "report": site.report}
    wanted = share_of(request.node.callspec.id, served, request.config)
    for name, address in served.items():
        if name not in wanted:
            continue
        opened.goto(address)
        found = [what for what in [_sideways(opened)] if what]
        opened.evaluate(OPEN_ALL)
        found += [what for what in [_sideways(opened)] if what]
        found += opened.evaluate(FAINT_TEXTS)
        found += opened.evaluate(UNREACHABLE_SCROLLERS)
        results = axe.run(opened)
        if results.violations_count:
            found.append(results.generate_report())
        if not opened.title().endswith("Fathom"):
            found.append(opened.title())
        if name == "problem":
            opened.complaints.remove("Failed to load resource: the server responded with a status of 404 (Not Found)")
        found += opened.complaints
        opened.complaints.clear()
        if found:
            faults[name] = found
    assert not faults, "\n".join(f"{name}: {what}" for name, found in faults.items() for what in found)


def _sideways(page):
    return "scrolls sideways" if page.evaluate(SIDEWAYS) else ""


def test_axe_finds_a_fault_that_is_there(opened, site):
    opened.goto(site.address)
    opened.evaluate("document.querySelector('#size').previousElementSibling.remove()")
    assert [one["id"] for one in Axe().run(opened).response["violations"]] == ["select-name"]


@pytest.mark.parametrize("opened", [VIEWS["wide"], VIEWS["dark"]], ids=["light", "dark"], indirect=True)
def test_signs_of_chance_stand_out_on_the_deepest_shade(opened, site):
    opened.goto(f"{site.address}/?family=depo")
    opened.evaluate("document.querySelectorAll('.square').forEach(one => one.className = 'square shade-10 level')")
    assert opened.evaluate(FAINT_TEXTS) == []


@pytest.mark.cases(1)
@pytest.mark.parametrize("name", ["board", "board by level", "compare", "samples of a long name", "answered"])
def test_the_keyboard_reaches_everything_and_shows_where_it_is(opened, site, name):
    opened.goto(site.address + site.pages[name])
    expect(opened.locator("#worker a")).to_be_attached()  # it comes after the page
    n_wanted = opened.evaluate(f"({FOCUSABLE})().length")
    assert n_wanted > 10
    opened.evaluate(f"window.unreached = new Set(({FOCUSABLE})())")
    for _ in range(n_wanted):
        opened.keyboard.press("Tab")
        assert opened.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        opened.evaluate("window.unreached.delete(document.activeElement)")
    assert opened.evaluate("[...window.unreached].map(one => one.outerHTML)") == []


def test_the_first_stop_of_the_keyboard_skips_to_the_content(opened, site):
    opened.goto(site.address)
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.textContent") == "Skip to the content"
    opened.keyboard.press("Enter")
    expect(opened.locator("main")).to_be_focused()
    opened.keyboard.press("Tab")
    opened.wait_for_load_state("networkidle")  # a jump within the page fetches nothing that would take the focus away
    assert opened.evaluate("document.querySelector('main').contains(document.activeElement)")


@pytest.mark.turns(2)
def test_pictures_follow_the_theme_and_load(chromium, site):
    for scheme in ("light", "dark"):
        context = chromium.new_context(**WIDE, color_scheme=scheme)
        page = context.new_page()
        page.goto(site.address + site.pages["model"])
        page.evaluate(OPEN_ALL)
        images = page.locator("details[open] figure img")
        assert images.count() > 1
        for image in images.all():
            image.scroll_into_view_if_needed()
            image.evaluate("image => image.decode()")
            assert image.evaluate("image => image.naturalWidth") > 0
            assert f"theme={scheme}" in image.evaluate("image => image.currentSrc")
        context.close()


@pytest.mark.parametrize("opened", [VIEWS["phone"]], ids=["phone"], indirect=True)
@pytest.mark.cases(1)
@pytest.mark.parametrize("name", ["board by level"])
def test_the_names_stay_in_sight_while_a_phone_scrolls_the_table(opened, site, name):
    opened.goto(site.address + site.pages[name])
    box = opened.locator(".scroll").first
    box.evaluate("box => box.scrollLeft = 400")
    assert box.evaluate("box => box.scrollLeft") > 100
    for cell in opened.locator(".board tbody th").all():
        assert cell.bounding_box()["x"] >= 0


def test_a_page_fits_a_sheet_of_paper(chromium, site, tmp_path):
    context = chromium.new_context(viewport={"width": 718, "height": 1000})  # A4 less Chromium's margins
    page = context.new_page()
    page.emulate_media(media="print")
    for name in ("board", "board by level", "model", "compare", "run"):
        page.goto(site.address + site.pages[name])
        assert page.pdf(path=tmp_path / "page.pdf", format="A4").startswith(b"%PDF")
        assert not page.evaluate(SIDEWAYS), name
        assert not page.locator("nav").first.is_visible()
    context.close()

"""What a real browser makes of the pages: wide, on a phone, in the dark, on paper, without JavaScript."""

import pytest

VIEWS = {
    "wide": {"viewport": {"width": 1440, "height": 900}},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "is_mobile": True,
        "has_touch": True,
        "device_scale_factor": 2,
    },
    "dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
    "plain": {"viewport": {"width": 390, "height": 844}, "java_script_enabled": False},
}

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


@pytest.fixture(params=VIEWS.values(), ids=VIEWS.keys())
def view(request, chromium):
    """A page of a fresh browser, and what it complained about."""
    context = chromium.new_context(**request.param)
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("requestfailed", lambda asked: page.complaints.append(asked.url))
    yield page
    context.close()


def test_pages_load_without_complaints_and_never_scroll_sideways(view, site, tmp_path):
    for at, address in enumerate(site.pages):
        view.goto(site.address + address)
        width = view.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert width[0] <= width[1], address
        picture = tmp_path / f"{at}.png"
        view.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 20_000
    assert view.complaints == []


def test_every_text_stands_out_from_its_ground(view, site, empty_site):
    for address in (*(site.address + page for page in site.pages), empty_site + "/", site.address + "/none"):
        view.goto(address)
        assert view.evaluate(FAINT_TEXTS) == [], address


def test_signs_of_chance_stand_out_on_the_deepest_shade(view, site):
    view.goto(site.address)
    view.evaluate("document.querySelectorAll('.square').forEach(one => one.className = 'square shade-10 level')")
    assert view.evaluate(FAINT_TEXTS) == []


def test_what_scrolls_can_be_reached_by_keyboard(view, site):
    for address in site.pages:
        view.goto(site.address + address)
        assert view.evaluate(UNREACHABLE_SCROLLERS) == []


def test_foreign_text_does_not_run(view, site):
    for address in site.pages:
        view.goto(site.address + address)
        assert view.title().endswith("Fathom")
        assert view.evaluate("document.scripts.length") == 0


def test_an_empty_board_fits_every_view(view, empty_site):
    view.goto(empty_site)
    assert view.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert "fathom run --model" in view.content()
    assert view.complaints == []


def test_a_visitor_gets_from_the_board_to_the_wrong_answers(view, site):
    view.goto(site.address)
    view.click(f"a[href='/runs/{site.noisy}']")
    view.click("text=Read the samples")
    view.select_option("#correct", "false")
    view.click("button")
    assert "correct=false" in view.url
    verdicts = view.locator(".verdict b").all_inner_texts()
    assert verdicts
    assert all("wrong" in verdict for verdict in verdicts)


def test_the_level_column_stays_in_sight_while_a_phone_scrolls_the_table(chromium, site):
    context = chromium.new_context(**VIEWS["phone"])
    page = context.new_page()
    page.goto(site.address)
    page.locator(".scroll").first.evaluate("box => box.scrollLeft = 400")
    assert page.locator(".board tbody th").first.bounding_box()["x"] >= 0
    context.close()


def test_a_page_fits_a_sheet_of_paper(chromium, site, tmp_path):
    context = chromium.new_context(viewport={"width": 718, "height": 1000})  # A4 less Chromium's margins
    page = context.new_page()
    page.emulate_media(media="print")
    for address in site.pages[:3]:
        page.goto(site.address + address)
        assert page.pdf(path=tmp_path / "page.pdf", format="A4").startswith(b"%PDF")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert not page.locator("nav").first.is_visible()
    context.close()

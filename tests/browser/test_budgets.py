"""What a full first page may weigh, and what of it a visitor sees without scrolling: 110 models, 100 a page."""

import gzip
from pathlib import Path

import httpx
import pytest

STATIC = Path(__file__).parents[2] / "server" / "static"
ABOVE_THE_FOLD = """() => [...document.querySelectorAll('.board tbody tr')]
  .filter(row => row.getBoundingClientRect().bottom <= innerHeight).length"""
SHIFT = """() => new Promise(resolve => {
  let total = 0;
  new PerformanceObserver(list => { for (const one of list.getEntries()) if (!one.hadRecentInput) total += one.value; })
    .observe({type: 'layout-shift', buffered: true});
  setTimeout(() => resolve(total), 300);
})"""


@pytest.mark.parametrize(("width", "height", "top", "rows"), [(1440, 900, 520, 12), (390, 844, 560, 2)])
@pytest.mark.cases(2)
def test_the_table_begins_above_the_fold_and_nothing_moves(chromium, full_site, width, height, top, rows):
    context = chromium.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.goto(full_site)
    assert page.locator(".board tbody tr").first.bounding_box()["y"] <= top
    assert page.evaluate(ABOVE_THE_FOLD) >= rows
    assert page.locator(".chart").count() == 8
    assert page.evaluate(SHIFT) < 0.02
    context.close()


@pytest.mark.parametrize("width", [1216, 1280])
def test_the_whole_table_fits_a_laptop(chromium, full_site, width):
    context = chromium.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(f"{full_site}/?show=depth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".board").bounding_box()["x"] + page.locator(".board").bounding_box()["width"] <= width
    context.close()


def test_a_full_first_page_is_small(full_site):
    page = httpx.get(full_site, headers={"Accept-Encoding": "identity"})
    assert page.text.count('<th scope="row"') == 100
    assert len(gzip.compress(page.content, 6)) < 20_000


def test_styles_and_scripts_are_small():
    assert (STATIC / "fathom.css").stat().st_size < 30_000
    assert sum(script.stat().st_size for script in STATIC.glob("*.js")) < 16_000

"""Take the README's pictures of the board: `python tests/browser/screenshots.py --db demo.db`.

The database is that of `make demo`: both reference models on one seed.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
OUT = ROOT / "server" / "screenshots"
FATHOM = Path(sys.executable).parent / "fathom"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def serve(database: str) -> tuple[subprocess.Popen, str]:
    """Start the board; return its process and address."""
    process = subprocess.Popen(
        [str(FATHOM), "serve", "--db", database, "--port", "0", "--no-worker"], stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if found := re.search(r"http://\S+:\d+", line):
            return process, found[0]
    raise SystemExit("the board did not start")


def take(page, name: str, clip: dict[str, int]) -> None:
    """Write a part of the page as a picture, once all of its pictures are there."""
    page.wait_for_load_state("networkidle")
    page.screenshot(path=OUT / f"{name}.png", clip={"x": 0, "y": 0, **clip}, full_page=True)
    print(f"wrote {OUT / name}.png")


def walk(page, address: str) -> None:
    """Go the stranger's way: tick two, compare, look."""
    page.goto(address)
    rows = page.locator("main table").first.bounding_box()
    take(page, "board", {"width": 1100, "height": int(rows["y"] + rows["height"]) + 30})
    page.goto(f"{address}/?style=cot")
    for box in page.locator("input[name=m]").all():
        box.check()
    page.click("text=Compare the two ticked")
    page.wait_for_url("**/compare**style=cot**")
    page.locator("figure img").first.scroll_into_view_if_needed()
    bottom = page.locator("figure").first.bounding_box()
    height = int(bottom["y"] + bottom["height"] + page.evaluate("scrollY")) + 10
    take(page, "compare", {"width": 1100, "height": height})


def main() -> None:
    """Take all pictures."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--db", required=True)
    process, address = serve(words.parse_args().db)
    browser = next(path for name in BROWSERS if (path := shutil.which(name)))
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            walk(chromium.new_page(viewport={"width": 1100, "height": 760}), address)
            phone = chromium.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
            phone.goto(f"{address}/models/reference/pebble")
            phone.locator("figure img").nth(1).scroll_into_view_if_needed()
            take(phone, "phone", {"width": 390, "height": 1600})
            chromium.close()
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()

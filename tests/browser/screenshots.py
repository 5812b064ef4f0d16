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


MODELS = "style=cot&m=reference/pebble&m=reference/pebble-early"


def walk(page, address: str) -> None:
    """Take the first page with both models drawn, and their comparison, down to the end of the table."""
    for name, path in (("board", f"/?{MODELS}"), ("compare", f"/compare?{MODELS}")):
        page.goto(address + path)
        table = page.locator("main table").first.bounding_box()
        take(page, name, {"width": 1280, "height": int(table["y"] + table["height"]) + 30})


def main() -> None:
    """Take all pictures."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--db", required=True)
    process, address = serve(words.parse_args().db)
    browser = next(path for name in BROWSERS if (path := shutil.which(name)))
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            walk(chromium.new_page(viewport={"width": 1280, "height": 800}), address)
            phone = chromium.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
            phone.goto(f"{address}/models/reference/pebble")
            take(phone, "phone", {"width": 390, "height": 1100})
            chromium.close()
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()

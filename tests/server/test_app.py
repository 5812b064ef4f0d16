"""What the application promises whatever the page."""

import html
import re
import subprocess
import sys
from itertools import pairwise
from urllib.parse import urljoin

import httpx
import pytest
from sqlalchemy import text

from fathom.harness.errors import OlderDatabase
from fathom.server.app import ServerSettings, create_app
from tests.keys import SITE_SCRIPT

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def assert_secure(response):
    for name, value in HEADERS.items():
        assert response.headers.get_list(name) == [value]


@pytest.mark.parametrize(
    "address", ["/", "/healthz", "/static/fathom.css", "/static/none", "/none", "/runs/zzz", "/runs/"]
)
def test_every_response_carries_the_security_headers(board, address):
    assert_secure(board.get(address))


def test_no_page_holds_an_inline_script_or_style_or_fetches_from_elsewhere(board, played):
    for address in (*played.pages, "/none"):
        page = board.get(address).text
        scripts = re.findall(r"<script.*?</script>", page, re.DOTALL)
        own = [SITE_SCRIPT]
        own += ['<script src="/static/board.js" defer></script>'] if address[:2] in ("/", "/?") else []
        own += ['<script src="/static/suggest.js" defer></script>'] if "<datalist" in page else []
        assert scripts == own
        page = page.replace(str(board.base_url), "")  # of this board, in a line to copy
        for forbidden in ("<style", " style=", "javascript:", " onclick", "http://", "https://"):
            assert forbidden not in page, address


def test_every_page_answers_and_sets_no_cookie(board, played):
    for address in played.pages:
        page = board.get(address)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8"), address
        assert "set-cookie" not in page.headers
        assert_secure(page)


def test_headings_never_skip_a_level(board, played):
    for address in (*played.pages, "/none"):
        levels = [int(level) for level in re.findall(r"<h([1-6])", board.get(address).text)]
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(levels)), address


def test_every_table_has_a_caption_and_its_scroll_box_takes_the_keyboard(board, played):
    for address in played.pages:
        page = board.get(address).text
        assert page.count("<table") == len(re.findall("<caption[ >]", page))
        boxes = re.findall(r'<div class="scroll[^>]*>', page)
        assert all('role="region" tabindex="0" aria-label="' in box for box in boxes)
        assert all("scope=" in cell for cell in re.findall(r"<th[ >][^>]*", page))


@pytest.mark.slow
@pytest.mark.turns(2)
def test_every_link_of_every_page_leads_somewhere(board, played):
    found = {}
    for address in played.pages:
        for link in re.findall(r'(?:href|src|srcset)="([^"]+)"', board.get(address).text):
            found.setdefault(urljoin(address, html.unescape(link)).partition("#")[0], address)
    lost = [(link, page) for link, page in found.items() if board.head(link).status_code != 200]
    assert len(found) > 300
    assert lost == []


def test_every_link_to_a_place_finds_it_once(board, played):
    found = {urljoin(at, html.unescape(to)) for at in played.pages for to in _places(board.get(at).text)}
    for link in found:
        address, _, place = link.partition("#")
        assert board.get(address).text.count(f' id="{place}"') == 1, link


def _places(page):
    names = re.findall(r' id="([^"]+)"', page)
    assert len(names) == len(set(names))
    return re.findall(r'href="([^"]*#[^"]+)"', page)


def test_health_is_ok(board):
    answer = board.get("/healthz")
    assert (answer.status_code, answer.json()["status"], answer.json()["reasons"]) == (200, "ok", [])


def test_a_fault_of_ours_is_a_page_and_secure(serve, fresh):
    app = create_app(ServerSettings(fresh[1]))

    def fall():
        raise RuntimeError("secret detail")

    app.add_api_route("/fall", fall)
    page = httpx.get(serve(app) + "/fall")
    assert page.status_code == 500
    assert "secret detail" not in page.text
    assert "report it" in page.text
    assert_secure(page)


def test_a_broken_database_is_a_page_that_says_so(browse, fresh):
    db, url = fresh
    client = browse(url)
    with db.begin() as connection:
        connection.execute(text("DROP TABLE pools"))
    page = client.get("/")
    assert page.status_code == 500
    assert "the database refused" in page.text
    assert_secure(page)


def test_an_old_database_is_refused_before_serving(fresh):
    db, url = fresh
    with db.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(OlderDatabase, match="fathom db upgrade"):
        create_app(ServerSettings(url))


def test_the_server_imports_no_heavy_package():
    code = (
        "import sys, fathom.server.app\n"
        "heavy = ('torch', 'vllm', 'lm_eval', 'datasets', 'pandas', 'pyarrow', 'altair', 'vl_convert',"
        " 'transformers', 'alembic')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

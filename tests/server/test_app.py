"""What the application promises whatever the page."""

import subprocess
import sys

import httpx
import pytest
from sqlalchemy import text

from harness.errors import OlderDatabase
from server.app import ServerSettings, create_app

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def assert_secure(response):
    for name, value in HEADERS.items():
        assert response.headers.get_list(name) == [value]


@pytest.mark.parametrize(
    "address", ["/", "/healthz", "/static/fathom.css", "/static/none", "/none", "/runs/zzz", "/runs/"]
)
def test_every_response_carries_the_security_headers(board, address):
    assert_secure(board.get(address))


def test_no_page_needs_a_script_or_an_inline_style(board, played):
    for address in ("/", f"/runs/{played.noisy.summary.run}", f"/runs/{played.noisy.summary.run}/samples", "/none"):
        page = board.get(address).text
        for forbidden in ("<script", "<style", "style=", "javascript:", " onclick", "http://", "https://"):
            assert forbidden not in page


def test_health_is_ok(board):
    answer = board.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok")


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
        connection.execute(text("DROP TABLE samples"))
        connection.execute(text("DROP TABLE cells"))
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
        "import sys, server.app\n"
        "heavy = ('torch', 'vllm', 'lm_eval', 'datasets', 'pandas', 'transformers', 'alembic')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

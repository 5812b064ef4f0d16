"""One line a request, with all that an operator needs and nothing that names a visitor."""

import json
import logging
import re
import signal
import subprocess

import httpx
import pytest

from fathom.server.app import ServerSettings, create_app
from fathom.server.web.logs import JsonFormatter, network_of
from tests.keys import printed_address

SECRET = "fathom_s3cr3ttokens3cr3ttoken"


@pytest.fixture
def served(start_fathom, fresh):
    """A board whose log is JSON, in one process and in two; return its client and what it logged."""
    started = []

    def start(workers, **extra):
        process = start_fathom("serve", "--db", fresh[1], "--port", 0, "--workers", workers, "--no-worker", **extra)
        address = printed_address(process)
        client = httpx.Client(base_url=address, timeout=60)
        started.append(client)

        def stop():
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=30)  # `communicate` would lose the lines that came with the address
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            output = process.stdout.read()
            return [json.loads(line) for line in output.splitlines() if line.startswith("{")], output

        return client, stop

    yield start
    for client in started:
        client.close()


@pytest.mark.cases(1)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_is_one_line_without_anything_secret(served, workers):
    client, stop = served(workers, FATHOM_LOG="json")
    asked, headers = "/runs/abc?q=me@example.org&token=t0k3n", {"Cookie": "login=c00k1e", "X-Request-Id": "mine"}
    answer = client.get(asked, headers=headers)
    assert client.get(asked, headers={**headers, "Authorization": f"Bearer {SECRET}"}).status_code == 401
    lines, output = stop()
    (line,) = [one for one in lines if one.get("path") == "/runs/{run}"]
    assert set(line) == {"time", "level", "logger", "request", "method", "path", "status", "ms", "actor", "address"}
    assert (line["method"], line["status"], line["address"]) == ("GET", 404, "127.0.0.0/24")
    assert re.fullmatch("[0-9a-f]{16}", line["request"])
    assert line["request"] == answer.headers["x-request-id"]
    assert line["ms"] > 0
    for secret in (SECRET, "t0k3n", "c00k1e", "example.org", "abc?", "mine"):
        assert secret not in output


def test_the_text_log_stays_quiet(served):
    client, stop = served(1, FATHOM_LOG="")
    assert client.get("/").status_code == 200
    lines, output = stop()
    assert lines == []
    assert output.strip() == "no worker evaluates what you submit, until you start `fathom worker`"


def test_the_option_and_the_variable_say_text_or_json(fathom, tmp_path):
    for done in (
        fathom("serve", "--db", tmp_path / "a.db", "--log", "xml"),
        fathom("serve", "--db", tmp_path / "a.db", FATHOM_LOG="xml"),
    ):
        assert (done.returncode, "text or json" in done.stderr) == (2, True)


class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(JsonFormatter().format(record))


def test_a_fault_is_logged_with_its_traceback_under_the_number_on_the_page(serve, fresh):
    app = create_app(ServerSettings(fresh[1]))

    def fall():
        raise RuntimeError("what went wrong\n\x1b[2J")

    app.add_api_route("/fall", fall)
    kept = Kept()
    logging.getLogger("fathom.requests").addHandler(kept)
    try:
        page = httpx.get(serve(app) + "/fall")
    finally:
        logging.getLogger("fathom.requests").removeHandler(kept)
    number = page.headers["x-request-id"]
    assert number in page.text
    (line,) = kept.lines
    assert "\n" not in line
    assert "\x1b" not in line
    found = json.loads(line)
    assert (found["request"], found["status"], found["path"]) == (number, 500, "/fall")
    assert "in fall" in found["traceback"]
    assert "what went wrong" in found["traceback"]


def test_every_request_has_a_number_of_its_own(board):
    numbers = {
        board.get(address).headers["x-request-id"] for address in ("/", "/none", "/static/fathom.css", "/healthz")
    }
    assert len(numbers) == 4


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("testclient", ""),
        ("", ""),
    ],
)
def test_addresses_are_cut_to_their_network(address, network):
    assert network_of(address) == network


def test_the_databases_errors_do_not_repeat_values(db):
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    with pytest.raises(DBAPIError) as caught, db.begin() as connection:
        connection.execute(text("INSERT INTO none VALUES (:secret)"), {"secret": SECRET})
    assert SECRET not in str(caught.value)

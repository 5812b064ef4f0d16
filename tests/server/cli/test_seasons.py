"""A season from the command line: each command says which one comes next, and verifying fails where it must."""

import http.server
import json
import threading

import pytest
from typer.testing import CliRunner

from fathom.harness.errors import BadInput, Conflict, UnknownSubmission
from fathom.server.cli.main import build

KEY = "a key of at least thirty-two characters"


@pytest.fixture
def call(tmp_path):
    """Run a command in this process; what it raises is raised here, as `main` would print it."""

    def run(*words, key=KEY):
        done = CliRunner().invoke(
            build(), [str(word) for word in words], env={"FATHOM_DB": str(tmp_path / "s.db"), "FATHOM_SECRET_KEY": key}
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    return run


def hold(call, name="s", beacon="0123456789abcdef"):
    assert "`fathom season commit" in call("season", "new", name, "--suite", "quick", "--n", 2)[1]
    assert "commitment " in call("season", "commit", name)[1]
    return call("season", "open", name, "--beacon", beacon, "--beacon-source", "drand round 1")


def test_a_season_is_held_and_verified(call, tmp_path):
    code, said = hold(call)
    assert (code, "is open" in said) == (0, True)
    assert "`fathom season reveal s`" in call("season", "close", "s")[1]
    assert "secret " in call("season", "reveal", "s")[1]
    code, said = call("verify-season", "s")
    assert (code, said.count("ok "), "all 11 checks passed" in said) == (0, 11, True)
    assert "s  " in call("season", "list")[1]
    document = tmp_path / "s.json"
    document.write_text(call("season", "show", "s")[1])
    assert call("verify-season", document)[0] == 0
    known = json.loads(document.read_text())
    document.write_text(json.dumps({**known, "secret": f"{int(known['secret'][0], 16) ^ 1:x}{known['secret'][1:]}"}))
    code, said = call("verify-season", document)
    assert (code, "FAILED  commitment" in said, "2 of 11 checks FAILED" in said) == (1, True, True)
    assert f"committed to with Fathom {known['terms']['fathom']}" in said


def test_errors_name_the_key_the_season_and_the_next_command(call):
    with pytest.raises(BadInput, match="openssl rand"):
        call("season", "new", "s", key="")
    assert "no season yet" in call("season", "list")[1]
    with pytest.raises(UnknownSubmission, match="no season"):
        call("season", "commit", "s")
    call("season", "new", "s")
    with pytest.raises(Conflict, match="commit s` comes next"):
        call("season", "close", "s")
    with pytest.raises(BadInput, match="not revealed yet"):
        call("verify-season", "s")
    assert call("season", "open", "s")[0] == 2  # --beacon is required


@pytest.fixture
def served():
    """A server that answers each path with what the test put there."""
    answers = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = answers.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield answers, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_a_server_or_file_holds_instead_of_a_season_is_bad_input(call, served, tmp_path):
    answers, address = served
    answers["/seasons/s.json"] = b"<html>"
    answers["/seasons/t.json"] = b"[1]"
    answers["/seasons/u.json"] = b" " * (5 << 20)
    for name, words in (("s", "hold JSON"), ("t", "hold a season"), ("u", "more than"), ("v", "answers 404")):
        with pytest.raises(BadInput, match=words):
            call("verify-season", name, "--server", address)
    with pytest.raises(BadInput, match="cannot reach"):
        call("verify-season", "s", "--server", "nonsense")
    with pytest.raises(BadInput, match="cannot read"):
        call("verify-season", tmp_path / "none.json")

"""Every clause of the Security section of the design has a test that fails without its defence: this is the table."""

import ast
import re
import time
from pathlib import Path
from urllib.parse import quote

import pytest

pytestmark = pytest.mark.cases(None)

ROOT = Path(__file__).parents[2]
SECTION = (
    "default bind 127.0.0.1; refuses another bind without a secret key and accounts · autoescape everywhere, model text "
    "only in `<pre>`, control and bidi characters shown escaped · tokens stored hashed, scopes {read, submit, worker, "
    "admin}, constant-time compare · SameSite cookies + CSRF token + Origin check on forms · uploads: JSONL or gzip only, "
    "streamed: 64 MB packed, 512 MB unpacked, ratio 100, line 256 KB, exactly N lines, no NaN; 413 early · CSV cells "
    "starting with `= + - @` tab or CR are quoted with `'` · no user text in a path or URL · search by LIKE with escapes, "
    "no user regex · per-address and per-user limits in the database · object-level authorisation tested as a route x role "
    "matrix · worker: a fetcher with the network and no GPU, a runner with no network and no secrets, `trust_remote_code` "
    "never."
)
"""As it stands in design/leaderboard.md."""

ROWS = (
    ("default bind 127.0.0.1", "server/test_security_rows.py::test_the_default_bind_is_loopback"),
    (
        "refuses another bind without a secret key and accounts",
        "server/cli/test_accounts.py::test_any_other_address_needs_accounts_a_key_and_https",
        "server/cli/test_accounts.py::test_the_command_refuses_before_it_listens",
    ),
    (
        "autoescape everywhere",
        "server/test_security_rows.py::test_no_template_or_module_turns_escaping_off",
        "server/test_hostile.py::test_foreign_text_is_inert_on_every_page",
    ),
    ("model text only in `<pre>`", "server/test_hostile.py::test_foreign_text_is_inert_on_every_page"),
    (
        "control and bidi characters shown escaped",
        "server/test_hostile.py::test_hidden_characters_are_shown_as_escapes",
    ),
    ("tokens stored hashed", "server/accounts/test_middleware.py::test_neither_cookies_nor_tokens_are_stored"),
    (
        "scopes {read, submit, worker, admin}",
        "server/accounts/test_middleware.py::test_a_token_gives_what_it_says_and_its_owners_role_allows",
        "server/jobs/test_api.py::test_only_tokens_of_workers_are_let_in",
    ),
    ("constant-time compare", "server/test_security_rows.py::test_secrets_are_compared_in_constant_time"),
    (
        "SameSite cookies",
        "server/accounts/test_middleware.py::test_cookies_are_out_of_reach",
        "server/accounts/test_sign_in.py::test_cookies_are_out_of_reach_of_scripts_and_stored_hashed",
    ),
    ("CSRF token", "server/accounts/test_middleware.py::test_a_form_needs_the_token_of_its_own_visitor"),
    (
        "Origin check on forms",
        "server/accounts/test_middleware.py::test_pages_of_other_sites_change_nothing",
        "server/uploads/test_api.py::test_a_form_of_another_site_is_refused_before_its_file_is_read",
    ),
    (
        "JSONL or gzip only",
        "server/uploads/test_unpacker.py::test_what_cannot_be_a_parcel_is_refused_early",
        "server/uploads/test_api.py::test_a_header_that_names_an_encoding_decodes_nothing_twice",
    ),
    ("streamed", "server/uploads/test_survival.py::test_a_bomb_of_a_gigabyte_costs_little_memory_and_time"),
    ("64 MB packed", "server/uploads/test_unpacker.py::test_packed_and_unpacked_bytes_are_limited"),
    ("512 MB unpacked", "server/uploads/test_unpacker.py::test_packed_and_unpacked_bytes_are_limited"),
    (
        "ratio 100",
        "server/uploads/test_unpacker.py::test_a_bomb_is_given_up_within_a_few_megabytes",
        "server/uploads/test_survival.py::test_a_parcel_of_endless_answers_is_refused_by_its_ratio",
    ),
    ("line 256 KB", "server/uploads/test_unpacker.py::test_what_cannot_be_a_parcel_is_refused_early"),
    ("exactly N lines", "harness/io/test_parcel.py::test_a_wrong_parcel_is_refused_with_the_reason_and_leaves_nothing"),
    ("no NaN", "harness/io/test_parcel.py::test_a_line_that_is_not_strict_json_is_refused"),
    (
        "413 early",
        "server/uploads/test_api.py::test_a_body_that_says_it_is_too_large_is_refused_before_it_comes",
        "server/jobs/test_api.py::test_bodies_that_are_too_large_are_refused_before_they_are_read",
    ),
    (
        "CSV cells starting with `= + - @` tab or CR are quoted with `'`",
        "server/board/test_downloads.py::test_what_a_spreadsheet_would_take_for_a_formula_is_quoted",
    ),
    (
        "no user text in a path or URL",
        "server/test_security_rows.py::test_no_address_reaches_a_file",
        "server/submissions/test_model_checks.py::test_ids_and_revisions_are_plain",
        "server/accounts/test_sign_in.py::test_signing_in_leads_nowhere_else",
    ),
    ("search by LIKE with escapes", "server/test_security_rows.py::test_wildcards_of_a_search_are_plain_text"),
    ("no user regex", "server/test_security_rows.py::test_a_search_is_no_pattern"),
    (
        "per-address and per-user limits in the database",
        "server/accounts/test_middleware.py::test_a_limit_counts_in_windows_and_forgets",
        "server/accounts/test_sign_in.py::test_an_address_may_try_thirty_times",
        "server/uploads/test_api.py::test_a_user_who_sends_too_often_is_stopped_for_a_while",
        "server/submissions/test_store.py::test_a_quota_counts_a_day_and_gives_back",
    ),
    ("object-level authorisation tested as a route x role matrix", "server/test_roles.py::test_"),
    (
        "a fetcher with the network and no GPU",
        "harness/service/worker/test_worker.py::test_files_are_fetched_by_commit_and_code_is_left_behind",
    ),
    (
        "a runner with no network and no secrets",
        "harness/service/worker/test_worker.py::test_the_runner_has_neither_secrets_nor_a_network",
        "harness/service/worker/test_worker.py::test_a_process_that_left_the_network_reaches_itself_alone",
    ),
    ("`trust_remote_code` never", "server/test_security_rows.py::test_no_call_trusts_remote_code"),
)


def test_every_clause_of_the_section_stands_in_the_table_in_order():
    rest = SECTION
    for clause, *_ in ROWS:
        before, found, rest = rest.partition(clause)
        assert found, clause
        assert not re.search(r"\w", before.replace("uploads:", "").replace("worker:", "")), before
    assert rest == "."


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_clause_has_its_tests(row):
    for test in row[1:]:
        file, _, name = test.partition("::")
        assert f"\ndef {name}" in (ROOT / "tests" / file).read_text(encoding="utf-8"), test


def sources():
    for folder in ("harness", "server", "tasks"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield file, file.read_text(encoding="utf-8")


def test_the_default_bind_is_loopback(start_fathom, tmp_path):
    process = start_fathom("serve", "--db", tmp_path / "a.db", "--port", 0, "--no-worker")
    assert "at http://127.0.0.1:" in process.stdout.readline()
    listening = {line.split()[1].partition(":")[0] for line in _sockets(process.pid)}
    assert listening == {"0100007F"}  # 127.0.0.1, as Linux writes it


def _sockets(pid):
    """Lines of /proc/net/tcp of what a process listens on."""
    own = {link.readlink().as_posix() for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    lines = [
        line for table in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return [line for line in lines if line.split()[3] == "0A" and f"socket:[{line.split()[9]}]" in own]


def test_no_template_or_module_turns_escaping_off():
    for file in sorted((ROOT / "server" / "templates").iterdir()):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape|forceescape", text), file.name
    for file, text in sources():
        assert "Markup(" not in text, file
        assert not re.search(r"autoescape=(?!True)", text), file


def test_secrets_are_compared_in_constant_time():
    secret = re.compile(r"csrf|token|secret|digest|cookie", re.IGNORECASE)
    wanted = {"server/accounts/store.py", "server/jobs/leases.py", "server/web/forms.py"}
    for file, text in sources():
        name = file.relative_to(ROOT).as_posix()
        if name in wanted:
            assert "compare_digest(" in text, name
            wanted.remove(name)
            for node in ast.walk(ast.parse(text)):  # == between SQL's columns is the database's affair
                if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                    sides = [ast.unparse(one) for one in (node.left, *node.comparators)]
                    assert not all(secret.search(one) for one in sides) or any("Row." in one for one in sides), sides
    assert not wanted


@pytest.fixture(scope="module")
def odd_names(browse, write_run, tmp_path_factory):
    from fathom.harness.db.engine import open_database

    url = f"sqlite:///{tmp_path_factory.mktemp('odd') / 'runs.db'}"
    db = open_database(url, create=True)
    for name in ("org/plain", "org/50%", "org/under_score", "org/back\\slash", "org/a.*b", "org/(a+)+$"):
        write_run(db, write_run.story(model=name))
    db.dispose()
    return browse(url)


def names(client, search):
    return sorted(one["model"] for one in client.get(f"/api/v1/board?q={quote(search)}").json()["standings"])


@pytest.mark.parametrize(
    ("search", "found"),
    [("%", ["org/50%"]), ("_", ["org/under_score"]), ("\\", ["org/back\\slash"]), ("g/_", []), ("o%n", []), ("'", [])],
)
def test_wildcards_of_a_search_are_plain_text(odd_names, search, found):
    assert names(odd_names, search) == found


@pytest.mark.parametrize(
    ("search", "found"), [(".*", ["org/a.*b"]), ("(a+)+$", ["org/(a+)+$"]), ("^org", []), ("[a-z]", [])]
)
def test_a_search_is_no_pattern(odd_names, search, found):
    assert names(odd_names, search) == found
    began = time.monotonic()
    assert odd_names.get("/?q=" + quote("a" * 100 + "!")).status_code in (200, 422)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("way", ["..", "%2e%2e", "..%2f..", "%2e%2e%2f%2e%2e", "..%5c..", "....//", "%00"])
@pytest.mark.parametrize(
    "start", ["/static/", "/runs/", "/models/", "/families/", "/badge/", "/submissions/", "/seasons/"]
)
def test_no_address_reaches_a_file(board, start, way):
    for file in ("pyproject.toml", "etc/passwd", "app.py"):
        answer = board.get(f"{start}{way}/{file}")
        assert answer.status_code in (400, 404, 405, 422), answer.url
        assert "root:" not in answer.text
        assert "[project]" not in answer.text
        assert "def create_app" not in answer.text


def test_no_call_trusts_remote_code():
    for file, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert isinstance(node.value, ast.Constant), file
                assert node.value.value is False, file
        assert not re.search(r"""["']--trust[-_]remote[-_]code|setattr\([^)]*trust_remote""", text), file

"""The board as a visitor meets it: over HTTP, from a real database."""

import html
import re
import shlex

import pytest

from fathom.harness.db import read
from fathom.harness.db.engine import open_database


def text_of(page):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def test_an_empty_board_says_which_command_makes_a_run(browse, fresh):
    page = browse(fresh[1]).get("/")
    assert page.status_code == 200
    assert "fathom run --model" in page.text


def test_a_missing_database_becomes_an_empty_board(browse, tmp_path):
    assert browse(str(tmp_path / "new.db")).get("/").status_code == 200


def test_a_run_shows_its_cells_its_manifest_and_its_mistakes(board, played):
    detail = played.noisy
    shown = text_of(board.get(f"/runs/{detail.summary.run}"))
    for cell in detail.cells:
        assert f"{cell.k}/{cell.n}" in shown
    for wanted in (detail.manifest_digest, detail.suite_digest, "hardware processor", "fathom commit", "kind noisy"):
        assert wanted in shown
    assert any(label in shown for label in ("other_node", "short_by_one", "one_hop"))


def test_a_failed_run_shows_its_error_and_the_end_of_its_log(board, played):
    shown = text_of(board.get(f"/runs/{played.failed.summary.run}"))
    assert played.failed.summary.error in shown
    assert "Traceback" in shown


def test_the_command_on_a_runs_page_repeats_the_run(board, played, fathom, tmp_path):
    page = board.get(f"/runs/{played.noisy.summary.run}").text
    command = html.unescape(re.findall(r"<code>(fathom run .*?)</code>", page)[0])
    again = f"sqlite:///{tmp_path / 'again.db'}"
    done = fathom(*shlex.split(command)[1:], "--db", again)
    assert done.returncode == 0, done.stderr
    db = open_database(again, create=False)
    made = read.get_run(db, read.list_runs(db)[0].run)
    db.dispose()
    assert made.manifest_digest == played.noisy.manifest_digest
    assert [cell.k for cell in made.cells] == [cell.k for cell in played.noisy.cells]


def test_samples_show_question_completion_answer_and_gold(board, played):
    shown = text_of(board.get(f"/runs/{played.perfect.summary.run}/samples"))
    for wanted in (
        "depo@2/n4k1/symbol/7/0",
        "Which code is 1 arrow after",
        "Answer read",
        "Gold",
        "✓ right",
        f"1\N{EN DASH}20 of {played.perfect.suite.n_items}",
    ):
        assert wanted in shown


def test_samples_of_a_choice_show_every_candidate_with_its_score(board, played):
    cell = next(cell for cell in played.perfect.cells if cell.style == "choice")
    shown = text_of(board.get(f"/runs/{played.perfect.summary.run}/samples?cell={cell.id}"))
    assert shown.count("right, chosen") == cell.n
    assert "\N{MINUS SIGN}9.00" in shown


def test_filters_of_samples_agree_with_the_counts(board, played):
    run, cells = played.noisy.summary.run, played.noisy.cells
    wrong = sum(cell.n - cell.k for cell in cells)
    assert f"of {wrong} samples" in text_of(board.get(f"/runs/{run}/samples?cell=&label=&correct=false"))
    cell = next(cell for cell in cells if len(cell.labels) > 1)
    label, n = next((label, n) for label, n in cell.labels.items() if label != "correct")
    shown = text_of(board.get(f"/runs/{run}/samples?cell={cell.id}&label={label}"))
    assert f"1\N{EN DASH}{n} of {n} sample" in shown


def test_a_filter_that_fits_nothing_says_so(board, played):
    assert "No sample matches" in board.get(f"/runs/{played.perfect.summary.run}/samples?correct=false").text


def test_pages_of_samples_lead_to_each_other_and_keep_the_filter(board, played):
    start = f"/runs/{played.perfect.summary.run}/samples?correct=true"
    seen, address = [], start
    while address:
        page = board.get(address).text
        seen += re.findall(r'id="sample-(\d+)"', page)
        following = re.findall(r'rel="next" href="([^"]+)"', page)
        address = f"{start.partition('?')[0]}{html.unescape(following[0])}" if following else None
        assert address is None or "correct=true" in address
    assert len(seen) == len(set(seen)) == played.perfect.suite.n_items


def test_the_oldest_items_are_shown_without_a_question(browse, fresh, write_run):
    db, url = fresh
    run = write_run(db)
    with db.begin() as connection:
        connection.exec_driver_sql("UPDATE cells SET version = 99")
    client = browse(url)
    assert "cannot be shown" in client.get(f"/runs/{run}/samples").text
    assert client.get(f"/runs/{run}").status_code == 200
    assert "n4k1 1 hop, chance not known" in text_of(client.get("/?family=depo"))
    for address in ("/", "/models/org/model", "/compare?m=org/model&m=org/model"):
        assert client.get(address).status_code == 200


def test_a_running_run_tells_what_is_stored_before_it_is_counted(browse, fresh, write_run):
    db, url = fresh
    run = write_run(db, write_run.story(state=None, texts=(" AB",) * 3))
    shown = text_of(browse(url).get(f"/runs/{run}"))
    assert "Stored 3/3" in shown
    assert "when the run ends" in shown


@pytest.mark.parametrize("run", ["ffffffffffff", "zzz", "%25", "%00", "%2e%2e%2f", "'", "a" * 64])
def test_an_unknown_run_is_404_with_a_page(board, run):
    for address in (f"/runs/{run}", f"/runs/{run}/samples"):
        page = board.get(address)
        assert page.status_code == 404
        assert "<h1>" in page.text


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("cell=x", 422), ("cell=-1", 422), ("cell=99999999999999999999", 422), ("cell=999999", 404), ("page=0", 422),
        ("page=x", 422), ("page=9e9", 422), ("page=1000000", 404), ("page=99999999999999999999", 422),
        ("correct=maybe", 422), ("label=unheard_of", 404), ("label=%00", 404), (f"label={'a' * 200}", 422),
        ("correct=&cell=&label=", 200), ("unknown=1", 200),
    ],
)  # fmt: skip
def test_a_bad_query_is_a_friendly_4xx(board, played, query, status):
    page = board.get(f"/runs/{played.noisy.summary.run}/samples?{query}")
    assert page.status_code == status
    assert "<h1>" in page.text


@pytest.mark.parametrize(
    "address", ["/nothing", "/static/../app.py", "/static/%2e%2e/app.py", "/static/%00", "/docs", "/openapi.json"]
)
def test_what_is_not_there_is_404_in_the_same_look(board, address):
    page = board.get(address)
    assert page.status_code == 404
    assert "/static/fathom.css" in page.text


def test_the_board_can_only_be_read(board):
    assert board.post("/").status_code == 405
    assert board.head("/").status_code == 200

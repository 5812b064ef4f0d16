"""Three steps to an evaluation: start a board, name a model, press Evaluate; with real workers and engines."""

import datetime as dt
import re
import shlex
import signal

import httpx
import pytest
from playwright.sync_api import expect
from sqlalchemy import update

from fathom.harness.db import read
from fathom.harness.db.engine import open_database, writing
from fathom.harness.db.schema.service import WorkerRow
from fathom.harness.db.write import utc_now
from tests.browser.test_submission import watch
from tests.keys import printed_entry
from tests.service import until

pytestmark = pytest.mark.turns(3, form=1)


@pytest.fixture
def start_board(start_fathom, tmp_path, chromium):
    """Start a board on an empty database, as a user does; return a page that has opened the printed address."""
    contexts = []

    def start(*words, javascript=True, **extra):
        board = start_fathom("serve", "--db", tmp_path / "board.db", "--port", 0, *words, **extra)
        entry = printed_entry(board)
        contexts.append(chromium.new_context(viewport={"width": 1440, "height": 900}, java_script_enabled=javascript))
        page = contexts[-1].new_page()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(entry)
        return page, entry.partition("/?")[0]

    yield start
    for context in contexts:
        context.close()


def name_model(page, address, model):
    page.goto(f"{address}/submit")
    page.get_by_label("Model", exact=True).fill(model)


def evaluate(page, seconds=500):
    """Press Evaluate, and watch until the row is on the board; return what the bar showed, and what the head said."""
    page.get_by_role("button", name="Evaluate").click()
    page.wait_for_url(re.compile(r"/submissions/[0-9a-f]+$"))
    head = []
    page.expose_function("heard", lambda words: head.append(words))
    page.evaluate(
        "() => new MutationObserver(() => heard(document.querySelector('#worker').textContent.trim()))"
        ".observe(document.querySelector('#worker'), {childList: true})"
    )
    states, values = watch(page, seconds)
    print(f"\nstates: {states}\nitems on the bar: {values}\nhead: {sorted(set(head))}")
    assert states[-1] == "finished"
    assert values == sorted(values)
    assert len(values) >= 3
    return head


def open_row(page, model):
    page.get_by_role("link", name="See its row on the board").click()
    row = page.locator("main table tbody tr", has_text=model)
    expect(row).to_have_count(1)
    return row


@pytest.mark.slow
def test_three_steps_lead_from_an_empty_database_to_a_row(start_board):
    page, address = start_board()
    name_model(page, address, "reference/pebble")
    shown = page.locator("#preview")
    for words in (
        "1.11M",
        "no chat template",
        "in plain text, zero-shot",
        "1,710",
        "nothing alike ran here yet with vLLM",
    ):
        expect(shown).to_contain_text(words)
    head = evaluate(page)
    assert any(re.fullmatch(r"\d+% of reference/pebble", words) for words in head)
    expect(page.locator("main")).not_to_contain_text("No worker")
    open_row(page, "reference/pebble")
    name_model(page, address, "reference/pebble-early")
    expect(page.locator("#preview")).to_contain_text("as reference/pebble took here")
    assert page.errors == []


@pytest.mark.full
@pytest.mark.timeout(1800)  # minutes on two free cores
def test_a_chat_model_in_a_folder_is_evaluated_in_a_chat(start_board, smol):
    page, address = start_board()
    name_model(page, address, str(smol))
    for words in ("135M", "chat template found", "in a chat, zero-shot"):
        expect(page.locator("#preview")).to_contain_text(words)
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("Style").select_option("choice")
    expect(page.locator("#preview")).to_contain_text("180 of quick")
    evaluate(page, 1500)
    open_row(page, smol.name)
    page.goto(f"{address}/runs")
    assert str(smol.parent) not in page.content()


def test_a_page_of_the_hub_may_be_pasted_and_problems_come_while_typing(start_board, hub):
    hub.make("pebble")
    hub.make("pickle")
    page, address = start_board("--no-worker", FATHOM_HUB=hub.url)
    name_model(page, address, f"{hub.url}/org/pebble/tree/main")
    expect(page.locator("#preview")).to_contain_text("org/pebble on the hub, at commit")
    page.get_by_label("Model", exact=True).fill("org/pickle")
    expect(page.locator("#preview")).to_contain_text("not stored as safetensors")
    page.get_by_label("Model", exact=True).fill("org/")
    expect(page.locator("#preview")).to_contain_text("not a model id")
    page.get_by_label("Model", exact=True).fill("")
    expect(page.locator("#preview")).to_be_empty()
    assert page.errors == []


def test_without_javascript_the_same_form_is_checked_when_it_is_sent(start_board, hub):
    hub.make("pebble")
    page, address = start_board("--no-worker", javascript=False, FATHOM_HUB=hub.url)
    name_model(page, address, "org/none")
    page.get_by_role("button", name="Evaluate").click()
    expect(page.locator("#model[aria-invalid=true]")).to_be_visible()
    page.get_by_label("Model", exact=True).fill(f"{hub.url}/org/pebble")
    page.get_by_role("button", name="Evaluate").click()
    page.wait_for_url(re.compile(r"/submissions/[0-9a-f]+$"))
    expect(page.locator("h1")).to_have_text("org/pebble")


def test_where_no_worker_is_pages_say_so_with_a_command_that_works(start_board, start_fathom, tmp_path):
    page, address = start_board("--no-worker")
    name_model(page, address, "reference/pebble")
    page.get_by_role("button", name="Evaluate").click()
    page.wait_for_url(re.compile(r"/submissions/[0-9a-f]+$"))
    submission = page.url
    commands = set()
    for place in (submission, f"{address}/submit", f"{address}/queue"):
        page.goto(place)
        expect(page.get_by_text("No worker with vLLM is running")).to_be_visible()
        expect(page.locator("#worker")).to_have_text("no worker")
        commands.add(page.locator(".workers .command code").inner_text())
    (command,) = commands
    assert command == f"fathom worker --server {address}"

    worker = start_fathom(*shlex.split(command)[1:], "--engine", "oracle", "--name", "mine")
    until(lambda: "idle" in httpx.get(f"{address}/worker", timeout=30).text)
    page.goto(f"{address}/queue")
    expect(page.locator("tr", has_text="mine")).to_contain_text("idle")
    expect(page.get_by_text("is running, so what you submit waits")).to_have_count(0)
    page.goto(submission)  # a worker with another engine does not help this one
    expect(page.get_by_text("No worker with vLLM is running")).to_be_visible()

    worker.send_signal(signal.SIGKILL)
    worker.wait(timeout=30)
    db = open_database(str(tmp_path / "board.db"), create=False)
    with writing(db) as session:
        session.execute(update(WorkerRow).values(seen_at=utc_now() - dt.timedelta(seconds=61)))
    db.dispose()
    page.goto(f"{address}/queue")
    expect(page.get_by_text("is running, so what you submit waits")).to_be_visible()
    expect(page.locator("tr", has_text="mine")).to_contain_text("gone")


@pytest.fixture
def results(fathom, tmp_path):
    """A file with results of the oracle."""
    url = f"sqlite:///{tmp_path / 'laptop.db'}"
    words = ("--engine", "oracle", "--suite", "quick", "--n", 5, "--db", url)
    assert fathom("run", "--model", "oracle/noisy", *words).returncode == 0
    db = open_database(url, create=False)
    (run,) = read.list_runs(db)
    db.dispose()
    out = tmp_path / "results.jsonl.gz"
    done = fathom("submit", run.run, "--out", out, "--db", url)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("javascript", [True, False])
def test_results_are_seen_before_they_are_sent_and_found_afterwards(start_board, results, tmp_path, javascript):
    page, address = start_board("--no-worker", javascript=javascript)
    page.goto(f"{address}/submit")
    page.get_by_role("main").get_by_role("link", name="Upload results").click()
    if javascript:
        wrong = tmp_path / "wrong.jsonl"
        wrong.write_text('{"fathom": 1}\n')
        page.get_by_label("File with the results").set_input_files(wrong)
        expect(page.locator("#preview")).to_contain_text("This would be refused.")
    page.get_by_label("File with the results").set_input_files(results)
    if javascript:
        for words in (
            "oracle/noisy",
            "quick",
            "This file can be uploaded",
            "in plain text, zero-shot",
            "cannot be replayed",
        ):
            expect(page.locator("#preview")).to_contain_text(words)
        assert httpx.get(f"{address}/api/v1/runs", timeout=30).json()["total"] == 0
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url(re.compile(r"/submit/results/[0-9a-f]+$"))
    expect(page.get_by_text("unchecked", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="See it among unchecked uploads")).to_be_visible(timeout=30_000)  # by itself
    page.get_by_role("link", name="See it among unchecked uploads").click()
    expect(page.locator("main table tbody tr", has_text="oracle/noisy")).to_have_count(1)
    assert page.errors == []

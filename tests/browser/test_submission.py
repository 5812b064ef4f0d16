"""From a stranger to a row on the board: sign in, submit, wait, be ranked; with a real worker and a real vLLM."""

import re
import time

import pytest
from playwright.sync_api import expect

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from tests.server.provider import CLIENT, SECRET, Provider


@pytest.fixture
def provider(serve):
    """The provider of OpenID Connect that tests/server brings, served."""
    found = Provider(person={"sub": "77", "preferred_username": "grace"})
    found.url = serve(found.app())
    return found


@pytest.fixture
def public(provider, hub, tmp_path, fathom, start_fathom, free_port):
    """A board with accounts, a hub with org/pebble, and a function that starts a worker with vLLM."""
    hub.make("pebble")
    address, url = f"http://127.0.0.1:{free_port}", f"sqlite:///{tmp_path / 'board.db'}"
    settings = {
        "FATHOM_URL": address, "FATHOM_SECRET_KEY": "k" * 40, "FATHOM_HUB": hub.url, "FATHOM_OIDC_ISSUER": provider.url,
        "FATHOM_OIDC_CLIENT_ID": CLIENT, "FATHOM_OIDC_CLIENT_SECRET": SECRET,
    }  # fmt: skip
    made = fathom("token", "create", "--name", "gpu", "--scopes", "worker", "--db", url)
    (tmp_path / "token").write_text(made.stdout)
    server = start_fathom("serve", "--db", url, "--port", free_port, **settings)
    assert address in server.stdout.readline()

    def work():
        return start_fathom(
            "worker", "--server", address, "--engine", "vllm", "--token-file", tmp_path / "token", "--name", "gpu-1",
            FATHOM_HUB=hub.url, HF_HUB_OFFLINE="0", XDG_CACHE_HOME=str(tmp_path / "cache"),
        )  # fmt: skip

    return address, url, work


def watch(page, seconds=240):
    """Return the states and the values of the bar that a visitor sees until the submission is over; loads nothing."""
    states, values = [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = page.evaluate(
            "() => [document.querySelector('.headline .state').textContent.trim(),"
            " document.querySelector('[data-live=bar]')?.value ?? null]"
        )
        for log, value in zip((states, values), seen, strict=True):
            if value is not None and (not log or log[-1] != value):
                log.append(value)
        if states[-1] in ("finished", "failed"):
            return states, values
        page.wait_for_timeout(100)
    pytest.fail(f"not over after {seconds} s: {states} {values}")


def submit(page):
    """Fill in the form for org/pebble and send it."""
    page.get_by_label("Model", exact=True).fill("org/pebble")
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("Suite").select_option("quick")
    page.get_by_label("Style").select_option("cot")
    page.get_by_role("button", name="Evaluate").click()


@pytest.mark.turns(3, form=0)
def test_a_stranger_signs_in_submits_a_model_and_sees_it_ranked(public, chromium):
    address, url, work = public
    context = chromium.new_context()
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}/submit")
    expect(page.get_by_label("Model", exact=True)).to_have_count(0)

    page.goto(f"{address}/account")  # leads to the provider, and back
    expect(page.get_by_text("grace").first).to_be_visible()

    page.get_by_role("link", name="Evaluate a model").first.click()
    page.get_by_label("Model", exact=True).fill("org/missing")
    page.get_by_role("button", name="Evaluate").click()
    expect(page.locator("#model[aria-invalid=true]")).to_be_visible()

    submit(page)
    page.wait_for_url(re.compile(r"/submissions/[0-9a-f]+$"))
    submission = page.url

    expect(page.locator(".headline .state")).to_have_text(re.compile("waiting|planned", re.IGNORECASE), timeout=30_000)
    visitor = context.new_page()
    visitor.goto(f"{address}/queue")
    expect(visitor.get_by_text("org/pebble").first).to_be_visible()

    worker = work()
    states, values = watch(page)
    print(f"\nstates seen in the browser: {states}\nitems seen on the bar: {values}")
    assert states[-1] == "finished"
    assert len(values) >= 3
    assert values == sorted(values)
    assert worker.poll() is None

    page.get_by_role("link", name="See the run").click()
    expect(page.locator("abbr.tier").first).to_have_text("run here")
    page.goto(f"{address}/")
    row = page.locator("table.board tbody tr", has_text="org/pebble")
    expect(row).to_have_count(1)
    expect(row.locator("abbr.tier")).to_have_count(0)  # what is run here needs no mark

    page.goto(f"{address}/submit")
    submit(page)
    expect(page.get_by_role("link", name=re.compile("see submission"))).to_have_attribute(
        "href", submission.removeprefix(address)
    )
    context.close()

    worker.terminate()
    assert worker.wait(timeout=30) == 0
    assert errors == []
    db = open_database(url, create=False)
    runs = {one.layer: one for one in read.list_runs(db)}
    db.dispose()
    assert {layer: (one.state, one.tier, one.n_done == one.n_items) for layer, one in runs.items()} == {
        "main": ("done", 3, True), "fresh": ("done", 3, True)
    }  # fmt: skip
    assert runs["main"].n_items == 390

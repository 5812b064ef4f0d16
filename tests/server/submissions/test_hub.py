"""A hub is asked within bounds; the hub of the tests is one that huggingface_hub itself downloads from."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from fathom.harness.errors import BadSubmission, Busy, TooMany
from fathom.server.submissions.hub import HubClient, HubLimits
from fathom.server.submissions.model_checks import RunChoice, check_model


@pytest.fixture
def download(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)

    def call(name, **words):
        words = {"token": False, **words}
        return Path(snapshot_download(name, endpoint=hub.url, cache_dir=tmp_path, **words))

    return call


def test_huggingface_hub_downloads_a_pinned_commit_of_the_tests_hub(hub, download):
    repo = hub.make("pebble")
    old = repo.sha
    repo.push("README.md", b"changed")
    assert repo.sha != old
    before, after = download("org/pebble", revision=old), download("org/pebble")
    assert before.name == old
    assert after.name == repo.sha
    assert (after / "README.md").read_bytes() == b"changed" != (before / "README.md").read_bytes()
    assert (before / "model.safetensors").read_bytes() == repo.files["model.safetensors"]


def test_a_gated_repository_of_the_tests_hub_opens_to_a_token_only(hub, download):
    hub.make("gated")
    with pytest.raises(GatedRepoError):
        download("org/gated")
    with pytest.raises(RepositoryNotFoundError):
        download("org/missing")
    assert (download("org/gated", token="hf_opens_everything") / "config.json").exists()


QUICK = HubLimits(deadline=1.0, pauses=(0.02, 0.02))


@pytest.fixture
def look(run_async):
    """Ask a hub about a model, and wait."""
    return lambda client, name="org/pebble", revision="main", who="user/1": run_async(
        client.read_repository(name, revision, who)
    )


@pytest.mark.parametrize(
    ("kind", "code", "field"),
    [
        ("missing", "missing", "model"), ("private", "missing", "model"), ("disabled", "missing", "model"),
        ("slow", "hub_timeout", "model"), ("flaky", "hub_5xx", "model"), ("elsewhere", "bad_model", "model"),
    ],
)  # fmt: skip
def test_a_repository_that_cannot_be_read_is_one_finding(hub, kind, code, field, look):
    if kind != "missing":
        hub.make(kind)
    with pytest.raises(BadSubmission) as caught:
        look(HubClient(hub.url, 1 << 30, QUICK), f"org/{kind}")
    assert [(one.code, one.field) for one in caught.value.findings] == [(code, field)]
    assert caught.value.findings[0].fix
    assert hub.stolen == []


def test_a_revision_is_pinned_to_the_commit_that_it_is_now(hub, look):
    repo, client = hub.make("pebble"), HubClient(hub.url, 1 << 30)
    repo.tags["v1"] = old = repo.sha
    new = repo.push("config.json", b"{}")
    assert [look(client, revision=name).sha for name in ("main", "v1", old, new)] == [new, old, old, new]
    assert look(client, revision="v1").texts["config.json"] == repo.history[old]["config.json"]
    with pytest.raises(BadSubmission, match="no such revision"):
        look(client, revision="nope")


def test_headers_are_read_and_the_weights_are_not(hub, look):
    repo = hub.make("sharded")
    shards = {name: content for name, content in repo.files.items() if name.endswith(".safetensors")}
    found = look(HubClient(hub.url, 1 << 30), "org/sharded")
    assert {name: one.size for name, one in found.headers.items()} == {name: len(one) for name, one in shards.items()}
    assert all(json.loads(one.text) for one in found.headers.values())
    assert len([path for _, path in repo.asked if path.endswith(".safetensors")]) == len(shards)
    repo.sizes = dict.fromkeys(shards, 500 << 30)
    assert look(HubClient(hub.url, 1 << 30), "org/sharded").headers == {}  # too large to be worth a look


def test_a_long_header_is_fetched_in_two_parts_and_an_absurd_one_not_at_all(hub, look):
    names = {f"layer.{at}.{'x' * 100}": (1,) for at in range(1000)}
    hub.add("org/long", {"model.safetensors": hub.safetensors(names)})
    client = HubClient(hub.url, 1 << 30)
    assert len(json.loads(look(client, "org/long").headers["model.safetensors"].text)) == 1000
    for head in (b"\xff" * 8, b"\x00\x00\x00\x70" + bytes(4), b"abc", b""):
        hub.add("org/absurd", {"model.safetensors": head + b"{}"})
        assert look(client, "org/absurd").headers["model.safetensors"].text == b""


def test_a_fault_of_the_hub_that_passes_is_not_noticed(hub, look):
    hub.make("pebble", failures=2)
    assert look(HubClient(hub.url, 1 << 30, QUICK)).sha == hub.repos["org/pebble"].sha


def test_answers_are_read_up_to_their_limits(hub, look):
    files = {**hub.make("pebble").files, "config.json": b" " * 5000}
    hub.add("org/long", files)
    bounds = replace(QUICK, config=4999)
    with pytest.raises(BadSubmission, match="longer than"):
        look(HubClient(hub.url, 1 << 30, bounds), "org/long")
    with pytest.raises(BadSubmission, match="longer than"):
        look(HubClient(hub.url, 1 << 30, replace(QUICK, info=100)), "org/pebble")
    with pytest.raises(BadSubmission, match="headers of the weights"):
        look(HubClient(hub.url, 1 << 30, replace(QUICK, headers=100)), "org/pebble")


@pytest.mark.parametrize(
    "info",
    [{"sha": "main"}, {"sha": None}, {"id": "../x"}, {"id": 7}, {"siblings": None}, {"siblings": [7, {"rfilename": 7}]},
     {"siblings": [{"rfilename": "model.safetensors", "size": "x"}]}, {"cardData": 7, "tags": 7}],
)  # fmt: skip
def test_a_hub_that_answers_nonsense_leads_to_findings(hub, info, look):
    hub.make("pebble", info=info)
    try:
        found = check_model(look(HubClient(hub.url, 1 << 30, QUICK)), RunChoice()).findings
    except BadSubmission as error:
        found = error.findings
    assert found


def test_what_is_renamed_on_the_hub_goes_by_its_new_name(hub, look):
    hub.make("pebble", info={"id": "New/Name"})
    hub.repos["New/Name"] = hub.repos["org/pebble"]
    assert look(HubClient(hub.url, 1 << 30)).model == "New/Name"


def test_looks_are_bounded_for_one_user_and_for_all(hub, run_async):
    hub.make("slow")
    client = HubClient(hub.url, 1 << 30, replace(QUICK, n_own=2, n_looks=3, deadline=0.5))

    async def looks(*users):
        calls = (client.read_repository("org/slow", "main", user) for user in users)
        return [type(one) for one in await asyncio.gather(*calls, return_exceptions=True)]

    assert run_async(looks("a", "a", "a", "b", "c")) == [BadSubmission, BadSubmission, TooMany, BadSubmission, Busy]
    assert run_async(looks("a", "c")) == [BadSubmission, BadSubmission]


def test_a_hub_that_is_not_there_is_a_finding(look):
    with pytest.raises(BadSubmission) as caught:
        look(HubClient("http://127.0.0.1:9", 1 << 30, QUICK))
    assert caught.value.findings[0].code == "hub_5xx"

"""The hub of the tests is one that huggingface_hub itself downloads from."""

from pathlib import Path

import pytest
from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError


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

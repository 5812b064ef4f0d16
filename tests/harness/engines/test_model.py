import json
import shutil
import subprocess
from pathlib import Path

import pytest

from fathom.harness.engines.model import REFERENCE, find_model, folder_digest, reference_models
from fathom.harness.errors import BrokenModel, UnknownModel


@pytest.fixture
def copy(tmp_path):
    """A copy of pebble to break."""
    return shutil.copytree(REFERENCE / "pebble", tmp_path / "model")


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


BREAKS = {
    "no config": lambda folder: (folder / "config.json").unlink(),
    "half a config": lambda folder: cut(folder / "config.json", 0.5),
    "a config of nothing": lambda folder: (folder / "config.json").write_text("{}"),
    "a config that is a list": lambda folder: (folder / "config.json").write_text("[]"),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "half the weights": lambda folder: cut(folder / "model.safetensors", 0.5),
    "one byte missing": lambda folder: cut(folder / "model.safetensors", 1 - 1e-7),
    "weights of four bytes": lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 4),
    "a header of garbage": lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 4096),
    "empty weights": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "no tokenizer": lambda folder: [file.unlink() for file in folder.glob("tokenizer*")],
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_folder_is_refused_before_anything_is_loaded(copy, name):
    BREAKS[name](copy)
    with pytest.raises(BrokenModel) as caught:
        find_model(str(copy))
    assert len(str(caught.value).splitlines()) == 1


def test_a_broken_folder_is_one_line_on_the_command_line(copy, fathom, tmp_path):
    cut(copy / "model.safetensors", 0.9)
    done = fathom("run", "--model", copy, "--engine", "vllm", "--db", tmp_path / "a.db")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "fetch it again" in done.stderr
    assert not (tmp_path / "a.db").exists()


@pytest.mark.slow
@pytest.mark.turns(2)
def test_a_model_that_an_engine_cannot_load_is_a_failed_run_with_its_log(copy, fathom, tmp_path):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(
        json.dumps({**config, "num_hidden_layers": 9, "architectures": ["NoSuchThing"], "model_type": "no_such"})
    )
    done = fathom("run", "--model", copy, "--engine", "hf", "--n", 1, "--db", tmp_path / "a.db", process=True)
    assert done.returncode == 3, done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("fathom: ")]) == 1, done.stderr
    (run,) = json.loads(fathom("runs", "--db", tmp_path / "a.db", "--json").stdout)
    assert run["state"] == "failed"
    shown = json.loads(fathom("show", run["run"], "--db", tmp_path / "a.db", "--json").stdout)
    assert "Traceback" in shown["log"]
    assert "no_such" in shown["error"]


def test_the_digest_follows_every_byte_that_matters(copy):
    before = folder_digest(copy)
    (copy / "README.md").write_text("another card")
    assert folder_digest(copy) == before
    config = copy / "config.json"
    config.write_text(config.read_text() + " ")
    assert folder_digest(copy) != before


@pytest.mark.parametrize(
    "name", ["", "a/../b", "a\0b", "org/na--me", "no such", "/no/where", "x" * 300, "org/name/more"]
)
def test_names_that_cannot_be_models_are_refused_without_the_network(name):
    with pytest.raises(UnknownModel):
        find_model(name)


def test_reference_models_are_small_complete_and_have_a_card():
    assert reference_models() == ("reference/pebble", "reference/pebble-early")
    for name in reference_models():
        folder = find_model(name).folder()
        size = sum(file.stat().st_size for file in folder.iterdir())
        assert size <= 4 * 1024 * 1024
        card = (folder / "README.md").read_text()
        assert "tokens seen" in card
        assert "| depo/n8k1/symbol/direct |" in card


def test_reference_models_ship_in_the_wheel(tmp_path):
    import tomllib

    root = Path(__file__).parents[3]
    built = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert "harness" in built["only-include"]
    ignored = subprocess.run(
        ["git", "-C", str(root), "check-ignore", *map(str, REFERENCE.resolve().rglob("*"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.stdout == ""


def test_parameters_are_counted_once_and_a_chat_template_makes_a_chat_model(tmp_path):
    from fathom.harness.engines.model import REFERENCE, ModelFacts, inspect_model

    assert inspect_model(REFERENCE / "pebble") == ModelFacts(1_112_448, "base")
    copy = tmp_path / "chatty"
    shutil.copytree(REFERENCE / "pebble", copy)
    (copy / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert inspect_model(copy).kind == "chat"


def test_the_digest_of_a_large_folder_is_remembered_until_a_file_changes(tmp_path, monkeypatch):
    import os

    from fathom.harness.engines.model import folder_digest

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"a" * 100)
    first = folder_digest(folder, 50)
    assert first == folder_digest(folder)  # the same as without a memory
    (note,) = (tmp_path / "cache" / "fathom" / "model-digests").iterdir()
    note.write_text("from memory")
    assert folder_digest(folder, 50) == "from memory"
    (folder / "model.safetensors").write_bytes(b"b" * 100)
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert folder_digest(folder, 50) not in (first, "from memory")

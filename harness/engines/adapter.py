"""LoRA adapters: checks of their folders, and the name and digest of a model with an adapter."""

import json
import re
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from fathom.harness.engines.model import ModelSource, files_digest
from fathom.harness.engines.weights import check_safetensors
from fathom.harness.errors import BrokenModel

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter's rank and the last parts of the names of the layers that it changes."""

    rank: int
    layers: tuple[str, ...]
    """Empty if the files give a pattern instead of names."""


def check_adapter(path: Path) -> Adapter:
    """Check an adapter's files.

    Raises:
        BrokenModel: files are missing or cut off, or belong to another kind of adapter.
    """
    file = path / _CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BrokenModel(f"{path} contains no LoRA adapter: {_CONFIG} is missing") from error
    except (ValueError, OSError) as error:
        raise BrokenModel(f"{file} cannot be read ({error}): fetch the adapter again") from error
    rank = config.get("r") if isinstance(config, dict) else None
    if rank is None or config.get("peft_type", "LORA") != "LORA":
        raise BrokenModel(f"{file} describes no LoRA adapter: it needs peft_type LORA and a rank r")
    if not isinstance(rank, int) or rank < 1:
        raise BrokenModel(f"{file} says r = {rank!r}: a rank is a whole number of at least 1")
    if not (path / _WEIGHTS).exists():
        raise BrokenModel(f"{path} has no {_WEIGHTS}: save the adapter with save_pretrained")
    check_safetensors(path / _WEIGHTS)
    named = config.get("target_modules")
    names = named if isinstance(named, list) else []
    return Adapter(rank, tuple(sorted({str(name).rpartition(".")[2] for name in names})))


def adapted(model: ModelSource, path: Path, name: str | None = None) -> ModelSource:
    """Return a model with an adapter: its digest covers both, and its name differs from the bare model's.

    Raises:
        BrokenModel: files are missing or cut off, or belong to another kind of adapter.
    """
    check_adapter(path)
    label = re.sub(r"[^\w.-]", "-", path.resolve().name, flags=re.ASCII)
    both = f"{model.digest}+{files_digest([path / _CONFIG, path / _WEIGHTS])}"
    return ModelSource(name or f"{model.name}+{label}", model.path, blake2b(both.encode(), digest_size=16).hexdigest())


def bare_name(name: str) -> str:
    """Return the name of the model without its adapter."""
    return name.rpartition("+")[0] or name

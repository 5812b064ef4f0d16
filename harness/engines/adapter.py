"""Turn a model and the folder of a LoRA adapter into a model with a name and a digest of its own."""

import json
import re
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from fathom.harness.engines.model import ModelSource, check_safetensors, files_digest
from fathom.harness.errors import BrokenModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class Adapter:
    """What the files say of an adapter: its rank, and the last names of the layers that it changes."""

    rank: int
    layers: tuple[str, ...]
    """Empty where the files give a pattern instead of names."""


def check_adapter(path: Path) -> Adapter:
    """Check an adapter's files.

    Raises:
        BrokenModel: files missing, cut off, or of another kind of adapter.
    """
    file = path / CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BrokenModel(f"{path} holds no LoRA adapter: {CONFIG} is missing") from error
    except (ValueError, OSError) as error:
        raise BrokenModel(f"{file} cannot be read ({error}): fetch the adapter again") from error
    rank = config.get("r") if isinstance(config, dict) else None
    if rank is None or config.get("peft_type", "LORA") != "LORA":
        raise BrokenModel(f"{file} describes no LoRA adapter: it wants peft_type LORA and a rank r")
    if not isinstance(rank, int) or rank < 1:
        raise BrokenModel(f"{file} says r = {rank!r}: a rank is a whole number from 1 on")
    if not (path / WEIGHTS).exists():
        raise BrokenModel(f"{path} has no {WEIGHTS}: save the adapter with save_pretrained")
    check_safetensors(path / WEIGHTS)
    named = config.get("target_modules")
    names = named if isinstance(named, list) else []
    return Adapter(rank, tuple(sorted({str(name).rpartition(".")[2] for name in names})))


def adapted(model: ModelSource, path: Path, name: str | None = None) -> ModelSource:
    """Return a model with an adapter on it: its digest covers both, and its name tells it from the bare model.

    Raises:
        BrokenModel: as `check_adapter`.
    """
    check_adapter(path)
    label = re.sub(r"[^\w.-]", "-", path.resolve().name, flags=re.ASCII)
    both = f"{model.digest}+{files_digest([path / CONFIG, path / WEIGHTS])}"
    return ModelSource(name or f"{model.name}+{label}", model.path, blake2b(both.encode(), digest_size=16).hexdigest())


def bare_name(name: str) -> str:
    """Return the name of the model under an adapter."""
    return name.rpartition("+")[0] or name

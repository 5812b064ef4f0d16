"""Find a model by its name, check its files and digest them."""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from fathom.harness.engines.chat_template import chat_template_of
from fathom.harness.engines.model_name import folder_label, is_folder, is_hub_id
from fathom.harness.engines.tokenizer_files import check_vocabulary
from fathom.harness.engines.weights import check_weights, count_parameters, embedding_rows, read_tensors
from fathom.harness.errors import BadInput, BrokenModel, UnknownModel
from fathom.harness.settings import read_settings

REFERENCE = Path(__file__).parents[1] / "training" / "reference"
_WEIGHTS = ("*.safetensors",)
FETCHED_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
"""Files of a repository that decide what a model says, and are fetched: no code, no pickles."""
_CARD_FILE = "README.md"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model by name; `path` is None where there are no files, as for the oracle."""

    name: str
    path: Path | None
    digest: str
    by_digest: bool = False
    """Whether its files decide what model it is, as of a folder; else the name does, as on the hub."""
    is_named: bool = False
    """Whether the user gave the name, instead of a place."""

    def folder(self) -> Path:
        """Return the folder, or raise UnknownModel where there is none."""
        if self.path is None:
            raise UnknownModel(f"{self.name} has no files: only the oracle engine runs it")
        return self.path


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts from a model's files; `kind` is chat where they hold a chat template, else base."""

    n_parameters: int | None
    """None where weights are packed in a way that is not known here."""
    kind: str


def inspect_model(path: Path) -> ModelFacts:
    """Count the parameters from the headers of the weights, and look for a chat template."""
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    n = count_parameters(read_tensors(path), config)
    return ModelFacts(n, "base" if chat_template_of(path) is None else "chat")


def reference_models() -> tuple[str, ...]:
    """Return the names of the models that come with Fathom."""
    return tuple(f"reference/{path.name}" for path in sorted(REFERENCE.glob("*")) if (path / "config.json").exists())


def find_model(name: str, revision: str | None = None) -> ModelSource:
    """Find a reference model, a local folder or a hub id, and check its files; only the hub has revisions.

    Raises:
        UnknownModel: none of these.
        BrokenModel: files missing, cut off, or not what they claim to be.
        BadInput: a revision of what is not on the hub.
    """
    path = locate_model(name, revision)
    try:
        check_folder(path)
    except BrokenModel as error:
        if not commit_of(path):
            raise
        raise BrokenModel(
            f"the copy of {folder_label(path)} in the hub's cache is not whole, or not a model ({error}): fetch all of "
            f"it with `hf download {folder_label(path)}`"
        ) from error
    return ModelSource(name, path, folder_digest(path))


def find_outline(name: str, revision: str | None = None) -> ModelSource:
    """Find a model as `find_model` does, but fetch and check none of its weights: to plan a run, not to do it."""
    return ModelSource(name, locate_model(name, revision, weights=False), "")


def find_served_model(name: str) -> ModelSource:
    """Return a model that a server holds; with the digest of its files where they are on this machine as well."""
    if name in reference_models() or (is_folder(name) and (Path(name) / "config.json").exists()):
        return find_model(name)
    return ModelSource(name, None, f"openai:{name}")


def locate_model(name: str, revision: str | None = None, *, weights: bool = True) -> Path:
    """Return a model's folder, unchecked; a model of the hub is fetched, on demand without its weights.

    Raises:
        UnknownModel: neither a reference model, nor a folder, nor a model of the hub.
        BadInput: a revision of a model that is not on the hub.
    """
    if revision is not None and (name.startswith("reference/") or is_folder(name)):
        raise BadInput(f"{name} is on this machine, and only models of the hub have revisions: leave out --revision")
    if name.startswith("reference/"):
        if name not in reference_models():
            raise UnknownModel(f"no reference model {name!r}; known: {', '.join(reference_models())}")
        return REFERENCE / name.removeprefix("reference/")
    if is_folder(name):
        return Path(name)
    if not is_hub_id(name):
        raise UnknownModel(
            f"{name!r} is neither a folder, nor a hub id (org/name), nor one of {', '.join(reference_models())}"
        )
    return _download(name, revision, weights)


def _download(name: str, revision: str | None, weights: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        wanted, unwanted = [*FETCHED_FILES, _CARD_FILE], None if weights else list(_WEIGHTS)
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted, ignore_patterns=unwanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UnknownModel(
            f"no folder {name!r}, and the hub gave no model of that name ({reason[:150]}): "
            "check the name, the network, or HF_TOKEN for a gated model"
        ) from error


def check_folder(path: Path) -> None:
    """Raise BrokenModel unless config, tokenizer and whole safetensors files are there, and belong together."""
    config = _read_config(path / "config.json")
    if not any((path / name).exists() for name in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")):
        raise BrokenModel(f"{path} has no tokenizer: tokenizer.json is missing")
    check_weights(path)
    n_embeddings = embedding_rows(read_tensors(path), config)
    if n_embeddings is not None:
        check_vocabulary(path, n_embeddings)


def _read_config(file: Path) -> dict[str, Any]:  # JSON values
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BrokenModel(f"{file.parent} is no model folder: config.json is missing") from error
    except (UnicodeDecodeError, json.JSONDecodeError, OSError) as error:
        raise BrokenModel(f"{file} cannot be read ({error}): fetch the model again") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise BrokenModel(f"{file} names no model_type: it is not a transformers config")
    return config


def commit_of(path: Path | None) -> str:
    """Return the commit of a folder in the hub's cache; empty for any other folder."""
    if path is None or path.parent.name != "snapshots" or not re.fullmatch(r"[0-9a-f]{40}", path.name):
        return ""
    return path.name


_REMEMBERED_FROM = 1 << 30
"""Size in bytes from which a folder's digest is cached until a file changes."""


def folder_digest(path: Path, remembered: int = _REMEMBERED_FROM) -> str:
    """Hash name and bytes of every file that decides what the model says; 32 hex digits."""
    files = sorted({file for pattern in FETCHED_FILES for file in path.glob(pattern)})
    stats = [(str(file.resolve()), file.stat()) for file in files]
    if sum(stat.st_size for _, stat in stats) < remembered:
        return files_digest(files)
    told = repr([(name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino) for name, stat in stats])
    note = read_settings().cache / "model-digests" / blake2b(told.encode(), digest_size=16).hexdigest()
    if note.exists():
        return note.read_text(encoding="ascii")
    digest = files_digest(files)
    note.parent.mkdir(parents=True, exist_ok=True)
    partial = note.with_suffix(f".{os.getpid()}")
    partial.write_text(digest, encoding="ascii")
    partial.replace(note)
    return digest


def folder_outline(path: Path) -> str:
    """Hash names and sizes of a model's files, and all bytes but the weights'; quick, to compare folders."""
    files = sorted({file for pattern in FETCHED_FILES for file in path.glob(pattern)})
    sizes = "".join(f"{file.name}\0{file.stat().st_size}\0" for file in files)
    small = files_digest(file for file in files if not any(file.match(pattern) for pattern in _WEIGHTS))
    return blake2b(f"{sizes}{small}".encode(), digest_size=16).hexdigest()


def files_digest(files: Iterable[Path]) -> str:
    """Hash name and bytes of files; 32 hex digits."""
    state = blake2b(digest_size=16)
    for file in files:
        state.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                state.update(block)
    return state.hexdigest()

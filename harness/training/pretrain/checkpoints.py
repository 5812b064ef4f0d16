"""Checkpoints: each is sealed with the digests of its files, so that training resumes from a whole one."""

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC
from hashlib import blake2b
from pathlib import Path

from fathom.harness.errors import BadRecipe, DiskFull
from fathom.harness.training.recipe import Recipe

log = logging.getLogger(__name__)

SEAL_FILE = "whole.json"
_CHUNK = 1 << 22
_DISK_FULL_WORDS = ("no space left", "file too large", "quota exceeded", "inline_container", "iostream error")
"""In the errors of the operating system, safetensors and torch.save when the disk is full."""


def claim_checkpoints(checkpoints: Path, recipe: Recipe) -> None:
    """Claim a folder of checkpoints for a recipe.

    Raises:
        BadRecipe: it contains checkpoints of another recipe.
    """
    checkpoints.mkdir(parents=True, exist_ok=True)
    mark = checkpoints / "recipe.json"
    wanted = recipe.whole_json(indent=1)
    if mark.exists() and mark.read_text(encoding="utf-8") != wanted:
        raise BadRecipe(f"{checkpoints} was begun with another recipe: give another --out, or remove it")
    mark.write_text(wanted, encoding="utf-8")


def seal_checkpoint(folder: Path) -> None:
    """Write sizes and digests of a checkpoint's files beside them; without this file the checkpoint is ignored."""
    facts = {path.name: _facts(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != SEAL_FILE}
    partial = folder / f".{SEAL_FILE}"
    partial.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    partial.replace(folder / SEAL_FILE)


def _fault(folder: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None."""
    try:
        stated = json.loads((folder / SEAL_FILE).read_text(encoding="utf-8"))
        for name, facts in stated.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != facts["bytes"]:
                return f"{name} has {path.stat().st_size:,} of {facts['bytes']:,} bytes"
            if _facts(path) != facts:
                return f"{name} was changed"
    except OSError:
        return "it is incomplete"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{SEAL_FILE} cannot be read"
    return None


def last_whole_checkpoint(checkpoints: Path) -> Path | None:
    """Return the newest whole checkpoint; newer ones that are damaged are removed, with a warning."""
    numbers = {folder: folder.name.removeprefix("checkpoint-") for folder in checkpoints.glob("checkpoint-*")}
    found = [folder for folder, number in numbers.items() if number.isdecimal() and folder.is_dir()]
    for folder in sorted(found, key=lambda folder: int(numbers[folder]), reverse=True):
        wrong = _fault(folder)
        if wrong is None:
            return folder
        log.warning("%s is damaged (%s): removed, resuming from the one before it", folder, wrong)
        shutil.rmtree(folder)
    return None


@contextmanager
def saving_to(checkpoints: Path) -> Iterator[None]:
    """Remove incomplete checkpoints when the disk is full.

    Raises:
        DiskFull: a file could not be written completely.
    """
    try:
        yield
    except Exception as error:  # OSError, RuntimeError of torch.save, SafetensorError have no other common base
        if not _is_full(error):
            raise
        for folder in checkpoints.glob("checkpoint-*"):
            if not (folder / SEAL_FILE).exists():
                shutil.rmtree(folder, ignore_errors=True)
        kept = last_whole_checkpoint(checkpoints)
        where = f"the last good checkpoint is kept ({kept.name})" if kept else "there was no checkpoint yet"
        raise DiskFull(
            f"cannot save to {checkpoints.parent}, the disk is full: {where}; free some space, "
            "then give the same command to continue"
        ) from error


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT, EFBIG):
        return True
    return any(words in str(error).lower() for words in _DISK_FULL_WORDS)


def _facts(path: Path) -> dict[str, int | str]:
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return {"bytes": path.stat().st_size, "blake2b": digest.hexdigest()}

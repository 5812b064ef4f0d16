"""Turn a folder of checkpoints into the newest whole one: each is sealed, last of all, with its files' digests."""

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

SEAL = "whole.json"
_CHUNK = 1 << 22
_FULL = ("no space left", "file too large", "quota exceeded", "inline_container", "iostream error")
"""What errno, safetensors and torch.save say when a file cannot be written to its end."""


def claim(checkpoints: Path, recipe: Recipe) -> None:
    """Make the folder a recipe's own.

    Raises:
        BadRecipe: it holds the checkpoints of another recipe.
    """
    checkpoints.mkdir(parents=True, exist_ok=True)
    mark = checkpoints / "recipe.json"
    wanted = recipe.model_dump_json(indent=1)
    if mark.exists() and mark.read_text(encoding="utf-8") != wanted:
        raise BadRecipe(f"{checkpoints} was begun with another recipe: give another --out, or remove it")
    mark.write_text(wanted, encoding="utf-8")


def seal(folder: Path) -> None:
    """Write down size and digest of each file of a checkpoint; without this file it does not count."""
    facts = {path.name: _facts(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != SEAL}
    partial = folder / f".{SEAL}"
    partial.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    partial.replace(folder / SEAL)


def fault(folder: Path) -> str | None:
    """Say what is wrong with a checkpoint, or None."""
    try:
        stated = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        for name, facts in stated.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != facts["bytes"]:
                return f"{name} has {path.stat().st_size:,} of {facts['bytes']:,} bytes"
            if _facts(path) != facts:
                return f"{name} was changed"
    except OSError:
        return "it was not written to its end"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{SEAL} cannot be read"
    return None


def last_whole(checkpoints: Path) -> Path | None:
    """Return the newest whole checkpoint; newer ones that are not whole are removed, with a warning."""
    numbers = {folder: folder.name.removeprefix("checkpoint-") for folder in checkpoints.glob("checkpoint-*")}
    found = [folder for folder, number in numbers.items() if number.isdecimal() and folder.is_dir()]
    for folder in sorted(found, key=lambda folder: int(numbers[folder]), reverse=True):
        wrong = fault(folder)
        if wrong is None:
            return folder
        log.warning("%s is not whole (%s): removed; going on from the one before it", folder, wrong)
        shutil.rmtree(folder)
    return None


@contextmanager
def saving_to(checkpoints: Path) -> Iterator[None]:
    """Say so when the disk is full, and drop what could not be saved, so that the last good checkpoint counts.

    Raises:
        DiskFull: a file could not be written to its end.
    """
    try:
        yield
    except Exception as error:  # OSError, RuntimeError of torch.save, SafetensorError: they share no other base
        if not _is_full(error):
            raise
        for folder in checkpoints.glob("checkpoint-*"):
            if not (folder / SEAL).exists():
                shutil.rmtree(folder, ignore_errors=True)
        kept = last_whole(checkpoints)
        where = f"the last good checkpoint is kept ({kept.name})" if kept else "there was no checkpoint yet"
        raise DiskFull(
            f"cannot save to {checkpoints.parent}, the disk is full: {where}; free some space, "
            "then give the same command to go on"
        ) from error


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT, EFBIG):
        return True
    return any(words in str(error).lower() for words in _FULL)


def _facts(path: Path) -> dict[str, int | str]:
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return {"bytes": path.stat().st_size, "blake2b": digest.hexdigest()}

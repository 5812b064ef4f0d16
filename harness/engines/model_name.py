"""Names of models: what a folder is called however it was typed, and which names a board accepts."""

import re
from pathlib import Path

from fathom.harness.errors import BadInput

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)
_CHECKPOINT = re.compile(r"checkpoint-\d+")
_CACHED = "models--"
"""Beginning of a model's folder in the hub's cache."""
RESERVED = ("reference/", "oracle/", "demo/")
"""Beginnings of names that a board keeps for models of its own."""


def is_hub_id(name: str) -> bool:
    """Say whether a name has the form of a hub id, org/name."""
    return _HUB_ID.fullmatch(name) is not None and ".." not in name and "--" not in name


def is_folder(name: str) -> bool:
    """Say whether a text names a folder of this machine."""
    try:
        return bool(name) and Path(name).is_dir()
    except (OSError, ValueError):  # too long for a path, or with a NUL in it
        return False


def folder_label(path: Path) -> str:
    """Return a short name of a model's folder, the same for `./x`, `x/` and its absolute path.

    It is the last part of the path; behind the folder of its training for `checkpoint-500`, as many have one; and the
    hub id of a snapshot in the hub's cache.
    """
    whole = path.resolve()
    if whole.parent.name == "snapshots" and whole.parents[1].name.startswith(_CACHED):
        return whole.parents[1].name.removeprefix(_CACHED).replace("--", "/")
    if _CHECKPOINT.fullmatch(whole.name) and whole.parent.name:
        return f"{whole.parent.name}/{whole.name}"
    return whole.name or str(whole)


def check_board_name(name: str) -> None:
    """Raise BadInput for a name that no board accepts."""
    if not is_hub_id(name):
        raise BadInput(
            f"a model cannot be called {name[:100]!r}: boards take names like ids on the hub, organisation/name, of "
            "letters, digits and . _ -, without .. and --"
        )
    if name.casefold().startswith(RESERVED):
        raise BadInput(f"names that begin with {name.partition('/')[0]}/ are reserved for a board's own models")

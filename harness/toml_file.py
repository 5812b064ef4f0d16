"""Turn a TOML file that people write into plain values, however hostile it is."""

import tomllib
from pathlib import Path
from typing import Any

_LARGEST = 1_000_000
"""Bytes of a file that people write by hand."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, nested too deeply, or no TOML; the message says which.
    """
    with path.open("rb") as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST:,} bytes")
    try:
        return tomllib.loads(data.decode())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error

"""Options and value syntax that several commands share."""

import json
from collections.abc import Iterable
from typing import Annotated, Any, Optional

import typer

from fathom.harness.errors import BadInput
from fathom.harness.settings import read_settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Db = Annotated[
    Optional[str], typer.Option("--db", help="Database URL or SQLite file; default FATHOM_DB or ./fathom.db.")
]


def database_of(url: str | None) -> str:
    """Return the database that the user named, or the environment's."""
    return url or read_settings().database


def names(text: str | None) -> tuple[str, ...]:
    """Split a,b at its commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def pairs(words: Iterable[str], option: str) -> dict[str, Any]:
    """Read key=value words; a value is JSON where it can be, else a text.

    Raises:
        BadInput: a word without an equals sign, or the same key twice.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not (key and equals):
            raise BadInput(f"{option} wants key=value, not {word!r}")
        if key in found:
            raise BadInput(f"{option} names {key} twice: name it once")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found

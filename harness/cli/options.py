"""Options and value syntax that several commands share."""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fathom.harness.errors import BadInput
from fathom.harness.settings import read_settings

if TYPE_CHECKING:  # SQLAlchemy takes a quarter of a second to import
    from sqlalchemy import Engine

    from fathom.tasks.suites import Selection

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Db = Annotated[
    Optional[str], typer.Option("--db", help="Database URL or SQLite file; default FATHOM_DB or ./fathom.db.")
]


AT_END: ContextVar[ExitStack | None] = ContextVar("AT_END", default=None)
"""What is closed when the command ends; set by `main`."""


def database_of(url: str | None) -> str:
    """Return the database that the user named, or the environment's."""
    return url or read_settings().database


def open_store(url: str | None, *, create: bool = False) -> "Engine":
    """Open the database that the user named, or the environment's, until the command ends.

    Runs whose process is gone are stored as interrupted.

    Raises:
        StoreError: it cannot be opened.
    """
    from fathom.harness.db.engine import open_database, parse_url
    from fathom.harness.db.liveness import end_dead_runs

    if parse_url(database_of(url)).database in (None, "", ":memory:"):
        raise BadInput("a database in memory is lost when the command ends: name a file with --db")
    engine = open_database(database_of(url), create=create)
    end_dead_runs(engine)
    if (at_end := AT_END.get()) is not None:
        at_end.callback(engine.dispose)
    return engine


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


def selection_of(
    families: str | None, levels: str | None, channels: str | None, styles: str | None, n: int | None
) -> "Selection":
    """Return the cells that options choose; each is a list of names with commas, or nothing."""
    from fathom.tasks.suites import Selection  # loads every family

    return Selection(names(families), names(levels), names(channels), names(styles), n)

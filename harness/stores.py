"""Turn what a notebook says of a database into one that is opened only while it is asked."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from harness.db.engine import open_database
from harness.settings import read_settings

MEMORY = ":memory:"
"""Stands for a database of its own that goes with the last run in it."""


class Folder:
    """A folder that goes with whoever holds it last."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="fathom-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class Store:
    """Where runs are; nothing stays open between two questions."""

    url: str
    folder: Folder | None = field(default=None, repr=False, compare=False)

    @classmethod
    def at(cls, db: str | Path | None) -> "Store":
        """Take a file or a URL; None is what FATHOM_DB says, MEMORY a new one."""
        if db is None:
            return cls(read_settings().database)
        if str(db) in (MEMORY, f"sqlite:///{MEMORY}", "sqlite://"):
            folder = Folder()  # a file: runs are written from several threads
            return cls(str(folder.path / "runs.db"), folder)
        return cls(str(db))

    @contextmanager
    def opened(self, *, create: bool = False) -> Iterator[Engine]:
        """Open it for a while; with `create`, it is made if need be.

        Raises:
            StoreError: it cannot be opened.
        """
        found = open_database(self.url, create=create)
        try:
            yield found
        finally:
            found.dispose()

"""Count the files and the moves between files of a small run: how far a reader has to jump to follow one.

    python -m tests.bench.trace            both counts
    python -m tests.bench.trace --list     the moves by pair of files as well

The run is `fathom run` with the oracle engine on two items, in this process, with a database of its own. A file counts
where one of its functions is called. A move is a call from a function in one of our files to one in another. What
happens while modules are imported is counted apart, as imported files.
"""

import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import cache
from io import StringIO
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("harness", "server", "tasks")
WORDS = (
    "run", "--model", "oracle/perfect", "--engine", "oracle", "--suite", "quick", "--families", "depo",
    "--levels", "n4k1", "--n", "2",
)  # fmt: skip


@dataclass
class Trace:
    """The files and moves of a run; `watch` is a profile function."""

    files: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    calls: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)

    def watch(self, frame: FrameType, event: str, _arg: object) -> None:
        """Count a call of one of our functions."""
        if event != "call" or not (file := own_file(frame.f_code.co_filename)):
            return
        if is_importing(frame):
            self.imported.add(file)
            return
        self.files.add(file)
        caller = frame.f_back
        before = own_file(caller.f_code.co_filename) if caller else ""
        if caller and before and before != file:
            self.moves[before, file] += 1
            self.calls[before, caller.f_code.co_name, file, frame.f_code.co_name] += 1


@cache
def own_file(name: str) -> str:
    """Return a file's path below the repository, or nothing where it is not one of our packages' files."""
    path = os.path.relpath(os.path.realpath(name), ROOT)
    return path if Path(path).parts[0] in PACKAGES else ""


def is_importing(frame: FrameType | None) -> bool:
    """Say whether a frame belongs to the import of a module."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def trace(run: Callable[[], object]) -> Trace:
    """Run something with all of its threads, and return what it touched."""
    found = Trace()
    threading.setprofile(found.watch)
    sys.setprofile(found.watch)
    try:
        run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found


def small_run() -> None:
    """Run the command on two items; a module-level import would not be counted, so it is imported here."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()), suppress(SystemExit):
        sys.argv = ["fathom", *WORDS, "--db", f"{folder}/runs.db"]
        from fathom.server.cli.main import main

        main()


def main(listing: bool) -> None:
    """Print the counts."""
    found = trace(small_run)
    print(
        f"{len(found.files)} files, {sum(found.moves.values())} moves between them "
        f"({len(found.files | found.imported)} files with those that are only imported)"
    )
    if listing:
        for (before, file), n in found.moves.most_common():
            print(f"{n:5} {before} -> {file}")
        for (before, caller, file, called), n in found.calls.most_common():
            print(f"{n:5} {before} {caller} -> {file} {called}")


if __name__ == "__main__":
    main("--list" in sys.argv)

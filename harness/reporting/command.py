"""Do what `fathom report` asks for."""

from collections.abc import Sequence
from pathlib import Path

from harness.console import make_console
from harness.db.engine import open_database
from harness.db.write import utc_now
from harness.format import megabytes, plural
from harness.meant import find_run
from harness.reporting.page import write_report


def report(database: str, words: Sequence[str], out: Path) -> None:
    """Write the report of the runs that are meant, and say how large it is.

    Raises:
        UnknownRun, UnknownModel, BadInput: there is none such, too many, or nowhere to write.
    """
    db = open_database(database, create=False)
    details = [find_run(db, word) for word in words]
    talk = make_console()
    with talk.status("reading") as line:
        written = write_report(db, details, out, utc_now(), line.update)
    db.dispose()
    talk.print(f"wrote {written.path}, {megabytes(written.n_bytes)}: {plural(len(details), 'run')}", soft_wrap=True)

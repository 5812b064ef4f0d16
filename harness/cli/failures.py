"""What commands print about requests that the engine failed on."""

from rich.console import Console
from rich.text import Text
from sqlalchemy import Engine as Database

from fathom.harness.db.failures import failures_of
from fathom.harness.records import RunDetail


def tell_failures(db: Database, detail: RunDetail, talk: Console) -> None:
    """Print how many requests of a run failed, and the most frequent reason, where the run does not say so itself."""
    one = detail.summary
    if one.error or one.sealed or not any(cell.n_errors for cell in detail.cells):
        return
    said = f"{failures_of(db, one.run)}; `fathom run --resume {one.run}` asks these again"
    talk.print(Text(said, style="yellow"), soft_wrap=True)

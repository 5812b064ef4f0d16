"""Turn `fathom law` into a record, its picture, and what is printed."""

from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console

from harness.console import make_console, print_json
from harness.laws.asking import Candidate
from harness.laws.base import Law, Scale
from harness.laws.picture import draw_law
from harness.laws.running import Place, Record, record_json, run_law
from harness.laws.table import render_record
from harness.progress import RunProgress
from harness.recipe import Recipe
from harness.settings import quiet_transformers
from harness.stores import Store
from harness.training import TrainingProgress


class ConsoleTeller:
    """Shows training and evaluation as `fathom pretrain` and `fathom run` do."""

    def __init__(self, console: Console) -> None:
        """Take the console."""
        self._console = console

    def train(self, recipe: Recipe) -> AbstractContextManager[TrainingProgress]:
        """Open the display of a training."""
        return TrainingProgress(self._console, recipe)

    def ask(self, candidate: Candidate) -> AbstractContextManager[RunProgress]:
        """Open the display of an evaluation."""
        return RunProgress(self._console, [one.n for one in candidate.questions])

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, soft_wrap=True)


def try_law(law: Law, scale: Scale, out: Path, database: str, as_json: bool) -> Record:
    """Run a law, draw it, and print what came of it.

    Raises:
        BadRecipe, BadInput, EngineFailed, StoreError, Interrupted: see harness.laws.running.run_law.
    """
    quiet_transformers()
    console = make_console(stderr=as_json)
    record = run_law(law, scale, Place(out, Store.at(database)), ConsoleTeller(console))
    pictures = [out / "law.svg", out / "law-dark.svg"]
    pictures[0].write_text(draw_law(record, "light"), encoding="utf-8")
    pictures[1].write_text(draw_law(record, "dark"), encoding="utf-8")
    if as_json:
        print_json(record_json(record))
    else:
        console.print(render_record(record))
    console.print(f"wrote {out / 'law.json'}, {pictures[0]}, {pictures[1].name}", soft_wrap=True)
    return record

"""Turn training progress into a live bar on a terminal, and into plain lines elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from harness.format import percent
from harness.pretrain import Progress as Report
from harness.recipe import Recipe


class TrainingProgress:
    """Show step, loss and held-out accuracy; use as a context manager."""

    def __init__(self, console: Console, recipe: Recipe) -> None:
        """Draw nothing yet."""
        self._console, self._recipe = console, recipe
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._began = time.monotonic()

    def __enter__(self) -> "TrainingProgress":
        """Start the bar on a terminal."""
        self._console.print(f"training {self._recipe.name}: {self._recipe.steps:,} steps of {self._recipe.batch} texts")
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("step"), MofNCompleteColumn(), BarColumn(), TextColumn("loss {task.fields[loss]}"),
                TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=self._console,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task("", total=self._recipe.steps, loss="–")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, report: Report) -> None:
        """Take in progress; lines are printed at exams only, or where there is no terminal."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=report.step, loss=f"{report.loss:.3f}")
        if report.accuracy:
            marks = "  ".join(
                f"{name.split('/')[1]} {name.split('/')[3]} {percent(share, 0)}"
                for name, share in report.accuracy.items()
            )
            minutes = (time.monotonic() - self._began) / 60
            self._console.print(
                f"step {report.step:>6,}  {minutes:5.1f} min  loss {report.loss:.3f}  held out: {marks}", soft_wrap=True
            )

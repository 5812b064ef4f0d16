"""Turn training progress into a live bar on a terminal, and into plain lines elsewhere."""

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

from harness.format import count, percent
from harness.pretraining.exams import Marks
from harness.pretraining.watch import Progress as Report
from harness.recipe import Recipe


class TrainingProgress:
    """Show step, loss, tokens a second, time left and held-out accuracy; use as a context manager."""

    def __init__(self, console: Console, recipe: Recipe) -> None:
        """Draw nothing yet."""
        self._console, self._recipe = console, recipe
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._first: Report | None = None
        self.step = 0

    def __enter__(self) -> "TrainingProgress":
        """Start the bar on a terminal."""
        self._console.print(f"training {self._recipe.name}: {self._recipe.steps:,} steps of {self._recipe.batch} rows")
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("step"), MofNCompleteColumn(), BarColumn(), TextColumn("loss {task.fields[loss]}"),
                TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
                console=self._console,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task("", total=self._recipe.steps, loss="–", rate="")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, report: Report) -> None:
        """Take in progress; lines are printed at exams only."""
        self._first, self.step = self._first or report, report.step
        rate = self._rate(report)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=report.step, loss=f"{report.loss:.3f}", rate=rate)
        if report.held_loss is not None:
            marks = "  ".join(_mark(name, one) for name, one in report.marks.items())
            line = (
                f"step {report.step:>6,}  {report.seconds / 60:5.1f} min  {rate}  {self._left(report)}"
                f"loss {report.loss:.3f}  held out: loss {report.held_loss:.3f}  {marks}"
            )
            self._console.print(line.rstrip(), soft_wrap=True)

    def _rate(self, report: Report) -> str:
        first = self._first
        if first is None or report.seconds <= first.seconds:
            return "– tokens/s"
        return f"{count(round((report.tokens - first.tokens) / (report.seconds - first.seconds)))} tokens/s"

    def _left(self, report: Report) -> str:
        """Say how long the rest takes at the pace so far, on a line of its own where no bar says it."""
        first = self._first
        if self._bar is not None or first is None or report.step <= first.step or report.step == report.steps:
            return ""
        pace = (report.seconds - first.seconds) / (report.step - first.step)
        return f"{pace * (report.steps - report.step) / 60:.1f} min left  "


def _mark(name: str, one: Marks) -> str:
    _, level, _, style = name.split("/")
    bits = "" if one.learnt_bits is None else f" ({one.learnt_bits:.2f} of {one.most_bits:.2f} bits)"
    return f"{level} {style} {percent(one.share, 0)}{bits}"

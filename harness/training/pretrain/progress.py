"""Turn training progress into a live bar on a terminal, and into plain lines elsewhere."""

import time
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fathom.harness.format import count, percent
from fathom.harness.reports.console import LINE_EVERY, LiveBar
from fathom.harness.training.corpora.writing import Wrote
from fathom.harness.training.pretrain.callbacks import Progress as Report
from fathom.harness.training.pretrain.exams import Marks
from fathom.harness.training.recipe import Recipe


class TrainingProgress(LiveBar):
    """Show step, loss, tokens a second, time left and held-out accuracy; use as a context manager."""

    def __init__(self, console: Console, recipe: Recipe) -> None:
        """Draw nothing yet."""
        super().__init__(
            console, TextColumn("step"), MofNCompleteColumn(), BarColumn(), TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            transient=False,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=recipe.steps, loss="–", rate="")
        self._recipe = recipe
        self._first: Report | None = None
        self._spoken = time.monotonic()
        self.step = 0

    def __enter__(self) -> Self:
        """Say what is trained, and draw the bar."""
        self._console.print(f"training {self._recipe.name}: {self._recipe.steps:,} steps of {self._recipe.batch} rows")
        return super().__enter__()

    def __call__(self, report: Report) -> None:
        """Take in progress; lines are printed at exams only."""
        self._first, self.step = self._first or report, report.step
        rate = self._rate(report)
        if self.is_drawn:
            self._bar.update(self._task, completed=report.step, loss=f"{report.loss:.3f}", rate=rate)
        if report.held_loss is not None:
            marks = "  ".join(_mark(name, one) for name, one in report.marks.items())
            line = (
                f"step {report.step:>6,}  {report.seconds / 60:5.1f} min  {rate}  {self._left(report)}"
                f"loss {report.loss:.3f}  held out: loss {report.held_loss:.3f}  {marks}"
            )
            self._console.print(line.rstrip(), soft_wrap=True)

    def write(self, wrote: Wrote) -> None:
        """Take in how far the corpus is, before the first step."""
        now = time.monotonic()
        if now - self._spoken > LINE_EVERY:
            self._spoken = now
            self._console.print(f"writing its corpus: {count(wrote.tokens)} tokens", soft_wrap=True)

    def _rate(self, report: Report) -> str:
        first = self._first
        if first is None or report.seconds <= first.seconds:
            return "– tokens/s"
        return f"{count(round((report.tokens - first.tokens) / (report.seconds - first.seconds)))} tokens/s"

    def _left(self, report: Report) -> str:
        """Say how long the rest takes at the pace so far, on a line of its own where no bar says it."""
        first = self._first
        if self.is_drawn or first is None or report.step <= first.step or report.step == report.steps:
            return ""
        pace = (report.seconds - first.seconds) / (report.step - first.step)
        return f"{pace * (report.steps - report.step) / 60:.1f} min left  "


def _mark(name: str, one: Marks) -> str:
    _, level, _, style = name.split("/")
    bits = "" if one.learnt_bits is None else f" ({one.learnt_bits:.2f} of {one.most_bits:.2f} bits)"
    return f"{level} {style} {percent(one.share, 0)}{bits}"

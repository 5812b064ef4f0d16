"""Display of training progress: a live bar on a terminal, plain lines elsewhere."""

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
from fathom.harness.training.corpora.writer import CorpusProgress
from fathom.harness.training.pretrain.callbacks import TrainingProgress
from fathom.harness.training.pretrain.exams import ExamResult
from fathom.harness.training.recipe import Recipe


class TrainingBar(LiveBar):
    """Display of step, loss, tokens per second, time left and held-out accuracy; use as a context manager."""

    def __init__(self, console: Console, recipe: Recipe) -> None:
        """Draw nothing yet."""
        super().__init__(
            console, TextColumn("step"), MofNCompleteColumn(), BarColumn(), TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            transient=False,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=recipe.steps, loss="–", rate="")
        self._recipe = recipe
        self._first: TrainingProgress | None = None
        self._spoken = time.monotonic()
        self.step = 0

    def __enter__(self) -> Self:
        """Print what is trained, and draw the bar."""
        self._console.print(f"training {self._recipe.name}: {self._recipe.steps:,} steps of {self._recipe.batch} rows")
        return super().__enter__()

    def __call__(self, progress: TrainingProgress) -> None:
        """Show progress; lines are printed at exams only."""
        self._first, self.step = self._first or progress, progress.step
        rate = self._rate(progress)
        if self.is_drawn:
            self._bar.update(self._task, completed=progress.step, loss=f"{progress.loss:.3f}", rate=rate)
        if progress.held_loss is not None:
            results = "  ".join(_exam_text(name, one) for name, one in progress.exams.items())
            line = (
                f"step {progress.step:>6,}  {progress.seconds / 60:5.1f} min  {rate}  {self._left(progress)}"
                f"loss {progress.loss:.3f}  held out: loss {progress.held_loss:.3f}  {results}"
            )
            self._console.print(line.rstrip(), soft_wrap=True)

    def show_corpus(self, progress: CorpusProgress) -> None:
        """Show the progress of the corpus, which is written before the first step."""
        now = time.monotonic()
        if now - self._spoken > LINE_EVERY:
            self._spoken = now
            self._console.print(f"writing its corpus: {count(progress.tokens)} tokens", soft_wrap=True)

    def _rate(self, progress: TrainingProgress) -> str:
        first = self._first
        if first is None or progress.seconds <= first.seconds:
            return "– tokens/s"
        return f"{count(round((progress.tokens - first.tokens) / (progress.seconds - first.seconds)))} tokens/s"

    def _left(self, progress: TrainingProgress) -> str:
        """Return the time left at the pace so far; empty where a bar shows it."""
        first = self._first
        if self.is_drawn or first is None or progress.step <= first.step or progress.step == progress.steps:
            return ""
        pace = (progress.seconds - first.seconds) / (progress.step - first.step)
        return f"{pace * (progress.steps - progress.step) / 60:.1f} min left  "


def _exam_text(name: str, one: ExamResult) -> str:
    _, level, _, style = name.split("/")
    bits = "" if one.learnt_bits is None else f" ({one.learnt_bits:.2f} of {one.most_bits:.2f} bits)"
    return f"{level} {style} {percent(one.share, 0)}{bits}"

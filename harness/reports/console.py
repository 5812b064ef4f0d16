"""Turn what commands print into text of the right width, without anything heavy behind it."""

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from fathom.harness.format import count, duration, plural
from fathom.harness.records import Tick


def make_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """Return a console that keeps tables whole where no terminal says how wide it is."""
    console = Console(stderr=stderr, highlight=False, quiet=quiet)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, quiet=quiet, width=120)


def print_json(value: object) -> None:
    """Print JSON values for people and programs alike."""
    print(json.dumps(value, indent=1, ensure_ascii=False))  # noqa: T201  # a command's output


LINE_EVERY = 5.0
"""Seconds between plain lines."""


class StderrHandler(logging.Handler):
    """Write a log to what stands in for sys.stderr just now: rich, while a live display would be torn by it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        sys.stderr.write(f"{self.format(record)}\n")


class LiveBar:
    """A bar on a terminal, nothing elsewhere; what shows progress inherits it, and is a context manager by that."""

    def __init__(self, console: Console, *columns: ProgressColumn, transient: bool = True) -> None:
        """Draw nothing yet."""
        self._console = console
        self._bar = Progress(*columns, console=console, transient=transient, disable=not console.is_terminal)

    def __enter__(self) -> Self:
        """Draw the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Take the bar away, where it is transient, or leave it as it is."""
        self._bar.stop()

    @property
    def is_drawn(self) -> bool:
        """Say whether there is a terminal to draw on."""
        return not self._bar.disable


class RunProgress(LiveBar):
    """Show a run's phase, items, whole cells, tokens a second and time left; use as a context manager."""

    def __init__(self, console: Console, sizes: Sequence[int], noun: str = "cell", thing: str = "item") -> None:
        """Draw nothing yet; `sizes` are the numbers of items of its cells, or of what `thing` and `noun` name."""
        super().__init__(
            console, TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"), TimeRemainingColumn(),
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=sum(sizes), note="")
        self._noun, self._thing = noun, thing
        self._planned = dict(enumerate(sizes))
        self._cells: Counter[int] = Counter()
        self._tokens = self._new = 0
        self._began = self._spoken = time.monotonic()

    def __call__(self, phase: str, tick: Tick | None) -> None:
        """Take in progress; see harness.run.Report."""
        now = time.monotonic()
        if tick is None:
            self._began, self._tokens = now, 0
        else:
            self._tokens += tick.tokens
            self._cells.update(tick.cells)
            self._new += sum(tick.cells.values()) if tick.tokens else 0  # without any, it says what was there before
        note = self._note(now) if tick else ""
        if self.is_drawn:
            done = tick.n_done if tick else None
            self._bar.update(self._task, description=phase, completed=done, note=note)
        elif tick is None or now - self._spoken > LINE_EVERY or tick.n_done == tick.n_items:
            self._spoken = now
            items = f" {count(tick.n_done)} of {plural(tick.n_items, self._thing)}, {note}" if tick else ""
            left = f", {self._left(tick, now)} left" if tick and self._new and tick.n_done < tick.n_items else ""
            self._console.print(f"{phase}{items}{left}", soft_wrap=True)

    def _note(self, now: float) -> str:
        whole = sum(self._cells[at] >= n for at, n in self._planned.items())
        rate = self._tokens / max(now - self._began, 1e-9)
        return f"{whole}/{plural(len(self._planned), self._noun)}, {count(round(rate))} tokens/s"

    def _left(self, tick: Tick, now: float) -> str:
        return duration((now - self._began) / self._new * (tick.n_items - tick.n_done))

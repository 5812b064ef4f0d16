"""Output of commands: consoles of any encoding, JSON and progress bars."""

import codecs
import io
import json
import logging
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich import progress as bars
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn

from fathom.harness.format import count, duration, plural
from fathom.harness.records import Progress

_BLOCKS = dict(zip("▁▂▃▄▅▆▇█", "_.:-=+*#", strict=True))
"""Bars of eight heights."""
_PLAIN = {
    **_BLOCKS,
    **dict.fromkeys("‐‑‒–—−─━", "-"), **dict.fromkeys("│┃┤├", "|"), **dict.fromkeys("┌┐└┘┬┴┼", "+"),
    **dict.fromkeys("‘’‚", "'"), **dict.fromkeys("“”„«»", '"'), **dict.fromkeys("●◆■", "*"),
    **dict.fromkeys("○◇□", "o"),
    **dict.fromkeys("·•", "."), "±": "+-", "≤": "<=", "≥": ">=", "≈": "~", "≠": "!=", "×": "x", "÷": "/", "→": "->",
    "←": "<-", "↑": "^", "↓": "v", "…": "...", "µ": "u", "∞": "inf", "✓": "v", "✗": "x", "½": "1/2",
}  # fmt: skip
"""Characters of our tables and pictures."""
_ERRORS, _JSON_ERRORS = "fathom-plain", "fathom-json"


def make_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """Return a console; without a terminal it is 120 characters wide, so that tables stay in one piece."""
    console = Console(stderr=stderr, highlight=False, quiet=quiet)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, quiet=quiet, width=120)


def print_json(value: object) -> None:
    """Print JSON values with indents."""
    print_json_text(json.dumps(value, indent=1, ensure_ascii=False))


def print_notes(console: Console, notes: Sequence[str]) -> None:
    """Print sentences that a user should notice, as they are, without markup."""
    for note in notes:
        console.print(note, style="yellow", markup=False, soft_wrap=True)


LINE_EVERY = 5.0
"""Seconds between lines of progress if there is no terminal."""


class StderrHandler(logging.Handler):
    """Write log lines to the current sys.stderr, which rich replaces while it shows a live display."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        sys.stderr.write(f"{self.format(record)}\n")


class LiveBar:
    """Base of progress bars: a context manager that draws on a terminal and nothing elsewhere."""

    def __init__(self, console: Console, *columns: ProgressColumn, transient: bool = True) -> None:
        """Create the bar without drawing it."""
        self._console = console
        self._bar = bars.Progress(*columns, console=console, transient=transient, disable=not console.is_terminal)

    def __enter__(self) -> Self:
        """Draw the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Remove the bar if it is transient."""
        self._bar.stop()

    @property
    def is_drawn(self) -> bool:
        """Whether there is a terminal to draw on."""
        return not self._bar.disable


class RunProgress(LiveBar):
    """Show a run's phase, items, finished cells, tokens per second and time left; use as a context manager."""

    def __init__(self, console: Console, sizes: Sequence[int], group: str = "cell", unit: str = "item") -> None:
        """Create the bar; `sizes` are the numbers of items in each cell, or of units in each group."""
        super().__init__(
            console, TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"), TimeRemainingColumn(),
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=sum(sizes), note="")
        self._group, self._unit = group, unit
        self._planned = dict(enumerate(sizes))
        self._cells: Counter[int] = Counter()
        self._tokens = self._new = 0
        self._began = self._printed = time.monotonic()

    def __call__(self, phase: str, progress: Progress | None) -> None:
        """Show progress; `progress` is None at the start of a phase."""
        now = time.monotonic()
        if progress is None:
            self._began, self._tokens = now, 0
        else:
            self._count(progress)
        note = self._note(now) if progress else ""
        if self.is_drawn:
            self._bar.update(self._task, description=phase, completed=progress.n_done if progress else None, note=note)
        elif progress is None:
            self._print(phase, now)
        elif now - self._printed > LINE_EVERY or progress.n_done == progress.n_items:
            items = f"{count(progress.n_done)} of {plural(progress.n_items, self._unit)}"
            left = self._new and progress.n_done < progress.n_items
            self._print(f"{phase} {items}, {note}{f', {self._left(progress, now)} left' if left else ''}", now)

    def _count(self, progress: Progress) -> None:
        self._tokens += progress.tokens
        self._cells.update(progress.cells)
        if progress.tokens:  # samples without tokens were stored by an earlier attempt
            self._new += sum(progress.cells.values())

    def _print(self, line: str, now: float) -> None:
        self._printed = now
        self._console.print(line, soft_wrap=True)

    def _note(self, now: float) -> str:
        whole = sum(self._cells[at] >= n for at, n in self._planned.items())
        rate = self._tokens / max(now - self._began, 1e-9)
        return f"{whole}/{plural(len(self._planned), self._group)}, {count(round(rate))} tokens/s"

    def _left(self, progress: Progress, now: float) -> str:
        return duration((now - self._began) / self._new * (progress.n_items - progress.n_done))


def plain_character(char: str) -> str:
    """Return ASCII characters that stand for one that cannot be shown; ? where there are none."""
    if char in _PLAIN:
        return _PLAIN[char]
    parts = unicodedata.normalize("NFKD", char)
    return "".join(part for part in parts if part.isascii() and part.isprintable()) or "?"


def use_plain_characters() -> None:
    """Let both output streams write what their encoding has, and plain characters for the rest, instead of failing."""
    codecs.register_error(_ERRORS, _replace)
    codecs.register_error(_JSON_ERRORS, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def print_json_text(text: str) -> None:
    """Print a line of JSON, exactly: what the console cannot show is escaped, as JSON allows."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper) and stream.errors == _ERRORS:
        text = text.encode(stream.encoding, _JSON_ERRORS).decode(stream.encoding)
    print(text, flush=True)  # noqa: T201  # a command's output


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(plain_character, error.object[error.start : error.end])), error.end


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)), error.end

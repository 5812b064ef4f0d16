"""Terminal output of `fathom corpus`: progress, summary, and the table of corpora."""

import time
from math import isinf
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from fathom.harness.format import count, duration, plural
from fathom.harness.reports.console import LINE_EVERY, LiveBar
from fathom.harness.training.corpora.manifest import CorpusManifest
from fathom.harness.training.corpora.writer import CorpusProgress
from fathom.tasks.corpora.base import Option
from fathom.tasks.corpora.registry import all_corpora


class CorpusBar(LiveBar):
    """Display of tokens, shards, rate and time left; use as a context manager."""

    def __init__(self, console: Console, tokens: int) -> None:
        """Draw nothing yet; `tokens` is the number requested."""
        super().__init__(
            console, TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        self._task = self._bar.add_task("reading its tokenizer", total=tokens, note="")
        self._tokens = tokens
        self._began = self._spoken = time.monotonic()
        self._last: CorpusProgress | None = None

    def __call__(self, progress: CorpusProgress) -> None:
        """Show new progress."""
        now = time.monotonic()
        if self._last is None:
            self._began = self._spoken = now
            if 0 < progress.found < self._tokens:
                self._console.print(
                    f"resuming after {plural(progress.shards, 'shard')}, {count(progress.found)} tokens"
                )
        self._last = progress
        note = f"{count(progress.tokens)} of {count(self._tokens)} tokens, {plural(progress.shards, 'shard')}, "
        note += f"{count(round(self._rate(now)))} tokens/s"
        if self.is_drawn:
            self._bar.update(self._task, description="writing", completed=progress.tokens, note=note)
        elif now - self._spoken > LINE_EVERY:
            self._spoken = now
            left = (self._tokens - progress.tokens) / max(self._rate(now), 1e-9)
            self._console.print(f"writing: {note}, {duration(left)} left", soft_wrap=True)

    def _rate(self, now: float) -> float:
        new = self._last.tokens - self._last.found if self._last else 0
        return new / max(now - self._began, 1e-9)

    def summary(self, manifest: CorpusManifest, out: Path) -> str:
        """Return a line with the size of the corpus and the speed of writing."""
        now = time.monotonic()
        new = self._last.tokens - self._last.found if self._last else 0
        speed = (
            f" in {duration(now - self._began)}: {count(round(self._rate(now)))} tokens/s" if new else " found complete"
        )
        return (
            f"{out}: {count(manifest.tokens)} tokens, {plural(manifest.documents, 'document')}, "
            f"{manifest.size / 1e6:.1f} MB{speed}; digest {manifest.digest}"
        )


def corpora_json() -> list[dict[str, Any]]:
    """Return the corpora with their options as JSON values."""
    return [
        {
            "name": corpus.name,
            "version": corpus.version,
            "summary": corpus.summary,
            "reference": corpus.reference,
            "options": {
                name: {"default": option.default, "meaning": option.meaning, "may_be": _may_be(option)}
                for name, option in corpus.options.items()
            },
        }
        for corpus in all_corpora().values()
    ]


def _may_be(option: Option) -> str:
    if option.choices:
        return ", ".join(option.choices)
    if isinstance(option.default, str):
        return ""
    low, high = ("" if isinf(bound) else f"{bound:,.12g}" for bound in (option.low, option.high))
    return f"{low} to {high}" if low and high else f"from {low}" if low else ""


def render_corpora() -> Table:
    """Return a table of the corpora with their options."""
    table = Table(title="Corpora: fathom corpus NAME --set option=value", show_lines=False)
    for title in ("corpus", "option", "default", "may be", "meaning"):
        table.add_column(title, overflow="fold")
    for corpus in corpora_json():
        table.add_section()
        table.add_row(f"[bold]{corpus['name']}[/]", "", "", "", f"{corpus['summary']} ({corpus['reference']})")
        for name, option in corpus["options"].items():
            table.add_row("", name, str(option["default"]), option["may_be"], option["meaning"])
    return table

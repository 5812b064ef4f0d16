"""Read how a model was trained from the log that its trainer left in its folder: loss by step."""

import json
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

LOG_FILES = ("loss.jsonl", "trainer_state.json")
"""Of `fathom pretrain`, and of the Trainer of transformers, whose checkpoints hold it."""

MOST_LOSSES = 60
"""Points of a curve that are kept: the first, the last, and others evenly between them."""

_MOST_BYTES = 20_000_000

Losses = list[tuple[int, float, float | None]]
"""Step, training loss since the point before, and loss on held-out text where it was measured; nats a token."""


def losses_of(folder: Path) -> Losses:
    """Return the loss curve of a model's training, at most MOST_LOSSES points; empty where no log of it can be read."""
    for name in LOG_FILES:
        path = folder / name
        try:
            if path.stat().st_size > _MOST_BYTES:
                continue
            found = _thinned(sorted(_rows(name, path.read_text(encoding="utf-8")).items()))
        except (OSError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError):
            continue  # foreign files may hold anything
        if len(found) > 1:
            return found
    return []


def _rows(name: str, text: str) -> dict[int, list[float | None]]:
    """Return training loss and held-out loss by step."""
    rows: dict[int, list[float | None]] = {}
    for entry in _entries(name, text):
        known = rows.setdefault(int(entry["step"]), [None, None])
        for place, keys in enumerate((("loss",), ("held_loss", "eval_loss"))):
            value = next((entry[key] for key in keys if entry.get(key) is not None), None)
            if value is not None and isfinite(float(value)):
                known[place] = float(value)
    return rows


def _entries(name: str, text: str) -> Iterator[Mapping[str, Any]]:
    if name.endswith(".jsonl"):
        yield from (json.loads(line) for line in text.splitlines())
    else:
        yield from json.loads(text)["log_history"]


def _thinned(rows: list[tuple[int, list[float | None]]]) -> Losses:
    """Keep MOST_LOSSES steps that have a training loss; a held-out loss moves to the next step that is kept."""
    last = sum(1 for _, (loss, _) in rows if loss is not None) - 1
    n_kept = min(MOST_LOSSES, last + 1)
    wanted = {round(place * last / max(n_kept - 1, 1)) for place in range(n_kept)}
    kept: Losses = []
    held: float | None = None
    at = 0
    for step, (loss, held_loss) in rows:
        held = held if held_loss is None else held_loss
        if loss is None:
            continue
        if at in wanted:
            kept.append((step, round(loss, 5), None if held is None else round(held, 5)))
            held = None
        at += 1
    return kept

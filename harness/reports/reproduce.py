"""Write the `fathom run` command that repeats a stored run."""

import json
import shlex
from collections.abc import Collection, Iterator, Mapping
from itertools import product

from fathom.harness.engines.adapter import bare_name
from fathom.harness.errors import FathomError
from fathom.harness.records import RunDetail
from fathom.harness.runs.run_settings import settings_of
from fathom.tasks.base import SCORED
from fathom.tasks.errors import TaskError
from fathom.tasks.suites import Selection, Suite, open_suite


def reproduce(detail: RunDetail) -> str:
    """Return the command that asks the same model the same questions with the same settings.

    It is empty for an invented or a sealed run, and where no options lead to the cells that were asked.
    """
    one, manifest = detail.summary, detail.manifest
    left_out = SCORED if one.n_repeats > 1 else ()  # `fathom run` leaves them out by itself
    if one.sealed or manifest.context.synthetic or (selection := _selection(detail.suite, left_out)) is None:
        return ""
    model = bare_name(one.model) if "lora" in manifest.context.placement else one.model
    words = ["fathom", "run", "--model", model, "--suite", one.suite, "--engine", one.engine, "--seed", one.seed]
    return shlex.join([*words, *selection, *_settings_words(detail)])


def _settings_words(detail: RunDetail) -> Iterator[str]:
    """Yield the options for the settings that a manifest states; none for one that Fathom did not write."""
    manifest = detail.manifest
    settings = settings_of(manifest)
    if settings is None:
        return
    for flag, value in settings.flags():
        # the oracle has no chat and no shots of its own accord
        is_left_out = flag in ("--chat", "--shots") and not value and settings.engine.name == "oracle"
        if flag != "--engine" and not is_left_out:
            yield from _option(flag, value)
    dtype = str(manifest.decisive.sampling.get("dtype") or "auto")  # where the server's planner states it
    if dtype != "auto" and settings.engine.dtype == "auto":
        yield from ("--dtype", dtype)
    if revision := manifest.context.revision or manifest.decisive.model.revision:
        yield from ("--revision", revision)


def _option(flag: str, value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from (flag, f"{name}={_option_text(one)}")
    elif isinstance(value, bool):
        yield flag if value else flag.replace("--", "--no-", 1)
    elif isinstance(value, tuple):
        yield from (flag, ",".join(value))
    else:
        yield from (flag, f"{value:g}" if isinstance(value, float) else str(value))


def _option_text(value: object) -> str:
    """Write a value so that `fathom run` reads it again: as JSON, but a plain text as it stands."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, ensure_ascii=False)


def _selection(asked: Suite, left_out: Collection[str]) -> list[str] | None:
    """Return the fewest options that lead from a suite's own cells to those that were asked.

    Cells of the styles `left_out` do not count.
    """
    for wanted in _selections(asked):
        try:
            found = open_suite(asked.name, asked.seed, wanted)
        except (FathomError, TaskError):
            continue
        if tuple(cell for cell in found.cells if cell.style not in left_out) == asked.cells:
            return list(_selection_words(wanted))
    return None


def _selection_words(wanted: Selection) -> Iterator[str]:
    named = {
        "families": wanted.families, "levels": wanted.levels, "channel": wanted.channels, "style": wanted.styles,
        "n": () if wanted.n is None else (str(wanted.n),),
    }  # fmt: skip
    for option, values in named.items():
        if values:
            yield from (f"--{option}", ",".join(values))


def _selections(asked: Suite) -> Iterator[Selection]:
    families, levels, channels, styles = (
        tuple(dict.fromkeys(getattr(one, axis) for one in asked.cells))
        for axis in ("family", "level", "channel", "style")
    )
    counts = {one.n for one in asked.cells}
    for n in (None, *counts) if len(counts) == 1 else (None,):
        for named in ((), families):  # the fewest words first
            for chosen in product(((), levels), ((), channels), ((), styles)):
                yield Selection(named, *chosen, n)

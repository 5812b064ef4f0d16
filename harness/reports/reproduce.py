"""Turn a stored run into the command that does it again."""

import json
import shlex
from collections.abc import Collection, Iterator, Mapping
from itertools import product
from typing import Any

from fathom.harness.engines.adapter import bare_name
from fathom.harness.engines.base import EngineSetup
from fathom.harness.errors import FathomError
from fathom.harness.records import RunDetail
from fathom.harness.reports.describe import mapping
from fathom.harness.runs.manifest import read_setup
from fathom.harness.runs.prompting import Decoding, Prompting, read_sampling
from fathom.tasks.base import SCORED
from fathom.tasks.errors import TaskError
from fathom.tasks.suites import Selection, Suite, open_suite

Words = Iterator[str]


def reproduce(detail: RunDetail) -> str:
    """Write the command that asks the same model the same questions in the same way.

    It is empty for an invented or a sealed run, and where no options lead to the cells that were asked.
    """
    one = detail.summary
    context = mapping(detail.manifest, "context")
    left_out = SCORED if one.n_repeats > 1 else ()  # as `fathom run` does by itself
    if one.sealed or context.get("synthetic") or (selection := _selection(detail.suite, left_out)) is None:
        return ""
    adapted = "lora" in mapping(detail.manifest, "context", "placement")
    model = bare_name(one.model) if adapted else one.model
    words = ["fathom", "run", "--model", model, "--suite", one.suite, "--engine", one.engine, "--seed", one.seed]
    return shlex.join([*words, *selection, *_stated(detail.manifest)])


def _stated(manifest: Mapping[str, Any]) -> list[str]:  # as above
    """Write the options that stand in a manifest; none for one that was not written here."""
    sampling = mapping(manifest, "decisive", "sampling")
    try:
        prompting, decoding = read_sampling(sampling)
        setup = read_setup(manifest, EngineSetup())
    except (KeyError, TypeError, ValueError, AttributeError):
        return []
    dtype = setup.dtype if setup.dtype != "auto" else str(sampling.get("dtype") or "auto")
    revision = mapping(manifest, "context").get("revision") or mapping(manifest, "decisive", "model").get("revision")
    return [
        *_put(prompting),
        *_drawn(decoding),
        *(("--dtype", dtype) if dtype != "auto" else ()),
        *(("--revision", str(revision)) if revision else ()),
        *_pairs("--engine-arg", setup.options),
    ]


def _put(prompting: Prompting) -> Words:
    if prompting.n_shots:
        yield from ("--shots", str(prompting.n_shots))
    if prompting.chat:
        yield "--chat"
    if prompting.system:
        yield from ("--system", prompting.system)
    if prompting.chat and prompting.n_shots and prompting.shots_as != "turns":
        yield from ("--shots-as", prompting.shots_as)
    yield from _pairs("--template-option", prompting.template_options)


def _drawn(decoding: Decoding) -> Words:
    if decoding.repeats > 1:
        yield from ("--repeats", str(decoding.repeats))
    if decoding.temperature is not None:
        yield from ("--temperature", f"{decoding.temperature:g}")
    yield from _pairs("--budget", decoding.budgets)
    if decoding.thinking is not None:
        marks = f"{decoding.thinking.start},{decoding.thinking.end}"
        yield from ("--think-budget", str(decoding.thinking.budget), "--think-marks", marks)


def _pairs(option: str, values: Mapping[str, Any]) -> Words:  # JSON values
    for name, value in values.items():
        yield from (option, f"{name}={_text(value)}")


def _text(value: object) -> str:
    """Write a value so that `harness.cli_run.pairs` reads it again: JSON, but a plain text as it stands."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, ensure_ascii=False)


def _selection(asked: Suite, left_out: Collection[str]) -> list[str] | None:
    """Write the options that lead from a suite's own cells to those that were asked, as few as will do.

    Cells of the styles `left_out` do not count.
    """
    for wanted in _selections(asked):
        try:
            found = open_suite(asked.name, asked.seed, wanted)
        except (FathomError, TaskError):
            continue
        if tuple(cell for cell in found.cells if cell.style not in left_out) == asked.cells:
            return list(_selecting(wanted))
    return None


def _selecting(wanted: Selection) -> Words:
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

"""Turn a run's manifest into terms and values that people read."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fathom.harness.db.sealing import SEALED
from fathom.harness.format import count, duration, instant, plural, shorten
from fathom.harness.records import RunDetail
from fathom.harness.runs.prompting import Decoding, Prompting, Thinking, read_sampling
from fathom.harness.runs.requests import sampling_of
from fathom.tasks.base import SCORED
from fathom.tasks.errors import TaskError
from fathom.tasks.suites import SuiteCell

_PARTS = {
    "decisive": "What decides the numbers",
    "context": "What surrounds them",
    "engine_facts": "What the engine says of itself",
    "first_prompt": "The first prompt, as the model reads it",
}


_ELSEWHERE = ("cells",)
"""Parts of a manifest that the page shows as tables already."""


_FACT = 500
"""Characters of a manifest's value that are shown."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a manifest."""

    term: str
    value: str


@dataclass(frozen=True, slots=True)
class Facts:
    """A part of a manifest."""

    title: str
    facts: tuple[Fact, ...]


def manifest_facts(manifest: Mapping[str, Any]) -> tuple[Facts, ...]:  # JSON of provenance.Manifest
    """Flatten a manifest, whatever it holds, into terms and values."""
    return tuple(
        Facts(title, tuple(_facts((), manifest[part]))) for part, title in _PARTS.items() if manifest.get(part)
    )


def _facts(path: tuple[str, ...], value: object) -> Iterator[Fact]:
    if not isinstance(value, Mapping):
        yield Fact(" ".join(path).replace("_", " "), shorten(str(value), _FACT))
        return
    for key, inner in value.items():
        if key not in _ELSEWHERE:
            yield from _facts((*path, str(key)), inner)


def asked_facts(detail: RunDetail) -> tuple[Fact, ...]:
    """Say in words what a run was asked, and how."""
    one, decisive = detail.summary, mapping(detail.manifest, "decisive")
    context, sampling = mapping(detail.manifest, "context"), mapping(decisive, "sampling")
    hardware, fathom = mapping(context, "hardware"), mapping(context, "fathom")
    n_samples = sum(cell.n + cell.n_errors for cell in detail.cells)
    named = {
        "run": one.run,
        "state": f"{one.state} after {duration(one.seconds)}",
        "started": instant(one.created_at),
        "suite": f"{one.suite} {detail.suite.version}, {plural(len(detail.cells), 'cell')}",
        "items": count(one.n_items) + ("" if n_samples == one.n_items else f"; {plural(n_samples, 'answer')}"),
        "seed": SEALED if one.sealed else one.seed,
        "season": one.season,
        "suite digest": detail.suite_digest,
        "model digest": mapping(decisive, "model").get("digest"),
        "model commit": context.get("model_sha") or mapping(decisive, "model").get("revision"),
        "engine": one.engine,
        "engine packages": _listed(mapping(decisive, "engine", "packages")),
        "engine options": _listed(mapping(decisive, "engine", "options"), mapping(context, "placement")),
        "number format": mapping(detail.manifest, "engine_facts").get("dtype"),
        "prompts": prompts_text(sampling),
        "decoding": decoding_text(sampling, free=any(cell.style == "free" for cell in detail.cells)),
        "processor": " × ".join(str(hardware[name]) for name in ("cores", "processor") if hardware.get(name)),
        "GPUs": hardware.get("gpus"),
        "lm-eval": decisive.get("lm_eval"),
        "Fathom": f"{fathom.get('version', '')} {_commit(str(fathom.get('commit', '')))}".strip(),
        "manifest digest": detail.manifest_digest,
    }
    return tuple(Fact(term, shorten(str(value), _FACT)) for term, value in named.items() if value)


def mapping(values: Mapping[str, Any], *path: str) -> Mapping[str, Any]:  # JSON values, of whatever form
    """Return what lies at a path, or nothing where no mapping lies there."""
    found: Any = values
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _listed(*parts: Mapping[str, Any]) -> str:  # JSON values
    return ", ".join(f"{name} {value}" for part in parts for name, value in part.items())


def prompts_text(sampling: Mapping[str, Any]) -> str:  # JSON of harness.prompting.sampling_json, or anything
    """Say how questions were put."""
    shots: Any = sampling.get("shots")  # a number, where we wrote it
    if not sampling:
        return ""
    said = [
        f"{plural(shots, 'demonstration')} before each question"
        if isinstance(shots, int) and shots
        else "no demonstrations"
    ]
    said.append("the model's chat template" if sampling.get("chat_template") else "plain text, no chat template")
    if sampling.get("shots_as"):
        said.append(f"demonstrations as {sampling['shots_as']}")
    if options := _listed(mapping(sampling, "template_options")):
        said.append(f"template options {options}")
    if sampling.get("system"):
        said.append(f"system message “{sampling['system']}”")
    return "; ".join(said)


def _commit(stated: str) -> str:
    """Cut a commit to what tells it from others."""
    commit, plus, dirty = stated.partition("+")
    return commit[:12] + plus + dirty


def decoding_text(sampling: Mapping[str, Any], *, free: bool) -> str:  # as above
    """Say how answers were drawn; `free`: some are of the style that has a temperature of its own."""
    if "temperature" not in sampling:
        return ""
    plain, own = _number(sampling["temperature"]), _number(sampling.get("temperature_free"))
    said = ["greedy" if plain == "0" else f"temperature {plain}"]
    if free and own != plain:
        said.append(f"temperature {own} in the style free")
    if sampling.get("repeats"):
        said.append(f"{sampling['repeats']} answers to each question")
    if budgets := _listed(mapping(sampling, "budgets")):
        said.append(f"token budgets {budgets}")
    if thinking := mapping(sampling, "thinking"):
        marks = f"{thinking.get('start')} and {thinking.get('end')}"
        said.append(f"thoughts of up to {thinking.get('budget')} tokens between {marks} are not graded")
    return "; ".join(said)


def manner_text(prompting: Prompting, decoding: Decoding, cells: Iterable[SuiteCell] = ()) -> str:
    """Say how questions are put and answers drawn; of `cells`, the budgets by style."""
    asked = tuple(cells)
    parts = [*_put(prompting), *_drawn(decoding), *_budgets(prompting, decoding, asked)]
    said = "asked " + ", ".join(parts) + _thought(decoding.thinking)
    thinks_in_chat = prompting.chat and decoding.thinking is not None and decoding.thinking.opened is not None
    if thinks_in_chat and (not asked or any(cell.style in SCORED for cell in asked)):
        said += "; candidates are scored after an empty thought"
    return said


def manner_of(manifest: Mapping[str, object], cells: Iterable[SuiteCell]) -> str:  # JSON of provenance.Manifest
    """Say it of a stored run; nothing of one whose manifest was not written by `fathom run`."""
    decisive = manifest.get("decisive")
    try:
        prompting, decoding = read_sampling(decisive["sampling"])  # type: ignore[index]  # checked by trying
    except (KeyError, TypeError, ValueError, AttributeError):
        return ""
    return manner_text(prompting, decoding, cells)


def _put(prompting: Prompting) -> Iterator[str]:
    yield "in a chat" if prompting.chat else "in plain text"
    shots = plural(prompting.n_shots, "shot") if prompting.n_shots else "zero-shot"
    yield f"{shots} as {prompting.shots_as}" if prompting.chat and prompting.n_shots else shots
    if prompting.system:
        yield f"system “{shorten(prompting.system, 60)}”"
    yield from (f"{name}={value}" for name, value in prompting.template_options.items())


def _drawn(decoding: Decoding) -> Iterator[str]:
    yield "greedy" if not decoding.temperature else f"temperature {decoding.temperature:g}"
    if decoding.repeats > 1:
        yield f"{count(decoding.repeats)} answers an item"


def _budgets(prompting: Prompting, decoding: Decoding, cells: Iterable[SuiteCell]) -> Iterator[str]:
    thought = decoding.thinking.budget if decoding.thinking else 0
    found: dict[str, set[int]] = {}
    for cell in cells:
        try:
            if cell.style not in SCORED:
                budget = sampling_of(cell, prompting, decoding).max_tokens - thought
                found.setdefault(cell.style, set()).add(budget)
        except TaskError:  # a family or level that is no longer there
            continue
    said = [f"{_span(min(some), max(some))} ({style})" for style, some in found.items()]
    if said:
        yield "at most " + " or ".join(said) + " tokens an answer"


def _span(low: int, high: int) -> str:
    return count(low) if low == high else f"{count(low)}–{count(high)}"


def _thought(one: Thinking | None) -> str:
    if one is None:
        return ""
    opened = " that the template opens" if one.opened else ""
    return f"; after a thought{opened}, {one.start} to {one.end}, of at most {count(one.budget)} tokens"


def cut_text(cut: Mapping[str, int]) -> str:
    """Say how many answers used their budget up, by style; nothing where none did."""
    if not cut:
        return ""
    said = ", ".join(f"{style} {count(n)}" for style, n in cut.items())
    return f"cut off, as the budget ran out: {said} (--budget, or --think-budget, gives more)"

"""Describe a run in words: its settings, its manifest as tables, and which option to try where answers went wrong."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine as Database

from fathom.harness.db.read import failures_of
from fathom.harness.db.seal import SEALED
from fathom.harness.format import count, duration, instant, p_value, percent, plural, shorten
from fathom.harness.records import Manifest, RunDetail
from fathom.harness.runs.requests import budget_of
from fathom.harness.runs.run_settings import PromptSettings, RunSettings, Thinking, settings_of
from fathom.harness.stats.scores import LEVELS_TO_CHECK, CellCounts, ladder_scores
from fathom.tasks.base import SCORED
from fathom.tasks.errors import TaskError
from fathom.tasks.suites import SuiteCell

_PARTS = {
    "decisive": "What decides the numbers",
    "context": "What surrounds them",
    "engine_facts": "What the engine says of itself",
    "first_prompt": "The first prompt, as the model reads it",
}
_SHOWN_ELSEWHERE = ("cells",)
"""Parts of a manifest that the page shows as tables of their own."""
_MOST_CHARACTERS = 500
"""Characters of a value that are shown."""
_MANY = 1 / 3
"""Share of a style's answers above which something is wrong with how they were asked for."""


_DESCRIBED = frozenset(
    ("--engine", "--dtype", "--engine-arg", "--shots", "--chat", "--system", "--shots-as", "--template-option",
     "--repeats", "--temperature", "--budget", "--think-budget", "--think-marks")
)  # fmt: skip
"""Settings that have a wording of their own; any other is named by its flag."""


@dataclass(frozen=True, slots=True)
class RunFact:
    """One line of a manifest."""

    term: str
    value: str


@dataclass(frozen=True, slots=True)
class FactTable:
    """A part of a manifest."""

    title: str
    facts: tuple[RunFact, ...]


def manifest_tables(manifest: Manifest) -> tuple[FactTable, ...]:
    """Return all that a manifest holds as terms and values, one table a part."""
    stored = manifest.stored
    return tuple(
        FactTable(title, tuple(_flat_facts((), stored[part]))) for part, title in _PARTS.items() if stored.get(part)
    )


def _flat_facts(path: tuple[str, ...], value: object) -> Iterator[RunFact]:
    if not isinstance(value, Mapping):
        yield RunFact(" ".join(path).replace("_", " "), shorten(str(value), _MOST_CHARACTERS))
        return
    for key, inner in value.items():
        if key not in _SHOWN_ELSEWHERE:
            yield from _flat_facts((*path, str(key)), inner)


def run_facts(detail: RunDetail) -> tuple[RunFact, ...]:
    """Return what a run asked, with which settings, and where it ran, as terms and values."""
    one, decisive, context = detail.summary, detail.manifest.decisive, detail.manifest.context
    settings = settings_of(detail.manifest)
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
        "model digest": decisive.model.digest,
        "model commit": context.model_sha or decisive.model.revision,
        "engine": one.engine,
        "engine packages": _listed(decisive.engine.packages),
        "engine options": _listed(decisive.engine.options, context.placement),
        "number format": detail.manifest.engine_facts.get("dtype"),
        "prompts": settings and prompts_text(settings),
        "decoding": settings and decoding_text(settings, free=any(cell.style == "free" for cell in detail.cells)),
        "processor": " × ".join(
            str(context.hardware[name]) for name in ("cores", "processor") if context.hardware.get(name)
        ),
        "GPUs": context.hardware.get("gpus"),
        "lm-eval": decisive.lm_eval,
        "Fathom": f"{context.fathom.version} {_short_commit(context.fathom.commit or '')}".strip(),
        "manifest digest": detail.manifest_digest,
    }
    return tuple(RunFact(term, shorten(str(value), _MOST_CHARACTERS)) for term, value in named.items() if value)


def _short_commit(stated: str) -> str:
    """Cut a commit to the part that tells it from others."""
    commit, plus, dirty = stated.partition("+")
    return commit[:12] + plus + dirty


def _listed(*parts: Mapping[str, Any]) -> str:  # JSON values
    return ", ".join(f"{name} {value}" for part in parts for name, value in part.items())


def prompts_text(settings: RunSettings) -> str:
    """Describe the prompts of a run in short phrases."""
    prompt = settings.prompt
    said = [
        f"{plural(prompt.n_shots, 'demonstration')} before each question" if prompt.n_shots else "no demonstrations"
    ]
    said.append("the model's chat template" if prompt.chat else "plain text, no chat template")
    if prompt.chat and prompt.n_shots:
        said.append(f"demonstrations as {prompt.shots_as}")
    if prompt.template_options:
        said.append(f"template options {_listed(prompt.template_options)}")
    if prompt.system:
        said.append(f"system message “{prompt.system}”")
    return "; ".join([*said, *_other_settings(settings)])


def decoding_text(settings: RunSettings, *, free: bool) -> str:
    """Describe how answers were drawn; `free`: some are of the style that has a temperature of its own."""
    sampling, thinking = settings.sampling, settings.sampling.thinking
    said = [f"temperature {sampling.temperature:g}" if sampling.temperature else "greedy"]
    if free and sampling.temperature is None:
        said.append("temperature 1 in the style free")
    if sampling.repeats > 1:
        said.append(f"{sampling.repeats} answers to each question")
    if sampling.budgets:
        said.append(f"token budgets {_listed(sampling.budgets)}")
    if thinking is not None:
        marks = f"{thinking.start} and {thinking.end}"
        said.append(f"thoughts of up to {thinking.budget} tokens between {marks} are not graded")
    return "; ".join(said)


def settings_text(settings: RunSettings, cells: Iterable[SuiteCell] = ()) -> str:
    """Describe prompts and sampling in one line; of `cells`, the budgets by style."""
    asked, thinking = tuple(cells), settings.sampling.thinking
    parts = [*_prompt_words(settings), *_sampling_words(settings), *_budget_words(settings, asked)]
    said = "asked " + ", ".join([*parts, *_other_settings(settings)]) + _thought(thinking)
    thinks_in_chat = settings.prompt.chat and thinking is not None and thinking.opened is not None
    if thinks_in_chat and (not asked or any(cell.style in SCORED for cell in asked)):
        said += "; candidates are scored after an empty thought"
    return said


def stored_settings_text(manifest: Manifest, cells: Iterable[SuiteCell]) -> str:
    """Describe the settings of a stored run; empty where its manifest states none."""
    settings = settings_of(manifest)
    return "" if settings is None else settings_text(settings, cells)


def _other_settings(settings: RunSettings) -> Iterator[str]:
    for flag, value in settings.flags():
        if flag not in _DESCRIBED:
            yield f"{flag.removeprefix('--').replace('-', ' ')} {value}"


def _prompt_words(settings: RunSettings) -> Iterator[str]:
    prompt = settings.prompt
    yield "in a chat" if prompt.chat else "in plain text"
    shots = plural(prompt.n_shots, "shot") if prompt.n_shots else "zero-shot"
    yield f"{shots} as {prompt.shots_as}" if prompt.chat and prompt.n_shots else shots
    if prompt.system:
        yield f"system “{shorten(prompt.system, 60)}”"
    yield from (f"{name}={value}" for name, value in prompt.template_options.items())


def _sampling_words(settings: RunSettings) -> Iterator[str]:
    sampling = settings.sampling
    yield f"temperature {sampling.temperature:g}" if sampling.temperature else "greedy"
    if sampling.repeats > 1:
        yield f"{count(sampling.repeats)} answers an item"


def _budget_words(settings: RunSettings, cells: Iterable[SuiteCell]) -> Iterator[str]:
    found: dict[str, set[int]] = {}
    for cell in cells:
        try:
            if cell.style not in SCORED:
                found.setdefault(cell.style, set()).add(budget_of(cell, settings))
        except TaskError:  # a family or level that is no longer there
            continue
    said = [f"{_span(min(some), max(some))} ({style})" for style, some in found.items()]
    if said:
        yield "at most " + " or ".join(said) + " tokens per answer"


def _span(low: int, high: int) -> str:
    return count(low) if low == high else f"{count(low)}–{count(high)}"


def _thought(one: Thinking | None) -> str:
    if one is None:
        return ""
    opened = " that the template opens" if one.opened else ""
    return f"; after a thought{opened}, {one.start} to {one.end}, of at most {count(one.budget)} tokens"


def cut_text(cells: Iterable[CellCounts]) -> str:
    """Say how many answers their token budget cut off, by style; empty where it did none, or where it is not known."""
    cut = Counter[str]()
    for cell in cells:
        cut[cell.style] += cell.found.n_cut if cell.found else 0
    said = ", ".join(f"{style} {count(n)}" for style, n in sorted(cut.items()) if n)
    if not said:
        return ""
    return f"cut off, as the budget ran out: {said} (--budget, or --think-budget, gives more)"


def failed_text(db: Database, detail: RunDetail) -> str:
    """Say how many requests failed, and the most frequent reason; empty where none did, or the run says it itself."""
    one = detail.summary
    if one.error or one.sealed or not any(cell.n_errors for cell in detail.cells):
        return ""
    return f"{failures_of(db, one.run)}; `fathom run --resume {one.run}` asks these again"


def notes_on(db: Database, detail: RunDetail) -> list[str]:
    """Return what a user should know beside the scores of a run: answers cut off, failed requests, odd curves."""
    return [note for note in (cut_text(detail.cells), failed_text(db, detail), *poor_fits(detail.cells)) if note]


def poor_fits(cells: Sequence[CellCounts]) -> list[str]:
    """Return a sentence for each ladder whose accuracy is not that of a falling curve."""
    if len(cells) < LEVELS_TO_CHECK:
        return []
    return [
        f"{ladder.key.family} {ladder.key.ladder} {ladder.key.channel} {style}: accuracy does not fall steadily with "
        f"the number of {ladder.unit}, so that no single depth describes it: read the levels instead (posterior "
        f"predictive check, p {p_value(one.fit.p)})"
        for ladder in ladder_scores(cells)
        for style, one in ladder.styles.items()
        if one.fit is not None and one.fit.is_poor
    ]


def advice_of(detail: RunDetail) -> tuple[str, ...]:
    """Return one sentence for each thing that happened to more than a third of the answers, with the flag to try."""
    settings = settings_of(detail.manifest)
    cells = [cell for cell in detail.cells if cell.style not in SCORED]
    if settings is None or not cells:
        return ()
    has_template = "chat_template" in detail.manifest.stored.get("context", {})
    said = _advice(cells, settings.prompt, has_template, settings.sampling.thinking is not None)
    return (*said, *_too_small_context(detail, settings))


def _too_small_context(detail: RunDetail, settings: RunSettings) -> Iterator[str]:
    """Say where a token budget is larger than the whole context of the model; answers get what the prompt leaves."""
    context = str(detail.manifest.engine_facts.get("context", ""))
    if not context.isdecimal():
        return
    thought = settings.sampling.thinking.budget if settings.sampling.thinking else 0
    budgets = []
    for cell in detail.suite.cells:
        with suppress(TaskError):  # a family or level that is no longer there
            budgets += [budget_of(cell, settings) + thought] if cell.style not in SCORED else []
    large = [budget for budget in budgets if budget >= int(context)]
    if large:
        yield (
            f"the token budget of {count(len(large))} of {plural(len(budgets), 'cell')}, up to {count(max(large))} "
            f"tokens, does not fit the model's context of {count(int(context))}: answers get what the prompt leaves"
        )


def _advice(cells: Iterable[CellCounts], prompt: PromptSettings, has_template: bool, thinks: bool) -> Iterator[str]:
    counted = [cell for cell in cells if cell.found is not None]
    n = sum(cell.n for cell in counted)
    n_unread = sum(cell.found.n_unread for cell in counted if cell.found)
    n_cut = sum(cell.found.n_cut for cell in counted if cell.found)
    n_long = sum(cell.labels.get("too_long", 0) for cell in counted)
    if n_unread > n * _MANY:
        yield f"{_share(n_unread, n)} are empty or could not be read: {_other_prompt_format(prompt, has_template)}"
    if n_cut > n * _MANY:
        flag = "--think-budget 32768" if thinks else "--budget direct=256,cot=8192"
        yield f"{_share(n_cut, n)} were cut off by their token budget: give more, as in {flag}"
    if n_long > n * _MANY:
        fewer = "--shots 0 makes them shorter" if prompt.n_shots else "choose easier --levels"
        yield f"{_share(n_long, n)} were not asked, as prompts do not fit the model's context: {fewer}"


def _share(some: int, n: int) -> str:
    return f"{count(some)} of {count(n)} answers ({percent(some / n, 0)})"


def _other_prompt_format(prompt: PromptSettings, has_template: bool) -> str:
    """Return the prompt format to try next."""
    if not prompt.chat and has_template:
        return "the model has a chat template, try --chat"
    if not prompt.chat:
        return "try --shots 5" if prompt.n_shots else "try --shots 3"
    return "try --no-chat" if prompt.n_shots else "try --shots 2, or --no-chat"

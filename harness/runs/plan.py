"""What is to be run: a checked model and engine, the questions, and the settings."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from fathom.harness.engines.adapter import adapted, bare_name
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.chat_template import card_shots, chat_template_of
from fathom.harness.engines.installed import check_installed
from fathom.harness.engines.model import ModelSource, find_model, find_outline, find_served_model
from fathom.harness.engines.model_name import check_board_name, folder_label, is_folder
from fathom.harness.engines.options import check_settings, inner_engine
from fathom.harness.engines.oracle import oracle_kind
from fathom.harness.engines.providers import DEFAULT_THOUGHT, Dialect, dialect_of
from fathom.harness.errors import BadInput, UnknownEngine, UnknownModel
from fathom.harness.format import plural
from fathom.harness.records import RunDetail, TaskRunDetail
from fathom.harness.runs.ladders import open_ladders
from fathom.harness.runs.prompt_format import ModelHints, PromptFormat, StatedFormat, choose_prompt_format
from fathom.harness.runs.run_settings import USUAL_MARKS, RunSettings, Thinking, settings_of
from fathom.harness.runs.thought_marks import find_thinking
from fathom.tasks.base import SCORED
from fathom.tasks.suite_tables import ADAPTIVE
from fathom.tasks.suites import Suite


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run on a suite. Model and engine are checked when a plan is made, and not again.

    `resume` is the whole id of the run to go on with. `prompt_format` says why the settings have a chat and shots
    or not; None where they were stated together, or where nothing reads a prompt.
    """

    model: ModelSource
    suite: Suite
    settings: RunSettings = field(default_factory=RunSettings)
    resume: str | None = None
    prompt_format: PromptFormat | None = None
    tags: tuple[str, ...] = ()
    """Words to find the run by; they are no part of what it measures."""

    def __post_init__(self) -> None:
        """Raise BadInput where the suite cannot be asked with these settings."""
        self.settings.sampling.check(cell.style for cell in self.suite.cells)
        if self.suite.name in ADAPTIVE:
            open_ladders(self.suite)  # raises where a ladder has one level only
            if self.settings.sampling.repeats > 1:
                raise BadInput("depth is found from one answer to each question: leave out --repeats")


@dataclass(frozen=True, slots=True)
class TaskSelection:
    """Which of lm-eval's own tasks are asked."""

    tasks: tuple[str, ...] = ()
    """Names of tasks, groups and tags, or patterns such as mmlu_*."""
    include_paths: tuple[str, ...] = ()
    """Folders with tasks of the user's own."""
    limit: int | None = None
    """Documents per task at most."""
    n_shots: int | None = None
    """Demonstrations; None: as each task says."""


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """What is to be run on lm-eval's own tasks; the rest is as in `Plan`."""

    model: ModelSource
    selection: TaskSelection
    settings: RunSettings = field(default_factory=RunSettings)
    resume: str | None = None
    tags: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return selection and settings as they are stored; `read_task_plan` reads them."""
        chosen = self.selection
        return {
            "tasks": list(chosen.tasks),
            "include_paths": list(chosen.include_paths),
            "limit": chosen.limit,
            "shots": chosen.n_shots,
            "shots_as": self.settings.prompt.shots_as,  # `sampling` has it only beside a number of demonstrations
            "sampling": self.settings.to_json()["sampling"],
        }


_AnyPlan = TypeVar("_AnyPlan", Plan, TaskPlan)


def resolve_model(
    name: str | None, engine: EngineSettings, revision: str | None = None, *, weights: bool = True
) -> ModelSource:
    """Check an engine's settings and find the model that it is to run, with the adapter that they name.

    Without `weights`, none are fetched from the hub or checked, and the model can only be planned with.

    Raises:
        UnknownEngine, UnknownModel, BrokenModel: no such engine or model, or files that cannot be used.
        NotInstalled: the engine's packages are not there.
        BadInput: no name, or a setting that the engine does not take.
    """
    check_settings(engine)
    if engine.name != "oracle":
        check_installed(engine.name)
    if inner_engine(engine) == "oracle":
        kind = oracle_kind(name or "oracle")
        return ModelSource(f"oracle/{kind}", None, f"oracle/{kind}")
    if not name:
        raise BadInput("say which model: --model reference/pebble, a folder, or a hub id (org/name)")
    if engine.name == "openai":  # the server knows the model under the name that was typed
        served = find_served_model(name)
        return replace(served, by_digest=served.path is not None and not name.startswith("reference/"))
    find = find_model if weights else find_outline
    source, lora = _labelled(find(name, revision), name), engine.options.get("lora")
    return source if lora is None or not weights else replace(adapted(source, Path(lora)), by_digest=True)


def _labelled(source: ModelSource, typed: str) -> ModelSource:
    """Return a model in a folder under its label, the same however the folder was typed; its files say which it is."""
    if source.path is None or not is_folder(typed) or typed.startswith("reference/"):
        return source
    return replace(source, name=folder_label(source.path), by_digest=True)


def named(plan: _AnyPlan, name: str | None) -> _AnyPlan:
    """Return a plan whose model has the name that the user gave it, or the same plan where none was given.

    Raises:
        BadInput: a name that no board accepts, or a model that keeps its own.
    """
    if name is None:
        return plan
    check_board_name(name)
    model, settings = plan.model, plan.settings
    if inner_engine(settings.engine) == "oracle":
        raise BadInput("the oracle is no model, and keeps its name: leave out --name")
    if settings.engine.name == "openai":  # which asks the server for the name that was typed
        options = {"served_model": model.name, **settings.engine.options}
        settings = replace(settings, engine=replace(settings.engine, options=options))
    own = replace(model, name=name, by_digest=model.path is not None, is_named=True)
    return replace(plan, model=own, settings=settings)


_TAG = re.compile(r"\w[\w.:/+-]{0,63}")


def check_tags(tags: Iterable[str]) -> None:
    """Raise BadInput for a tag that is no word of at most 64 letters, digits and . : / + - _."""
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise BadInput(f"the tag {tag[:80]!r} is no word: letters, digits and . : / + - _, 64 at most")


def tagged(plan: _AnyPlan, tags: tuple[str, ...]) -> _AnyPlan:
    """Return a plan whose run has tags, each once, or the same plan where there are none."""
    return replace(plan, tags=tuple(dict.fromkeys(tags))) if tags else plan


def make_plan(  # 6 parameters: what is asked of whom, how, and who hears of it; and one for plans alone
    model: str | None,
    revision: str | None,
    suite: Suite,
    settings: RunSettings,
    tell: Callable[[str], None],
    stated: StatedFormat | None = None,
    *,
    weights: bool = True,
) -> Plan:
    """Check everything that a run of a suite needs, before a model is loaded; `tell` hears what is left out.

    With `stated`, the model's files choose between chat and plain text and the number of shots, as far as the user does
    not; without it, the settings say both. Without `weights`, none are fetched or checked, and the plan cannot be run.

    Raises:
        BadInput: no such model, or settings that it or the suite cannot be run with; see `resolve_model`.
    """
    scored = [cell.style for cell in suite.cells if cell.style in SCORED]
    if settings.sampling.repeats > 1 and scored:
        suite = suite.without(SCORED)
        named = " or ".join(dict.fromkeys(scored))
        tell(
            f"{plural(len(scored), 'cell')} of the style {named} left out: candidates are scored, so that asking again "
            "gives the same; a run without --repeats asks them"
        )
    source = resolve_model(model, settings.engine, revision, weights=weights)
    if settings.engine.options.get("provider"):
        suite, settings = at_provider(source.name, suite, settings, tell)
    prompt_format = None
    if stated is not None:
        prompt_format = choose_prompt_format(hints_of(source, settings.engine.name), stated)
        settings = replace(
            settings, prompt=replace(settings.prompt, chat=prompt_format.chat, n_shots=prompt_format.n_shots)
        )
    settings.check()
    is_read = source.path is not None or settings.engine.name == "openai"  # the oracle answers from the item's id
    return Plan(source, suite, add_thinking(source, settings), prompt_format=prompt_format if is_read else None)


def at_provider(
    model: str, suite: Suite, settings: RunSettings, tell: Callable[[str], None]
) -> tuple[Suite, RunSettings]:
    """Return suite and settings as a provider's model can be asked; `tell` hears what changes.

    A model that thinks gets a budget for its thought. One that takes no temperature is asked at 1, and its run is
    stored as sampled. No provider scores candidates.

    Raises:
        BadInput: a temperature for a model that takes none.
    """
    options, sampling, dialect = settings.engine.options, settings.sampling, _dialect(model, settings)
    if scored := [cell for cell in suite.cells if cell.style in SCORED]:
        suite = suite.without(SCORED)
        tell(f"{plural(len(scored), 'cell')} left out: {options['provider']} scores no candidates, it only answers")
    if not dialect.has_temperature:
        if sampling.temperature not in (None, 1.0):
            raise BadInput(f"{model} takes no temperature: leave --temperature out, or take another model")
        sampling = replace(sampling, temperature=1.0)
        tell(f"{model} takes no temperature: its answers are drawn at 1, and the run is stored as sampled, not ranked")
    settings = replace(settings, sampling=sampling)
    if dialect.thinks and sampling.thinking is None:
        settings = _with_thought(settings)
        tell(f"{model} thinks: {DEFAULT_THOUGHT:,} tokens for a thought beside each answer; --think-budget changes it")
    return suite, settings


def _dialect(model: str, settings: RunSettings) -> Dialect:
    options = settings.engine.options
    served, effort = (str(options.get(name) or "") for name in ("served_model", "reasoning_effort"))
    return dialect_of(options["provider"], served or model, effort)


def _with_thought(settings: RunSettings) -> RunSettings:
    thinking = Thinking("", "", DEFAULT_THOUGHT)
    return replace(settings, sampling=replace(settings.sampling, thinking=thinking))


def hints_of(model: ModelSource, engine: str) -> ModelHints:
    """Read from a model's files what they say of how it is asked; the oracle reads no prompt."""
    if model.path is not None:
        return ModelHints(chat_template_of(model.path) is not None, card_shots(model.path))
    return ModelHints(None) if engine == "openai" else ModelHints(False, 0)


def add_thinking(model: ModelSource, settings: RunSettings) -> RunSettings:
    """Return the settings with what the model's files say of its thought.

    A model whose template or tokenizer knows the marks of a thought thinks in chats. Without files nothing is known,
    and only what the user stated counts.

    Raises:
        BadInput: a chat for a model without a template, a chat that the template refuses, or options for a template
            that is not used.
    """
    prompt, given = settings.prompt, settings.sampling.thinking
    if prompt.template_options and not prompt.chat:
        raise BadInput("--template-option is for a model's chat template, and it is asked in plain text: leave it out")
    if model.path is not None and prompt.chat:
        template = chat_template_of(model.path)
        if template is None:
            raise BadInput(
                f"{model.name} has no chat template, neither in chat_template.jinja nor in tokenizer_config.json: "
                "leave out --chat, or give --no-chat, to ask it in plain text"
            )
        thinking = find_thinking(model.path, template, prompt, given)
    elif given is not None:
        start, end = given.marks if given.start else USUAL_MARKS
        thinking = replace(given, start=start, end=end, opened=None if prompt.chat else False)
    else:
        return settings
    return replace(settings, sampling=replace(settings.sampling, thinking=thinking))


def make_task_plan(
    model: str | None, revision: str | None, selection: TaskSelection, settings: RunSettings
) -> TaskPlan:
    """Check everything that a run of lm-eval's tasks needs, before a task or a model is loaded.

    Raises:
        BadInput: no such model, or settings that it cannot be run with; see `resolve_model`.
    """
    check_answers_tasks(settings.engine.name)
    source, given = resolve_model(model, settings.engine, revision), settings.sampling.thinking
    if settings.engine.options.get("provider") and given is None and _dialect(source.name, settings).thinks:
        settings = _with_thought(settings)
    return TaskPlan(source, selection, add_thinking(source, settings))


def check_answers_tasks(engine: str) -> None:
    """Raise UnknownEngine for the oracle, which answers Fathom's own items only."""
    if engine == "oracle":
        raise UnknownEngine("the oracle answers Fathom's own items only: run --tasks with vllm, hf or another engine")


def resume_plan(detail: RunDetail, engine: EngineSettings) -> Plan:
    """Return the plan of a stored run of a suite, on the machines that `engine` names.

    Raises:
        BadInput: the model is gone, the engine does not take an option, or the manifest states no settings.
    """
    one = detail.summary
    settings = settings_of(detail.manifest)
    if settings is None:
        raise BadInput(f"the manifest of run {one.run} states no settings: only runs of `fathom run` can go on")
    settings = settings.placed(engine)
    return Plan(_stored_model(detail, settings.engine), detail.suite, settings, one.run)


def resume_task_plan(detail: TaskRunDetail, engine: EngineSettings, folders: tuple[str, ...] = ()) -> TaskPlan:
    """Return the plan of a stored run of lm-eval's tasks; `folders` replace the stored ones, if there are any.

    Raises:
        BadInput: the model is gone, or the engine does not take an option.
    """
    one, said, decided = detail.summary, detail.settings, detail.manifest.decisive.engine
    settings = RunSettings.from_json(
        {
            "engine": decided.name, "sampling": said["sampling"], "options": decided.options,
            "placement": detail.manifest.context.placement,
        }
    ).placed(engine)  # fmt: skip
    settings = replace(settings, prompt=replace(settings.prompt, shots_as=said["shots_as"]))
    paths = folders or tuple(said["include_paths"])
    selection = TaskSelection(tuple(said["tasks"]), paths, said["limit"], said["shots"])
    return TaskPlan(_stored_model(detail, settings.engine), selection, settings, one.run)


def _stored_model(detail: RunDetail | TaskRunDetail, engine: EngineSettings) -> ModelSource:
    """Find the model of a stored run again, under the name in its manifest; its adapter may have moved."""
    manifest, place = detail.manifest, detail.model_path
    name = manifest.decisive.model.name or detail.summary.model
    if place and not is_folder(place):
        raise UnknownModel(f"the model of run {detail.summary.run} was in {place}, and is not there now: put it back")
    bare = bare_name(name) if "lora" in engine.options else name
    return replace(resolve_model(place or bare, engine, manifest.context.revision), name=name)

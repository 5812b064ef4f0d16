"""Plan of an import: the model, suite, settings and manifest of the run that a log of lm-eval becomes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from fathom.harness.db.write import NewRun
from fathom.harness.errors import BadInput
from fathom.harness.io.lm_eval.check import generation_overrides
from fathom.harness.io.lm_eval.log import EvaluationLog, LoggedTask, read_samples
from fathom.harness.io.lm_eval.store import IMPORTED_ENGINE
from fathom.harness.io.strict_json import flat_texts
from fathom.harness.records import Manifest
from fathom.harness.runs.manifest import fathom_commit
from fathom.harness.runs.requests import sampling_of
from fathom.harness.runs.run_settings import MOST_SHOTS, PromptSettings, RunSettings
from fathom.tasks.base import SCORED, STYLES
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import all_families, find_family, instance_from_id
from fathom.tasks.suite_tables import SUITE_VERSION, TABLES
from fathom.tasks.suites import Selection, Suite, SuiteCell, open_suite, suite_names

_PLAIN = {"temperature": 0.0, "temperature_free": 1.0, "shots": 0}
_SECRET = ("key", "token", "secret", "password", "auth")
_SAID = (
    "git_hash", "date", "lm_eval_version", "transformers_version", "chat_template_sha", "system_instruction_sha",
    "total_evaluation_time_seconds", "max_length",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """An evaluation to store; its samples are not checked yet."""

    log: EvaluationLog
    model: str
    suite: Suite
    settings: RunSettings
    system: str
    """System prompt as lm-eval wrote it before the first demonstration or question."""
    overrides: Mapping[str, Mapping[str, Any]]
    """Generation settings that differ from ours and can change answers, by task; JSON values."""

    @property
    def dtype(self) -> str | None:
        """Number format of the weights, as lm-eval names it."""
        said = self.log.results.config.model_dtype
        return said.removeprefix("torch.")[:40] if said else None

    @property
    def seconds(self) -> float:
        """Seconds that the evaluation took; 0 if unknown."""
        try:
            said = float(self.log.results.total_evaluation_time_seconds or 0)
        except ValueError:
            return 0.0
        return said if 0 <= said < 1e9 else 0.0

    def new_run(self) -> NewRun:
        """Return the run to store; it can be ranked only if its settings are those of ranked runs."""
        manifest = self._manifest()
        sampling = manifest.decisive.sampling
        is_plain = set(sampling) == {*_PLAIN, "chat_template"} and all(
            sampling[name] == _PLAIN[name] for name in _PLAIN
        )
        n_parameters = self.log.results.config.model_num_parameters
        return NewRun(
            self.model, manifest.decisive.engine.name, self.suite, manifest.decisive.suite.digest,
            manifest.to_json(), manifest.digest(),
            n_parameters if n_parameters is not None and 0 < n_parameters < 10**15 else None,
            "chat" if self.settings.prompt.chat else None, tier=1, layer="main" if is_plain else "sampled",
            n_repeats=self.settings.sampling.repeats,
        )  # fmt: skip

    def _manifest(self) -> Manifest:
        results, raw, suite = self.log.results, self.log.raw, self.suite
        packages = {"lm_eval": results.lm_eval_version, "transformers": str(raw.get("transformers_version") or "")}
        generation = {"generation": {name: dict(found) for name, found in self.overrides.items()}}
        decisive = {
            "model": {"name": self.model, "digest": ""},
            "engine": {"name": f"{IMPORTED_ENGINE}{results.config.model}", "packages": packages, **self._options()},
            "suite": {
                "name": suite.name, "version": suite.version, "seed": suite.seed, "digest": suite.digest()
            },
            "families": {cell.family: cell.version for cell in suite.cells},
            "sampling": self.settings.to_json()["sampling"] | (generation if self.overrides else {}),
            "lm_eval": results.lm_eval_version,
            "log": self.log.digest,
        }  # fmt: skip
        said = {name: raw[name] for name in _SAID if raw.get(name) is not None}
        context = {
            "imported": {
                "at": datetime.now(UTC).isoformat(timespec="seconds"), "file": self.log.file.name,
                "not_known": "how answers ended, tokens and time, unless `fathom export` wrote the files",
            },
            "lm_eval": flat_texts(said | {"config": _without_secrets(raw.get("config"))}),
            "fathom": {"version": version("fathom"), "commit": fathom_commit()},
            "model_sha": results.config.model_sha or "",
        }  # fmt: skip
        return Manifest.read({"decisive": decisive, "context": context})

    def _options(self) -> dict[str, Any]:
        stated = self.log.results.config.model_args
        options = stated if isinstance(stated, dict) else {"model_args": stated} if stated else {}
        found = flat_texts({name: value for name, value in options.items() if name != "pretrained"})
        return {"options": _without_secrets(found)} if found else {}


def _without_secrets(values: object) -> dict[str, Any]:  # JSON values
    """Return an object without the fields that may be secrets; anything but an object becomes empty."""
    found = values if isinstance(values, dict) else {}
    return {
        name: _without_secrets(value) if isinstance(value, dict) else value
        for name, value in found.items()
        if not any(word in str(name).lower() for word in _SECRET)
    }


def plan_import(log: EvaluationLog, model: str | None) -> ImportPlan:
    """Plan the import of a log from its settings and its first samples.

    Raises:
        BadInput: no model is named, or a setting cannot be read.
    """
    name = model or log.model
    if not name:
        raise BadInput(f"{log.file} does not name the model: give --model NAME")
    settings = _settings(log)
    found = {}
    for task in log.tasks:
        ours = sampling_of(task.cell, settings)
        if task.cell.style not in SCORED and (changed := generation_overrides(_first_generation(task), ours)):
            found[task.name] = changed
    return ImportPlan(log, name, _suite(log), settings, log.results.system_instruction or "", found)


def _settings(log: EvaluationLog) -> RunSettings:
    results = log.results
    shots = {task.n_shots for task in log.tasks}
    if len(shots) > 1:
        raise BadInput(f"{log.file}: its tasks have {sorted(shots)} demonstrations: evaluate them separately")
    if max(shots) > MOST_SHOTS:
        raise BadInput(
            f"{log.file}: Fathom's tasks have {MOST_SHOTS} demonstrations at most, and this says {max(shots)}"
        )
    chat = results.chat_template is not None
    if results.fathom is None:
        as_turns = bool(results.fewshot_as_multiturn)
        prompt = PromptSettings(shots.pop(), chat, results.system_instruction or "", "turns" if as_turns else "text")
        return RunSettings(prompt)
    try:
        settings = RunSettings.from_json({"sampling": results.fathom.sampling})
        settings.sampling.check(task.cell.style for task in log.tasks)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{log.file}: fathom.sampling is not as `fathom export` writes it: {error}") from error
    if (settings.prompt.n_shots, settings.prompt.chat) != (shots.pop(), chat):
        raise BadInput(
            f"{log.file}: fathom.sampling contradicts n-shot and chat_template: import the files as lm-eval wrote them"
        )
    return settings


def _first_generation(task: LoggedTask) -> dict[str, Any]:  # JSON values
    where, row = next(read_samples(task))
    found = row.arguments.get("gen_args_0", {}).get("arg_1")
    if not isinstance(found, dict):
        raise BadInput(f"{where}: arguments.gen_args_0.arg_1 is not an object of generation settings")
    return found


def _suite(log: EvaluationLog) -> Suite:
    """Return the suite of the log: the suite of ours with the same cells, in its order, or a selection of cells."""
    where, first = next(read_samples(log.tasks[0]))
    try:
        seed = instance_from_id(first.doc.id).seed
    except TaskError as error:
        raise BadInput(f"{where}: {error}") from error
    cells = [_cell(task) for task in log.tasks]
    asked = {cell.cell: cell for cell in cells}
    for name in TABLES:
        own = [cell.cell for cell in open_suite(name, 0).cells]
        if asked.keys() == set(own):
            return Suite(name, SUITE_VERSION, seed, tuple(asked[cell] for cell in own))
    ours = log.results.fathom
    if ours is not None and ours.suite.name in suite_names() and ours.suite.version == SUITE_VERSION:
        return Suite(ours.suite.name, SUITE_VERSION, seed, tuple(cells))
    families = tuple(dict.fromkeys(cell.family for cell in cells))
    chosen = open_suite("quick", seed, Selection(families))  # as `fathom run` calls a choice of cells
    return replace(chosen, cells=tuple(sorted(cells, key=_order)))


def _cell(task: LoggedTask) -> SuiteCell:
    one = task.cell
    return SuiteCell(one.family, find_family(one.family).version, one.level, one.channel, one.style, task.n_lines)


def _order(cell: SuiteCell) -> tuple[int, ...]:
    family = find_family(cell.family)
    return (
        list(all_families()).index(cell.family), STYLES.index(cell.style), family.channels.index(cell.channel),
        list(family.levels).index(cell.level),
    )  # fmt: skip

"""Turn a log of lm-eval's into the run that it becomes: model, suite, manner and manifest."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fathom.harness.db.write import NewRun
from fathom.harness.errors import BadInput
from fathom.harness.io.lm_eval.check import overrides
from fathom.harness.io.lm_eval.log import Log, LoggedTask, read_samples
from fathom.harness.io.lm_eval.store import ENGINE
from fathom.harness.io.strict_json import texts
from fathom.harness.runs.manifest import Manifest, git_state
from fathom.harness.runs.prompting import MOST_SHOTS, Decoding, Prompting, read_sampling, sampling_json
from fathom.harness.runs.requests import sampling_of
from fathom.tasks.base import SCORED, STYLES
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import all_families, find_family, instance_from_id
from fathom.tasks.suites import TABLES, VERSION, Suite, SuiteCell, open_suite, suite_names

_PLAIN = {"temperature": 0.0, "temperature_free": 1.0, "shots": 0}
_SECRET = ("key", "token", "secret", "password", "auth")
_SAID = (
    "git_hash", "date", "lm_eval_version", "transformers_version", "chat_template_sha", "system_instruction_sha",
    "total_evaluation_time_seconds", "max_length",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """An evaluation that is to be stored, before its samples were checked."""

    log: Log
    model: str
    suite: Suite
    manner: tuple[Prompting, Decoding]
    system: str
    """As lm-eval put it before the first demonstration or question."""
    overrides: Mapping[str, Mapping[str, Any]]
    """By task: settings that make other answers possible than ours; JSON values."""

    @property
    def dtype(self) -> str | None:
        """Number format of the weights, as lm-eval names it."""
        said = self.log.results.config.model_dtype
        return said.removeprefix("torch.")[:40] if said else None

    @property
    def seconds(self) -> float:
        """How long the evaluation took, or 0."""
        try:
            said = float(self.log.results.total_evaluation_time_seconds or 0)
        except ValueError:
            return 0.0
        return said if 0 <= said < 1e9 else 0.0

    def new_run(self) -> NewRun:
        """Return what is known of the run; only one that was put and answered as ranked runs are may be ranked."""
        manifest = self._manifest()
        sampling = manifest.decisive["sampling"]
        is_plain = set(sampling) == {*_PLAIN, "chat_template"} and all(
            sampling[name] == _PLAIN[name] for name in _PLAIN
        )
        n_parameters = self.log.results.config.model_num_parameters
        return NewRun(
            self.model, manifest.decisive["engine"]["name"], self.suite, manifest.decisive["suite"]["digest"],
            manifest.to_json(), manifest.digest(),
            n_parameters if n_parameters is not None and 0 < n_parameters < 10**15 else None,
            "chat" if self.manner[0].chat else None, tier=1, layer="main" if is_plain else "sampled",
            n_repeats=self.manner[1].repeats,
        )  # fmt: skip

    def _manifest(self) -> Manifest:
        results, raw, suite = self.log.results, self.log.raw, self.suite
        packages = {"lm_eval": results.lm_eval_version, "transformers": str(raw.get("transformers_version") or "")}
        generation = {"generation": {name: dict(found) for name, found in self.overrides.items()}}
        decisive = {
            "model": {"name": self.model, "digest": ""},
            "engine": {"name": f"{ENGINE}{results.config.model}", "packages": packages, **self._options()},
            "suite": {
                "name": suite.name, "version": suite.version, "seed": suite.seed, "digest": suite.digest()
            },
            "families": {cell.family: cell.version for cell in suite.cells},
            "sampling": sampling_json(*self.manner) | (generation if self.overrides else {}),
            "lm_eval": results.lm_eval_version,
            "log": self.log.digest,
        }  # fmt: skip
        said = {name: raw[name] for name in _SAID if raw.get(name) is not None}
        context = {
            "imported": {
                "at": datetime.now(UTC).isoformat(timespec="seconds"), "file": self.log.file.name,
                "not_known": "how answers ended, tokens and time, unless `fathom export` wrote the files",
            },
            "lm_eval": texts(said | {"config": without_secrets(raw.get("config"))}),
            "fathom": {"version": version("fathom"), "commit": git_state(Path(__file__).parents[1])},
            "model_sha": results.config.model_sha or "",
        }  # fmt: skip
        return Manifest(decisive, context)

    def _options(self) -> dict[str, Any]:
        stated = self.log.results.config.model_args
        options = stated if isinstance(stated, dict) else {"model_args": stated} if stated else {}
        found = texts({name: value for name, value in options.items() if name != "pretrained"})
        return {"options": without_secrets(found)} if found else {}


def without_secrets(values: object) -> dict[str, Any]:  # JSON values
    """Leave out what may be a key; anything but an object is left out as a whole."""
    found = values if isinstance(values, dict) else {}
    return {
        name: without_secrets(value) if isinstance(value, dict) else value
        for name, value in found.items()
        if not any(word in str(name).lower() for word in _SECRET)
    }


def plan_import(log: Log, model: str | None) -> ImportPlan:
    """Read from a log's settings and its first samples what the run is.

    Raises:
        BadInput: no model is named, or a setting cannot be read.
    """
    name = model or log.model
    if not name:
        raise BadInput(f"{log.file} does not name the model: give --model NAME")
    manner = _manner(log)
    found = {}
    for task in log.tasks:
        ours = sampling_of(task.cell, *manner)
        if task.cell.style not in SCORED and (changed := overrides(_first_generation(task), ours)):
            found[task.name] = changed
    return ImportPlan(log, name, _suite(log), manner, log.results.system_instruction or "", found)


def _manner(log: Log) -> tuple[Prompting, Decoding]:
    results = log.results
    shots = {task.n_shots for task in log.tasks}
    if len(shots) > 1:
        raise BadInput(f"{log.file}: its tasks have {sorted(shots)} demonstrations: evaluate them apart")
    if max(shots) > MOST_SHOTS:
        raise BadInput(
            f"{log.file}: Fathom's tasks have {MOST_SHOTS} demonstrations at most, and this says {max(shots)}"
        )
    chat = results.chat_template is not None
    if results.fathom is None:
        as_turns = bool(results.fewshot_as_multiturn)
        return Prompting(
            shots.pop(), chat, results.system_instruction or "", "turns" if as_turns else "text"
        ), Decoding()
    try:
        manner = read_sampling(results.fathom.sampling)
        manner[1].check(task.cell.style for task in log.tasks)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{log.file}: fathom.sampling is not as `fathom export` writes it: {error}") from error
    if (manner[0].n_shots, manner[0].chat) != (shots.pop(), chat):
        raise BadInput(f"{log.file}: fathom.sampling says otherwise than n-shot and chat_template")
    return manner


def _first_generation(task: LoggedTask) -> dict[str, Any]:  # JSON values
    where, row = next(read_samples(task))
    found = row.arguments.get("gen_args_0", {}).get("arg_1")
    if not isinstance(found, dict):
        raise BadInput(f"{where}: arguments.gen_args_0.arg_1 is no object of generation settings")
    return found


def _suite(log: Log) -> Suite:
    """Return the suite that was asked: one of ours where the cells are its, in its order."""
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
            return Suite(name, VERSION, seed, tuple(asked[cell] for cell in own))
    ours = log.results.fathom
    if ours is not None and ours.suite.name in suite_names() and ours.suite.version == VERSION:
        return Suite(ours.suite.name, VERSION, seed, tuple(cells))
    return Suite("quick", VERSION, seed, tuple(sorted(cells, key=_order)))  # as `fathom run` calls a choice of cells


def _cell(task: LoggedTask) -> SuiteCell:
    one = task.cell
    return SuiteCell(one.family, find_family(one.family).version, one.level, one.channel, one.style, task.n_lines)


def _order(cell: SuiteCell) -> tuple[int, ...]:
    family = find_family(cell.family)
    return (
        list(all_families()).index(cell.family), STYLES.index(cell.style), family.channels.index(cell.channel),
        list(family.levels).index(cell.level),
    )  # fmt: skip

"""Load lm-eval's own tasks by name and build their requests, as lm-eval's command does."""

import difflib
import json
import random  # noqa: TID251  # lm-eval's tasks draw from it while they load; see _seed
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from fathom.harness.errors import BadInput, FathomError, UnknownTask
from fathom.harness.runs.plan import TaskPlan, TaskSelection
from fathom.harness.runs.run_settings import RunSettings

_NEAR = 4
"""Names that are proposed for one that is not there."""


@dataclass(frozen=True, slots=True)
class LoadedTasks:
    """Tasks and groups by name; lm-eval has no types for them."""

    tasks: Mapping[str, Any]
    groups: Mapping[str, Any]

    @property
    def positions(self) -> Mapping[str, int]:
        """Position of each task in the run."""
        return {name: at for at, name in enumerate(self.tasks)}

    def instances(self, kind: str | None = None) -> Iterator[Any]:
        """Yield lm-eval's requests in its own order: all, or those of one kind."""
        for task in self.tasks.values():
            yield from (one for one in task.instances if kind in (None, one.request_type))

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of requests, in the order in which lm-eval asks them."""
        return tuple(dict.fromkeys(one.request_type for one in self.instances()))

    def digest(self) -> str:
        """Digest every request, so that a change of tasks, data or templates changes the digest."""
        state = blake2b(digest_size=16)
        for one in self.instances():
            place = [one.task_name, one.doc_id, one.idx, one.repeats, one.request_type]
            state.update(json.dumps([place, one.args], default=str).encode() + b"\n")
        return state.hexdigest()

    def versions(self) -> dict[str, str]:
        """Return the version of each task."""
        return {name: str(task.VERSION) for name, task in self.tasks.items()}


def load_tasks(selection: TaskSelection, settings: RunSettings) -> LoadedTasks:
    """Load tasks and groups, and set them up as lm-eval's own command does.

    Raises:
        UnknownTask: no such name; a task about pictures or sounds, or one that runs a model's code.
        BadInput: a data set that cannot be fetched, a missing package, a broken task.
    """
    for folder in selection.include_paths:
        if not Path(folder).is_dir():
            raise BadInput(f"--include-path {folder} is not a folder: give one with YAML files of tasks")
    try:
        tasks, groups = _load_all(selection, alone=bool(selection.include_paths))
    except _NotInFolders:
        tasks, groups = _load_all(selection, alone=False)
    for name, task in tasks.items():
        _check(name, task)
        _set_up(task, selection, settings.sampling.temperature)
    return LoadedTasks(tasks, groups)


class _NotInFolders(Exception):
    """A task is not in the user's folders."""


def _load_all(selection: TaskSelection, *, alone: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return tasks and groups by name; `alone` leaves out lm-eval's own, which take ten seconds to index."""
    manager = TaskManager(include_path=list(selection.include_paths) or None, include_defaults=not alone)
    names: dict[str, None] = {}
    for name in selection.tasks:
        matched = manager.match_tasks([name])
        if not matched and alone:
            raise _NotInFolders
        if not matched:
            raise UnknownTask(_unknown(name, manager.all_tasks, selection.include_paths))
        names |= dict.fromkeys(matched)
    tasks: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    _seed()
    for name in names:
        found = _load(manager, name, alone)
        twice = [task for task in found["tasks"] if task in tasks]
        if twice:
            raise BadInput(f"--tasks names {twice[0]} twice, as {name} contains it: leave one out")
        tasks |= found["tasks"]
        groups |= found.get("groups", {})
    return tasks, groups


def _unknown(name: str, known: Sequence[str], folders: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, _NEAR, 0.6)
    said = f"lm-eval has no task {name!r}" + (f"; near it: {', '.join(near)}" if near else "")
    broken = [problem for folder in folders for problem in _broken_files(Path(folder))]
    if broken:
        return f"{said}. lm-eval passes over files that it cannot read: {broken[0]}"
    return said if near else f"{said}: `lm_eval ls tasks` lists them, and --include-path DIR adds your own"


def _broken_files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("**/*.yaml")):
        try:
            load_yaml(path, resolve_func=False, recursive=True)
        except Exception as error:  # whatever the parser raises
            yield f"{path} ({_line(error)})"


def _seed() -> None:
    """Seed the generators with which tasks shuffle their data, as lm-eval's command does: the prompts are the same."""
    random.seed(DEFAULT_RANDOM_SEED)
    np.random.seed(DEFAULT_OTHER_SEED)


def _load(manager: TaskManager, name: str, alone: bool) -> dict[str, Any]:
    try:
        found: dict[str, Any] = manager.load([name])
    except FathomError:  # one of our own tasks
        raise
    except ImportError as error:
        raise BadInput(f"the task {name} needs a package that is not installed ({_line(error)}): install it") from error
    except (OSError, httpx.HTTPError) as error:
        raise BadInput(_no_data(name, error)) from error
    except Exception as error:  # a task's own code may raise anything
        if alone and isinstance(error, KeyError):  # a user's group may hold tasks of lm-eval's
            raise _NotInFolders from error
        if "Couldn't find cache" in str(error):
            raise BadInput(_no_data(name, error)) from error
        raise BadInput(f"lm-eval cannot load the task {name}: {type(error).__name__}: {_line(error)}") from error
    return found


def _no_data(name: str, error: Exception) -> str:
    return (
        f"the data set of the task {name} cannot be loaded ({_line(error)}): it needs the network, "
        "or a copy in Hugging Face's cache (HF_HOME)"
    )


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _check(name: str, task: Any) -> None:
    if getattr(task, "UNSAFE_CODE", False):
        raise UnknownTask(
            f"the task {name} runs code that a model wrote, which Fathom does not do: use lm_eval in a sandbox"
        )
    if getattr(task, "MULTIMODAL", False):
        raise UnknownTask(f"the task {name} asks about pictures or sounds, and Fathom's engines read text only")


def _set_up(task: Any, selection: TaskSelection, temperature: float | None) -> None:
    """Set shots, the seed that draws them, and the temperature, by the rules of lm-eval's simple_evaluate."""
    own = task.get_config("num_fewshot")
    if own is None or (selection.n_shots is not None and own != 0):  # a task with 0 cannot take any
        task.set_config(key="num_fewshot", value=selection.n_shots or 0)
    task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
    if temperature is not None and task.get_config("output_type") == "generate_until":
        drawn = {"do_sample": temperature > 0, "temperature": temperature}
        task.set_config(key="generation_kwargs", value=drawn, update=True)


def build_requests(loaded: LoadedTasks, plan: TaskPlan, chat_template: Any) -> None:
    """Let each task build its requests, once: lm-eval's `evaluate` would build them again.

    `chat_template` writes lm-eval's messages as a prompt.

    Raises:
        BadInput: a task cannot make its prompts.
    """
    prompt = plan.settings.prompt
    for name, task in loaded.tasks.items():
        try:
            task.build_all_requests(
                limit=plan.selection.limit,
                system_instruction=prompt.system or None,
                apply_chat_template=prompt.chat,
                fewshot_as_multiturn=prompt.shots_as == "turns",
                chat_template=chat_template if prompt.chat else None,
            )
        except Exception as error:  # a task's own code may raise anything
            raise BadInput(
                f"the task {name} cannot make its prompts: {type(error).__name__}: {_line(error)}"
            ) from error
        task.build_all_requests = _built_already


def _built_already(**_: Any) -> None:
    """Do nothing; see `build_requests`."""

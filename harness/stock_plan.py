"""Say which of lm-eval's own tasks a model is asked, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import UnknownEngine
from harness.model import ModelSource
from harness.prompting import Decoding, Prompting, read_sampling, sampling_json
from harness.provenance import How


@dataclass(frozen=True, slots=True)
class Asking:
    """Which of lm-eval's tasks are asked, and how."""

    tasks: tuple[str, ...]
    """Names of tasks, groups and tags, or patterns such as mmlu_*."""
    include_paths: tuple[str, ...] = ()
    """Folders with tasks of one's own."""
    limit: int | None = None
    """Documents a task at most."""
    n_shots: int | None = None
    """None: as each task says."""
    prompting: Prompting = field(default_factory=Prompting)
    decoding: Decoding = field(default_factory=Decoding)

    def to_json(self) -> dict[str, Any]:
        """Return what `read_asking` reads."""
        return {
            "tasks": list(self.tasks),
            "include_paths": list(self.include_paths),
            "limit": self.limit,
            "shots": self.n_shots,
            "shots_as": self.prompting.shots_as,  # which `sampling` leaves out where the number is a task's own
            "sampling": sampling_json(self.prompting, self.decoding),
        }


def read_asking(stored: Mapping[str, Any], folders: tuple[str, ...] = ()) -> Asking:
    """Read what `Asking.to_json` wrote; `folders` take the place of the stored ones, if there are any."""
    prompting, decoding = read_sampling(stored["sampling"])
    prompting = replace(prompting, shots_as=stored["shots_as"])
    paths = folders or tuple(stored["include_paths"])
    return Asking(tuple(stored["tasks"]), paths, stored["limit"], stored["shots"], prompting, decoding)


@dataclass(frozen=True, slots=True)
class StockPlan:
    """What is to be run; `resume` is the run to go on with, by its whole id."""

    model: ModelSource
    how: How
    asking: Asking
    resume: str | None = None


def check_answers_tasks(engine: str) -> None:
    """Raise UnknownEngine for one that answers Fathom's own items only."""
    if engine == "oracle":
        raise UnknownEngine("the oracle answers Fathom's own items only: run --tasks with vllm, hf or another engine")

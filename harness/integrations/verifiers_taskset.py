"""Families as an endless taskset of the package `verifiers` from 0.4 on: `eval fathom --env.taskset.family depo`."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import verifiers.v1 as vf

from fathom.tasks.base import as_message
from fathom.tasks.environments import environment


class FathomConfig(vf.TasksetConfig):
    """What is asked; the fields are the arguments of `fathom.environment`."""

    family: str = "depo"
    level: str = ""
    style: str = ""
    channel: str = ""
    seed: str = "0"


class FathomData(vf.TaskData):
    """A question, and the metadata by which its answer is scored."""

    family: str
    metadata: dict[str, Any]


class FathomTask(vf.Task[FathomData, vf.State, vf.TaskConfig]):
    """One question with its reward."""

    @vf.reward
    async def correct(self, trace: vf.Trace) -> float:
        """Return 1 for a right answer, else 0, by the reader and verifier of a run."""
        return environment(self.data.family).score_answer(trace.last_reply, {"metadata": self.data.metadata})


class FathomTaskset(vf.Taskset[FathomTask, FathomConfig]):
    """The entries of an environment, without an end."""

    INFINITE = True

    def load(self) -> Iterator[FathomTask]:
        """Yield entry after entry."""
        chosen = self.config
        source = environment(chosen.family, chosen.level, chosen.style, chosen.channel, chosen.seed)
        for idx in count():
            entry = source[idx]
            data = FathomData(
                id=entry["metadata"]["item"], prompt=as_message(entry["question"]), family=chosen.family,
                metadata=entry["metadata"],
            )  # fmt: skip
            yield FathomTask(data, chosen.task)

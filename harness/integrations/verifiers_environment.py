"""Families for the package `verifiers` up to 0.3: `verifiers.load_environment("fathom", family="depo")`.

From 0.4 on, `verifiers` loads the class `Taskset` of `verifiers_taskset.py` instead, by the id `fathom`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fathom.harness.errors import BadInput
from fathom.tasks.base import as_message
from fathom.tasks.environments import environment


def load_environment(n_train: int = 1_000, n_eval: int = 100, **chosen: Any) -> Any:
    """Return a `SingleTurnEnv` of `verifiers`; `chosen` are the arguments of `fathom.environment`.

    The rows to train on are the entries 0..n_train-1; those to look at while training are the `n_eval` after them,
    which are not the items of any evaluation either.

    Raises:
        BadInput: `verifiers` is not installed, or is one that loads tasksets.
    """
    try:
        from verifiers import Rubric, SingleTurnEnv
    except ImportError as error:
        raise BadInput(f"{error}: install verifiers<0.4, or from 0.4 on name the taskset fathom") from error
    from datasets import Dataset

    source = environment(**chosen)

    def correct(completion: Sequence[Mapping[str, Any]] | str, info: Mapping[str, Any], **_: Any) -> float:
        return source.rewards([completion], [info])[0]

    def rows(start: int, stop: int) -> Any:
        entries = map(source.__getitem__, range(start, stop))
        return Dataset.from_list(
            [
                {
                    "prompt": [{"role": "user", "content": as_message(entry["question"])}],
                    "answer": entry["answer"],
                    "info": entry["metadata"],
                }
                for entry in entries
            ]
        )

    total = n_train + n_eval
    return SingleTurnEnv(
        dataset=rows(0, n_train), eval_dataset=rows(n_train, total), rubric=Rubric(funcs=[correct], weights=[1.0])
    )

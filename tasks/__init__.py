"""Turn a seed into questions, and a model's text into verdicts, with the standard library only."""

from tasks.base import (
    Cell,
    Family,
    Instance,
    Level,
    Problem,
    Verdict,
    make_instance,
    pose,
)
from tasks.errors import BadItemId, BadSeed, TaskError, UnknownFamily, UnknownLevel, UnknownStyle
from tasks.registry import all_families, find_family, instance_from_id

__all__ = [
    "BadItemId",
    "BadSeed",
    "Cell",
    "Family",
    "Instance",
    "Level",
    "Problem",
    "TaskError",
    "UnknownFamily",
    "UnknownLevel",
    "UnknownStyle",
    "Verdict",
    "all_families",
    "find_family",
    "instance_from_id",
    "make_instance",
    "pose",
]

"""Items and verdicts from a seed, with the standard library only."""

from fathom.tasks.base import Cell, Family, Instance, Level, Problem, Verdict, make_instance, pose
from fathom.tasks.errors import BadItemId, BadSeed, TaskError, UnknownFamily, UnknownLevel, UnknownStyle
from fathom.tasks.registry import all_families, find_family, instance_from_id

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

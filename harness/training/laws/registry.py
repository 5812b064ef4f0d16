"""The laws by name: each module of this package that defines `LAW` is one."""

from functools import cache

import fathom.harness.training.laws as package
from fathom.harness.errors import UnknownLaw
from fathom.harness.training.laws.base import Law
from fathom.tasks.registry import load_plugins

_HELPERS = ("base", "evaluation", "experiment", "picture", "recipes", "registry", "results", "table")


@cache
def all_laws() -> dict[str, Law]:
    """Return all laws by name, in alphabetical order."""
    return load_plugins(package, "LAW", besides=_HELPERS)


def find_law(name: str) -> Law:
    """Return the law of that name, or raise UnknownLaw."""
    known = all_laws()
    if name not in known:
        raise UnknownLaw(f"no law {name!r}; known: {', '.join(known)}")
    return known[name]

"""Find the laws: every module of `harness/laws` that defines `LAW`."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import fathom.harness.training.laws as package
from fathom.harness.errors import UnknownLaw
from fathom.harness.training.laws.base import Law


@cache
def all_laws() -> dict[str, Law]:
    """Return all laws by name, in alphabetical order."""
    modules = [import_module(f"fathom.harness.training.laws.{entry.name}") for entry in iter_modules(package.__path__)]
    found: list[Law] = [module.LAW for module in modules if hasattr(module, "LAW")]
    return {law.name: law for law in sorted(found, key=lambda one: one.name)}


def find_law(name: str) -> Law:
    """Return the law of that name, or raise UnknownLaw."""
    known = all_laws()
    if name not in known:
        raise UnknownLaw(f"no law {name!r}; known: {', '.join(known)}")
    return known[name]

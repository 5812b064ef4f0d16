"""The families by name, ours and those of installed packages; items by id; the loader of families, corpora and laws."""

import re
from collections.abc import Collection
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, cast

import fathom.tasks.families as package
from fathom.tasks import reasoning_gym
from fathom.tasks.base import Family, Instance, Role, make_instance
from fathom.tasks.errors import BadItemId, TaskError, UnknownFamily
from fathom.tasks.installed import GROUP, InstalledFamily, Package, load_installed
from fathom.tasks.probes import ProbeSet

_ID = re.compile(r"((?:rg:)?[a-z0-9_]+)@(\d{1,9})/([\w.-]+)/([a-z]+)/([0-9a-f]+)/(\d{1,18})")


@cache
def own_families() -> dict[str, Family]:
    """Return Fathom's own families by name, in alphabetical order; suites hold no others."""
    return load_plugins(package, "FAMILY")


@cache
def _installed() -> tuple[dict[str, InstalledFamily], tuple[str, ...]]:
    return load_installed(own_families()) if entry_points(group=GROUP) else ({}, ())


@cache
def all_families() -> dict[str, Family]:
    """Return all families by name: our own, then those of installed packages, each in alphabetical order."""
    return own_families() | {name: cast(Family, one) for name, one in _installed()[0].items()}


def faults_of_packages() -> tuple[str, ...]:
    """Return one line on each family of an installed package that cannot be used."""
    return _installed()[1]


def package_of(family: str) -> Package | None:
    """Return the package that brings a family; None for our own.

    Raises:
        UnknownFamily: no family has this name.
    """
    found = find_family(family)
    return found.package if isinstance(found, InstalledFamily) else None


def families_by_package() -> dict[Package, list[str]]:
    """Return the names of the families of each installed package."""
    found: dict[Package, list[str]] = {}
    for name, one in _installed()[0].items():
        found.setdefault(one.package, []).append(name)
    return found


@lru_cache(maxsize=256)
def find_family(name: str) -> Family:
    """Return the family of that name.

    Raises:
        UnknownFamily: there is none; the message says so too where a package brings one that cannot be used.
    """
    known = all_families()
    if name.startswith(reasoning_gym.PREFIX):
        return reasoning_gym.open_family(name)
    if name not in known:
        faults = [fault for fault in faults_of_packages() if f"family {name!r}: " in fault]
        raise UnknownFamily("; ".join([f"no family {name!r}; known: {', '.join(known)}", *faults]))
    return known[name]


def get_family(name: str) -> Family | None:
    """Return the family of that name; None where this code has none, as of a package that is not installed here."""
    if not name.startswith(reasoning_gym.PREFIX):
        return all_families().get(name)
    try:
        return find_family(name)
    except UnknownFamily:
        return None


@cache
def all_probe_sets() -> dict[str, ProbeSet]:
    """Return the probe sets of our families by name, in the order of families: what may be read in a model's states."""
    modules = [import_module(f"{package.__name__}.{name}") for name in own_families()]
    return {one.name: one for module in modules for one in getattr(module, "PROBES", ())}


@lru_cache(maxsize=512)  # an engine and its grader ask for the same item, one soon after the other
def instance_from_id(item: str, role: Role = "eval") -> Instance:
    """Make the item with this id, of the evaluation or of another role.

    Raises:
        BadItemId: malformed, or of a version that this code does not make.
        UnknownFamily, UnknownLevel, UnknownStyle: the id names something that does not exist.
    """
    parts = _ID.fullmatch(item)
    if parts is None:
        raise BadItemId(f"{item[:80]!r} is not an item id; one looks like depo@2/n8k2/symbol/7/0")
    name, version, level, channel, seed, index = parts.groups()
    family = find_family(name)
    if family.version != int(version):
        raise BadItemId(f"{item[:80]!r} is of version {version}; this Fathom makes {name}@{family.version}")
    return make_instance(family, level, channel, seed, int(index), role=role)


class BadPlugin(TaskError):
    """A module that defines no plug-in, or one whose name is taken."""

    status = 500


def load_plugins(package: ModuleType, constant: str, besides: Collection[str] = ()) -> dict[str, Any]:
    """Import the modules of a package and return the value that each assigns to `constant`, by its `name`, sorted.

    Modules named in `besides` are helpers of the package and are skipped. The type of a value is known to the caller.

    Raises:
        BadPlugin: a module without the constant, or two modules that define the same name.
    """
    found: dict[str, tuple[str, Any]] = {}
    for entry in iter_modules(package.__path__):
        if entry.name in besides:
            continue
        module = import_module(f"{package.__name__}.{entry.name}")
        if not hasattr(module, constant):
            raise BadPlugin(f"{module.__file__} defines no {constant}: define it, or list the module as a helper")
        plugin = getattr(module, constant)
        if plugin.name in found:
            raise BadPlugin(f"{module.__file__} and {found[plugin.name][0]} both define {plugin.name!r}: rename one")
        found[plugin.name] = str(module.__file__), plugin
    return {name: plugin for name, (_, plugin) in sorted(found.items())}

"""Plug-ins: modules of a package that each define one named value, such as a family, a corpus or a law."""

from collections.abc import Collection
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from fathom.tasks.errors import TaskError


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

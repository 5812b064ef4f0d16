"""Families that installed packages bring, by the entry point group `fathom.families`."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from importlib.metadata import EntryPoint, entry_points, version
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

from fathom.tasks.base import CHANNELS, PARTS, STYLES, Described, Family, styles_of

GROUP = "fathom.families"
"""Entry point group: `NAME = module:FAMILY`, where NAME is the family's name."""

_NAME = re.compile(r"[a-z]{1,20}")
_LEVEL = re.compile(r"[\w.-]{1,80}")
_NEEDED = tuple(name for part in (Described, Family) for name in vars(part) if not name.startswith("_"))
_MOST_VERSIONS = 999
_FINGERPRINTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package that brings families; `digest` covers its name, its version and all files of its code."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, eq=False)
class InstalledFamily:
    """A family of a package, as its author wrote it but for `version` and `reference`.

    The version joins the author's number with six digits of the package's digest, as 1371905 does for version 1. So
    items, cells, ranks and comparisons of two releases never mix, even where the author forgot to raise the number.
    """

    family: Family
    package: Package

    @cached_property
    def version(self) -> int:
        """The author's version times a million, plus six digits of the package's digest."""
        return self.family.version * _FINGERPRINTS + int(self.package.digest, 16) % _FINGERPRINTS

    @property
    def reference(self) -> str:
        """The author's reference, and the package that brings the family."""
        return f"{self.family.reference}; package {self.package.name} {self.package.version}"

    def __getattr__(self, name: str) -> Any:  # whatever a family has
        """Return everything else from the author's family."""
        return getattr(self.family, name)


def with_package(family: Family, package: Package) -> Family:
    """Return a family under a version that covers its package."""
    return cast(Family, InstalledFamily(family, package))  # what it lacks it gets from the family


def load_installed(taken: Collection[str]) -> tuple[dict[str, InstalledFamily], tuple[str, ...]]:
    """Load the families of all installed packages; return them by name, and one line on each that cannot be used.

    `taken` are names that no package may use. Whatever a package does while it loads, the others are loaded.
    """
    found: dict[str, InstalledFamily] = {}
    faults = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, _distribution(entry))):
        try:
            family = _load(entry, {*taken, *found})
            found[entry.name] = InstalledFamily(family, package_of_module(_distribution(entry), entry.module))
        except (Exception, SystemExit) as error:  # of code that we do not know
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            kind = "" if isinstance(error, _Unfit) else f"{type(error).__name__}: "
            faults.append(f"the package {_distribution(entry)} brings no family {entry.name!r}: {kind}{reason}")
    return found, tuple(faults)


class _Unfit(Exception):
    """What an entry point names is no family, or its name is taken."""


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "?"


def _load(entry: EntryPoint, taken: Collection[str]) -> Family:
    """Load and check a family.

    Raises:
        _Unfit: it is no family that can be used. Code of the package may raise anything else.
    """
    if entry.name in taken:
        raise _Unfit("the name is taken: rename it there")
    family: Family = entry.load()
    missing = [name for name in _NEEDED if not hasattr(family, name)]
    if missing:
        raise _Unfit(f"{entry.value} has no {', '.join(missing[:5])}: see tasks/README.md")
    if family.name != entry.name or not _NAME.fullmatch(family.name):
        raise _Unfit(f"it calls itself {family.name!r}: entry point and family need one name of 1 to 20 letters a-z")
    if not (isinstance(family.version, int) and 1 <= family.version <= _MOST_VERSIONS):
        raise _Unfit(f"its version is {family.version!r}: give a whole number from 1 to {_MOST_VERSIONS}")
    for what, given, known in (("part", {family.part}, PARTS), ("channel", set(family.channels), CHANNELS),
                               ("style", set(family.styles), STYLES)):  # fmt: skip
        if not given or given - set(known):
            raise _Unfit(f"{what} {', '.join(sorted(given)) or 'missing'}: known are {', '.join(known)}")
    for fault in _level_faults(family):
        raise _Unfit(fault)
    return family


def _level_faults(family: Family) -> Iterator[str]:
    """Yield what is wrong with a family's levels."""
    if not family.levels:
        yield "it has no levels"
    for name, level in family.levels.items():
        if name != level.name or not _LEVEL.fullmatch(name):
            yield f"level {name!r}: key and name differ, or hold other signs than letters, digits, . _ -"
        for style in styles_of(family, level):
            if not 0 <= family.chance(level, style) <= 1:
                yield f"level {name!r}: chance is no number from 0 to 1"


def package_of_module(distribution: str, module: str) -> Package:
    """Describe the package that holds a module, by the files beside it; the module must be there.

    The files are those of the outermost package of the module's name that has code of its own, byte code left out.
    """
    found = version(distribution)
    state = blake2b(f"{distribution}\0{found}\0".encode(), digest_size=16)
    root = _root(module)
    for file in sorted(root.rglob("*")) if root.is_dir() else [root]:
        if file.is_file() and "__pycache__" not in file.parts:
            state.update(f"{file.relative_to(root.parent).as_posix()}\0".encode() + file.read_bytes())
    return Package(distribution, found, state.hexdigest())


def _root(module: str) -> Path:
    for name in accumulate(module.split("."), "{}.{}".format):
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
    raise FileNotFoundError(f"no file holds the module {module}")

"""The families by name, and items by id."""

import re
from functools import cache, lru_cache

import fathom.tasks.families as package
from fathom.tasks.base import Family, Instance, make_instance
from fathom.tasks.errors import BadItemId, UnknownFamily
from fathom.tasks.plugins import load_plugins

_ID = re.compile(r"([a-z]+)@(\d{1,9})/([\w.-]+)/([a-z]+)/([0-9a-f]+)/(\d{1,18})")


@cache
def all_families() -> dict[str, Family]:
    """Return all families by name, in alphabetical order."""
    return load_plugins(package, "FAMILY")


def find_family(name: str) -> Family:
    """Return the family of that name, or raise UnknownFamily."""
    known = all_families()
    if name not in known:
        raise UnknownFamily(f"no family {name!r}; known: {', '.join(known)}")
    return known[name]


@lru_cache(maxsize=512)  # an engine and its grader ask for the same item, one soon after the other
def instance_from_id(item: str) -> Instance:
    """Make the item with this id.

    Raises:
        BadItemId: malformed, or of a version that this code does not make.
        UnknownFamily, UnknownLevel, UnknownStyle: the id names something that does not exist.
    """
    parts = _ID.fullmatch(item)
    if parts is None:
        raise BadItemId(f"{item[:80]!r} is not an item id; one looks like depo@1/n8k2/symbol/7/0")
    name, version, level, channel, seed, index = parts.groups()
    family = find_family(name)
    if family.version != int(version):
        raise BadItemId(f"{item[:80]!r} is of version {version}; this Fathom makes {name}@{family.version}")
    return make_instance(family, level, channel, seed, int(index))

"""The laws over seeds by name: each module of this package that defines `LAW` is one."""

from functools import cache

import fathom.harness.training.token_laws as package
from fathom.harness.errors import UnknownLaw
from fathom.harness.training.token_laws.design import TokenLaw
from fathom.tasks.registry import load_plugins

_HELPERS = ("decoder", "design", "experiment", "judge", "people", "recall", "record", "registration", "registry",
            "rings", "table")  # fmt: skip


@cache
def all_token_laws() -> dict[str, TokenLaw]:
    """Return all laws by name, in alphabetical order."""
    return load_plugins(package, "LAW", besides=_HELPERS)


def find_token_law(name: str) -> TokenLaw:
    """Return the law of that name, or raise UnknownLaw."""
    known = all_token_laws()
    if name not in known:
        raise UnknownLaw(f"no law {name!r} at the scale cpu; known: {', '.join(known)}")
    return known[name]

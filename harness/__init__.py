"""Evaluate models and keep what they did: `evaluate` starts a run, `Run` and `runs` read what is stored."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.embedding import evaluate
    from harness.notebook import Run, runs

__all__ = ["Run", "evaluate", "runs"]

_HOMES = {"evaluate": "harness.embedding", "Run": "harness.notebook", "runs": "harness.notebook"}


def __getattr__(name: str) -> Any:  # whatever is asked for
    """Import what notebooks use only when it is asked for: it brings pandas and more."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

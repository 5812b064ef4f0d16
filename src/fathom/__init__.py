"""Measure how deep a language model can think: `from fathom import evaluate`, or the `fathom` command.

The three packages live at the top of the repository and are linked into this folder: `fathom.tasks` says what is
asked and what is right, `fathom.harness` runs models and records results, `fathom.server` shows them on a website.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fathom.harness.api import Run, evaluate, runs
    from fathom.harness.probing.notebook import Probe, probe

__all__ = ["Probe", "Run", "evaluate", "probe", "runs"]


def __getattr__(name: str) -> Any:  # a function or a class
    """Import the notebook interface only when it is used: it brings pandas and SQLAlchemy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fathom.harness import api
    from fathom.harness.probing import notebook

    return getattr(notebook if name in ("Probe", "probe") else api, name)

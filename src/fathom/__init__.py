"""Measure how deep a language model can think: `from fathom import evaluate`, or the `fathom` command.

The three packages live at the top of the repository and are linked into this folder: `fathom.tasks` says what is
asked and what is right, `fathom.harness` runs models and records results, `fathom.server` shows them on a website.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fathom.harness.api import Run, evaluate, runs
    from fathom.harness.integrations.verifiers_environment import load_environment
    from fathom.harness.probing.notebook import Probe, probe
    from fathom.tasks.environments import environment

__all__ = ["Probe", "Run", "environment", "evaluate", "load_environment", "probe", "runs"]
if find_spec("verifiers") is not None:  # it looks for its taskset among these names
    __all__ += ["FathomTaskset"]

_HOMES = {
    "FathomTaskset": "fathom.harness.integrations.verifiers_taskset",
    "environment": "fathom.tasks.environments",
    "load_environment": "fathom.harness.integrations.verifiers_environment",
    "Probe": "fathom.harness.probing.notebook",
    "probe": "fathom.harness.probing.notebook",
}


def __getattr__(name: str) -> Any:  # a function or a class
    """Import the notebook interface only when it is used: it brings pandas and SQLAlchemy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "fathom.harness.api")), name)

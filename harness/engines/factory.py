"""Turn an engine's name into a loaded engine."""

from fathom.harness.engines.base import Engine, EngineSetup
from fathom.harness.engines.model import ModelSource
from fathom.harness.engines.options import check_setup
from fathom.harness.engines.oracle import OracleEngine, oracle_kind
from fathom.harness.errors import EngineFailed, FathomError, UnknownEngine
from fathom.harness.settings import quiet_transformers

ENGINES = ("vllm", "hf", "openai", "ray", "oracle")
_PLAIN = EngineSetup()
_INSTALL = "run `make setup`, or install fathom[cpu] (no GPU) or fathom[gpu]"


def check_engine(name: str) -> None:
    """Raise UnknownEngine unless there is an engine of that name."""
    if name not in ENGINES:
        raise UnknownEngine(f"no engine {name!r}; known: {', '.join(ENGINES)}")


def open_engine(name: str, model: ModelSource, setup: EngineSetup = _PLAIN) -> Engine:
    """Load a model into an engine.

    Raises:
        UnknownEngine: no such engine, or its package is not installed.
        BadInput: an option that it does not take.
        EngineFailed: it did not start.
    """
    check_engine(name)
    check_setup(name, setup)
    try:
        return _load(name, model, setup)
    except ImportError as error:
        raise UnknownEngine(f"the engine {name} cannot be imported ({error}): {_INSTALL}") from error
    except FathomError:
        raise
    except Exception as error:  # engines raise whatever their libraries do; the run's log keeps it whole
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EngineFailed(f"the engine {name} could not load {model.name}: {reason}") from error


def _load(name: str, model: ModelSource, setup: EngineSetup) -> Engine:
    if name == "oracle":
        return OracleEngine(oracle_kind(model.name))
    if name == "openai":
        from fathom.harness.engines.openai.engine import open_openai

        return open_openai(model.name, setup)
    quiet_transformers()
    if name == "hf":
        from fathom.harness.engines.hf import load_hf

        return load_hf(model.folder(), setup.dtype, **setup.options)
    if name == "ray":
        from fathom.harness.engines.ray.engine import RayEngine

        return RayEngine(model, setup, open_engine)
    from fathom.harness.engines.vllm import VllmEngine

    return VllmEngine(model.folder(), {"dtype": setup.dtype, **setup.options})

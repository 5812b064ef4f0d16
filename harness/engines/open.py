"""Turn an engine's name into a loaded engine."""

from harness.engines.base import Engine, EngineSetup
from harness.engines.oracle import OracleEngine, oracle_kind
from harness.errors import BadInput, EngineFailed, FathomError, UnknownEngine
from harness.model import ModelSource
from harness.settings import quiet_transformers

ENGINES = ("vllm", "hf", "openai", "oracle")
DTYPES = ("auto", "bfloat16", "float16", "float32")
_PLAIN = EngineSetup()
_INSTALL = "run `make setup`, or install fathom[cpu] (no GPU) or fathom[gpu]"


def check_engine(name: str) -> None:
    """Raise UnknownEngine unless there is an engine of that name."""
    if name == "ray":
        raise UnknownEngine("the engine ray, which runs a whole cluster, does not exist yet: use vllm on one machine")
    if name not in ENGINES:
        raise UnknownEngine(f"no engine {name!r}; known: {', '.join(ENGINES)}")


def open_engine(name: str, model: ModelSource, setup: EngineSetup = _PLAIN) -> Engine:
    """Load a model into an engine.

    Raises:
        UnknownEngine: no such engine, or its package is not installed.
        EngineFailed: it did not start.
    """
    check_engine(name)
    dtype = setup.dtype
    if dtype not in DTYPES:
        raise BadInput(f"no dtype {dtype!r}; known: {', '.join(DTYPES)}")
    if name == "oracle":
        return OracleEngine(oracle_kind(model.name))
    if name == "openai":
        from harness.engines.openai import open_openai

        return open_openai(model.name, setup)
    try:
        quiet_transformers()
        if name == "hf":
            from harness.engines.hf import load_hf

            return load_hf(model.folder(), dtype)
        from harness.engines.vllm import VllmEngine

        return VllmEngine(model.folder(), {"dtype": dtype, **setup.options})
    except ImportError as error:
        raise UnknownEngine(f"the engine {name} cannot be imported ({error}): {_INSTALL}") from error
    except FathomError:
        raise
    except Exception as error:  # engines raise whatever their libraries do; the run's log keeps it whole
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EngineFailed(f"the engine {name} could not load {model.name}: {reason}") from error

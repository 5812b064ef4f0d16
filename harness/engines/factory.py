"""Load a model into an engine."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fathom.harness.engines.base import Engine, EngineSettings
from fathom.harness.engines.engine_process import EngineProcess, ProcessEngine, serve_requests
from fathom.harness.engines.installed import not_installed
from fathom.harness.engines.model import ModelSource
from fathom.harness.engines.oracle import OracleEngine, oracle_kind
from fathom.harness.engines.reasons import reason_from_log, reason_of
from fathom.harness.errors import EngineFailed, FathomError
from fathom.harness.settings import quiet_transformers

_APART = ("vllm",)
"""Engines that run in a process of their own, so that a crash does not end the run."""
_OTHER = "; --engine hf runs every architecture of transformers"
_UNKNOWN = re.compile("architecture|attention interface")


@contextmanager
def engine_process(engine: EngineSettings) -> Iterator[EngineProcess | None]:
    """Start the process of an engine that has one, which imports its packages meanwhile; it ends with the context."""
    process = EngineProcess(engine) if engine.name in _APART else None
    try:
        yield process
    finally:
        if process is not None:
            process.kill()


def open_engine(model: ModelSource, engine: EngineSettings, process: EngineProcess | None = None) -> Engine:
    """Load a model into an engine whose settings were checked; vLLM runs in a process of its own, new if none is given.

    Raises:
        NotInstalled: a package of its is not there.
        EngineFailed: it did not start.
    """
    if engine.name in _APART:
        return ProcessEngine(process or EngineProcess(engine), model)
    return load_engine(model, engine)


def serve_engine(descriptor: int) -> None:
    """Be the process of an engine; the other end of a socket is elsewhere."""
    serve_requests(descriptor, _prepare, load_engine)


def _prepare(engine: EngineSettings) -> None:
    with suppress(Exception):  # raised again where the model is loaded
        quiet_transformers()
        if engine.name == "vllm":
            import fathom.harness.engines.vllm  # noqa: F401


def load_engine(model: ModelSource, engine: EngineSettings) -> Engine:
    """Load a model into an engine in this process.

    Raises:
        NotInstalled: a package of its is not there.
        EngineFailed: it did not start.
    """
    name = engine.name
    try:
        return _load(model, engine)
    except FathomError:
        raise
    except Exception as error:  # an engine's libraries may raise anything; the run's log keeps the traceback
        if isinstance(error, ImportError) and (missing := not_installed(error, f"the engine {name}")) is not None:
            raise missing from error
        reason = reason_of(error)
        hint = _OTHER if name == "vllm" and _UNKNOWN.search(reason) else ""
        raise EngineFailed(f"the engine {name} could not load {model.name}: {reason}{hint}") from error


def _load(model: ModelSource, engine: EngineSettings) -> Engine:
    if engine.name == "oracle":
        return OracleEngine(oracle_kind(model.name))
    if engine.name == "openai":
        from fathom.harness.engines.openai.engine import open_openai

        return open_openai(model.name, engine)
    quiet_transformers()
    if engine.name == "hf":
        from fathom.harness.engines.hf import load_hf

        return load_hf(model.folder(), engine.dtype, **engine.options)
    if engine.name == "ray":
        from fathom.harness.engines.ray.engine import RayEngine

        return RayEngine(model, engine, load_engine)
    from fathom.harness.engines.vllm import VllmEngine

    with reason_from_log("vllm"):
        return VllmEngine(model.folder(), {"dtype": engine.dtype, **engine.options})

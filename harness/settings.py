"""Turn environment variables into one frozen value; the only reader of os.environ."""

import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

DEFAULT_DATABASE = "sqlite:///fathom.db"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment decides."""

    database: str
    cache: Path
    """Folder for files that can be made again."""


def read_settings() -> Settings:
    """Read FATHOM_DB (a database URL or a file's path) and XDG_CACHE_HOME."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Settings(os.environ.get("FATHOM_DB") or DEFAULT_DATABASE, Path(cache) / "fathom")


def hand_down(database: str) -> None:
    """Name the database to the processes that this one starts."""
    os.environ["FATHOM_DB"] = database


def quiet_vllm() -> None:
    """Choose vLLM's in-process engine on all cores and keep its log short, unless the user chose.

    These are read once, when vllm is imported.
    """
    for name, value in (
        ("VLLM_ENABLE_V1_MULTIPROCESSING", "0"),
        ("VLLM_CPU_NUM_OF_RESERVED_CPU", "0"),
        ("VLLM_LOGGING_LEVEL", "ERROR"),
        ("VLLM_NO_USAGE_STATS", "1"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("TORCH_CPP_LOG_LEVEL", "ERROR"),
    ):
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning, module="vllm")
    for noisy in ("torch._library", "transformers.tokenization_utils_base"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def quiet_transformers() -> None:
    """Turn off transformers' progress bars and advice; call before importing it."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")


def quiet_lm_eval() -> None:
    """Turn off lm-eval's progress bars and its warning for each task; call before importing it."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)

"""Turn environment variables into one frozen value; the only reader of os.environ."""

import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fathom.harness.errors import BadInput

DEFAULT_DATABASE = "sqlite:///fathom.db"


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """The provider that people sign in with."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What a server that others may reach needs; without `oidc` it serves this machine's user only."""

    url: str = ""
    """Address under which visitors see the server, as in https://fathom.example; empty: loopback."""
    secret_key: str = field(default="", repr=False)
    """Encrypts seasons' secrets and signs forms; at least 32 characters."""
    oidc: OidcSettings | None = None
    admins: tuple[str, ...] = ()
    """Who is an admin from the next sign-in on: subjects of the provider, or @name.

    A subject is theirs for good. A user name may be given up and taken by a stranger, so @name makes one user an admin,
    the first who comes with it; without the @ it would also let somebody choose another's subject as a name."""
    hub: str = "https://huggingface.co"
    """Base address of the hub that models are submitted from."""
    proxies: tuple[str, ...] = ()
    """Addresses whose X-Forwarded-For is believed."""
    max_bytes: int = 200 << 30
    """Size of a model's weights that is taken at most."""
    auto_replay: bool = False
    """Whether each upload of a model of the hub is replayed without anybody's asking."""
    daily_submissions: int = 10
    """Submissions a user may make within 24 hours; failures of ours are given back."""


_DEFAULTS = ServiceSettings()


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment decides."""

    database: str
    cache: Path
    """Folder for files that can be made again."""
    service: ServiceSettings = _DEFAULTS
    log: str = "text"
    """text: warnings and errors for people; json: a line a request as well, for machines."""


def read_settings() -> Settings:
    """Read FATHOM_DB (a database URL or a file's path), FATHOM_LOG, XDG_CACHE_HOME, and what `read_service` reads.

    Raises:
        BadInput: a variable that cannot be what it says.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    database = _read("FATHOM_DB") or DEFAULT_DATABASE
    return Settings(database, Path(cache) / "fathom", read_service(), read_log(_read("FATHOM_LOG") or "text"))


def read_log(wanted: str) -> str:
    """Return `text` or `json`, or raise BadInput."""
    if wanted not in ("text", "json"):
        raise BadInput(f"cannot write the log as {wanted!r}: text or json")
    return wanted


def read_service() -> ServiceSettings:
    """Read FATHOM_URL, FATHOM_SECRET_KEY, FATHOM_OIDC_{ISSUER,CLIENT_ID,CLIENT_SECRET} and their like.

    A variable NAME_FILE stands for the content of that file, as container secrets are handed over.

    Raises:
        BadInput: a variable that cannot be what it says.
    """
    client = _read("FATHOM_OIDC_CLIENT_ID")
    issuer = _read("FATHOM_OIDC_ISSUER") or "https://huggingface.co"
    return ServiceSettings(
        url=_read("FATHOM_URL").rstrip("/"),
        secret_key=_read("FATHOM_SECRET_KEY"),
        oidc=OidcSettings(issuer, client, _read("FATHOM_OIDC_CLIENT_SECRET")) if client else None,
        admins=_words("FATHOM_ADMINS"),
        hub=(_read("FATHOM_HUB") or _DEFAULTS.hub).rstrip("/"),
        proxies=_words("FATHOM_PROXIES"),
        max_bytes=_whole("FATHOM_MAX_MODEL_GB", _DEFAULTS.max_bytes >> 30) << 30,
        auto_replay=_read("FATHOM_AUTO_REPLAY") not in ("", "0", "no", "false"),
        daily_submissions=_whole("FATHOM_DAILY_SUBMISSIONS", _DEFAULTS.daily_submissions),
    )


def read_token_variable() -> str:
    """Read FATHOM_TOKEN, an API token to show to a server."""
    return _read("FATHOM_TOKEN")


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Where a server of models is, and the key to it."""

    base_url: str = ""
    key: str = field(default="", repr=False)


def read_api() -> ApiSettings:
    """Read FATHOM_BASE_URL, and the key from FATHOM_API_KEY (or FATHOM_API_KEY_FILE), else OPENAI_API_KEY."""
    return ApiSettings(_read("FATHOM_BASE_URL"), _read("FATHOM_API_KEY") or _read("OPENAI_API_KEY"))


def _read(name: str) -> str:
    file = os.environ.get(f"{name}_FILE")
    return _read_secret(Path(file)) if file else os.environ.get(name, "").strip()


def read_token(file: Path) -> str:
    """Read an API token from a file.

    Raises:
        BadInput: the file cannot be read, or does not contain a token.
    """
    token = _read_secret(file)
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise BadInput(f"{file} does not contain a token: put the token into it, and nothing else")
    return token


def _read_secret(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the secret in {file} cannot be read: {error}") from error


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in _read(name).split(",") if word.strip())


def _whole(name: str, default: int) -> int:
    text = _read(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise BadInput(f"{name} is {text!r}: give a whole number")
    return int(text)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What the environment tells a worker."""

    token: str = field(default="", repr=False)
    hub: str = ""
    """Base address of the hub that models are fetched from; empty: the one that the server names."""
    cache: Path = Path()


def read_worker() -> WorkerSettings:
    """Read FATHOM_TOKEN (or FATHOM_TOKEN_FILE), FATHOM_HUB and XDG_CACHE_HOME."""
    return WorkerSettings(_read("FATHOM_TOKEN"), _read("FATHOM_HUB").rstrip("/"), read_settings().cache)


_RUNNER_KEEPS = (
    "PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONHASHSEED",
    "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV",
)  # fmt: skip
_RUNNER_FAMILIES = ("CUDA_", "NVIDIA_", "NCCL_", "VLLM_", "OMP_", "MKL_", "KMP_", "TORCH_", "PYTORCH_", "TRITON_")
_SECRETS = ("TOKEN", "SECRET", "KEY", "PASSWORD", "PASSWD", "CREDENTIAL")


def runner_environment(home: Path, isolated: bool = True) -> dict[str, str]:
    """Return what the process that runs foreign models may know: what its libraries need, and no secret.

    One that has a network may know of a Ray cluster.
    """
    keeps = _RUNNER_KEEPS if isolated else (*_RUNNER_KEEPS, "RAY_ADDRESS")
    kept = {
        name: value
        for name, value in os.environ.items()
        if (name in keeps or name.startswith(_RUNNER_FAMILIES)) and not any(word in name for word in _SECRETS)
    }
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "HF_HOME": str(home / "huggingface")}
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_HOST_IP": "127.0.0.1"}
    return {**kept, **own, **offline, "PYTHONUNBUFFERED": "1"}


def fetcher_environment() -> dict[str, str]:
    """Return the environment of the process that fetches models: all but what is Fathom's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FATHOM_")}
    return {**kept, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def hand_down(database: str, log: str) -> None:
    """Name the database and the kind of log to the processes that this one starts."""
    os.environ["FATHOM_DB"], os.environ["FATHOM_LOG"] = database, log
    os.environ.pop("FATHOM_DB_FILE", None)


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


def quiet_ray() -> None:
    """Let Ray report to nobody and keep its advice to itself, unless the user chose; call before importing it."""
    for name, value in (
        ("RAY_USAGE_STATS_ENABLED", "0"),
        ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"),
        ("RAY_DISABLE_IMPORT_WARNING", "1"),
        ("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0"),
    ):
        os.environ.setdefault(name, value)


def ray_address() -> str:
    """Read RAY_ADDRESS, the head of a Ray cluster; empty: none is named."""
    return _read("RAY_ADDRESS")


def replica_environment() -> dict[str, str]:
    """Return what a replica on another machine must know of this process's environment; no secret."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT")
    kept = {
        name: value
        for name, value in os.environ.items()
        if (name in names or name.startswith("VLLM_")) and not any(word in name for word in _SECRETS)
    }
    return {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"} | kept  # a replica is a process of its own already


def adopt(variables: Mapping[str, str]) -> None:
    """Take variables into this process's environment."""
    os.environ.update(variables)


def quiet_transformers() -> None:
    """Turn off transformers' progress bars and advice; call before importing it."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")


def keep_to_one_core() -> None:
    """Let tokenizers use one core a process, unless the user chose: processes are what share out the work."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def is_first_process() -> bool:
    """Say whether this process is alone, or the first of those that torchrun or accelerate started."""
    return os.environ.get("RANK", "0") == "0"


def quiet_lm_eval() -> None:
    """Turn off lm-eval's progress bars and its warning for each task; call before importing it."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)

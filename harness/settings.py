"""The settings that come from environment variables. No other module reads or writes os.environ."""

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
    """Public address of the server, for example https://fathom.example; empty: loopback only."""
    secret_key: str = field(default="", repr=False)
    """Encrypts seasons' secrets and signs forms; at least 32 characters."""
    oidc: OidcSettings | None = None
    admins: tuple[str, ...] = ()
    """Users who become admins at their next sign-in: subjects of the provider, or @name.

    A subject never changes hands. A user name may be given up and taken by a stranger, so @name makes an admin only of
    the first user who signs in with it. The @ keeps names and subjects apart: a user could choose another's subject as
    a name."""
    hub: str = "https://huggingface.co"
    """Base address of the hub that models are submitted from."""
    proxies: tuple[str, ...] = ()
    """Addresses whose X-Forwarded-For is believed."""
    max_bytes: int = 200 << 30
    """Largest size of a model's weights that is accepted."""
    auto_replay: bool = False
    """Whether each upload of a model of the hub is replayed automatically."""
    key: str = field(default="", repr=False)
    """The key of a board without accounts, whose holder may change things; the application reads it from its file."""
    daily_submissions: int = 10
    """Submissions that a user may make within 24 hours; those that fail through our fault do not count."""


_DEFAULTS = ServiceSettings()


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of every command and of the server."""

    database: str
    cache: Path
    """Folder for files that can be made again."""
    service: ServiceSettings = _DEFAULTS
    log: str = "text"
    """text: warnings and errors for people; json: for machines, with a line a request."""


def read_settings() -> Settings:
    """Read FATHOM_DB (a database URL or a file's path), FATHOM_LOG, XDG_CACHE_HOME, and the settings of the service.

    Raises:
        BadInput: a variable has an invalid value.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    database = _read("FATHOM_DB") or DEFAULT_DATABASE
    return Settings(
        database, Path(cache) / "fathom", read_service_settings(), check_log_format(_read("FATHOM_LOG") or "text")
    )


def check_log_format(wanted: str) -> str:
    """Return the format of the log, `text` or `json`, or raise BadInput."""
    if wanted not in ("text", "json"):
        raise BadInput(f"cannot write the log as {wanted!r}: text or json")
    return wanted


def read_service_settings() -> ServiceSettings:
    """Read the variables of ServiceSettings: FATHOM_URL, FATHOM_SECRET_KEY, FATHOM_OIDC_ISSUER and so on.

    A variable NAME_FILE names a file that holds the value, as container secrets do.

    Raises:
        BadInput: a variable has an invalid value.
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
    """Read FATHOM_TOKEN, the API token for a Fathom server."""
    return _read("FATHOM_TOKEN")


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Address of an OpenAI-compatible server, and its key."""

    base_url: str = ""
    key: str = field(default="", repr=False)


def read_api_settings(variable: str = "") -> ApiSettings:
    """Read FATHOM_BASE_URL, and the key from FATHOM_API_KEY (or FATHOM_API_KEY_FILE), else OPENAI_API_KEY.

    With the variable of a provider, the key is read from it, or from a file that VARIABLE_FILE names, and from nowhere
    else: a key is never sent to another than its own provider.
    """
    key = _read(variable) if variable else _read("FATHOM_API_KEY") or _read("OPENAI_API_KEY")
    return ApiSettings(_read("FATHOM_BASE_URL"), key)


def prices_file() -> Path | None:
    """Return the user's file of prices: FATHOM_PRICES, else fathom/prices.toml below XDG_CONFIG_HOME; None without."""
    if named := _read("FATHOM_PRICES"):
        return Path(named)
    usual = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "fathom" / "prices.toml"
    return usual if usual.is_file() else None


def _read(name: str) -> str:
    file = os.environ.get(f"{name}_FILE")
    return _read_secret(Path(file)) if file else os.environ.get(name, "").strip()


def read_secret_file(file: Path) -> str:
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
    """Settings of a worker."""

    token: str = field(default="", repr=False)
    hub: str = ""
    """Base address of the hub to fetch models from; empty: the one that the server names."""
    cache: Path = Path()


def read_worker_settings() -> WorkerSettings:
    """Read FATHOM_TOKEN (or FATHOM_TOKEN_FILE), FATHOM_HUB and XDG_CACHE_HOME."""
    return WorkerSettings(_read("FATHOM_TOKEN"), _read("FATHOM_HUB").rstrip("/"), read_settings().cache)


_RUNNER_KEEPS = (
    "PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONHASHSEED",
    "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV",
)  # fmt: skip
_RUNNER_FAMILIES = ("CUDA_", "NVIDIA_", "NCCL_", "VLLM_", "OMP_", "MKL_", "KMP_", "TORCH_", "PYTORCH_", "TRITON_")
_SECRETS = ("TOKEN", "SECRET", "KEY", "PASSWORD", "PASSWD", "CREDENTIAL")


def runner_environment(home: Path, isolated: bool = True) -> dict[str, str]:
    """Return the environment of the process that runs models of strangers: what its libraries need, and no secret.

    A process that is not isolated also gets the address of a Ray cluster.
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
    """Return the environment of the process that fetches models: all but Fathom's own variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FATHOM_")}
    return {**kept, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def pass_to_children(database: str, log: str) -> None:
    """Set the database and the log format for the processes that this one starts."""
    os.environ["FATHOM_DB"], os.environ["FATHOM_LOG"] = database, log
    os.environ.pop("FATHOM_DB_FILE", None)


def quiet_vllm() -> None:
    """Set vLLM to run in this process, on all cores and with a short log, unless the user set it otherwise.

    vLLM reads these variables when it is imported.
    """
    for name, value in (
        ("VLLM_ENABLE_V1_MULTIPROCESSING", "0"),
        ("VLLM_CPU_NUM_OF_RESERVED_CPU", "0"),
        ("VLLM_LOGGING_LEVEL", "ERROR"),
        ("VLLM_NO_USAGE_STATS", "1"),
        ("VLLM_COMPUTE_NANS_IN_LOGITS", "1"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("TORCH_CPP_LOG_LEVEL", "ERROR"),
    ):
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning, module="vllm")
    for noisy in ("torch._library", "transformers.tokenization_utils_base"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def quiet_ray() -> None:
    """Turn off Ray's usage reports and advice, unless the user set them; call before importing Ray."""
    for name, value in (
        ("RAY_USAGE_STATS_ENABLED", "0"),
        ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"),
        ("RAY_DISABLE_IMPORT_WARNING", "1"),
        ("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0"),
    ):
        os.environ.setdefault(name, value)


def completed_line() -> str | None:
    """Return the line that a shell wants to have completed; None where no shell asks."""
    if "_FATHOM_COMPLETE" not in os.environ:
        return None
    return os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""


def ray_address() -> str:
    """Read RAY_ADDRESS, the head of a Ray cluster; empty: none."""
    return _read("RAY_ADDRESS")


def replica_environment() -> dict[str, str]:
    """Return the variables that a replica on another machine needs from this process; no secret."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT")
    kept = {
        name: value
        for name, value in os.environ.items()
        if (name in names or name.startswith("VLLM_")) and not any(word in name for word in _SECRETS)
    }
    return {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"} | kept  # a replica is a process of its own already


def adopt_environment(variables: Mapping[str, str]) -> None:
    """Set variables in this process's environment."""
    os.environ.update(variables)


def quiet_transformers() -> None:
    """Turn off transformers' progress bars and advice; call before importing it."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")


def disable_tokenizer_threads() -> None:
    """Keep tokenizers to one core a process, unless the user set it: the work is shared among processes."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def is_first_process() -> bool:
    """Say whether this is the only process, or the first that torchrun or accelerate started."""
    return os.environ.get("RANK", "0") == "0"


def quiet_lm_eval() -> None:
    """Turn off lm-eval's progress bars and its warning for each task; call before importing it."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)

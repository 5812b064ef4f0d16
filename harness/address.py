"""Turn what somebody typed for a server of models into its base address."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from harness.errors import BadInput
from harness.settings import read_api


def base_address(text: str) -> str:
    """Return the address before `/completions`, as in http://127.0.0.1:8000/v1; a bare host gets the /v1.

    Raises:
        BadInput: no http address, or one that holds a secret, which would be stored with the run.
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
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/v1'}"


def address_of(options: Mapping[str, Any]) -> str:  # JSON values
    """Return the address that an engine's options name, else FATHOM_BASE_URL.

    Raises:
        BadInput: as `base_address`, or there is none.
    """
    typed = str(options.get("base_url") or read_api().base_url)
    if not typed:
        raise BadInput(f"no server is named, neither by --base-url nor in FATHOM_BASE_URL: {_EXAMPLE}")
    return base_address(typed)


_EXAMPLE = "give one as in --base-url http://127.0.0.1:8000/v1"

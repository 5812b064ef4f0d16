"""Turn a hub id and a commit into a folder: the only process of a worker that talks to a hub and knows its token.

It reads one JSON object from standard input, and writes one to standard output.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fathom.harness.engines.model import READ
from fathom.harness.service.worker import isolation

_SERVER_ERROR = 500
_TOO_MANY = 429


def fetch(wanted: Mapping[str, Any]) -> dict[str, str]:  # JSON: model, sha, endpoint, send_token, max_bytes
    """Download the files of a commit that are neither code nor pickles; return {"path"} or {"code", "tail"}."""
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        folder = snapshot_download(
            wanted["model"], revision=wanted["sha"], endpoint=wanted["endpoint"], allow_patterns=list(READ),
            token=None if wanted["send_token"] else False,
        )  # fmt: skip
    except GatedRepoError as error:
        return _fault("gated", error)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        return _fault("missing", error)
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else _SERVER_ERROR
        return _fault("hub_5xx" if status >= _SERVER_ERROR or status == _TOO_MANY else "missing", error)
    except (LocalEntryNotFoundError, httpx.HTTPError, TimeoutError, ConnectionError) as error:
        return _fault("hub_timeout", error)
    except (OSError, ValueError) as error:
        return _fault("engine_failed", error)
    if Path(folder).name != wanted["sha"]:
        return {"code": "missing", "tail": f"the hub gave commit {Path(folder).name}, not {wanted['sha']}"}
    n_bytes = sum(file.stat().st_size for file in Path(folder).iterdir())
    if wanted["max_bytes"] is not None and n_bytes > wanted["max_bytes"]:
        return {"code": "too_large", "tail": f"its files have {n_bytes} bytes, {wanted['max_bytes']} are taken"}
    return {"path": folder}


def _fault(code: str, error: Exception) -> dict[str, str]:
    cause = error.__cause__
    status = getattr(getattr(cause, "response", None), "status_code", 0)
    if code == "hub_timeout" and status >= _SERVER_ERROR:  # the library hides the answer behind "not in the cache"
        code = "hub_5xx"
    return {"code": code, "tail": "\n".join(f"{type(one).__name__}: {one}" for one in (error, cause) if one)[-4000:]}


def main() -> None:
    """Fetch what standard input names."""
    wanted = json.loads(sys.stdin.readline())
    isolation.die_with_parent(wanted["parent"])
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    out.write(json.dumps(fetch(wanted)) + "\n")
    out.flush()


if __name__ == "__main__":
    main()

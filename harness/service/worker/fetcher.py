"""The process that downloads a model: the only one of a worker that talks to a hub and knows its token.

It reads `FilesToFetch` from standard input and writes `FetchedFiles` to standard output.
"""

import os
import sys
from pathlib import Path

from fathom.harness.engines.model import FETCHED_FILES
from fathom.harness.service.worker import isolation
from fathom.harness.service.worker.protocol import FetchedFiles, FilesToFetch, failure_of

_SERVER_ERROR = 500
_TOO_MANY = 429


def _download(wanted: FilesToFetch) -> FetchedFiles:
    """Download the files of a commit that are neither code nor pickles."""
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
            wanted.model, revision=wanted.sha, endpoint=wanted.endpoint, allow_patterns=list(FETCHED_FILES),
            token=None if wanted.send_token else False,
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
    if Path(folder).name != wanted.sha:
        return _refused("missing", f"the hub sent commit {Path(folder).name}, not {wanted.sha}")
    n_bytes = sum(file.stat().st_size for file in Path(folder).iterdir())
    if wanted.max_bytes is not None and n_bytes > wanted.max_bytes:
        return _refused("too_large", f"the files have {n_bytes} bytes, at most {wanted.max_bytes} are allowed")
    return FetchedFiles(path=folder)


def _refused(code: str, log: str) -> FetchedFiles:
    return FetchedFiles(failure=failure_of(code, log))


def _fault(code: str, error: Exception) -> FetchedFiles:
    cause = error.__cause__
    status = getattr(getattr(cause, "response", None), "status_code", 0)
    if code == "hub_timeout" and status >= _SERVER_ERROR:  # the library hides the answer behind "not in the cache"
        code = "hub_5xx"
    return _refused(code, "\n".join(f"{type(one).__name__}: {one}" for one in (error, cause) if one))


def _main() -> None:
    wanted = FilesToFetch.model_validate_json(sys.stdin.readline())
    isolation.die_with_parent(wanted.parent)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to the log
    out.write(_download(wanted).model_dump_json() + "\n")
    out.flush()


if __name__ == "__main__":
    _main()

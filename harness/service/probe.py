"""The health check of containers: exits with 0 if a server or a worker is healthy.

`python -m fathom.harness.service.probe http://127.0.0.1:8000/healthz` asks a server;
`python -m fathom.harness.service.probe FILE SECONDS` checks that a worker has touched its file within that time.
"""

import http.client
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from fathom.harness.settings import read_service_settings

_OK = 200


def probe(words: Sequence[str]) -> str:
    """Return what is wrong; an empty text if nothing is."""
    if words[0].startswith("http://"):
        return _ask(words[0])
    try:
        age = time.time() - Path(words[0]).stat().st_mtime
    except OSError as error:
        return f"{words[0]}: {error.strerror}"
    return f"{words[0]} was touched {age:.0f} s ago" if age > float(words[1]) else ""


def _ask(address: str) -> str:
    parts = urlsplit(address)
    # a public server answers only requests for its own name
    host = urlsplit(read_service_settings().url).netloc or parts.netloc
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=4)
    try:
        connection.request("GET", parts.path, headers={"Host": host})
        answer = connection.getresponse()
        said = answer.read(2000).decode("utf-8", "replace")
    except OSError as error:
        return f"{address}: {error}"
    finally:
        connection.close()
    return "" if answer.status == _OK else f"{address}: {answer.status} {said}"


if __name__ == "__main__":
    sys.exit(probe(sys.argv[1:]) or 0)

"""The key of a board without accounts: who has it may change things there, as with Jupyter.

It lies beside the database in a file that only its owner can read, so restarts keep it. A serving board also leaves a
note with the place of that file, by its port, where `fathom submit` and `fathom worker` find it.
"""

import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b, sha256
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from fathom.harness.db.engine import parse_url
from fathom.harness.errors import BadInput
from fathom.harness.settings import read_settings

_OTHERS = 0o077
"""Rights of a file's group and of everybody."""


def open_key(database: str) -> str:
    """Return the key of the board of a database; made at the first call, and anew where others could read it.

    Raises:
        BadInput: the file belongs to somebody else, or cannot be written.
    """
    file = key_file(database)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = _read(file)
        if key:
            return key
        _write(file)
        return _read(file)
    except OSError as error:
        raise BadInput(f"the key of the board cannot be kept in {file} ({error.strerror}): is it yours?") from error


def key_file(database: str) -> Path:
    """Return the file beside an SQLite database, or in the cache folder for a database of a server."""
    url = parse_url(database)
    if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
        return Path(f"{Path(url.database).resolve()}.key")
    digest = blake2b(url.render_as_string(hide_password=True).encode(), digest_size=16).hexdigest()
    return read_settings().cache / "keys" / digest


def _read(file: Path) -> str:
    """Return the key in a file; empty where there is none, or where others could have read it."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return ""
    with os.fdopen(handle, encoding="ascii") as stream:
        about = os.fstat(handle)
        if about.st_uid != os.getuid():
            raise BadInput(f"{file} belongs to another user, who would know the key: delete it, or move the database")
        key = stream.read(200).strip()
    return "" if about.st_mode & _OTHERS or len(key) < _LEAST else key


_LEAST = 32


def _write(file: Path) -> None:
    """Write a new key; of two processes that do so at once, the later one counts."""
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
        stream.write(secrets.token_urlsafe(32) + "\n")
    partial.replace(file)


def derived(key: str, purpose: str) -> str:
    """Return a secret for one purpose that only the holder of the key can compute; 64 hex digits."""
    return hmac.new(key.encode(), f"fathom {purpose}".encode(), sha256).hexdigest()


@contextmanager
def noted_board(port: int, database: str) -> Iterator[None]:
    """Leave a note of a board's port and key file while it is served."""
    note = _note(port)
    with suppress(OSError):  # without it, commands are given --token-file
        note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        note.write_text(f"{os.getpid()}\n{key_file(database)}\n", encoding="utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            note.unlink()


def _note(port: int) -> Path:
    return read_settings().cache / "boards" / str(port)


def key_of_board(server: str) -> str:
    """Return the key of a board that this user serves on this machine; empty where there is none at that address."""
    try:
        parts = urlsplit(server)
        port = parts.port or 80
    except ValueError:
        return ""
    if not is_loopback(parts.hostname or ""):
        return ""
    try:
        pid, _, place = _note(port).read_text(encoding="utf-8").strip().partition("\n")
        os.kill(int(pid), 0)  # raises where that server has ended: another may have its port now
        return _read(Path(place))
    except (OSError, ValueError, BadInput):
        return ""


def is_loopback(host: str) -> bool:
    """Say whether a host name means this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

"""Models in folders of the board's own machine: which visitors may name them, and what their files say.

A board with accounts reads no folder, and answers to every path alike; the caller asks `may_name_folders` first.
"""

import os
import stat
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from starlette.types import Scope

from fathom.harness.engines.chat_template import card_shots
from fathom.harness.engines.model import FETCHED_FILES, REFERENCE, reference_models
from fathom.harness.engines.model_name import folder_label
from fathom.harness.errors import BadSubmission
from fathom.harness.settings import ServiceSettings
from fathom.server.submissions.hub import HubLimits
from fathom.server.submissions.repository import (
    INDEX,
    JSON_FILES,
    File,
    Repository,
    WeightsHeader,
    model_finding,
    parse_json,
    weight_files,
)

_FORWARDED = (b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via")
"""Headers of a proxy, behind which the visitor may be anywhere."""
_MOST_FILES = 10_000
_LIMITS = HubLimits()
_REFERENCE = "reference/"


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model's folder on this machine, and its name on the board: never with the path."""

    path: Path
    name: str

    @property
    def by_digest(self) -> bool:
        """Whether its files decide what model it is; for a model that comes with Fathom its name does."""
        return not self.name.startswith(_REFERENCE)


def may_name_folders(scope: Scope, service: ServiceSettings) -> bool:
    """Say whether this request may name a folder: to a board without accounts, from its own machine."""
    if service.oidc is not None or any(name in _FORWARDED for name, _ in scope["headers"]):
        return False
    try:
        return ip_address((scope.get("client") or ("", 0))[0]).is_loopback
    except ValueError:
        return False


def is_local(model: str) -> bool:
    """Say whether a text means a model of this machine; the disk is not asked."""
    return model.startswith(("/", "~", _REFERENCE))


def find_folder(model: str) -> LocalModel:
    """Return the folder that a text names: an absolute path, one from `~`, or a model that comes with Fathom.

    Raises:
        BadSubmission: there is no such folder, or its path cannot be read.
    """
    if model.startswith(_REFERENCE):
        if model not in reference_models():
            raise _wrong("There is no such model.", f"Write one of: {', '.join(reference_models())}.")
        return LocalModel(REFERENCE / model.removeprefix(_REFERENCE), model)
    try:
        path = Path(model).expanduser()
        if not path.is_absolute() or not path.is_dir():
            raise _wrong("There is no such folder.", "Write its whole path, as /home/me/model or ~/model.")
        whole = path.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # too long, with a NUL, a home that is not known
        raise _wrong("This is not the path of a folder.", "Write its whole path, as /home/me/model.") from error
    return LocalModel(whole, folder_label(whole))


def read_folder(local: LocalModel) -> Repository:
    """Return what the folder's files say, without a digest: nothing is loaded, and of weights only headers are read.

    Raises:
        BadSubmission: a file cannot be read, or is longer than any that are read.
    """
    path = local.path
    try:
        with os.scandir(path) as entries:
            found = [entry for entry, _ in zip(entries, range(_MOST_FILES + 1), strict=False)]
        if len(found) > _MOST_FILES:
            raise _wrong("The folder has very many files.", "Name the folder of one model.")
        modes = {one.name: (about.st_mode, about.st_size) for one in found if (about := one.stat())}
        if any(not stat.S_ISREG(mode) for name, (mode, _) in modes.items() if _is_read(name)):
            raise _wrong("The model's files are not all plain files.", "Name a folder of such.")  # a pipe has no end
        sizes = {name: size for name, (mode, size) in modes.items() if stat.S_ISREG(mode)}
        files = tuple(File(name, sizes[name]) for name in sorted(sizes))
        texts = {name: _text(path / name, sizes[name]) for name in JSON_FILES if name in sizes}
        weights = weight_files(files, parse_json(texts.get(INDEX, b"")))
        headers = {file.name: _header(path / file.name) for file in weights[: _LIMITS.n_weights]}
        shots = card_shots(path)
    except OSError as error:
        raise _wrong(f"The folder cannot be read ({error.strerror}).", "Make it readable to you.") from error
    # a model that stays on its owner's machine needs no licence
    return Repository(local.name, "", files, "not published", False, shots, texts, headers)


def _is_read(name: str) -> bool:
    return name == "README.md" or any(Path(name).match(pattern) for pattern in FETCHED_FILES)


def _text(file: Path, size: int) -> bytes:
    limit = _LIMITS.config if file.name == "config.json" else _LIMITS.text
    if size > limit:
        raise _wrong(f"{file.name} is longer than the {limit >> 20} MB that are read of it.", "Save the model again.")
    return file.read_bytes()


def _header(file: Path) -> WeightsHeader:
    """Return the header of a weights file, or an empty one where its stated length is impossible."""
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        length = int.from_bytes(stream.read(8), "little")
        if length > _LIMITS.header or 8 + length > size:
            return WeightsHeader(b"", size)
        return WeightsHeader(stream.read(length), size)


def _wrong(problem: str, fix: str) -> BadSubmission:
    return BadSubmission([model_finding(problem, fix)])

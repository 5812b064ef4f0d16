"""Turn what was written into a manifest, and a manifest's file back into values."""

from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fathom.harness.errors import BrokenCorpus

FORMAT = 1
"""Raised whenever the files of a folder change their meaning."""
MANIFEST = "manifest.json"

Kind = Literal["tokens", "parquet", "datasets"]


def shard_name(number: int) -> str:
    """Name a shard's files, without their endings."""
    return f"shard-{number:05d}"


class _Values(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileRecord(_Values):
    """A file of a shard: its size in bytes and its BLAKE2b digest."""

    size: int = Field(ge=0)
    digest: str


_FileName = Annotated[str, Field(pattern=r"^shard-[0-9]+\.[a-z]+$")]
"""In the folder itself: what a stranger's manifest names is read."""


class ShardRecord(_Values):
    """A whole shard: counts, tokens of each part of the mix, and its files by name."""

    number: int = Field(ge=0)
    tokens: int = Field(ge=1)
    documents: int = Field(ge=1)
    parts: tuple[int, ...]
    files: dict[_FileName, FileRecord]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if sum(self.parts) != self.tokens:
            raise ValueError("the parts are not all tokens")
        return self


class Manifest(_Values):
    """All that is to be known about a folder of training text; `corpora` holds its mix with all settings."""

    kind: Literal["fathom corpus"] = "fathom corpus"
    format_version: int = Field(default=FORMAT)
    format: Kind
    corpora: tuple[dict[str, Any], ...]
    seed: str
    asked: int
    """Tokens that were asked for; the last document is whole, so there may be a few more."""
    tokens: int
    documents: int
    vocabulary: int
    dtype: str = Field(pattern="^<u[24]$")
    """numpy's name of the type of an id in the shards."""
    tokenizer: str
    """Digest of the tokenizer."""
    shards: tuple[ShardRecord, ...] = Field(min_length=1)
    digest: str
    """BLAKE2b of the shards' digests."""

    @property
    def size(self) -> int:
        """Return the bytes of all shards."""
        return sum(file.size for shard in self.shards for file in shard.files.values())


def total_digest(shards: tuple[ShardRecord, ...]) -> str:
    """Return one digest of all shards' files."""
    told = "\n".join(f"{name} {file.digest}" for shard in shards for name, file in sorted(shard.files.items()))
    return blake2b(told.encode(), digest_size=16).hexdigest()


def digest_of(data: bytes | memoryview) -> str:
    """Return the BLAKE2b digest of some bytes."""
    return blake2b(data, digest_size=16).hexdigest()


def digest_of_file(path: Path) -> str:
    """Return the BLAKE2b digest of a file, read in pieces."""
    digest = blake2b(digest_size=16)
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a folder.

    Raises:
        BrokenCorpus: there is none, or it is none of ours.
    """
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise BrokenCorpus(
            f"{folder} holds no whole training text ({MANIFEST}: {error.strerror}): "
            "`fathom corpus` with the same words goes on with what it began"
        ) from error
    except ValidationError as error:
        raise BrokenCorpus(f"{folder / MANIFEST} is not a manifest of this Fathom: write the corpus again") from error


def check_files(folder: Path, shard: ShardRecord) -> None:
    """Compare a shard's files with their sizes and digests.

    Raises:
        BrokenCorpus: with the name of the first file that differs.
    """
    for name, file in shard.files.items():
        path = folder / name
        try:
            size = path.stat().st_size
            sound = size == file.size and digest_of_file(path) == file.digest
        except OSError as error:
            raise BrokenCorpus(f"{path} cannot be read ({error.strerror}): {_AGAIN}") from error
        if not sound:
            raise BrokenCorpus(f"{path} is not what was written ({size:,} of {file.size:,} bytes): {_AGAIN}")


_AGAIN = "the `fathom corpus` of before writes it again"

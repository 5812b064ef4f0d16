"""The manifest of a corpus, manifest.json, and the check of its files against it."""

from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fathom.harness.errors import BrokenCorpus

FORMAT_VERSION = 1
"""Increased when the meaning of the files changes."""
MANIFEST_FILE = "manifest.json"

CorpusFormat = Literal["tokens", "parquet", "datasets"]


def shard_name(number: int) -> str:
    """Return the name of a shard's files, without their suffixes."""
    return f"shard-{number:05d}"


class _Values(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileRecord(_Values):
    """A file of a shard: its size in bytes and its BLAKE2b digest."""

    size: int = Field(ge=0)
    digest: str


_FileName = Annotated[str, Field(pattern=r"^shard-[0-9]+\.[a-z]+$")]
"""Without folders, since a manifest may come from someone else and its files are opened."""


class ShardRecord(_Values):
    """A whole shard: counts, the tokens of each part of the mix, and its files by name."""

    number: int = Field(ge=0)
    tokens: int = Field(ge=1)
    documents: int = Field(ge=1)
    parts: tuple[int, ...]
    files: dict[_FileName, FileRecord]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if sum(self.parts) != self.tokens:
            raise ValueError("the tokens of the parts do not add up")
        return self


class CorpusManifest(_Values):
    """Description of a folder of training text; `corpora` is its mix with all options."""

    kind: Literal["fathom corpus"] = "fathom corpus"
    format_version: int = Field(default=FORMAT_VERSION)
    format: CorpusFormat
    corpora: tuple[dict[str, Any], ...]
    seed: str
    asked: int
    """Tokens requested; the last document is whole, so there may be a few more."""
    tokens: int
    documents: int
    vocabulary: int
    dtype: str = Field(pattern="^<u[24]$")
    """Type of an id in the shards, as numpy writes it."""
    tokenizer: str
    """Digest of the tokenizer."""
    shards: tuple[ShardRecord, ...] = Field(min_length=1)
    digest: str
    """BLAKE2b of the shards' digests."""

    @property
    def size(self) -> int:
        """Return the bytes of all shards together."""
        return sum(file.size for shard in self.shards for file in shard.files.values())


def shards_digest(shards: tuple[ShardRecord, ...]) -> str:
    """Return the digest of the digests of all shards' files."""
    told = "\n".join(f"{name} {file.digest}" for shard in shards for name, file in sorted(shard.files.items()))
    return blake2b(told.encode(), digest_size=16).hexdigest()


def bytes_digest(data: bytes | memoryview) -> str:
    """Return the BLAKE2b digest of some bytes, 32 hex digits."""
    return blake2b(data, digest_size=16).hexdigest()


def _file_digest(path: Path) -> str:
    """Return the BLAKE2b digest of a file, 32 hex digits."""
    digest = blake2b(digest_size=16)
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def read_corpus_manifest(folder: Path) -> CorpusManifest:
    """Return the manifest of a folder.

    Raises:
        BrokenCorpus: there is none, or it is damaged.
    """
    try:
        return CorpusManifest.model_validate_json((folder / MANIFEST_FILE).read_bytes())
    except OSError as error:
        raise BrokenCorpus(
            f"{folder} contains no complete corpus ({MANIFEST_FILE}: {error.strerror}): "
            "give the same `fathom corpus` command again to complete it"
        ) from error
    except ValidationError as error:
        raise BrokenCorpus(
            f"{folder / MANIFEST_FILE} is no manifest that this version reads: write the corpus again"
        ) from error


def check_files(folder: Path, shard: ShardRecord) -> None:
    """Compare a shard's files with their sizes and digests.

    Raises:
        BrokenCorpus: names the first file that differs.
    """
    for name, file in shard.files.items():
        path = folder / name
        try:
            size = path.stat().st_size
            sound = size == file.size and _file_digest(path) == file.digest
        except OSError as error:
            raise BrokenCorpus(f"{path} cannot be read ({error.strerror}): {_AGAIN}") from error
        if not sound:
            raise BrokenCorpus(f"{path} was changed ({size:,} of {file.size:,} bytes): {_AGAIN}")


_AGAIN = "the same `fathom corpus` command writes it again"

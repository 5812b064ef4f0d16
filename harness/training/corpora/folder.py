"""The folder of a corpus: claimed for one set of settings, with a journal of its whole shards."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fathom.harness.errors import BadInput, BrokenCorpus, CorpusChanged, DiskFull
from fathom.harness.training.corpora.manifest import (
    MANIFEST_FILE,
    CorpusManifest,
    FileRecord,
    ShardRecord,
    bytes_digest,
    check_files,
)

_CLAIM_FILE = "corpus.json"
_JOURNAL = "shards.jsonl"
_PARTIAL = ".partial-"
_FULL = (ENOSPC, EDQUOT, EFBIG)


def write_whole_file(path: Path, data: bytes | memoryview) -> FileRecord:
    """Write a file atomically and durably.

    Raises:
        DiskFull, BadInput: it cannot be written.
    """
    partial = path.with_name(f"{_PARTIAL}{os.getpid()}-{path.name}")
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return FileRecord(size=len(data), digest=bytes_digest(data))


def write_error(path: Path, error: OSError) -> BadInput:
    """Return the error to raise where a file cannot be written."""
    kind = DiskFull if error.errno in _FULL else BadInput
    advice = "free some space, then give the same command to continue" if kind is DiskFull else "give another --out"
    return kind(f"cannot write {path} ({error.strerror}): {advice}")


class CorpusFolder:
    """The folder of one corpus; `with folder.claimed(settings):` locks it against other processes."""

    def __init__(self, path: Path) -> None:
        """Take the folder's path; it need not exist yet."""
        self.path = path

    @contextmanager
    def claimed(self, settings: Mapping[str, Any]) -> Iterator[None]:
        """Lock the folder for these settings, and remove what a killed process left half-written.

        Raises:
            CorpusChanged: it has other settings, is locked by another process, or is not the folder of a corpus.
            DiskFull, BadInput: it cannot be written.
        """
        with self._locked():
            self._compare(self._claim(settings), settings)
            for left in self.path.glob(f"{_PARTIAL}*"):
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Create and lock the folder. The lock is on the folder, since a lock on a file is lost when it is replaced."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise write_error(self.path, error) from error
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CorpusChanged(f"another process is writing {self.path}: wait until it ends") from error
            except OSError as error:
                raise write_error(self.path, error) from error
            yield
        finally:
            os.close(folder)

    def _claim(self, settings: Mapping[str, Any]) -> bytes:
        """Return the content of the claim file, after writing it if there is none."""
        claim = self.path / _CLAIM_FILE
        try:
            held = [one.name for one in self.path.iterdir()]
            if _CLAIM_FILE in held:
                return claim.read_bytes()
        except OSError as error:
            raise write_error(claim, error) from error
        other = [name for name in held if not (name.startswith(_PARTIAL) and name.endswith(_CLAIM_FILE))]
        if other:
            raise CorpusChanged(f"{self.path} contains other files ({min(other)}): give a new or empty --out")
        wanted = json.dumps(settings, indent=1).encode() + b"\n"
        write_whole_file(claim, wanted)
        return wanted

    def _compare(self, held: bytes, settings: Mapping[str, Any]) -> None:
        try:
            begun = json.loads(held)
            if not isinstance(begun, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError) as error:
            raise CorpusChanged(f"{self.path / _CLAIM_FILE} is damaged: give another --out") from error
        differing = _differences(begun, json.loads(json.dumps(settings)))
        if differing:
            raise CorpusChanged(
                f"{self.path} was begun with other settings ({'; '.join(differing[:5])}): "
                "give another --out, or remove it"
            )

    def journaled(self, head: Mapping[str, Any]) -> list[ShardRecord]:
        """Return the whole shards in order, up to the first that is missing; start the journal if there is none.

        Raises:
            CorpusChanged: they have another tokenizer or another size.
        """
        journal = self.path / _JOURNAL
        try:
            lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
        except OSError as error:
            raise write_error(journal, error) from error
        try:
            begun = json.loads(lines[0]) if lines else dict(head)
        except (ValueError, RecursionError):  # an unreadable journal proves no shard
            begun, lines = dict(head), []
        if begun != dict(head):
            raise CorpusChanged(
                f"the shards in {self.path} were made with another tokenizer than {self.path / 'tokenizer'}: "
                "give another --out, or remove it"
            )
        records: list[ShardRecord] = []
        for line in lines[1:]:
            try:
                record = ShardRecord.model_validate_json(line)
                check_files(self.path, record)
            except (ValidationError, BrokenCorpus):
                break
            if record.number != len(records):
                break
            records.append(record)
        kept = [json.dumps(dict(head)).encode(), *[record.model_dump_json().encode() for record in records]]
        write_whole_file(journal, b"".join(line + b"\n" for line in kept))
        return records

    def add(self, record: ShardRecord) -> None:
        """Append a whole shard to the journal.

        Raises:
            DiskFull, BadInput: it cannot be written.
        """
        journal = self.path / _JOURNAL
        try:
            with journal.open("ab") as stream:
                stream.write(record.model_dump_json().encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise write_error(journal, error) from error

    def finish(self, manifest: CorpusManifest, shards: Sequence[ShardRecord]) -> None:
        """Remove shards beyond the last one, and write the manifest."""
        names = {name for shard in shards for name in shard.files}
        for path in self.path.glob("shard-*"):
            if path.name not in names and not path.is_dir():
                path.unlink(missing_ok=True)
        write_whole_file(self.path / MANIFEST_FILE, manifest.model_dump_json(indent=1).encode() + b"\n")


def _differences(begun: object, asked: object, name: str = "") -> list[str]:
    if isinstance(begun, dict) and isinstance(asked, dict):
        keys = [*begun, *[key for key in asked if key not in begun]]
        found = [_differences(begun.get(key), asked.get(key), f"{name}.{key}".lstrip(".")) for key in keys]
        return [one for part in found for one in part]
    if isinstance(begun, list) and isinstance(asked, list) and len(begun) == len(asked):
        pairs = enumerate(zip(begun, asked, strict=True))
        return [one for at, (old, new) in pairs for one in _differences(old, new, f"{name}[{at}]")]
    return [] if begun == asked else [f"{name} was {json.dumps(begun)}, not {json.dumps(asked)}"]

"""Splits the bytes of an upload into lines, within limits that are checked while it arrives.

The first two bytes tell plain text from gzip; the Content-Encoding header is ignored, so nothing is decoded twice. Only
one piece of text and one line are in memory at a time.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from fathom.harness.errors import BadInput, TooLarge

_MAGIC = b"\x1f\x8b"
_PIECE = 256 << 10
"""Bytes unpacked at a time."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Most bytes of an upload."""

    packed: int = 64 << 20
    unpacked: int = 512 << 20
    ratio: int = 100
    """Most unpacked bytes for each packed byte, above the first `free` bytes."""
    free: int = 1 << 20
    line: int = 512 << 10
    """Of one line: an answer of the largest budget of tokens fits, with eight bytes a token."""
    members: int = 20_000
    """Members of a gzip file; a parallel packer writes one for each 64 kB."""


UPLOAD_LIMITS = UploadLimits()


class Unpacker:
    """Takes chunks of bytes and returns complete lines."""

    def __init__(self, limits: UploadLimits = UPLOAD_LIMITS) -> None:
        """Expect the first byte."""
        self._limits = limits
        self._head, self._rest = b"", b""
        self._gzip: _Gzip | None = None
        self._begun = False
        self.n_packed = self.n_unpacked = self.n_lines = 0

    def feed(self, chunk: bytes) -> Iterator[list[bytes]]:
        """Yield the lines that a chunk completes.

        Raises:
            TooLarge: a limit is exceeded.
            BadInput: the gzip data is invalid.
        """
        self.n_packed += len(chunk)
        if self.n_packed > self._limits.packed:
            raise TooLarge(f"more than {self._limits.packed >> 20} MB: pack it with gzip, or send a smaller run")
        if not self._begun:
            self._head += chunk
            if len(self._head) < len(_MAGIC):
                return
            chunk, self._head, self._begun = self._head, b"", True
            self._gzip = _Gzip(self._limits.members) if chunk.startswith(_MAGIC) else None
        pieces = iter((chunk,)) if self._gzip is None else self._gzip.feed(chunk)
        for piece in pieces:
            yield self._split(piece)

    def close(self) -> list[bytes]:
        """Return the last line, if no newline ends it.

        Raises:
            BadInput: the gzip file is cut off.
        """
        if self._gzip is not None:
            self._gzip.close()
        last, self._head, self._rest = self._head + self._rest, b"", b""
        return [last] if last else []

    def _split(self, piece: bytes) -> list[bytes]:
        limits = self._limits
        self.n_unpacked += len(piece)
        if self.n_unpacked > limits.unpacked:
            raise TooLarge(f"more than {limits.unpacked >> 20} MB once unpacked: send a smaller run")
        if self.n_unpacked > max(limits.free, limits.ratio * self.n_packed):
            raise TooLarge(f"it unpacks to more than {limits.ratio} times its size, which results never need")
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in (*lines, self._rest):
            self.n_lines += 1
            if len(line) > limits.line:
                raise TooLarge(f"line {self.n_lines} has more than {limits.line >> 10} kB")
        self.n_lines -= 1  # the last line is not complete yet
        return lines


class _Gzip:
    """One or more gzip members (RFC 1952); only zeros may follow them."""

    def __init__(self, members: int) -> None:
        self._left = members
        self._member = self._next()
        self._tail = b""

    def _next(self) -> "zlib._Decompress":
        self._left -= 1
        if self._left < 0:
            raise TooLarge("this gzip file has too many members: pack it with `gzip`")
        return zlib.decompressobj(31)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        waiting, full = chunk, False
        while waiting or full:  # after a full piece zlib may hold more, even with no input left
            if self._member.eof:
                waiting, full = self._next_member(waiting), False
                continue
            try:
                piece = self._member.decompress(waiting, _PIECE)
            except zlib.error as error:
                raise BadInput(f"the gzip file is damaged: {error}") from error
            full = len(piece) == _PIECE
            waiting = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if piece:
                yield piece

    def _next_member(self, waiting: bytes) -> bytes:
        """Start a new member; a single byte that may begin one is kept for later."""
        waiting = self._tail + waiting
        self._tail = b""
        if not waiting.strip(b"\0"):
            return b""
        if not waiting.startswith(_MAGIC[: len(waiting)]):
            raise BadInput("something follows the end of the gzip file: pack it again")
        if len(waiting) < len(_MAGIC):
            self._tail = waiting
            return b""
        self._member = self._next()
        return waiting

    def close(self) -> None:
        if not self._member.eof or self._tail:
            raise BadInput("the gzip file is cut off: send it again")

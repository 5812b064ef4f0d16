"""Forms with a file: fields first, then the file's bytes as they arrive; nothing is written to disk."""

import logging
from collections.abc import Callable
from email.message import Message

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from fathom.harness.errors import BadInput

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # otherwise each hostile form fills the log

_FIELD = 4096
"""Bytes of a field that is not the file."""
_FIELDS = 20

OpenFile = Callable[[dict[str, str]], Callable[[bytes], None]]


class FormStream:
    """Reads multipart/form-data. `open_file` is called with the fields so far where the file begins; it returns the
    function that takes the file's bytes. A field that decides whether the file is accepted must come before it.
    """

    def __init__(self, content_type: str, file_field: str, open_file: OpenFile) -> None:
        """Expect the first byte.

        Raises:
            BadInput: the body is not multipart/form-data.
        """
        said = Message()
        said["content-type"] = content_type
        boundary = said.get_param("boundary")
        if said.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
            raise BadInput("send the form as multipart/form-data, as a browser does")
        self._file_field, self._open_file = file_field, open_file
        self._header, self._value = b"", b""
        self._name, self._is_file = "", False
        self._field = b""
        self._take: Callable[[bytes], None] | None = None
        self._n_parts = 0
        self.fields: dict[str, str] = {}
        self.has_file = self._ended = False
        try:
            self._parser = MultipartParser(
                boundary.encode("latin-1", "replace"),
                {
                    "on_part_begin": self._begin, "on_header_field": self._header_field,
                    "on_header_value": self._header_value, "on_header_end": self._header_end,
                    "on_headers_finished": self._open, "on_part_data": self._data, "on_part_end": self._end,
                    "on_end": self._finish,
                },
            )  # fmt: skip
        except FormParserError as error:
            raise BadInput(f"the form cannot be read: {error}") from error

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            BadInput: the form is malformed, or the file is refused.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise BadInput(f"the form cannot be read: {error}") from error

    def close(self) -> None:
        """Raise BadInput if the form is cut off or has no file."""
        if not self._ended:
            raise BadInput("the form is cut off: send it again")
        if not self.has_file:
            raise BadInput("choose a file")

    def _begin(self) -> None:
        self._n_parts += 1
        if self._n_parts > _FIELDS:
            raise BadInput("the form has too many fields")
        self._name, self._is_file, self._field = "", False, b""
        self._header = self._value = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            said = Message()
            said["content-disposition"] = self._value.decode("latin-1").replace("\r", " ").replace("\n", " ")
            name = said.get_param("name", "", "content-disposition")
            self._name = name if isinstance(name, str) else ""
        self._header = self._value = b""

    def _open(self) -> None:
        self._is_file = self._name == self._file_field
        if not self._is_file:
            if len(self.fields) >= _FIELDS:
                raise BadInput("the form has too many fields")
            return
        if self.has_file:
            raise BadInput("send one file at a time")
        self.has_file = True
        self._take = self._open_file(self.fields)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            if self._take is not None:
                self._take(data[start:end])
            return
        self._field += data[start:end]
        if len(self._field) > _FIELD:
            raise BadInput("a field of the form is too long")

    def _end(self) -> None:
        if not self._is_file:
            self.fields[self._name[:64]] = self._field.decode("utf-8", "replace")

    def _finish(self) -> None:
        self._ended = True

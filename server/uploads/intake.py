"""Take a parcel in while it arrives: every item is made again and graded here, and nothing else is believed."""

from dataclasses import dataclass
from hashlib import blake2b

from sqlalchemy import Engine

from fathom.harness.db.write import Sample
from fathom.harness.engines.base import Completion, Request
from fathom.harness.errors import BadInput
from fathom.harness.io.parcel import SampleLine, read_header, read_sample
from fathom.harness.runs.grading import judge, reading_of, settle
from fathom.harness.runs.prompting import Decoding, Prompting
from fathom.harness.runs.requests import prompt_digest, request_of
from fathom.server.uploads.admission import Sender, admit
from fathom.server.uploads.store import (
    Begun,
    NewUpload,
    begin_upload,
    check_new,
    drop_upload,
    finish_upload,
    note_refusal,
    take_samples,
)
from fathom.server.uploads.unpack import LIMITS, Limits, Unpacker
from fathom.tasks.errors import TaskError
from fathom.tasks.suites import Suite, SuiteCell, item_at

_BATCH = 500
_BATCH_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was stored."""

    submission: str
    run: str
    n_items: int
    n_right: int


@dataclass(slots=True)
class _Attempt:
    """An upload whose header was accepted."""

    new: NewUpload
    places: "_Places"
    begun: Begun | None = None
    """From the first batch on: most of what is refused never gets that far, and touches nothing."""


class Intake:
    """Takes one parcel; calls must follow each other, from whatever threads."""

    def __init__(self, db: Engine, sender: Sender, limits: Limits = LIMITS) -> None:
        """Expect the first byte."""
        self._db, self._sender = db, sender
        self._unpacker = Unpacker(limits)
        self._attempt: _Attempt | None = None
        self._line = 0
        self._batch: list[Sample] = []
        self._bytes = 0
        self._digest = blake2b(digest_size=16)
        self.n_right = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; what is whole is graded and stored.

        Raises:
            BadInput, TooLarge, Conflict, Busy: why the parcel is refused; call `drop` then.
        """
        for lines in self._unpacker.feed(chunk):
            self._take(lines)

    def close(self) -> Receipt:
        """End the parcel: it is stored whole, or refused.

        Raises:
            BadInput, Conflict: see feed.
        """
        self._take(self._unpacker.close())
        attempt = self._attempt
        if attempt is None:
            raise BadInput("the file is empty: send what `fathom submit --out` writes")
        attempt.places.check_whole()
        begun = self._flush(attempt)
        digest, claimed = self._digest.hexdigest(), attempt.new.run.suite_digest
        if digest != claimed:
            raise BadInput(
                f"suite_digest: the parcel says {claimed}, the items made here have {digest}: run it again with the "
                "server's version of Fathom"
            )
        finish_upload(self._db, begun, attempt.new)
        return Receipt(begun.submission, begun.run, attempt.new.run.suite.n_items, self.n_right)

    def drop(self, reason: str = "") -> None:
        """Leave nothing of the parcel; a reason goes into the audit log, if its header was accepted."""
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        if attempt.begun is not None:
            drop_upload(self._db, attempt.begun, reason)
        elif reason:
            note_refusal(self._db, attempt.new, reason)

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            self._line += 1
            if self._attempt is None:
                new = self._admit(line)
                check_new(self._db, new)
                self._attempt = _Attempt(new, _Places(new.run.suite))
                continue
            self._place(self._attempt, read_sample(line, self._line))
            self._bytes += len(line)
            if len(self._batch) >= _BATCH or self._bytes >= _BATCH_BYTES:
                self._flush(self._attempt)

    def _admit(self, line: bytes) -> NewUpload:
        try:
            return admit(self._db, read_header(line), self._sender)
        except TaskError as error:  # its status may be 404, as for an address
            raise BadInput(f"line 1: {error}") from error

    def _place(self, attempt: _Attempt, line: SampleLine) -> None:
        if not attempt.places.take(line, self._line):
            return
        cell = attempt.new.run.suite.cells[line.cell]
        item = item_at(cell, attempt.new.run.suite.seed, line.index)
        chat = attempt.new.chat_template
        request = request_of(cell, item, attempt.new.run.manifest_digest, chat)
        self._digest.update(f"{item.id}\0{request.prompt}\0{item.gold}\0".encode())
        completion = _completion(request, line, self._line)
        answer = reading_of(cell.style, Prompting(chat=chat), Decoding()).answer(completion)
        verdict = judge(item, completion, answer)
        self.n_right += verdict.correct
        self._batch.append(Sample(line.cell, line.index, 0, request.key, completion, verdict))

    def _flush(self, attempt: _Attempt) -> Begun:
        if attempt.begun is None:
            attempt.begun = begin_upload(self._db, attempt.new)
        if self._batch:
            take_samples(self._db, attempt.begun, self._batch)
        self._batch, self._bytes = [], 0
        return attempt.begun


def _completion(request: Request, line: SampleLine, number: int) -> Completion:
    """Read a completion as our engines would have given it.

    Raises:
        BadInput: another prompt, a longer answer than is allowed, or scores that are none.
    """
    if line.prompt != prompt_digest(request.prompt):
        raise BadInput(
            f"line {number}: the prompt of {request.item} is not the one that this server asks: it was edited, or made "
            "by another version of Fathom"
        )
    if line.completion_tokens > request.sampling.max_tokens:
        raise BadInput(
            f"line {number}: {request.item} was answered with {line.completion_tokens} tokens, and "
            f"{request.sampling.max_tokens} are allowed"
        )
    text = line.completion
    for stop in request.sampling.stop:
        text = text.partition(stop)[0]
    found = Completion(
        request.key, text, line.finish_reason, line.prompt_tokens, line.completion_tokens, line.milliseconds / 1000,
        line.scores,
    )  # fmt: skip
    try:
        return settle(request, found)
    except ValueError as error:
        raise BadInput(f"line {number}: {request.item}: {error}") from error


class _Places:
    """Which items have come; they keep the order of the suite."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._starts = [0]
        for cell in suite.cells:
            self._starts.append(self._starts[-1] + cell.n)
        self._seen = bytearray(suite.n_items)
        self._next = self._missing = 0
        self._first_missing: int | None = None

    def take(self, line: SampleLine, number: int) -> bool:
        """Note a sample; return whether all before it have come, so that it is worth grading.

        Raises:
            BadInput: not an item of the suite, one that has come, or one out of order.
        """
        cells = self._suite.cells
        if line.cell >= len(cells) or line.index >= cells[line.cell].n or line.repeat:
            raise BadInput(f"line {number}: cell {line.cell}, index {line.index}, repeat {line.repeat} was not asked")
        place = self._starts[line.cell] + line.index
        if self._seen[place]:
            raise BadInput(f"line {number}: {self._name(place)} stands twice")
        if place < self._next:
            raise BadInput(f"line {number}: {self._name(place)} comes too late: keep the order of cells and indices")
        self._seen[place] = 1
        self._skip_to(place)
        self._next = place + 1
        return self._first_missing is None

    def check_whole(self) -> None:
        """Raise BadInput if an item has not come."""
        self._skip_to(len(self._seen))
        if self._first_missing is not None:
            raise BadInput(
                f"{self._missing} of {len(self._seen)} items are missing, the first is "
                f"{self._name(self._first_missing)}: send the whole run"
            )

    def _skip_to(self, place: int) -> None:
        if place > self._next and self._first_missing is None:
            self._first_missing = self._next
        self._missing += place - self._next

    def _name(self, place: int) -> str:
        at = next(at for at, end in enumerate(self._starts[1:]) if place < end)
        cell: SuiteCell = self._suite.cells[at]
        where = f"{cell.family}@{cell.version}/{cell.level}/{cell.channel}/{self._suite.seed}"
        return f"{where}/{place - self._starts[at]} ({cell.style})"

"""Receives an upload while it arrives: every item is generated and graded here, and no sent score is used."""

from dataclasses import dataclass
from hashlib import blake2b

from sqlalchemy import Engine

from fathom.harness.db.write import Sample
from fathom.harness.engines.base import Completion, Request
from fathom.harness.errors import BadInput
from fathom.harness.io.parcel import ParcelSample, parse_header, parse_sample
from fathom.harness.runs.requests import (
    answer_reader,
    checked_completion,
    digest_of_prompt,
    grade_completion,
    make_request,
)
from fathom.harness.runs.run_settings import RunSettings
from fathom.server.uploads.checks import Sender, check_header
from fathom.server.uploads.store import (
    NewUpload,
    UploadAttempt,
    add_upload_samples,
    begin_upload,
    check_new,
    delete_upload,
    finish_upload,
    record_refusal,
)
from fathom.server.uploads.unpacker import UPLOAD_LIMITS, Unpacker, UploadLimits
from fathom.tasks.base import pose
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import find_family
from fathom.tasks.suites import Suite, SuiteCell, item_at

_BATCH = 500
_BATCH_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class UploadReceipt:
    """What was stored of an upload; in a preview without ids."""

    submission: str
    run: str
    n_items: int
    n_right: int


@dataclass(slots=True)
class _Accepted:
    """An upload whose header was accepted."""

    new: NewUpload
    order: "_ItemOrder"
    attempt: UploadAttempt | None = None
    """Set at the first batch; most refused uploads end before, without a row in the database."""


class UploadReceiver:
    """Receives one upload; calls may come from different threads, one after the other."""

    def __init__(self, db: Engine, sender: Sender, limits: UploadLimits = UPLOAD_LIMITS, *, keep: bool = True) -> None:
        """Expect the first byte. With `keep` false everything is checked and graded, and nothing is stored."""
        self._keep = keep
        self._db, self._sender = db, sender
        self._unpacker = Unpacker(limits)
        self._accepted: _Accepted | None = None
        self._line = 0
        self._batch: list[Sample] = []
        self._bytes = 0
        self._digest = blake2b(digest_size=16)
        self.n_right = 0
        self.new: NewUpload | None = None
        """What the file announces, once all of it was checked."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; complete lines are graded and stored.

        Raises:
            BadInput, TooLarge, Conflict, Busy: why the upload is refused; call `drop` then.
        """
        for lines in self._unpacker.feed(chunk):
            self._take(lines)

    def close(self) -> UploadReceipt:
        """End the upload: it is stored whole, or refused.

        Raises:
            BadInput, Conflict: why the upload is refused.
        """
        self._take(self._unpacker.close())
        accepted = self._accepted
        if accepted is None:
            raise BadInput("the file is empty: send what `fathom submit --out` writes")
        accepted.order.check_whole()
        digest, claimed = self._digest.hexdigest(), accepted.new.run.suite_digest
        if digest != claimed:
            raise BadInput(
                f"suite_digest: the file states {claimed}, the items generated here have {digest}: run it again with "
                "the server's version of Fathom"
            )
        self.new = accepted.new
        n_items = accepted.new.run.suite.n_items
        if not self._keep:
            return UploadReceipt("", "", n_items, self.n_right)
        attempt = self._flush(accepted)
        finish_upload(self._db, attempt, accepted.new)
        return UploadReceipt(attempt.submission, attempt.run, n_items, self.n_right)

    def drop(self, reason: str = "") -> None:
        """Delete everything stored of the upload; if its header was accepted, the reason goes to the audit log."""
        accepted, self._accepted = self._accepted, None
        if accepted is None:
            return
        if accepted.attempt is not None:
            delete_upload(self._db, accepted.attempt, reason)
        elif reason and self._keep:
            record_refusal(self._db, accepted.new, reason)

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            self._line += 1
            if self._accepted is None:
                new = self._check_header(line)
                check_new(self._db, new)
                self._accepted = _Accepted(new, _ItemOrder(new.run.suite))
                continue
            self._grade(self._accepted, parse_sample(line, self._line))
            self._bytes += len(line)
            if len(self._batch) >= _BATCH or self._bytes >= _BATCH_BYTES:
                self._empty(self._accepted)

    def _empty(self, accepted: _Accepted) -> None:
        """Store the batch, or in a preview forget it."""
        if self._keep:
            self._flush(accepted)
        self._batch, self._bytes = [], 0

    def _check_header(self, line: bytes) -> NewUpload:
        try:
            return check_header(self._db, parse_header(line), self._sender)
        except TaskError as error:  # its own status may be 404
            raise BadInput(f"line 1: {error}") from error

    def _grade(self, accepted: _Accepted, line: ParcelSample) -> None:
        if not accepted.order.take(line, self._line):
            return
        cell = accepted.new.run.suite.cells[line.cell]
        item = item_at(cell, accepted.new.run.suite.seed, line.index)
        asked = accepted.new.asked
        posed = pose(find_family(cell.family), item, cell.style)
        self._digest.update(f"{item.id}\0{posed}\0{item.gold}\0".encode())
        request = make_request(cell, item, accepted.new.run.manifest_digest, asked)
        completion = _completion(request, line, self._line)
        answer = answer_reader(cell.style, RunSettings(asked)).answer(completion)
        verdict = grade_completion(item, completion, answer)
        self.n_right += verdict.correct
        self._batch.append(Sample(line.cell, line.index, 0, request.key, completion, verdict))

    def _flush(self, accepted: _Accepted) -> UploadAttempt:
        if accepted.attempt is None:
            accepted.attempt = begin_upload(self._db, accepted.new)
        if self._batch:
            add_upload_samples(self._db, accepted.attempt, self._batch)
        self._batch, self._bytes = [], 0
        return accepted.attempt


def _completion(request: Request, line: ParcelSample, number: int) -> Completion:
    """Return a line's completion as our own engines would give it.

    Raises:
        BadInput: the prompt differs, the answer is too long, or scores are invalid.
    """
    if line.prompt != digest_of_prompt(request.prompt):
        raise BadInput(
            f"line {number}: the prompt of {request.item} is not the one of this server: it was edited, or generated "
            "by another version of Fathom"
        )
    if line.completion_tokens > request.sampling.max_tokens:
        raise BadInput(
            f"line {number}: {request.item} has an answer of {line.completion_tokens} tokens, and "
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
        return checked_completion(request, found)
    except ValueError as error:
        raise BadInput(f"line {number}: {request.item}: {error}") from error


class _ItemOrder:
    """Checks that every item of the suite comes once, in order."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._starts = [0]
        for cell in suite.cells:
            self._starts.append(self._starts[-1] + cell.n)
        self._seen = bytearray(suite.n_items)
        self._next = self._missing = 0
        self._first_missing: int | None = None

    def take(self, line: ParcelSample, number: int) -> bool:
        """Note a sample; return whether none before it is missing, so that grading it makes sense.

        Raises:
            BadInput: the item is not in the suite, came before, or is out of order.
        """
        cells = self._suite.cells
        if line.cell >= len(cells) or line.index >= cells[line.cell].n or line.repeat:
            raise BadInput(f"line {number}: cell {line.cell}, index {line.index}, repeat {line.repeat} was not asked")
        place = self._starts[line.cell] + line.index
        if self._seen[place]:
            raise BadInput(f"line {number}: {self._name(place)} comes twice")
        if place < self._next:
            raise BadInput(f"line {number}: {self._name(place)} is out of order: keep the order of cells and indices")
        self._seen[place] = 1
        self._skip_to(place)
        self._next = place + 1
        return self._first_missing is None

    def check_whole(self) -> None:
        """Raise BadInput if an item is missing."""
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

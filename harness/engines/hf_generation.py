"""Generation in transformers: a batch of rows whose answers are given out as they end.

`generate` of transformers returns when the last row of a batch has ended. It runs in a thread here, and a stopping
criterion reports each row at the step that ends it.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation.logits_process import TopPLogitsWarper

from fathom.harness.engines.base import Request, sampling_seed
from fathom.harness.engines.loops import CHECK_EVERY, tokens_end_in_loop

_FEW, _SMALL = 4, 8
"""A batch of at least _SMALL rows ends when at most one row of _FEW is left: those go on in another batch."""
_WORTH = 32
"""Steps that a row must have before it for that: reading its text again costs something."""


@dataclass(slots=True, eq=False)
class Row:
    """A request in generation, and the tokens that it has so far."""

    request: Request
    prompt: list[int]
    budget: int
    """Tokens that it may write in all."""
    written: list[int] = field(default_factory=list)
    is_ended: bool = False
    has_broken: bool = False
    """Whether the model's logits were no numbers."""
    is_looped: bool = False
    """Whether the text was ended because it repeats itself."""
    seconds: float = 0.0
    draws: torch.Generator | None = None
    """Random numbers of a sampled request, so that its text does not depend on the rows beside it."""

    @property
    def left(self) -> int:
        """Return how many tokens it may still write."""
        return self.budget - len(self.written)

    @property
    def length(self) -> int:
        """Return how many tokens it has, with its prompt."""
        return len(self.prompt) + len(self.written)


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """What is the same for all batches of a model."""

    pad: int
    ends: tuple[int, ...]
    """Tokens that end a text."""
    room: int
    """Tokens of all rows together, read and written, at which a batch is split."""
    stop: Callable[[tuple[str, ...]], StoppingCriteria | None]
    """Returns the criterion that ends rows at stop texts."""
    has_stopped: Callable[[Request, list[int]], bool]
    """Says whether the text of some tokens has a stop text after its first visible character."""


def generate_rows(model: Any, rows: Sequence[Row], settings: GenerationSettings) -> Iterator[list[Row]]:
    """Generate one batch; yield rows as they end. Rows that have not ended at the end keep what they have written.

    All rows have the same stop texts, temperature and top_p. Closing the iterator stops the generation.

    Raises:
        RuntimeError, ValueError: errors of the model; rows that were yielded are whole.
    """
    ended: SimpleQueue[Row | None] = SimpleQueue()
    errors: list[BaseException] = []
    watch = _Watch(rows, settings, str(model.device), ended.put)

    def work() -> None:
        try:
            _generate(model, watch)
        except BaseException as error:  # raised again below
            errors.append(error)
        finally:
            ended.put(None)

    thread = threading.Thread(target=work, name="fathom-generate", daemon=True)
    thread.start()
    try:
        is_open = True
        while is_open:
            some = [ended.get()]
            while not ended.empty():
                some.append(ended.get())
            is_open = None not in some
            if found := [row for row in some if row is not None]:
                yield found
    finally:
        watch.is_stopped = True
        thread.join()
    if errors:
        raise errors[0]


@torch.inference_mode()
def _generate(model: Any, watch: "_Watch") -> None:
    ids = torch.full((len(watch.rows), watch.width), watch.settings.pad)
    mask = torch.zeros_like(ids)
    for at, row in enumerate(watch.rows):
        ids[at, watch.width - row.length :] = torch.tensor(row.prompt + row.written)
        mask[at, watch.width - row.length :] = 1
    with _greedy_defaults(model, watch.settings):
        model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=max(row.left for row in watch.rows),
            do_sample=False,
            pad_token_id=watch.settings.pad,
            logits_processor=LogitsProcessorList([_Choose(watch)]),
            stopping_criteria=StoppingCriteriaList([watch]),
        )


@contextmanager
def _greedy_defaults(model: Any, settings: GenerationSettings) -> Iterator[None]:
    """Put the model's own generation_config aside: its penalties and filters would change what greedy means."""
    own = model.generation_config
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]  # transformers ships no types
        eos_token_id=list(settings.ends) or None, pad_token_id=settings.pad, use_cache=True
    )
    try:
        yield
    finally:
        model.generation_config = own


class _Watch(StoppingCriteria):
    """Ends rows, reports them, and ends the batch where its room is full or few rows are left."""

    def __init__(
        self, rows: Sequence[Row], settings: GenerationSettings, device: str, tell: Callable[[Row], None]
    ) -> None:
        self.rows, self.settings, self.is_stopped = rows, settings, False
        self.width = max(row.length for row in rows)
        self.is_ended = torch.zeros(len(rows), dtype=torch.bool, device=device)
        self.has_broken = torch.zeros_like(self.is_ended)
        self.eos_token_id = torch.tensor(settings.ends, device=device, dtype=torch.long)
        """Under this name, as transformers writes padding behind ended rows only for criteria that have it."""
        self._left = torch.tensor([row.left for row in rows], device=device)
        self._stop = settings.stop(rows[0].request.sampling.stop)
        self._tell, self._began = tell, time.perf_counter()

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        n_steps = input_ids.shape[1] - self.width
        ended = torch.isin(input_ids[:, -1], self.eos_token_id) | (self._left <= n_steps) | self.has_broken
        if self._stop is not None:
            ended |= self._stopped(input_ids, self._stop(input_ids, scores, **kwargs) & ~self.is_ended)
        ended |= self._looped(input_ids, n_steps)
        for at in (ended & ~self.is_ended).nonzero().flatten().tolist():
            self._end(at, input_ids)
        self.is_ended |= ended
        left = [at for at, is_ended in enumerate(self.is_ended.tolist()) if not is_ended]
        if not left or not (self.is_stopped or self._is_to_split(left, input_ids.shape[1])):
            return self.is_ended.clone()
        for at in left:
            self.rows[at].written += input_ids[at, self.width :].tolist()
        return torch.ones_like(self.is_ended)

    def _stopped(self, input_ids: torch.Tensor, met: torch.Tensor) -> torch.Tensor:
        """Return which of the rows that met a stop text have visible text before it."""
        for at in met.nonzero().flatten().tolist():
            row = self.rows[at]
            met[at] = self.settings.has_stopped(row.request, row.written + input_ids[at, self.width :].tolist())
        return met

    def _looped(self, input_ids: torch.Tensor, n_steps: int) -> torch.Tensor:
        """Return which rows end in a loop; looked for at the same lengths of a text in every batch."""
        for at, row in enumerate(self.rows):
            if (len(row.written) + n_steps) % CHECK_EVERY == 0 and not row.is_ended:
                row.is_looped = tokens_end_in_loop(row.written + input_ids[at, self.width :].tolist())
        return torch.tensor([row.is_looped for row in self.rows], device=self.is_ended.device)

    def _end(self, at: int, input_ids: torch.Tensor) -> None:
        row = self.rows[at]
        row.written += input_ids[at, self.width :].tolist()
        row.is_ended, row.has_broken = True, bool(self.has_broken[at])
        row.seconds = (time.perf_counter() - self._began) / len(self.rows)
        self._tell(row)

    def _is_to_split(self, left: list[int], length: int) -> bool:
        if len(self.rows) == 1:
            return False
        if len(self.rows) * length > self.settings.room and length >= self.width + _WORTH:
            return True
        is_few = len(self.rows) >= _SMALL and len(left) * _FEW <= len(self.rows)
        return is_few and all(self.rows[at].left - (length - self.width) >= _WORTH for at in left)


class _Choose(LogitsProcessor):
    """Notes rows whose logits are no numbers, and adds noise to those of sampled rows: the largest is then a draw."""

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        watch = self._watch
        watch.has_broken |= ~scores.amax(dim=-1).isfinite() & ~watch.is_ended
        sampling = watch.rows[0].request.sampling
        if sampling.temperature <= 0:
            return scores
        scores = scores / sampling.temperature
        if sampling.top_p < 1:
            scores = TopPLogitsWarper(sampling.top_p)(input_ids, scores)
        noise = torch.stack([_exponentials(row, scores.shape[1]) for row in watch.rows])
        # The largest of logit - log(Exponential(1)) is a draw from the softmax: the Gumbel-max trick.
        return scores - noise.to(scores.device).log()


def _exponentials(row: Row, n: int) -> torch.Tensor:
    if row.draws is None:
        row.draws = torch.Generator().manual_seed(sampling_seed(row.request))
    return torch.empty(n).exponential_(generator=row.draws)

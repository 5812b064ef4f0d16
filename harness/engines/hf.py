"""The engine hf: models of transformers, in batches of similar length and budget."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import torch
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, StopStringCriteria

from fathom.harness.engines.base import (
    NO_NUMBERS,
    Completion,
    FinishReason,
    RenderedPrompt,
    Request,
    RequestFailed,
    best_choice,
    failed,
    too_long,
)
from fathom.harness.engines.decoder_model import register_decoder
from fathom.harness.engines.hf_generation import GenerationSettings, Row, generate_rows
from fathom.harness.engines.hf_likelihoods import Piece, Scorer
from fathom.harness.engines.model_config import bytes_a_token, context_of
from fathom.harness.engines.tokens import (
    check_ids,
    choice_tokens,
    cut_at_stop,
    decode_completion,
    render_prompt,
    tokenize_prompts,
    windows,
)

log = logging.getLogger(__name__)

_AHEAD = 8
"""Batches' worth of requests that wait here, so that those of similar length and budget find each other."""
_GROWTH = 256
"""Tokens that a row is given room for when a batch is made; a batch that outgrows its room is split."""


@dataclass(slots=True, eq=False)
class _Scored:
    """A request whose candidates are scored: pieces of text, one a candidate or, of a long document, one a window."""

    request: Request
    prompt: list[int]
    pieces: list[Piece]
    is_document: bool = False


class HfEngine:
    """A model in transformers; `load_hf` makes one from a folder."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int | None = None) -> None:
        """Take a loaded model and its tokenizer of transformers."""
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._device = str(model.device)
        self._batch = batch_size or (128 if self._device == "cpu" else 64)
        self._has_shrunk = False
        self._context = context_of(model.config)
        words = model.get_input_embeddings()
        self._n_ids = int(words.weight.shape[0])
        self._learns_positions = any(  # an embedding with a row for each position, other than that of the tokens
            isinstance(part, torch.nn.Embedding) and part is not words and part.num_embeddings >= self._context
            for part in model.modules()
        )
        # transformers cannot match stop texts with a vocabulary of whole words; there the text is cut afterwards
        self._can_match_stops = not isinstance(
            getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None), WordLevel
        )
        self._generation = GenerationSettings(
            _pad_of(tokenizer), _ends_of(model, tokenizer), self._room(), cache(self._stop_criterion), self._has_stopped
        )
        self._scorer = Scorer(model, self._n_ids)

    @property
    def name(self) -> str:
        """Return "hf"."""
        return "hf"

    @property
    def context(self) -> int:
        """Return how many tokens the model reads and writes at most."""
        return self._context

    @property
    def width(self) -> int:
        """Return the size of a batch."""
        return self._batch

    def facts(self) -> Mapping[str, str]:
        """Return device, dtype, batch size and context."""
        return {
            "device": self._device,
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "batch_size": str(self._batch),
            "context": str(self.context),
        }

    def render(self, request: Request) -> RenderedPrompt:
        """Return what the model reads for a request."""
        return render_prompt(self._tokenizer, request)

    def stream(self, requests: Iterator[Request]) -> Iterator[list[Completion]]:
        """Complete requests: small budgets first, and each as it ends."""
        waiting: list[Row] = []
        ahead, more = self._batch * _AHEAD, True
        while more or waiting:
            if len(waiting) < ahead:
                some = list(islice(requests, ahead - len(waiting)))
                more = bool(some)
                rows, scored, refused = self._admit(some)
                waiting += rows
                if refused:
                    yield refused
                yield from self._score_all(scored)
            if waiting:
                batch = self._next_batch(waiting)
                yield from self._try(self._generate, batch)
                taken = set(map(id, batch))
                waiting = [row for row in waiting if id(row) not in taken] + [row for row in batch if not row.is_ended]

    def close(self) -> None:
        """Drop the model."""
        del self._model, self._scorer

    def _admit(self, requests: Sequence[Request]) -> tuple[list[Row], list[_Scored], list[Completion]]:
        """Tokenize requests; return those to generate, those to score, and completions of those that are refused."""
        rows: list[Row] = []
        scored: list[_Scored] = []
        refused: list[Completion] = []
        for request, ids in zip(requests, tokenize_prompts(self._tokenizer, requests), strict=True):
            try:
                check_ids(self._tokenizer, ids, self._n_ids)
                if request.choices:
                    scored.append(self._split(request, ids))
                elif len(ids) >= self.context:
                    refused.append(too_long(request, len(ids)))
                else:
                    rows.append(Row(request, ids, min(request.sampling.max_tokens, self.context - len(ids))))
            except RequestFailed as error:
                refused.append(failed(request, error))
            except _TooLong:
                refused.append(too_long(request, len(ids)))
        return rows, scored, refused

    def _next_batch(self, waiting: Sequence[Row]) -> list[Row]:
        """Return rows of one kind of sampling and similar budgets, the smallest first, that fit together.

        Models with learned positions have none beyond the context, so no row may exceed it because of the budget of
        another.
        """
        first = min(waiting, key=lambda row: (_scale(row), row.length))
        alike = [row for row in waiting if _kind(row) == _kind(first)]
        batch: list[Row] = []
        most = 0
        for row in sorted(alike, key=lambda row: row.length):
            most = max(most, row.left)
            overruns = self._learns_positions and row.length + most > self.context
            grown = row.length + min(most, _GROWTH)
            if batch and (overruns or len(batch) == self._batch or (len(batch) + 1) * grown > self._generation.room):
                break
            batch.append(row)
        return batch

    def _try(
        self, work: Callable[[list[Any]], Iterator[list[Completion]]], batch: list[Any]
    ) -> Iterator[list[Completion]]:
        """Do the work of a batch; where it fails, that of its halves, and in the end of its single requests."""
        if len(batch) > self._batch:  # another part of it ran out of memory meanwhile
            for at in range(0, len(batch), self._batch):
                yield from self._try(work, batch[at : at + self._batch])
            return
        answered: set[str] = set()
        try:
            for some in work(batch):
                answered.update(one.key for one in some)
                yield some
        except (RuntimeError, ValueError, IndexError) as error:  # out of memory, or a failing kernel
            left = [one for one in batch if one.request.key not in answered]
            if _is_out_of_memory(error):
                self._shrink(len(batch))
            elif len(left) > 1:
                log.warning("a batch of %d failed (%s); trying halves", len(left), str(error)[:200])
            if len(left) < 2:
                yield [self._give_up(one, error) for one in left]
                return
            half = len(left) // 2
            yield from self._try(work, left[:half])
            yield from self._try(work, left[half:])

    def _shrink(self, n: int) -> None:
        """Make later batches half as large as one of n that ran out of memory; say so the first time."""
        self._batch = max(1, min(self._batch, n // 2))
        self._generation = replace(self._generation, room=max(1, self._generation.room // 2))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not self._has_shrunk:
            self._has_shrunk = True
            log.warning(
                "out of memory with %d answers in a batch: they are halved until they fit; batch_size=%d begins there",
                n,
                self._batch,
            )

    def _give_up(self, one: Any, error: Exception) -> Completion:
        if isinstance(one, Row):
            one.is_ended = True
        return failed(one.request, error)

    def _generate(self, batch: list[Row]) -> Iterator[list[Completion]]:
        for rows in generate_rows(self._model, batch, self._generation):
            yield [self._finish(row) for row in rows]

    def _finish(self, row: Row) -> Completion:
        request, tokens = row.request, row.written
        if row.has_broken:
            return failed(request, RequestFailed(f"the model's logits are no numbers: {NO_NUMBERS}"))
        ended = next((at for at, token in enumerate(tokens) if token in self._generation.ends), None)
        kept = tokens if ended is None else tokens[:ended]
        text, stopped = cut_at_stop(decode_completion(self._tokenizer, request, kept), request.sampling.stop)
        reason: FinishReason = "stop" if stopped or ended is not None else "looped" if row.is_looped else "length"
        n_written = len(kept) + (ended is not None)
        return Completion(request.key, text, reason, len(row.prompt), n_written, row.seconds)

    def _split(self, request: Request, prompt: list[int]) -> _Scored:
        """Cut candidates from the prompt; a document that is longer than the context into windows."""
        given, tails = choice_tokens(self._tokenizer, request, prompt)
        for tail in tails:
            check_ids(self._tokenizer, given + tail, self._n_ids)
        if len(given) + max(map(len, tails)) <= self.context:
            return _Scored(request, prompt, [(given, tail) for tail in tails])
        if request.prompt or request.turns or len(tails) > 1:
            raise _TooLong
        return _Scored(request, prompt, list(windows(given, tails[0], self.context)), is_document=True)

    def _score_all(self, scored: Sequence[_Scored]) -> Iterator[list[Completion]]:
        ordered = sorted(scored, key=lambda one: len(one.prompt))
        for at in range(0, len(ordered), self._batch):
            yield from self._try(self._score, ordered[at : at + self._batch])

    def _score(self, batch: list[_Scored]) -> Iterator[list[Completion]]:
        began = time.perf_counter()
        found = iter(self._scorer.score([piece for one in batch for piece in one.pieces]))
        seconds = (time.perf_counter() - began) / len(batch)
        yield [self._choose(one, [next(found) for _ in one.pieces], seconds) for one in batch]

    def _choose(self, one: _Scored, pairs: list[tuple[float, bool]], seconds: float) -> Completion:
        scores, greedy = [score for score, _ in pairs], [best for _, best in pairs]
        if one.is_document:
            scores, greedy = [sum(scores)], [all(greedy)]
        return best_choice(one.request, scores, greedy, len(one.prompt), seconds)

    def _room(self) -> int:
        """Return how many tokens a batch may hold: the cache of their keys and values fits a quarter of the memory."""
        if self._device == "cpu":
            free = psutil.virtual_memory().available // 4
        elif self._device.startswith("cuda"):
            placed = {str(one) for one in getattr(self._model, "hf_device_map", {}).values()} or {self._device}
            gpus = [f"cuda:{one}" if one.isdecimal() else one for one in placed if one not in ("cpu", "disk")]
            free = sum(torch.cuda.mem_get_info(one)[0] for one in gpus) // 2
        else:
            free = 1 << 32
        return max(1, int(free) // bytes_a_token(self._model.config, self._model.dtype.itemsize))

    def _stop_criterion(self, stops: tuple[str, ...]) -> StopStringCriteria | None:
        if not stops or not self._can_match_stops:
            return None
        return StopStringCriteria(self._tokenizer, list(stops))

    def _has_stopped(self, request: Request, ids: list[int]) -> bool:
        return cut_at_stop(decode_completion(self._tokenizer, request, ids), request.sampling.stop)[1]


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether a GPU, or the memory of the machine, was too small; torch has a type for the first only."""
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)


class _TooLong(Exception):
    """Prompt and candidates do not fit the context."""


def _kind(row: Row) -> tuple[object, ...]:
    """Return what the rows of a batch have in common: stop texts and temperature, and the scale of the budget."""
    sampling = row.request.sampling
    return sampling.stop, sampling.temperature, sampling.top_p, _scale(row)


def _scale(row: Row) -> int:
    """Return 0 for rows that may write up to 16 tokens, 1 up to 64, 2 up to 256, and so on."""
    return max(0, (row.left - 1).bit_length() - 3) // 2


def _pad_of(tokenizer: Any) -> int:
    """Return the token that fills batches up: it is masked, so any will do where a tokenizer names none."""
    return next((one for one in (tokenizer.pad_token_id, tokenizer.eos_token_id) if one is not None), 0)


def _ends_of(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens that end a text, according to the tokenizer and to generation_config.json."""
    named = model.generation_config.eos_token_id
    more = named if isinstance(named, list) else [named]
    return tuple(sorted({one for one in (tokenizer.eos_token_id, *more) if one is not None}))


def load_hf(  # one parameter an option of the engine
    path: Path,
    dtype: str = "auto",
    batch_size: int | None = None,
    device: str | None = None,
    lora: str | None = None,
    device_map: str | dict[str, Any] | None = None,  # names of modules -> devices, as accelerate takes them
    quantization: str | None = None,
    attention: str | None = None,
) -> HfEngine:
    """Load a model folder; errors of transformers are passed on.

    The dtype `auto` is the model's own on a GPU, and float32 on a CPU. The default device is a GPU if there is one.
    `device_map` spreads a model over several. `lora` is the folder of an adapter. `quantization` is 4bit or 8bit, and
    `attention` one of transformers' implementations.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    kept: Any = torch.float32 if device == "cpu" else "auto"
    if dtype != "auto":
        kept = getattr(torch, dtype)
    register_decoder()
    options: dict[str, Any] = {"dtype": kept}  # arguments of from_pretrained
    if quantization is not None:
        options["quantization_config"] = _bits(quantization, kept)
        device_map = {"": device} if device_map is None else device_map
    if attention is not None:
        options["attn_implementation"] = attention
    if device_map is not None:
        options["device_map"] = device_map
    tokenizer: Any = AutoTokenizer.from_pretrained(path)
    model: Any = AutoModelForCausalLM.from_pretrained(path, **options)
    if lora is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, lora).merge_and_unload()
    return HfEngine(model if device_map is not None else model.to(device), tokenizer, batch_size)


def _bits(quantization: str, dtype: Any) -> BitsAndBytesConfig:  # a dtype of torch, or "auto"
    """Return how bitsandbytes loads the weights; at 4 bits as NF4, computed in the dtype of the model."""
    computed = torch.bfloat16 if dtype == "auto" else dtype
    how: dict[str, Any] = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": computed}
    if quantization == "8bit":
        how = {"load_in_8bit": True}
    return BitsAndBytesConfig(**how)  # type: ignore[no-untyped-call]  # transformers ships no types

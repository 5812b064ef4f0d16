"""The engine hf: transformers' `generate`, in batches of prompts of similar length."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, AutoTokenizer

from fathom.harness.engines.base import (
    Completion,
    FinishReason,
    RenderedPrompt,
    Request,
    best_choice,
    failed,
    sampling_seed,
    too_long,
)
from fathom.harness.engines.tokens import (
    choice_tokens,
    cut_at_stop,
    decode_completion,
    render_prompt,
    tokenize_prompts,
    windows,
)

log = logging.getLogger(__name__)

_WAVE = 8
"""Number of batches whose prompts are sorted by length together."""


class HfEngine:
    """A model in transformers; `load_hf` makes one from a folder."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int | None = None) -> None:
        """Take a loaded model and its tokenizer of transformers."""
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._device = str(model.device)
        self._batch = batch_size or (128 if self._device == "cpu" else 64)
        words = model.get_input_embeddings()
        self._learns_positions = any(  # an embedding with a row for each position, other than that of the tokens
            isinstance(part, torch.nn.Embedding) and part is not words and part.num_embeddings >= self.context
            for part in model.modules()
        )
        self._can_match_stops = not isinstance(
            getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None), WordLevel
        )

    @property
    def name(self) -> str:
        """Return "hf"."""
        return "hf"

    @property
    def context(self) -> int:
        """Return max_position_embeddings of the model."""
        return int(getattr(self._model.config, "max_position_embeddings", 1 << 20))

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
        """Complete requests in waves; within a wave, prompts of similar length share a batch."""
        while wave := list(islice(requests, self._batch * _WAVE)):
            ids: list[list[int]] = tokenize_prompts(self._tokenizer, wave)
            order = sorted(range(len(wave)), key=lambda at: len(ids[at]))
            yield from self._stream_wave([(wave[at], ids[at]) for at in order])

    def close(self) -> None:
        """Drop the model."""
        del self._model

    def _stream_wave(self, wave: list[tuple[Request, list[int]]]) -> Iterator[list[Completion]]:
        fitting = [(request, ids) for request, ids in wave if len(ids) < self.context]
        refused = [too_long(request, len(ids)) for request, ids in wave if len(ids) >= self.context]
        if refused:
            yield refused
        alike: dict[tuple[Any, ...], list[tuple[Request, list[int]]]] = {}
        for request, ids in fitting:  # one call of `generate` has one set of stops and one temperature
            sampling = request.sampling
            alike.setdefault((bool(request.choices), sampling.stop, sampling.temperature, sampling.top_p), []).append(
                (request, ids)
            )
        for (is_choice, *_), pairs in alike.items():
            work = self._score if is_choice else self._generate
            for batch in self._batches(pairs):
                yield self._try(work, batch)

    def _batches(self, pairs: list[tuple[Request, list[int]]]) -> Iterator[list[tuple[Request, list[int]]]]:
        """Split pairs, sorted by length of the prompt, into batches.

        All rows of a batch are generated for the largest budget of the batch. Models with learned positions have
        none beyond the context, so no row may exceed it because of the budget of another.
        """
        batch: list[tuple[Request, list[int]]] = []
        most = 0
        for request, ids in pairs:
            budget = min(request.sampling.max_tokens, self.context - len(ids))
            overrun = self._learns_positions and len(ids) + max(most, budget) > self.context
            if batch and (overrun or len(batch) == self._batch):
                yield batch
                batch, most = [], 0
            batch.append((request, ids))
            most = max(most, budget)
        if batch:
            yield batch

    def _try(
        self,
        work: Callable[[list[tuple[Request, list[int]]]], list[Completion]],
        batch: list[tuple[Request, list[int]]],
    ) -> list[Completion]:
        try:
            return work(batch)
        except (
            RuntimeError,
            ValueError,
        ) as error:  # out of memory, or a failing kernel
            if len(batch) == 1:
                return [failed(batch[0][0], error)]
            log.warning("a batch of %d failed (%s); trying halves", len(batch), str(error)[:200])
            half = len(batch) // 2
            return self._try(work, batch[:half]) + self._try(work, batch[half:])

    @torch.inference_mode()
    def _generate(self, batch: list[tuple[Request, list[int]]]) -> list[Completion]:
        began = time.perf_counter()
        padded = self._tokenizer.pad({"input_ids": [ids for _, ids in batch]}, return_tensors="pt").to(self._device)
        width = padded["input_ids"].shape[1]
        budgets = [min(request.sampling.max_tokens, self.context - len(ids)) for request, ids in batch]
        sampling = batch[0][0].sampling
        stops, temperature = list(sampling.stop), sampling.temperature
        if temperature > 0:
            torch.manual_seed(sampling_seed(batch[0][0]))
        made = self._model.generate(
            **padded,
            max_new_tokens=max(budgets),
            do_sample=temperature > 0,
            **({"temperature": temperature, "top_k": 0, "top_p": sampling.top_p} if temperature > 0 else {}),
            # transformers cannot match stop strings with a vocabulary of whole words; there the text is cut below.
            **({"stop_strings": stops, "tokenizer": self._tokenizer} if stops and self._can_match_stops else {}),
            pad_token_id=self._tokenizer.pad_token_id,
        )
        seconds = (time.perf_counter() - began) / len(batch)
        return [
            self._finish(request, len(ids), made[at, width : width + budget].tolist(), seconds)
            for at, ((request, ids), budget) in enumerate(zip(batch, budgets, strict=True))
        ]

    def _finish(self, request: Request, n_prompt: int, tokens: list[int], seconds: float) -> Completion:
        ends = {self._tokenizer.eos_token_id, *_as_list(self._model.generation_config.eos_token_id)}
        ended = next((at for at, token in enumerate(tokens) if token in ends), None)
        kept = tokens if ended is None else tokens[:ended]
        text, stopped = cut_at_stop(decode_completion(self._tokenizer, request, kept), request.sampling.stop)
        reason: FinishReason = "stop" if stopped or ended is not None else "length"
        padded = stopped and self._can_match_stops  # the end token after a matched stop string is padding
        n_written = len(kept) + (ended is not None and not padded)
        return Completion(request.key, text, reason, n_prompt, n_written, seconds)

    @torch.inference_mode()
    def _score(self, batch: list[tuple[Request, list[int]]]) -> list[Completion]:
        return [self._score_one(request, ids) for request, ids in batch]

    def _score_one(self, request: Request, prompt: list[int]) -> Completion:
        began = time.perf_counter()
        tails = [choice_tokens(self._tokenizer, request, len(prompt), choice) for choice in request.choices]
        if len(prompt) + max(map(len, tails)) <= self.context:
            pairs = self._score_tails(prompt, tails)
        elif request.prompt or request.turns:
            return too_long(request, len(prompt))
        else:
            pairs = [self._score_windows(prompt, tail) for tail in tails]
        scores, greedy = [score for score, _ in pairs], [best for _, best in pairs]
        return best_choice(request, scores, greedy, len(prompt), time.perf_counter() - began)

    def _score_windows(self, prompt: list[int], tail: list[int]) -> tuple[float, bool]:
        """Score a text that is longer than the context, window by window."""
        pieces = [self._score_tails(before, [piece])[0] for before, piece in windows(prompt, tail, self.context)]
        return sum(score for score, _ in pieces), all(best for _, best in pieces)

    def _score_tails(self, prompt: list[int], tails: list[list[int]]) -> list[tuple[float, bool]]:
        """Return (log-likelihood, greedy) of each tail after the prompt."""
        width = max(map(len, tails))
        if width == 0:
            return [(0.0, True)] * len(tails)
        rows = [(prompt + tail + [0] * (width - len(tail)))[:-1] for tail in tails]
        logits = self._model(torch.tensor(rows, device=self._device)).logits[:, len(prompt) - 1 :].float()
        pairs = []
        for logprobs, tail in zip(torch.log_softmax(logits, dim=-1), tails, strict=True):
            target = torch.tensor(tail, device=self._device, dtype=torch.long)
            likelihood = float(logprobs[: len(tail)].gather(1, target[:, None]).sum())
            pairs.append((likelihood, bool((logprobs[: len(tail)].argmax(dim=-1) == target).all())))
        return pairs


def _as_list(ids: int | list[int] | None) -> list[int]:
    if ids is None:
        return []
    return ids if isinstance(ids, list) else [ids]


def load_hf(
    path: Path,
    dtype: str = "auto",
    batch_size: int | None = None,
    device: str | None = None,
    lora: str | None = None,
) -> HfEngine:
    """Load a model folder; errors of transformers are passed on.

    The dtype `auto` is the model's own on a GPU, and float32 on a CPU. The default device is a GPU if there is one.
    `lora` is the folder of an adapter.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    kept: Any = torch.float32 if device == "cpu" else "auto"
    if dtype != "auto":
        kept = getattr(torch, dtype)
    tokenizer: Any = AutoTokenizer.from_pretrained(path, padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=kept)
    if lora is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, lora).merge_and_unload()
    return HfEngine(model.to(device), tokenizer, batch_size)

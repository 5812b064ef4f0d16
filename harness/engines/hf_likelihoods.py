"""Log-likelihoods of texts in transformers: many texts a step, and one row for all candidates of one token."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch

Piece = tuple[list[int], list[int]]
"""Tokens that are given, and those after them that are scored."""

_TOKENS = 1 << 14
"""Tokens that are read at once at most."""
_LOGITS = 1 << 28
"""Logits that are held at once at most: 1 GiB in float32."""


class Scorer:
    """Scores tokens with a model of transformers."""

    def __init__(self, model: Any, n_logits: int) -> None:
        """Take the model and its number of logits a token."""
        self._model, self._n_logits = model, n_logits
        self._can_cut = "logits_to_keep" in inspect.signature(model.forward).parameters

    @torch.inference_mode()
    def score(self, pieces: Sequence[Piece]) -> list[tuple[float, bool]]:
        """Return of each piece its log-likelihood in nats, and whether greedy decoding would have written it."""
        rows: dict[tuple[int, ...], list[int]] = {}  # candidates that differ in their last token only share a row
        for at, (given, tail) in enumerate(pieces):
            rows.setdefault(tuple((given + tail)[:-1]), []).append(at)
        found: list[tuple[float, bool]] = [(0.0, True)] * len(pieces)  # of a text of no tokens
        for some in self._batches(rows, pieces):
            first = min(len(pieces[at][0]) - 1 for row in some for at in rows[row])
            logits = self._read(some, first)
            for row, values in zip(some, logits, strict=True):
                for at, score in _score_row(values, first, [(at, pieces[at]) for at in rows[row]]):
                    found[at] = score
        return found

    def _batches(
        self, rows: dict[tuple[int, ...], list[int]], pieces: Sequence[Piece]
    ) -> Iterator[list[tuple[int, ...]]]:
        """Split rows into batches of similar length that fit."""
        batch: list[tuple[int, ...]] = []
        first = 0
        for row in sorted(rows, key=len):
            if not any(pieces[at][1] for at in rows[row]):
                continue
            start = min(len(pieces[at][0]) - 1 for at in rows[row])
            lowest, n = min(first, start) if batch else start, len(batch) + 1
            if batch and (n * len(row) > _TOKENS or n * (len(row) - lowest) * self._n_logits > _LOGITS):
                yield batch
                batch, lowest = [], start
            batch.append(row)
            first = lowest
        if batch:
            yield batch

    def _read(self, rows: Sequence[tuple[int, ...]], first: int) -> torch.Tensor:
        """Return the logits from position `first` on. Rows are padded behind, where no token of theirs looks."""
        width, device = max(map(len, rows)), self._model.device
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)
        more: dict[str, Any] = {"logits_to_keep": width - first} if self._can_cut else {}
        if len(set(map(len, rows))) > 1:
            more["attention_mask"] = torch.tensor(
                [[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device
            )
        logits: torch.Tensor = self._model(input_ids=ids, use_cache=False, **more).logits
        return logits if self._can_cut else logits[:, first:]


def _score_row(
    logits: torch.Tensor, first: int, pieces: Sequence[tuple[int, Piece]]
) -> Iterator[tuple[int, tuple[float, bool]]]:
    start = min(len(given) - 1 for _, (given, _) in pieces)
    end = max(len(given) - 1 + len(tail) for _, (given, tail) in pieces)
    logprobs = torch.log_softmax(logits[start - first : end - first].float(), dim=-1)
    for at, (given, tail) in pieces:
        here = logprobs[len(given) - 1 - start : len(given) - 1 - start + len(tail)]
        target = torch.tensor(tail, device=here.device, dtype=torch.long)
        likelihood = float(here.gather(1, target[:, None]).sum())
        yield at, (likelihood, bool((here.argmax(dim=-1) == target).all()))

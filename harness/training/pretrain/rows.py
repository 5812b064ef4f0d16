"""Turn a recipe into numbered training rows: lessons as they come, or a corpus packed into rows of one length."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from fathom.harness.errors import BadRecipe
from fathom.harness.training.corpora.pieces import END
from fathom.harness.training.corpora.shards import Shards, open_shards
from fathom.harness.training.corpora.writing import Plan, write_corpus
from fathom.harness.training.corpora.writing import Report as Writing
from fathom.harness.training.lessons import IGNORED, LessonRows, build_tokenizer, pad_rows
from fathom.harness.training.recipe import Recipe
from fathom.tasks.stream import Stream

HELD_ROWS = 64
"""Rows that are never trained on, whose loss is reported."""

Row = dict[str, Any]  # lists or arrays of token ids, labels and positions


class Rows(Protocol):
    """What PyTorch's DataLoader asks for."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, index: int) -> Row:
        """Return row `index`."""


class Rest:
    """Rows beyond the end of others: `first`, first + 1, ..."""

    def __init__(self, rows: Rows, first: int, count: int) -> None:
        """Take rows that also have numbers beyond their length."""
        self._rows, self._first, self._count = rows, first, count

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def __getitem__(self, index: int) -> Row:
        """Return row `index` of the rest."""
        return self._rows[self._first + index]


class PackedRows:
    """Rows of `context` tokens of a corpus on disk, in an order that the recipe's seed fixes, pass after pass."""

    def __init__(self, shards: Shards, recipe: Recipe, end: int) -> None:
        """Set the last rows of the corpus apart; `end` is the id that ends a document.

        Raises:
            BadRecipe: the corpus does not fill the rows of a step.
        """
        self._shards, self._context, self._end = shards, recipe.shape.context, end
        self._apart = recipe.documents == "apart"
        self._n_read = recipe.steps * recipe.batch
        whole = len(shards) // self._context
        self.n_held = min(HELD_ROWS, whole // 8)
        self.n_own = whole - self.n_held
        if not self.n_held or self.n_own < recipe.batch:
            raise BadRecipe(
                f"the corpus has {len(shards):,} tokens, a step reads {recipe.batch * self._context:,}: "
                "raise tokens, or lower batch or shape.context"
            )
        self._key = Stream("rows", recipe.seed).words(2)
        self._pass, self._order = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        """Return steps x batch."""
        return self._n_read

    def __getitem__(self, index: int) -> Row:
        """Return the row that is read as number `index`."""
        which, at = divmod(index, self.n_own)
        if which != self._pass:
            self._pass, self._order = which, self._shuffled(which)
        return self.row(int(self._order[at]))

    def row(self, number: int) -> Row:
        """Return a row by its place in the corpus."""
        start = number * self._context
        ids = self._shards.tokens(start, start + self._context).astype(np.int64)
        learnt = self._shards.learnt(start, start + self._context)
        row = {"input_ids": ids, "labels": ids if learnt is None else np.where(learnt, ids, IGNORED)}
        if self._apart:
            row["position_ids"] = _positions(ids == self._end)
        return row

    def held_out(self) -> "HeldRows":
        """Return the rows that are never trained on."""
        return HeldRows(self)

    def _shuffled(self, which: int) -> NDArray[np.int64]:
        # Sorted raw words of a counter-based generator: no version of numpy draws them in another way.
        words = np.random.Philox(key=self._key[0], counter=[0, 0, self._key[1], which]).random_raw(self.n_own)
        return np.argsort(words, kind="stable")


class HeldRows:
    """The last rows of a corpus."""

    def __init__(self, rows: PackedRows) -> None:
        """Take the rows that they were set apart from."""
        self._rows = rows

    def __len__(self) -> int:
        """Return how many there are."""
        return self._rows.n_held

    def __getitem__(self, index: int) -> Row:
        """Return held-out row `index`."""
        return self._rows.row(self._rows.n_own + index)


def _positions(ends: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return places that count from 0 in each document: by that, transformers keeps documents of a row apart."""
    places = np.arange(len(ends))
    starts = np.where(np.concatenate(([True], ends[:-1])), places, 0)
    begun: NDArray[np.int64] = np.maximum.accumulate(starts)
    return places - begun


def stack_rows(rows: list[Row]) -> dict[str, Any]:
    """Return tensors of shape (rows, context)."""
    import torch

    return {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}


@dataclass(frozen=True, slots=True)
class Material:
    """What a model is trained on: tokenizer, rows, held-out rows, and how rows become a batch."""

    tokenizer: Any  # transformers types it as nothing
    rows: Rows
    held: Rows
    collate: Any
    told: str
    """One line for the card."""


def gather(recipe: Recipe, out: Path, writing: Writing) -> Material:
    """Make the tokenizer and the rows of a recipe; a corpus is written to `out/corpus` first, or found there.

    `writing` is told how far the corpus is.

    Raises:
        BadRecipe, BadMix, BadOption, DiskFull, CorpusChanged, BrokenCorpus: see harness.corpora.
    """
    return _packed(recipe, out / "corpus", writing) if recipe.corpus else _lessons(recipe)


def _lessons(recipe: Recipe) -> Material:
    tokenizer = build_tokenizer(recipe)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END,
        padding_side="left",
        model_max_length=recipe.shape.context,
        clean_up_tokenization_spaces=False,
    )
    rows = LessonRows(recipe, tokenizer)
    told = ", ".join(f"{row.family}/{row.level}/{row.channel}/{row.style}" for row in recipe.lessons)
    return Material(fast, rows, Rest(rows, len(rows), HELD_ROWS), pad_rows, f"Lessons: {told}")


def _packed(recipe: Recipe, folder: Path, writing: Writing) -> Material:
    wanted = recipe.tokens or (recipe.steps * recipe.batch + HELD_ROWS) * recipe.shape.context
    plan = Plan(recipe.mix, recipe.seed, wanted, folder, vocabulary=recipe.vocabulary)
    manifest = write_corpus(plan, writing)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder / "tokenizer")
    tokenizer.model_max_length = recipe.shape.context
    rows = PackedRows(open_shards(folder), recipe, int(tokenizer.eos_token_id))
    told = ", ".join(f"{part.corpus} {dict(part.options)}" for part in recipe.mix.parts)
    digest = f"{manifest.tokens:,} tokens in {manifest.documents:,} documents, digest {manifest.digest}"
    return Material(tokenizer, rows, rows.held_out(), stack_rows, f"Corpus: {told}; {digest}")

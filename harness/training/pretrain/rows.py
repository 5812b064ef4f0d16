"""The training data of a recipe: rows of lessons, or a corpus packed into rows of one length."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from fathom.harness.engines.model import ModelSource, find_model
from fathom.harness.errors import BadRecipe
from fathom.harness.training.corpora.mix import mix_vocabulary
from fathom.harness.training.corpora.shards import Shards, open_shards
from fathom.harness.training.corpora.tokenizer import END_OF_DOCUMENT, read_tokenizer
from fathom.harness.training.corpora.writer import CorpusPlan, OnCorpusProgress, write_corpus
from fathom.harness.training.lesson_tokenizer import build_lesson_tokenizer
from fathom.harness.training.lessons import IGNORED_LABEL, LessonRows, pad_rows
from fathom.harness.training.recipe import Recipe
from fathom.tasks.stream import Stream

N_HELD_OUT = 64
"""Rows that are never trained on, for the held-out loss."""

TrainingRow = dict[str, Any]  # lists or arrays of token ids, labels and positions


class TrainingRows(Protocol):
    """Rows by index, the interface that PyTorch's DataLoader needs."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, index: int) -> TrainingRow:
        """Return row `index`."""


class _LaterRows:
    """The rows `first`, first + 1, ... of rows without end."""

    def __init__(self, rows: TrainingRows, first: int, count: int) -> None:
        """Take rows that can be indexed beyond their length."""
        self._rows, self._first, self._count = rows, first, count

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def __getitem__(self, index: int) -> TrainingRow:
        """Return row `first` + `index`."""
        return self._rows[self._first + index]


class PackedRows:
    """Rows of `context` tokens of a corpus on disk, shuffled anew by the recipe's seed in each pass."""

    def __init__(self, shards: Shards, recipe: Recipe, end: int) -> None:
        """Hold out the last rows of the corpus; `end` is the id of the end token.

        Raises:
            BadRecipe: the corpus is too small for one step.
        """
        self._shards, self._context, self._end = shards, recipe.shape.context, end
        self._apart = recipe.documents == "apart"
        self._n_read = recipe.steps * recipe.batch
        whole = len(shards) // self._context
        self.n_held = min(N_HELD_OUT, whole // 8)
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

    def __getitem__(self, index: int) -> TrainingRow:
        """Return the row that is read at position `index`."""
        which, at = divmod(index, self.n_own)
        if which != self._pass:
            self._pass, self._order = which, self._shuffled(which)
        return self.row(int(self._order[at]))

    def row(self, number: int) -> TrainingRow:
        """Return a row by its position in the corpus."""
        start = number * self._context
        ids = self._shards.tokens(start, start + self._context).astype(np.int64)
        learnt = self._shards.learnt(start, start + self._context)
        row = {"input_ids": ids, "labels": ids if learnt is None else np.where(learnt, ids, IGNORED_LABEL)}
        if self._apart:
            row["position_ids"] = _positions(ids == self._end)
        return row

    def held_out(self) -> "_HeldRows":
        """Return the rows that are never trained on."""
        return _HeldRows(self)

    def _shuffled(self, which: int) -> NDArray[np.int64]:
        # Raw words of a counter-based generator, argsorted: unlike shuffles, the same in every version of numpy.
        words = np.random.Philox(key=self._key[0], counter=[0, 0, self._key[1], which]).random_raw(self.n_own)
        return np.argsort(words, kind="stable")


class _HeldRows:
    """The last rows of a corpus."""

    def __init__(self, rows: PackedRows) -> None:
        """Take the rows of the corpus."""
        self._rows = rows

    def __len__(self) -> int:
        """Return how many there are."""
        return self._rows.n_held

    def __getitem__(self, index: int) -> TrainingRow:
        """Return held-out row `index`."""
        return self._rows.row(self._rows.n_own + index)


def _positions(ends: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return positions that start at 0 in each document, by which transformers keeps the documents of a row apart."""
    places = np.arange(len(ends))
    starts = np.where(np.concatenate(([True], ends[:-1])), places, 0)
    begun: NDArray[np.int64] = np.maximum.accumulate(starts)
    return places - begun


def _stack_rows(rows: list[TrainingRow]) -> dict[str, Any]:
    """Return tensors of shape (rows, context)."""
    import torch

    return {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Tokenizer, rows, held-out rows, and the function that makes a batch of rows."""

    tokenizer: Any  # transformers' tokenizers have no common type
    rows: TrainingRows
    held: TrainingRows
    collate: Any
    description: str
    """One line for the card."""


def prepare_data(recipe: Recipe, out: Path, on_corpus_progress: OnCorpusProgress) -> TrainingData:
    """Return the training data of a recipe; its corpus, if it has one, is first written to `out/corpus` or found there.

    Raises:
        BadRecipe, BadMix, BadOption: the recipe cannot be followed.
        CorpusChanged, BrokenCorpus: `out/corpus` belongs to another recipe, or is damaged.
        DiskFull: the corpus cannot be written.
    """
    return _corpus_data(recipe, out / "corpus", on_corpus_progress) if recipe.corpus else _lesson_data(recipe)


def _lesson_data(recipe: Recipe) -> TrainingData:
    source = _source(recipe)
    if source is None:
        tokenizer = build_lesson_tokenizer(recipe)
    else:
        read = read_tokenizer(source.folder())
        if read.end != END_OF_DOCUMENT:
            raise BadRecipe(f"from: texts of {source.name} end with {read.end}, lessons with {END_OF_DOCUMENT}")
        tokenizer = read.backend
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_DOCUMENT,
        pad_token=END_OF_DOCUMENT,
        padding_side="left",
        model_max_length=recipe.shape.context,
        clean_up_tokenization_spaces=False,
    )
    rows = LessonRows(recipe, tokenizer)
    names = ", ".join(f"{row.family}/{row.level}/{row.channel}/{row.style}" for row in recipe.lessons)
    return TrainingData(
        fast, rows, _LaterRows(rows, len(rows), N_HELD_OUT), pad_rows, f"Lessons: {names}{_origin(source)}"
    )  # fmt: skip


def _source(recipe: Recipe) -> ModelSource | None:
    """Return the model that a training starts from, or None."""
    return None if recipe.start is None else find_model(recipe.start)


def _origin(source: ModelSource | None) -> str:
    return "" if source is None else f"; started from {source.name}, digest {source.digest}"


def _corpus_data(recipe: Recipe, folder: Path, on_progress: OnCorpusProgress) -> TrainingData:
    n_tokens = recipe.tokens or (recipe.steps * recipe.batch + N_HELD_OUT) * recipe.shape.context
    source = _source(recipe)
    given = None if source is None or mix_vocabulary(recipe.mix) else source.folder()  # a token form has its own
    plan = CorpusPlan(recipe.mix, recipe.seed, n_tokens, folder, vocabulary=recipe.vocabulary, tokenizer=given)
    manifest = write_corpus(plan, on_progress)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder / "tokenizer")
    tokenizer.model_max_length = recipe.shape.context
    rows = PackedRows(open_shards(folder), recipe, int(tokenizer.eos_token_id))
    names = ", ".join(f"{part.corpus} {dict(part.options)}" for part in recipe.mix.parts)
    digest = f"{manifest.tokens:,} tokens in {manifest.documents:,} documents, digest {manifest.digest}"
    told = f"Corpus: {names}; {digest}{_origin(source)}"
    return TrainingData(tokenizer, rows, rows.held_out(), _stack_rows, told)

"""Turn a recipe into training text, its tokenizer, and token rows; everything from TRAIN streams."""

from collections.abc import Iterator
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from fathom.harness.training.corpora.pieces import END, learn_pieces
from fathom.harness.training.recipe import Lesson, Recipe
from fathom.tasks.base import Role, level_of
from fathom.tasks.registry import find_family
from fathom.tasks.stream import Stream

IGNORED = -100
"""Label of tokens that carry no loss (PyTorch's default ignore_index)."""

_TRAIN: Role = "train"
_TOKENIZER_TEXTS, _PIECES_TEXTS = 4000, 6000
# Names and numbers stand alone, so that a code is always the same one token; whatever lies between
# them may merge across words, so that fixed phrases cost little. Arrows are dropped: with a name and
# its successor side by side, a model this small learns to look one up 10 times sooner.
_DROPPED = " ->"
_ALONE = Regex(r" [A-Z]{2,5}(?![A-Za-z])| ?[0-9]+|;")


class NarrowStream(Stream):
    """A stream that draws different numbers from the first `most` only: lessons with few names."""

    def __init__(self, most: int, *name: str | int) -> None:
        """Take the largest bound and the stream's name."""
        super().__init__(*name)
        self._most = most

    def distinct(self, count: int, bound: int) -> list[int]:
        """Return `count` different whole numbers below `bound` and `most`, in random order."""
        return super().distinct(count, min(bound, max(count, self._most)))


def n_names(recipe: Recipe, index: int) -> int:
    """Return how many names text number `index` may draw from: few at first, then more, then any."""
    few, done = recipe.few_names, index / (recipe.steps * recipe.batch)
    if done >= few.until:
        return 1 << 62
    if done <= few.since:  # which may be as late as `until`
        return few.count
    return few.count + round((few.most - few.count) * (done - few.since) / (few.until - few.since))


def lesson_pairs(recipe: Recipe, index: int, part: str = "text", at: int = 0) -> list[tuple[str, str]]:
    """Return the (prompt, completion) pairs of training text number `index`, or of text `at` of that row."""
    most = n_names(recipe, index) if part == "text" else 1 << 62
    stream = NarrowStream(most, _TRAIN, "mix", recipe.seed, part, index, *([at] if at else []))
    done = index / (recipe.steps * recipe.batch) if part == "text" else 1.0
    open_now = [lesson for lesson in recipe.lessons if lesson.since <= done] or recipe.lessons[:1]
    return write_lesson(stream.choice([lesson for lesson in open_now for _ in range(lesson.weight)]), stream)


def write_lesson(lesson: Lesson, stream: Stream) -> list[tuple[str, str]]:
    """Write one text of a lesson from a stream."""
    family = find_family(lesson.family)
    return family.lesson(level_of(family, lesson.level), lesson.channel, lesson.style, stream)


def build_tokenizer(recipe: Recipe) -> Tokenizer:
    """Train a byte-level BPE on the recipe's own text, or learn whole pieces; all but arrows can be encoded."""
    if recipe.tokenizer == "pieces":
        return learn_pieces([*_texts(recipe, _PIECES_TEXTS)], recipe.vocabulary or 0)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_DROPPED, "removed"),
            pre_tokenizers.Split(_ALONE, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary or 0,  # with lessons it is stated
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(recipe, _TOKENIZER_TEXTS), trainer)
    return tokenizer


def _texts(recipe: Recipe, count: int) -> Iterator[str]:
    for index in range(count):
        yield "".join(prompt + completion for prompt, completion in lesson_pairs(recipe, index, "tokenizer"))


class LessonRows:
    """Training rows by number, for PyTorch's DataLoader: token ids and labels, loss on completions only."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer) -> None:
        """Row i is a function of the recipe's seed and i, so that training can stop and go on."""
        self._recipe, self._tokenizer = recipe, tokenizer
        self._end = int(tokenizer.token_to_id(END) or 0)

    def __len__(self) -> int:
        """Return steps x batch."""
        return self._recipe.steps * self._recipe.batch

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        """Return row `index`: one text, or as many as `row_tokens` hold; texts are cut at the context."""
        room = self._recipe.row_tokens
        row = self._text(index, 0)
        if room is None:
            return row
        at = 1
        while len(row["input_ids"]) + len((text := self._text(index, at))["input_ids"]) <= room:
            row = {name: values + text[name] for name, values in row.items()}
            at += 1
        return {name: values[:room] for name, values in row.items()}

    def _text(self, index: int, at: int) -> dict[str, list[int]]:
        """Return a text whose positions count from 0: by that, transformers keeps texts of a row apart."""
        ids: list[int] = []
        labels: list[int] = []
        for prompt, completion in lesson_pairs(self._recipe, index, at=at):
            asked = self._tokenizer.encode(prompt).ids
            answer = [*self._tokenizer.encode(completion).ids, self._end]
            ids += asked + answer
            labels += [IGNORED] * len(asked) + answer
        text = {"input_ids": ids, "labels": labels, "position_ids": list(range(len(ids)))}
        return {name: values[: self._recipe.shape.context] for name, values in text.items()}


def pad_rows(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
    """Return tensors of shape (rows, longest), padded on the right with ignored labels."""
    import torch

    width = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": 0, "labels": IGNORED, "position_ids": 0}
    return {
        name: torch.tensor([row[name] + [value] * (width - len(row[name])) for row in rows])
        for name, value in fill.items()
    }

"""Lessons: training text that a recipe draws from the training streams of families, and its rows of tokens."""

from typing import Any

from tokenizers import Tokenizer

from fathom.harness.training.corpora.tokenizer import END_OF_DOCUMENT
from fathom.harness.training.recipe import LessonTable, Recipe
from fathom.tasks.base import Role, level_of
from fathom.tasks.registry import find_family
from fathom.tasks.stream import Stream

IGNORED_LABEL = -100
"""Label of tokens that carry no loss (PyTorch's default ignore_index)."""

_TRAIN: Role = "train"
_ANY_NUMBER = 1 << 62


class _FewNamesStream(Stream):
    """A stream that limits sets of different numbers, such as names, to the first `most`."""

    def __init__(self, most: int, *name: str | int) -> None:
        """Take the largest bound and the stream's name."""
        super().__init__(*name)
        self._most = most

    def distinct(self, count: int, bound: int) -> list[int]:
        """Return `count` different whole numbers below both `bound` and `most`, in random order."""
        return super().distinct(count, min(bound, max(count, self._most)))


def count_names(recipe: Recipe, index: int) -> int:
    """Return how many names lesson number `index` may use: few at first, then more, then any."""
    few, done = recipe.few_names, index / (recipe.steps * recipe.batch)
    if done >= few.until:
        return _ANY_NUMBER
    if done <= few.since:  # also where `since` equals `until`
        return few.count
    return few.count + round((few.most - few.count) * (done - few.since) / (few.until - few.since))


def lesson_pairs(recipe: Recipe, index: int, part: str = "text", at: int = 0) -> list[tuple[str, str]]:
    """Return the (prompt, completion) pairs of lesson `at` in training row `index`.

    `part` names the stream: text of the rows, or tokenizer for the text that the tokenizer is trained on.
    """
    most = count_names(recipe, index) if part == "text" else _ANY_NUMBER
    stream = _FewNamesStream(most, _TRAIN, "mix", recipe.seed, part, index, *([at] if at else []))
    done = index / (recipe.steps * recipe.batch) if part == "text" else 1.0
    open_now = [lesson for lesson in recipe.lessons if lesson.since <= done] or recipe.lessons[:1]
    return _write_lesson(stream.choice([lesson for lesson in open_now for _ in range(lesson.weight)]), stream)


def _write_lesson(lesson: LessonTable, stream: Stream) -> list[tuple[str, str]]:
    family = find_family(lesson.family)
    return family.lesson(level_of(family, lesson.level), lesson.channel, lesson.style, stream)


class LessonRows:
    """Training rows of lessons by number, for PyTorch's DataLoader: token ids, and labels on completions only."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer) -> None:
        """Row i depends on the recipe's seed and i only, so that training can be resumed."""
        self._recipe, self._tokenizer = recipe, tokenizer
        self._end = int(tokenizer.token_to_id(END_OF_DOCUMENT) or 0)

    def __len__(self) -> int:
        """Return steps x batch."""
        return self._recipe.steps * self._recipe.batch

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        """Return row `index`: one lesson, or as many as fit `row_tokens`; a lesson is cut at the context."""
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
        """Return a lesson. Positions count from 0, by which transformers keeps the lessons of a row apart."""
        ids: list[int] = []
        labels: list[int] = []
        for prompt, completion in lesson_pairs(self._recipe, index, at=at):
            prompt_ids = self._tokenizer.encode(prompt).ids
            answer = [*self._tokenizer.encode(completion).ids, self._end]
            ids += prompt_ids + answer
            labels += [IGNORED_LABEL] * len(prompt_ids) + answer
        text = {"input_ids": ids, "labels": labels, "position_ids": list(range(len(ids)))}
        return {name: values[: self._recipe.shape.context] for name, values in text.items()}


def pad_rows(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
    """Return tensors of shape (rows, length of the longest), padded on the right with ignored labels."""
    import torch

    width = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": 0, "labels": IGNORED_LABEL, "position_ids": 0}
    return {
        name: torch.tensor([row[name] + [value] * (width - len(row[name])) for row in rows])
        for name, value in fill.items()
    }

"""Turn a recipe into training text, its tokenizer, and token rows; everything from TRAIN streams."""

from collections.abc import Iterator
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from harness.recipe import Lesson, Recipe
from tasks import find_family
from tasks.base import Role, level_of
from tasks.stream import Stream

END = "<|end|>"
IGNORED = -100
"""Label of tokens that carry no loss (PyTorch's default ignore_index)."""

_TRAIN: Role = "train"
_TOKENIZER_TEXTS = 4000
# Names, numbers and arrows stand alone, so that a code is always the same one token; whatever
# lies between them may merge across words, so that fixed phrases cost little.
_ALONE = Regex(r" [A-Z]{2,5}(?![A-Za-z])| ?[0-9]+| ->|;")


def lesson_pairs(recipe: Recipe, index: int, part: str = "text") -> list[tuple[str, str]]:
    """Return the (prompt, completion) pairs of training text number `index`."""
    stream = Stream(_TRAIN, "mix", recipe.seed, part, index)
    drawn = stream.choice([lesson for lesson in recipe.lessons for _ in range(lesson.weight)])
    return write_lesson(drawn, stream)


def write_lesson(lesson: Lesson, stream: Stream) -> list[tuple[str, str]]:
    """Write one text of a lesson from a stream."""
    family = find_family(lesson.family)
    return family.lesson(level_of(family, lesson.level), lesson.channel, lesson.style, stream)


def build_tokenizer(recipe: Recipe) -> Tokenizer:
    """Train a byte-level BPE on the recipe's own text; every text can be encoded."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_ALONE, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(recipe), trainer)
    return tokenizer


def _texts(recipe: Recipe) -> Iterator[str]:
    for index in range(_TOKENIZER_TEXTS):
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
        """Return row `index`, cut at the context."""
        ids: list[int] = []
        labels: list[int] = []
        for prompt, completion in lesson_pairs(self._recipe, index):
            asked = self._tokenizer.encode(prompt).ids
            answer = [*self._tokenizer.encode(completion).ids, self._end]
            ids += asked + answer
            labels += [IGNORED] * len(asked) + answer
        context = self._recipe.shape.context
        return {"input_ids": ids[:context], "labels": labels[:context]}


def pad_rows(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
    """Return tensors of shape (rows, longest), padded on the right with ignored labels."""
    import torch

    width = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": 0, "labels": IGNORED}
    return {
        name: torch.tensor([row[name] + [value] * (width - len(row[name])) for row in rows])
        for name, value in fill.items()
    }

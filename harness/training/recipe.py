"""Turn a TOML file into a checked training recipe."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fathom.harness.errors import BadMix, BadRecipe
from fathom.harness.training.corpora.mix import CorpusTable, Mix, mix_vocabulary, read_toml, settle
from fathom.tasks.base import Cell, check_cell, level_of
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import find_family
from fathom.tasks.stream import canonical_seed

RECIPES = Path(__file__).parent / "recipes"
_MOST = 10**9
"""Steps; like the other bounds, far beyond what is trained and within what torch and the tokenizers can count."""
_TOLD, _KEY = 5, 80
"""Faults that a message names, and letters of a key."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Shape(_Part):
    """Kind and sizes of the model that is trained.

    llama: rotary positions; gpt2: learned absolute positions; nope: GPT-2 that is told no positions.
    """

    kind: Literal["llama", "gpt2", "nope"] = "llama"
    hidden: int = Field(ge=16, le=1 << 16)
    layers: int = Field(ge=1, le=1 << 10)
    heads: int = Field(ge=1)
    context: int = Field(ge=32, le=1 << 20)
    init_std: float = Field(gt=0, le=1)
    """Standard deviation of the initial weights; small ones learn to look names up much sooner."""

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.hidden % self.heads or (self.kind == "llama" and self.hidden // self.heads % 2):
            raise ValueError("hidden must be an even multiple of heads")
        return self


class Exam(_Part):
    """A cell on which the model is tested, on items that it never saw."""

    family: str
    level: str
    channel: str
    style: str


class Lesson(Exam):
    """Training text of a cell, drawn with this weight once a share `since` of the steps is done."""

    weight: int = Field(default=1, ge=1, le=10_000)
    since: float = Field(default=0.0, ge=0, lt=1)


class FewNames(_Part):
    """Draw names from the first `count` at first; from `since` to `until` (shares of the steps) widen to `most`."""

    count: int = Field(default=400, ge=16, le=1 << 62)
    most: int = Field(default=400, ge=16, le=1 << 62)
    since: float = Field(default=0.0, ge=0, lt=1)
    until: float = Field(default=0.0, ge=0, le=1)


class Recipe(_Part):
    """Everything that decides a trained model, but for the rounding of the machine."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")
    seed: str
    steps: int = Field(ge=1, le=_MOST)
    batch: int = Field(ge=1, le=1 << 20)
    """Rows a step, over all devices together."""
    learning_rate: float = Field(gt=0)
    warmup: int = Field(ge=0, le=_MOST)
    optimizer: Literal["adamw", "muon"] = "adamw"
    schedule: Literal["linear", "cosine"] = "linear"
    """How the learning rate falls to 0 after the warmup."""
    weight_decay: float = Field(default=0.01, ge=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the arithmetic: auto is bfloat16 with float32 weights where the GPU has it."""
    save: Literal["float16", "float32"] = "float16"
    """How the weights are stored."""
    early_step: int | None = Field(default=None, ge=1)
    """Also save the model of this step, as NAME-early."""
    exam_every: int = Field(ge=1, le=_MOST)
    """Steps between exams; each ends with a checkpoint."""
    exam_items: int = Field(default=50, ge=1, le=1_000_000)
    """Items an exam while training goes on; the card states four times as many."""
    vocabulary: int | None = Field(default=None, ge=300, le=1_000_000)
    """Tokens of the tokenizer that is learnt from the text; token forms have their own."""
    tokenizer: Literal["merges", "pieces"] = "merges"
    """Of lessons: merges leave a phrase as some tokens; pieces make names, numbers and fixed phrases one each."""
    tokens: int | None = Field(default=None, ge=1, le=1 << 50)
    """Tokens of text to write, read again and again; without it, as many as are read."""
    row_tokens: int | None = Field(default=None, ge=32, le=1 << 20)
    """Fill each row with whole texts of the lessons up to so many tokens; without it, a row is one text."""
    documents: Literal["joined", "apart"] = "joined"
    """In a row of packed text: one goes on from the other, or each is read as if it stood alone."""
    few_names: FewNames = FewNames()
    shape: Shape
    lessons: tuple[Lesson, ...] = ()
    """The first one is there from the start."""
    corpus: tuple[CorpusTable, ...] = ()
    """Instead of lessons: corpora, packed into rows as long as the context."""
    exams: tuple[Exam, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.lessons) == bool(self.corpus):
            raise ValueError("give [[lessons]] or [[corpus]] tables, one of the two kinds")
        if self.early_step is not None and self.early_step > self.steps:
            raise ValueError(f"early_step: it comes after the last of {self.steps:,} steps")
        try:
            for part in (*self.lessons, *self.exams):
                check_cell(Cell(part.family, part.level, part.channel, part.style), find_family(part.family))
            if self.corpus:
                self._check_corpus()
            elif self.vocabulary is None:
                raise ValueError("vocabulary: say how many tokens the tokenizer of the lessons has, 300 or more")
        except (TaskError, BadMix) as error:
            raise ValueError(str(error)) from error
        return self

    def _check_corpus(self) -> None:
        canonical_seed(self.seed)
        mix, read = self.mix, self.batch * self.shape.context
        fixed = mix_vocabulary(mix)
        if fixed and self.vocabulary is not None:
            raise ValueError(
                f"vocabulary: this form of {mix.parts[0].corpus} has its own {len(fixed)} tokens; remove it"
            )
        if self.tokens is not None and self.tokens < 2 * read:
            raise ValueError(f"tokens: a step reads {read:,}, so give {2 * read:,} or more")
        for at, part in enumerate(mix.parts):
            for exam in self.exams:
                asked = level_of(find_family(exam.family), exam.level).axes.get("people")
                told = part.options.get("population")
                if asked is not None and told is not None and int(asked) != int(told):
                    raise ValueError(
                        f"corpus.{at}.options.population: the exam {exam.level} asks about {asked} people, "
                        f"the text tells of {told}"
                    )

    @property
    def mix(self) -> Mix:
        """Return the corpora with all their settings."""
        return settle(self.corpus)


def recipe_names() -> tuple[str, ...]:
    """Return the recipes that come with Fathom."""
    return tuple(path.stem for path in sorted(RECIPES.glob("*.toml")))


def read_recipe(name: str) -> Recipe:
    """Read a recipe by its name or its file's path.

    Raises:
        BadRecipe: no such recipe, not TOML, or a key or value that does not fit.
    """
    path = RECIPES / f"{name}.toml" if name in recipe_names() else Path(name)
    try:
        return Recipe.model_validate(read_toml(path))
    except OSError as error:
        raise BadRecipe(f"no recipe {name!r}: give a TOML file or one of {', '.join(recipe_names())}") from error
    except ValidationError as error:
        said = "; ".join(_say(row) for row in error.errors()[:_TOLD])
        raise BadRecipe(f"{path}: {said} (a sound one: {RECIPES / 'pebble.toml'})") from error
    except ValueError as error:
        raise BadRecipe(f"{path}: {error}") from error


_TABLES: dict[str, type[BaseModel]] = {
    "shape": Shape, "lessons": Lesson, "exams": Exam, "corpus": CorpusTable, "few_names": FewNames,
}  # fmt: skip


def _say(row: Any) -> str:  # pydantic's ErrorDetails
    """Say what is wrong with one key, and for an unknown one which keys are near it."""
    *above, key = row["loc"] or ("",)
    where = ".".join(str(part)[:_KEY] for part in row["loc"])
    if row["type"] != "extra_forbidden":
        said = str(row["msg"]).removeprefix("Value error, ")
        return f"{where}: {said}" if where else said
    known = list(_TABLES.get(str(above[0]) if above else "", Recipe).model_fields)
    near = get_close_matches(str(key), known, 3, 0.5)
    return f"{where}: no such key; {'near it: ' if near else 'known: '}{', '.join(near or known)}"

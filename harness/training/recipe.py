"""Training recipes: TOML files, checked before anything is trained."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fathom.harness.engines.decoder_shape import BodyShape, Positions
from fathom.harness.errors import BadMix, BadRecipe, fault_text
from fathom.harness.training.corpora.mix import CorpusTable, Mix, mix_vocabulary, read_toml, resolve_mix
from fathom.tasks.base import Cell, check_cell, level_of
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import find_family
from fathom.tasks.stream import canonical_seed

RECIPES_FOLDER = Path(__file__).parent / "recipes"
_MAX_STEPS = 10**9
"""Like the other bounds far beyond what is trained, and within what torch and the tokenizers can count."""
_MAX_FAULTS = 5
"""Faults that one error message names."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelShape(_Table):
    """Architecture and sizes of the model that is trained.

    llama: rotary positions; gpt2: learned absolute positions; nope: a GPT-2 without positions; decoder: Fathom's own
    body, in which positions, convolutions and norms can be exchanged at an equal number of weights.
    """

    kind: Literal["llama", "gpt2", "nope", "decoder"] = "llama"
    hidden: int = Field(ge=16, le=1 << 16)
    layers: int = Field(ge=1, le=1 << 10)
    heads: int = Field(ge=1)
    context: int = Field(ge=32, le=1 << 20)
    init_std: float = Field(gt=0, le=1)
    """Standard deviation of the initial weights. With a small one, a model learns to look names up much sooner."""
    positions: Positions = "rotary"
    """Of a decoder, as are the next two."""
    convolutions: str = Field(default="", pattern="^A?B?C?D?$")
    """Where short convolutions stand: A before attention, B on queries, keys and values, C before the MLP, D within."""
    qk_norm: bool = False
    """Queries and keys are normed in each head."""

    @property
    def body(self) -> BodyShape:
        """Sizes and choices of a decoder."""
        return BodyShape(
            self.hidden, self.layers, self.heads, self.context, self.positions, self.convolutions, self.qk_norm
        )

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.hidden % self.heads or (self.kind in ("llama", "decoder") and self.hidden // self.heads % 2):
            raise ValueError("hidden must be an even multiple of heads")
        return self

    @model_validator(mode="after")
    def _check_choices(self) -> Self:
        chosen = {"positions", "convolutions", "qk_norm"} & self.model_fields_set
        if chosen and self.kind != "decoder":
            raise ValueError(f'{min(chosen)} belongs to kind = "decoder"; a {self.kind} has its own')
        if self.body.inner < 1:
            raise ValueError(
                f'positions = "{self.positions}" leave no weights to the MLP: raise hidden or layers, or lower context'
            )
        return self


class Exam(_Table):
    """A cell on which the model is tested while it is trained, on held-out items."""

    family: str
    level: str
    channel: str
    style: str


class LessonTable(Exam):
    """Training text of a cell, drawn with this weight once a share `since` of the steps is done."""

    weight: int = Field(default=1, ge=1, le=10_000)
    since: float = Field(default=0.0, ge=0, lt=1)


class FewNames(_Table):
    """Curriculum of names: the first `count` at first; from `since` to `until` (shares of the steps) up to `most`."""

    count: int = Field(default=400, ge=16, le=1 << 62)
    most: int = Field(default=400, ge=16, le=1 << 62)
    since: float = Field(default=0.0, ge=0, lt=1)
    until: float = Field(default=0.0, ge=0, le=1)


class Recipe(_Table):
    """Everything that determines a trained model, except for the rounding of the machine."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")
    seed: str
    start: str | None = Field(default=None, alias="from", min_length=1)
    """Model whose weights and tokenizer the training starts from, as `fathom run --model` names it; its shape must be
    the recipe's."""
    steps: int = Field(ge=1, le=_MAX_STEPS)
    batch: int = Field(ge=1, le=1 << 20)
    """Rows a step, over all devices together."""
    learning_rate: float = Field(gt=0)
    warmup: int = Field(ge=0, le=_MAX_STEPS)
    optimizer: Literal["adamw", "muon"] = "adamw"
    schedule: Literal["linear", "cosine"] = "linear"
    """How the learning rate falls to 0 after the warmup."""
    weight_decay: float = Field(default=0.01, ge=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the arithmetic: auto is bfloat16 with float32 weights where the GPU supports it."""
    save: Literal["float16", "float32"] = "float16"
    """Type in which the weights are stored."""
    early_step: int | None = Field(default=None, ge=1)
    """Also save the model of this step, as NAME-early."""
    exam_every: int = Field(ge=1, le=_MAX_STEPS)
    """Steps between exams; each exam is followed by a checkpoint."""
    exam_items: int = Field(default=50, ge=1, le=1_000_000)
    """Items of an exam during training; the model's card states four times as many."""
    vocabulary: int | None = Field(default=None, ge=300, le=1_000_000)
    """Tokens of the tokenizer that is trained on the text; token forms have their own."""
    tokenizer: Literal["merges", "pieces"] = "merges"
    """Of lessons. merges: byte-level BPE; pieces: names, numbers and fixed phrases are one token each."""
    tokens: int | None = Field(default=None, ge=1, le=1 << 50)
    """Tokens of text to write, read again and again; without it, as many as are read."""
    row_tokens: int | None = Field(default=None, ge=32, le=1 << 20)
    """Fill each row with whole lessons up to this many tokens; without it, a row is one lesson."""
    documents: Literal["joined", "apart"] = "joined"
    """In a row of packed text: attention reaches into earlier documents, or stays within each document."""
    few_names: FewNames = FewNames()
    shape: ModelShape
    lessons: tuple[LessonTable, ...] = ()
    """The first lesson is used from the start, even if its `since` is later."""
    corpus: tuple[CorpusTable, ...] = ()
    """Instead of lessons: corpora, packed into rows as long as the context."""
    exams: tuple[Exam, ...] = ()

    def whole_json(self, indent: int | None = None) -> str:
        """Return all values as JSON; keys that older recipes lack only where they are given, so that digests stay."""
        newer: dict[str, Any] = {"start": True} if self.start is None else {}
        if self.shape.kind != "decoder":
            newer["shape"] = {"positions", "convolutions", "qk_norm"}
        return self.model_dump_json(indent=indent, exclude=newer)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.lessons) == bool(self.corpus):
            raise ValueError("give [[lessons]] or [[corpus]] tables, one of the two kinds")
        if self.start is not None and self.vocabulary is not None:
            raise ValueError(f"vocabulary: the tokenizer is that of the model {self.start}; remove it")
        if self.early_step is not None and self.early_step > self.steps:
            raise ValueError(f"early_step: it comes after the last of {self.steps:,} steps")
        try:
            for part in (*self.lessons, *self.exams):
                check_cell(Cell(part.family, part.level, part.channel, part.style), find_family(part.family))
            if self.corpus:
                self._check_corpus()
            elif self.vocabulary is None and self.start is None:
                raise ValueError("vocabulary: give the number of tokens of the tokenizer for the lessons, 300 or more")
        except (TaskError, BadMix) as error:
            raise ValueError(str(error)) from error
        return self

    def _check_corpus(self) -> None:
        canonical_seed(self.seed)
        mix, tokens_a_step = self.mix, self.batch * self.shape.context
        fixed = mix_vocabulary(mix)
        if fixed and self.vocabulary is not None:
            raise ValueError(
                f"vocabulary: this form of {mix.parts[0].corpus} has its own {len(fixed)} tokens; remove it"
            )
        if self.tokens is not None and self.tokens < 2 * tokens_a_step:
            raise ValueError(f"tokens: a step reads {tokens_a_step:,}, so give {2 * tokens_a_step:,} or more")
        for at, part in enumerate(mix.parts):
            for exam in self.exams:
                in_exam = level_of(find_family(exam.family), exam.level).axes.get("people")
                in_text = part.options.get("population")
                if in_exam is not None and in_text is not None and int(in_exam) != int(in_text):
                    raise ValueError(
                        f"corpus.{at}.options.population: the exam {exam.level} asks about {in_exam} people, "
                        f"the text tells of {in_text}"
                    )

    @property
    def mix(self) -> Mix:
        """Return the corpora with all their options."""
        return resolve_mix(self.corpus)


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with Fathom; those of laws are not among them."""
    return tuple(path.stem for path in sorted(RECIPES_FOLDER.glob("*.toml")))


def read_recipe(name: str) -> Recipe:
    """Read a recipe by its name or by the path of its file.

    Raises:
        BadRecipe: no such recipe, not TOML, or a key or value that does not fit.
    """
    path = RECIPES_FOLDER / f"{name}.toml" if name in recipe_names() else Path(name)
    try:
        values = read_toml(path)
    except OSError as error:
        raise BadRecipe(f"no recipe {name!r}: give a TOML file or one of {', '.join(recipe_names())}") from error
    except ValueError as error:
        raise BadRecipe(f"{path}: {error}") from error
    return check_recipe(values, path)


def check_recipe(values: Mapping[str, Any], path: Path) -> Recipe:  # values of TOML
    """Return the recipe that the tables of a file describe; errors name `path`.

    Raises:
        BadRecipe: keys or values that do not fit; for an unknown key the message names similar ones.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(_fault_text(row) for row in error.errors()[:_MAX_FAULTS])
        raise BadRecipe(f"{path}: {faults} (for an example, see {RECIPES_FOLDER / 'pebble.toml'})") from error


_TABLES: dict[str, type[BaseModel]] = {
    "shape": ModelShape, "lessons": LessonTable, "exams": Exam, "corpus": CorpusTable, "few_names": FewNames,
}  # fmt: skip


def _fault_text(row: Any) -> str:  # pydantic's ErrorDetails
    """Describe one fault with its key; for an unknown key, name similar or all known ones."""
    if row["type"] != "extra_forbidden":
        return fault_text(row)
    *above, key = row["loc"] or ("",)
    fields = _TABLES.get(str(above[0]) if above else "", Recipe).model_fields
    known = [one.alias or name for name, one in fields.items()]
    similar = get_close_matches(str(key), known, 3, 0.5)
    return f"{fault_text(row)}; {'near it: ' if similar else 'known: '}{', '.join(similar or known)}"

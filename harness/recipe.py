"""Turn a TOML file into a checked training recipe."""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import BadRecipe
from tasks import TaskError, find_family
from tasks.base import Cell, check_cell

RECIPES = Path(__file__).parent / "recipes"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shape(_Part):
    """Sizes of the Llama that is trained."""

    hidden: int = Field(ge=16)
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    context: int = Field(ge=32)
    init_std: float = Field(gt=0)
    """Standard deviation of the initial weights; small ones learn to look names up much sooner."""


class Exam(_Part):
    """A cell on which the model is tested, on items that it never saw."""

    family: str
    level: str
    channel: str
    style: str


class Lesson(Exam):
    """Training text of a cell, drawn with this weight once a share `since` of the steps is done."""

    weight: int = Field(default=1, ge=1)
    since: float = Field(default=0.0, ge=0, lt=1)


class FewNames(_Part):
    """Draw names from the first `count` at first; from `since` to `until` (shares of the steps) widen to `most`."""

    count: int = Field(default=400, ge=16)
    most: int = Field(default=400, ge=16)
    since: float = Field(default=0.0, ge=0, lt=1)
    until: float = Field(default=0.0, ge=0, le=1)


class Recipe(_Part):
    """Everything that decides a trained model."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")
    seed: str
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    warmup: int = Field(ge=0)
    early_step: int | None = Field(default=None, ge=1)
    """Also save the model of this step, as NAME-early."""
    exam_every: int = Field(ge=1)
    vocabulary: int = Field(ge=300)
    optimizer: Literal["adamw", "muon"] = "adamw"
    row_tokens: int | None = Field(default=None, ge=32)
    """Fill each row with whole texts up to so many tokens; without it, a row is one text."""
    few_names: FewNames = FewNames()
    shape: Shape
    lessons: tuple[Lesson, ...] = Field(min_length=1)
    """The first one is there from the start."""
    exams: tuple[Exam, ...] = Field(min_length=1)


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
        recipe = Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        cells: tuple[Exam, ...] = (*recipe.lessons, *recipe.exams)
        for part in cells:
            check_cell(Cell(part.family, part.level, part.channel, part.style), find_family(part.family))
    except OSError as error:
        raise BadRecipe(f"no recipe {name!r}: give a TOML file or one of {', '.join(recipe_names())}") from error
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(str(part) for part in row['loc'])}: {row['msg']}" for row in error.errors())
        raise BadRecipe(f"{path}: {said} (a sound one: {RECIPES / 'pebble.toml'})") from error
    except (tomllib.TOMLDecodeError, TaskError, UnicodeDecodeError) as error:
        raise BadRecipe(f"{path}: {error}") from error
    if recipe.shape.hidden % recipe.shape.heads or recipe.shape.hidden // recipe.shape.heads % 2:
        raise BadRecipe(f"{path}: shape.hidden must be an even multiple of shape.heads")
    return recipe

"""The command that tests laws of training: over seeds, or by one training of natural text a condition."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console

from fathom.harness.cli.options import AsJson, Db, database_of, open_store, pairs
from fathom.harness.errors import BadInput, BadRecipe
from fathom.harness.reports.console import RunProgress, make_console, print_json
from fathom.harness.settings import quiet_transformers

if TYPE_CHECKING:  # torch and transformers take seconds to import
    from sqlalchemy import Engine

    from fathom.harness.training.laws.base import Law, Scale
    from fathom.harness.training.laws.evaluation import TrainedModel
    from fathom.harness.training.pretrain.progress import TrainingBar
    from fathom.harness.training.recipe import Recipe
    from fathom.harness.training.token_laws.design import TokenLaw
    from fathom.harness.training.token_laws.record import Place, Registered

app = typer.Typer()

_SCALES = ("cpu", "text", "gpu")


@dataclass(frozen=True, slots=True)
class _Request:
    """What a run over seeds was asked for."""

    n_seeds: int
    exploratory: bool
    changes: dict[str, Any]  # values of a recipe
    register_only: bool
    out: Path | None
    database: str | None
    processes: int
    as_json: bool
    shapes: tuple[str, ...]
    """In which the law is tested; empty: in its own."""


@app.command("law")
def check_law(
    name: Annotated[Optional[str], typer.Argument(help="A law, as in --list.")] = None,
    scale: Annotated[
        str, typer.Option(help="cpu: closed vocabularies, several seeds; text, gpu: natural text, one training each.")
    ] = "cpu",
    seeds: Annotated[int, typer.Option(min=2, max=200, help="Trainings of each condition, at the scale cpu.")] = 5,
    exploratory: Annotated[bool, typer.Option(help="Use pilot seeds; confirms nothing, and says so.")] = False,
    changes: Annotated[
        Optional[list[str]], typer.Option("--set", help="With --exploratory: change all recipes, as in steps=300.")
    ] = None,
    register_only: Annotated[bool, typer.Option("--register", help="Register and stop before any training.")] = False,
    across: Annotated[
        Optional[str], typer.Option(help="Test it in several shapes of the model, as in llama,gpt2,nope,canon.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Seeds that are trained at the same time.")] = 1,
    out: Annotated[
        Optional[Path],
        typer.Option(
            help="Folder for models, law.json and pictures, with --across one a shape; default laws/NAME-SCALE."
        ),
    ] = None,
    db: Db = None,
    list_all: Annotated[bool, typer.Option("--list", help="List the laws of a scale with their claims.")] = False,
    as_json: AsJson = False,
) -> None:
    """Test a law of training: train small models that differ in one thing, over seeds, and judge by its rule."""
    if scale not in _SCALES:
        raise BadInput(f"no scale {scale!r}; known: {', '.join(_SCALES)}")
    if list_all:
        _list_laws(scale, as_json)
        return
    if name is None:
        raise BadInput(f"name a law: {', '.join(_names(scale))}")
    if scale == "cpu":
        asked = pairs(changes or (), "--set")
        shapes = tuple(dict.fromkeys(one.strip() for one in across.split(","))) if across is not None else ()
        _run_over_seeds(
            name, _Request(seeds, exploratory, asked, register_only, out, db, processes, as_json or False, shapes)
        )
        return
    if changes or exploratory or register_only or seeds != 5 or across is not None:
        raise BadInput(
            f"at the scale {scale} a law has one training a condition and is exploratory: leave out its options"
        )
    from fathom.harness.training.laws.base import SCALES
    from fathom.harness.training.laws.registry import find_law

    chosen = next(one for one in SCALES if one == scale)
    _run_text_law(find_law(name), chosen, out or Path("laws") / f"{name}-{scale}", database_of(db), as_json)


def _names(scale: str) -> list[str]:
    from fathom.harness.training.laws.registry import all_laws
    from fathom.harness.training.token_laws.registry import all_token_laws

    return list(all_token_laws() if scale == "cpu" else all_laws())


def _list_laws(scale: str, as_json: bool) -> None:
    from fathom.harness.training.laws.registry import all_laws
    from fathom.harness.training.laws.table import render_laws
    from fathom.harness.training.token_laws.registry import all_token_laws

    token_laws = [(one.name, one.claim, one.rule_text, [of.title for of in one.conditions])
                  for one in all_token_laws().values()]  # fmt: skip
    text_laws = [(one.name, one.claim, one.rule, [of.title for of in one.conditions]) for one in all_laws().values()]
    rows = token_laws if scale == "cpu" else text_laws
    if as_json:
        print_json([{"law": law, "claim": claim, "rule": rule} for law, claim, rule, _ in rows])
    else:
        make_console().print(render_laws((law, claim, titles) for law, claim, _, titles in rows))


def _run_over_seeds(name: str, asked: _Request) -> None:
    """Register a law, train it over seeds, and print what came of it.

    Raises:
        UnknownLaw, BadInput, BadRecipe: the request does not fit, or OUT is registered for something else.
        StoreError, Diverged, WorkerLost: a step stopped; the same command continues.
    """
    from fathom.harness.db.laws import list_laws, newest_by_shape
    from fathom.harness.training.token_laws.record import record_json, run_token_law
    from fathom.harness.training.token_laws.registry import find_token_law
    from fathom.harness.training.token_laws.table import (
        LawBar,
        render_registration,
        render_token_record,
        render_universality,
    )

    law = find_token_law(name)
    if asked.changes and not asked.exploratory:
        raise BadRecipe("--set changes the recipes, which cannot confirm the law then: add --exploratory")
    law = _changed(law, asked.changes)
    console = make_console(stderr=asked.as_json)
    store = open_store(asked.database, create=True)
    runs = [_register(one, shape, asked, store) for shape, one in _in_shapes(law, asked.shapes).items()]
    for run in runs:
        console.print(render_registration(run.law, run.registered))
    if asked.register_only:
        return
    records = []
    for run in runs:
        with LawBar(console, len(run.registered.registration.seeds) * len(run.law.conditions)) as bar:
            records.append(run_token_law(run.law, run.registered, run.place, bar))
        if not asked.as_json:
            console.print(render_token_record(records[-1]))
        console.print(f"wrote {run.place.out / 'law.json'}", soft_wrap=True)
    if asked.as_json:
        made = {one.registration.shape: record_json(one) for one in records}
        print_json(made if asked.shapes else record_json(records[0]))
    elif asked.shapes:
        console.print(render_universality(newest_by_shape(list_laws(store))))


@dataclass(frozen=True, slots=True)
class _Run:
    law: "TokenLaw"
    registered: "Registered"
    place: "Place"


def _in_shapes(law: "TokenLaw", shapes: tuple[str, ...]) -> dict[str, "TokenLaw"]:
    """Return the law by shape; in its own shape, under the plain one's name, if no shape is named."""
    from fathom.harness.engines.decoder_shape import PLAIN
    from fathom.harness.training.token_laws.design import in_shape

    return {shape: in_shape(law, shape) for shape in shapes} if shapes else {PLAIN: law}


def _register(law: "TokenLaw", shape: str, asked: _Request, store: "Engine") -> _Run:
    from fathom.harness.engines.decoder_shape import PLAIN
    from fathom.harness.training.token_laws.record import Place, store_law
    from fathom.harness.training.token_laws.registration import register

    registration = register(law, "exploratory" if asked.exploratory else "confirming", asked.n_seeds, shape)
    name = law.name if shape == PLAIN else f"{law.name}-{shape}"
    usual = f"{name}-exploratory-{registration.digest}" if asked.exploratory else f"{name}-cpu"
    inside = asked.out / shape if asked.out is not None and asked.shapes else asked.out
    place = Place(inside or Path("laws") / usual, store, asked.processes)
    return _Run(law, store_law(law, registration, place.out, place.db), place)


def _changed(law: "TokenLaw", changes: dict[str, Any]) -> "TokenLaw":
    """Return a law with values of all its recipes changed, or raise BadRecipe."""
    from fathom.harness.training.token_laws.decoder import TokenRecipe

    kinds = {one.name: one.type for one in fields(TokenRecipe)}
    for key, value in changes.items():
        if key not in kinds:
            raise BadRecipe(f"--set {key}: a recipe has {', '.join(kinds)}")
        if not isinstance(value, type(getattr(law.conditions[0].recipe, key))) or (
            not isinstance(value, str) and value < 0
        ):
            raise BadRecipe(f"--set {key}={value}: not a value of this key")
    conditions = tuple(replace(one, recipe=replace(one.recipe, **changes)) for one in law.conditions)
    return replace(law, conditions=conditions) if changes else law


class _ConsoleDisplay:
    """Display of an experiment, as `fathom pretrain` and `fathom run` show training and evaluation."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def train(self, recipe: "Recipe") -> "AbstractContextManager[TrainingBar]":
        from fathom.harness.training.pretrain.progress import TrainingBar

        return TrainingBar(self._console, recipe)

    def evaluate(self, trained: "TrainedModel") -> AbstractContextManager[RunProgress]:
        return RunProgress(self._console, [one.n for one in trained.questions])

    def say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


def _run_text_law(law: "Law", scale: "Scale", out: Path, database: str, as_json: bool) -> None:
    """Run the experiment of a law with one training a condition, draw it, and print the result.

    Raises:
        BadRecipe, BadInput: `out` has other models, or cannot be written.
        EngineFailed, StoreError, Interrupted: a step stopped; another call resumes there.
    """
    quiet_transformers()
    from fathom.harness.reports.frames import Store
    from fathom.harness.training.laws.experiment import Workspace, record_json, run_law
    from fathom.harness.training.laws.picture import draw_law
    from fathom.harness.training.laws.table import render_record

    console = make_console(stderr=as_json)
    record = run_law(law, scale, Workspace(out, Store.at(database)), _ConsoleDisplay(console))
    pictures = [out / "law.svg", out / "law-dark.svg"]
    pictures[0].write_text(draw_law(record, "light"), encoding="utf-8")
    pictures[1].write_text(draw_law(record, "dark"), encoding="utf-8")
    if as_json:
        print_json(record_json(record))
    else:
        console.print(render_record(record))
    console.print(f"wrote {out / 'law.json'}, {pictures[0]}, {pictures[1].name}", soft_wrap=True)

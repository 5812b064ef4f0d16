"""The commands that write training text, train models and test laws."""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.console import Console

from fathom.harness.cli.options import AsJson, Db, database_of, pairs
from fathom.harness.errors import BadInput
from fathom.harness.reports.console import RunProgress, make_console, print_json
from fathom.harness.settings import is_first_process, quiet_transformers

if TYPE_CHECKING:  # torch and transformers take seconds to import
    from fathom.harness.training.corpora.writer import CorpusPlan
    from fathom.harness.training.laws.base import Law, Scale
    from fathom.harness.training.laws.evaluation import TrainedModel
    from fathom.harness.training.pretrain.progress import TrainingBar
    from fathom.harness.training.recipe import Recipe

app = typer.Typer()


@app.command("corpus")
def write_training_text(
    mix: Annotated[Optional[str], typer.Argument(help="A corpus, as in --list, or a TOML file of several.")] = None,
    tokens: Annotated[Optional[str], typer.Option(help="Number of tokens, as in 20M, 1.5B or 500k.")] = None,
    out: Annotated[Optional[Path], typer.Option(help="New or empty folder, or one to continue.")] = None,
    seed: Annotated[str, typer.Option(help="Whole number or hex; it also determines a population.")] = "1",
    settings: Annotated[Optional[list[str]], typer.Option("--set", help="An option of the corpus: name=value.")] = None,
    form: Annotated[str, typer.Option("--format", help="tokens, parquet or datasets.")] = "tokens",
    workers: Annotated[Optional[int], typer.Option(min=1, max=512, help="Processes; default: one a core.")] = None,
    tokenizer: Annotated[Optional[Path], typer.Option(help="Hugging Face folder with a tokenizer for texts.")] = None,
    vocabulary: Annotated[
        Optional[int], typer.Option(min=300, max=1_000_000, help="Tokens of a new tokenizer for texts; default 4096.")
    ] = None,
    shard_tokens: Annotated[str, typer.Option(help="Tokens per shard, roughly; at most 100M.")] = "1M",
    show: Annotated[bool, typer.Option("--list", help="List the corpora and their options.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --list: print JSON.")] = False,
) -> None:
    """Write training text. The same options give the same bytes; an interrupted command continues when repeated."""
    from fathom.harness.training.corpora.mix import read_mix
    from fathom.harness.training.corpora.writer import CorpusPlan, read_count, read_format, read_shard_size

    if show:
        _list_corpora(as_json)
        return
    if mix is None or tokens is None or out is None:
        raise BadInput("give a corpus, --tokens and --out, as in fathom corpus lano --tokens 20M --out text; or --list")
    if tokenizer is not None and vocabulary is not None:
        raise BadInput("--tokenizer has its own vocabulary: leave out --vocabulary")
    parts = read_mix(mix, pairs(settings or (), "--set"))
    n_workers = workers or os.cpu_count() or 1
    plan = CorpusPlan(
        parts, seed, read_count(tokens), out, read_format(form), n_workers, tokenizer, vocabulary,
        read_shard_size(shard_tokens),
    )  # fmt: skip
    _write_corpus(plan)


@app.command("pretrain")
def train_recipe(
    recipe: Annotated[str, typer.Argument(help="pebble, cfg, or a TOML file.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and models; a second call resumes there.")] = Path(
        "out"
    ),
) -> None:
    """Train a small model from a recipe, and save it as a Hugging Face folder."""
    raise typer.Exit(_train(recipe, out))


@app.command("law")
def check_law(
    name: Annotated[Optional[str], typer.Argument(help="A law, as in --list.")] = None,
    scale: Annotated[str, typer.Option(help="cpu: about 15 minutes on two cores; gpu: about 10 on one H200.")] = "cpu",
    out: Annotated[
        Optional[Path], typer.Option(help="Folder for models, law.json and pictures; default laws/NAME-SCALE.")
    ] = None,
    db: Db = None,
    list_all: Annotated[bool, typer.Option("--list", help="List the laws with their claims.")] = False,
    as_json: AsJson = False,
) -> None:
    """Test a law of training: train small models that differ in one thing, evaluate and compare them."""
    from fathom.harness.training.laws.base import SCALES
    from fathom.harness.training.laws.registry import all_laws, find_law

    if list_all:
        _list_laws(as_json)
        return
    if name is None:
        raise BadInput(f"name a law: {', '.join(all_laws())}")
    law = find_law(name)
    chosen = next((one for one in SCALES if one == scale), None)
    if chosen is None:
        raise BadInput(f"no scale {scale!r}; known: {', '.join(SCALES)}")
    _run_law(law, chosen, out or Path("laws") / f"{name}-{scale}", database_of(db), as_json)


def _list_corpora(as_json: bool) -> None:
    from fathom.harness.training.corpora.terminal import corpora_json, render_corpora

    if as_json:
        print_json(corpora_json())
    else:
        make_console().print(render_corpora())


def _write_corpus(plan: "CorpusPlan") -> None:
    """Write training text with a live bar, and print a summary.

    Raises:
        CorpusChanged, BadMix: the folder or the options do not fit.
        DiskFull, WorkerLost: the same command continues.
    """
    from fathom.harness.training.corpora.terminal import CorpusBar
    from fathom.harness.training.corpora.writer import write_corpus

    console = make_console()
    with CorpusBar(console, plan.tokens) as progress:
        manifest = write_corpus(plan, progress)
    console.print(progress.summary(manifest, plan.out), soft_wrap=True, markup=False, highlight=False)


def _train(name: str, out: Path) -> int:
    """Train a recipe with a progress bar; return the exit code. Of several processes, only the first prints.

    Raises:
        BadRecipe, DiskFull, Diverged: the recipe cannot be followed, or its training stopped.
    """
    from fathom.harness.training.recipe import read_recipe

    recipe = read_recipe(name)
    quiet_transformers()
    from fathom.harness.cli.run import STOPPED
    from fathom.harness.training.pretrain.progress import TrainingBar
    from fathom.harness.training.pretrain.trainer import pretrain  # imports torch: only once the recipe is checked

    console = make_console()
    console.quiet = not is_first_process()
    progress = TrainingBar(console, recipe)
    try:
        with progress:
            saved = pretrain(recipe, out, progress, progress.show_corpus)
    except KeyboardInterrupt:
        at = f"at step {progress.step:,} of {recipe.steps:,}" if progress.step else "before its first step"
        console.print(
            f"stopped {at}; checkpoints are in {out / 'checkpoints'}. "
            f"Continue with: fathom pretrain {name} --out {out}",
            soft_wrap=True,
        )
        return STOPPED
    console.print("saved " + ", ".join(str(path) for path in saved), soft_wrap=True)
    return 0


def _list_laws(as_json: bool) -> None:
    from fathom.harness.training.laws.registry import all_laws
    from fathom.harness.training.laws.table import render_laws

    if as_json:
        print_json([{"law": one.name, "claim": one.claim, "rule": one.rule} for one in all_laws().values()])
    else:
        make_console().print(render_laws(all_laws().values()))


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


def _run_law(law: "Law", scale: "Scale", out: Path, database: str, as_json: bool) -> None:
    """Run the experiment of a law, draw it, and print the result.

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

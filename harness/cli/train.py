"""The commands that write training text and train models."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fathom.harness.cli.options import names, pairs
from fathom.harness.errors import BadInput
from fathom.harness.reports.console import make_console, print_json
from fathom.harness.settings import is_first_process, quiet_transformers

if TYPE_CHECKING:  # torch and transformers take seconds to import
    from fathom.harness.training.corpora.writer import CorpusPlan

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
    report_to: Annotated[
        str, typer.Option(help="Trackers that transformers knows and that are installed, as in trackio,tensorboard.")
    ] = "",
) -> None:
    """Train a small model from a recipe, and save it as a Hugging Face folder."""
    raise typer.Exit(_train(recipe, out, names(report_to)))


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


def _train(name: str, out: Path, report_to: tuple[str, ...]) -> int:
    """Train a recipe with a progress bar; return the exit code. Of several processes, only the first prints.

    Raises:
        BadInput: a tracker that is not known or not installed.
        BadRecipe, DiskFull, Diverged: the recipe cannot be followed, or its training stopped.
    """
    from fathom.harness.training.recipe import read_recipe

    recipe = read_recipe(name)
    quiet_transformers()
    from fathom.harness.cli.attempt import STOPPED
    from fathom.harness.training.pretrain.progress import TrainingBar
    from fathom.harness.training.pretrain.trainer import pretrain  # imports torch: only once the recipe is checked

    console = make_console()
    console.quiet = not is_first_process()
    progress = TrainingBar(console, recipe)
    try:
        with progress:
            saved = pretrain(recipe, out, progress, progress.show_corpus, report_to)
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

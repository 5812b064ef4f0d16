"""The commands that make training text and models."""

import os
from pathlib import Path
from typing import Annotated, Optional

import typer

from harness.cli_run import pairs
from harness.errors import BadInput

train_app = typer.Typer(add_completion=False)


@train_app.command("corpus")
def write_training_text(
    mix: Annotated[Optional[str], typer.Argument(help="A corpus, as in --list, or a TOML file of several.")] = None,
    tokens: Annotated[Optional[str], typer.Option(help="How many, as in 20M, 1.5B or 500k.")] = None,
    out: Annotated[Optional[Path], typer.Option(help="New or empty folder, or one to go on with after a kill.")] = None,
    seed: Annotated[str, typer.Option(help="Whole number or hex; that of a population as well.")] = "1",
    settings: Annotated[Optional[list[str]], typer.Option("--set", help="An option of the corpus: name=value.")] = None,
    form: Annotated[str, typer.Option("--format", help="tokens, parquet or datasets.")] = "tokens",
    workers: Annotated[Optional[int], typer.Option(min=1, max=512, help="Processes; default: one a core.")] = None,
    tokenizer: Annotated[Optional[Path], typer.Option(help="Hugging Face folder with a tokenizer for texts.")] = None,
    vocabulary: Annotated[
        Optional[int], typer.Option(min=300, max=1_000_000, help="Tokens of a new tokenizer for texts; default 4096.")
    ] = None,
    shard_tokens: Annotated[str, typer.Option(help="Tokens a shard, about; at most 100M.")] = "1M",
    show: Annotated[bool, typer.Option("--list", help="List the corpora and their options.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --list: print JSON.")] = False,
) -> None:
    """Write training text, the same bytes for the same words; a killed call goes on when it is made again."""
    from harness.corpora.command import list_corpora, make_corpus
    from harness.corpora.mix import read_mix
    from harness.corpora.writing import Plan, read_count, read_kind, read_shard_size

    if show:
        list_corpora(as_json)
        return
    if mix is None or tokens is None or out is None:
        raise BadInput("give a corpus, --tokens and --out, as in fathom corpus lano --tokens 20M --out text; or --list")
    if tokenizer is not None and vocabulary is not None:
        raise BadInput("--tokenizer has a vocabulary of its own: leave --vocabulary out")
    made = read_mix(mix, pairs(settings or (), "--set"))
    n_workers = workers or os.cpu_count() or 1
    plan = Plan(
        made, seed, read_count(tokens), out, read_kind(form), n_workers, tokenizer, vocabulary,
        read_shard_size(shard_tokens),
    )  # fmt: skip
    make_corpus(plan)


@train_app.command("pretrain")
def train_recipe(
    recipe: Annotated[str, typer.Argument(help="pebble, or a TOML file.")],
    out: Annotated[
        Path, typer.Option(help="Folder for checkpoints and models; a second call goes on from there.")
    ] = Path("out"),
) -> None:
    """Train a small model from a recipe, and save it as a Hugging Face folder."""
    from harness.commands import train

    raise typer.Exit(train(recipe, out))

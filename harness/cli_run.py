"""The `fathom run` command: parsing only."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from harness.cli_db import Db, database_of
from harness.errors import BadInput
from harness.prompting import Decoding, Prompting, Thinking

run_app = typer.Typer()

_ASKED = "What is asked"
_PUT = "How it is put"
_DRAWN = "How answers are drawn"
_ENGINE = "The engine"

_SHOTS = 16
"""As harness.lmeval.N_SHOTS_AT_MOST, which brings heavy packages."""


def names(text: str | None) -> tuple[str, ...]:
    """Split a,b at its commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def pairs(words: Iterable[str], option: str) -> dict[str, Any]:
    """Read key=value words; a value is JSON where it can be, else a text.

    Raises:
        BadInput: a word without an equals sign, or the same key twice.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not (key and equals):
            raise BadInput(f"{option} wants key=value, not {word!r}")
        if key in found:
            raise BadInput(f"{option} names {key} twice: name it once")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


def _thought(budget: int | None, marks: str | None) -> Thinking | None:
    if budget is None and marks is None:
        return None
    found = ("", "") if marks is None else names(marks)
    if len(found) != 2:
        raise BadInput("--think-marks wants two marks with a comma between, as in <think>,</think>")
    return Thinking(*found) if budget is None else Thinking(*found, budget)


def check_apart(foreign: Mapping[str, object], own: Mapping[str, object]) -> None:
    """Refuse options of lm-eval's tasks and of Fathom's own suites together.

    Raises:
        BadInput: naming an option of each.
    """
    named = [option for option, given in own.items() if given]
    if foreign["--tasks"] and named:
        raise BadInput(f"{named[0]} is about Fathom's own suites, and --tasks about lm-eval's tasks: leave one out")
    if foreign["--limit"] and not foreign["--tasks"]:
        raise BadInput("--limit goes with --tasks; for Fathom's own suites say --n, the items of each cell")


@run_app.command("run")
def run_suite(  # one parameter an option: typer reads the signature
    model: Annotated[Optional[str], typer.Option(help="reference/pebble, a folder, or a hub id.")] = None,
    engine: Annotated[str, typer.Option(help="vllm, hf, openai, ray or oracle.")] = "vllm",
    seed: Annotated[Optional[str], typer.Option(help="Whole number or hex; fresh and random if not given.")] = None,
    db: Db = None,
    resume: Annotated[Optional[str], typer.Option(help="Go on with this run; nothing else need be given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    suite: Annotated[str, typer.Option(help="Suite of cells.", rich_help_panel=_ASKED)] = "quick",
    families: Annotated[
        Optional[str], typer.Option(help="Only these families, as in a,b.", rich_help_panel=_ASKED)
    ] = None,
    levels: Annotated[
        Optional[str], typer.Option(help="These levels instead of the suite's.", rich_help_panel=_ASKED)
    ] = None,
    channel: Annotated[
        Optional[str], typer.Option(help="These channels instead of the suite's.", rich_help_panel=_ASKED)
    ] = None,
    style: Annotated[
        Optional[str], typer.Option(help="These styles instead of the suite's.", rich_help_panel=_ASKED)
    ] = None,
    n: Annotated[Optional[int], typer.Option("--n", help="Items a cell.", rich_help_panel=_ASKED)] = None,
    tasks: Annotated[
        Optional[str],
        typer.Option(
            help="Tasks and groups of lm-eval instead of a suite, as in gsm8k,arc_easy.", rich_help_panel=_ASKED
        ),
    ] = None,
    include_path: Annotated[
        Optional[list[Path]],
        typer.Option(help="Folder with lm-eval tasks of your own; goes with --tasks.", rich_help_panel=_ASKED),
    ] = None,
    limit: Annotated[
        Optional[int],
        typer.Option(min=1, help="Documents a task at most; goes with --tasks.", rich_help_panel=_ASKED),
    ] = None,
    shots: Annotated[
        Optional[int],
        typer.Option(
            min=0, help="Demonstrations before each question; default 0, or what a task says.", rich_help_panel=_PUT
        ),
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Use the model's chat template.", rich_help_panel=_PUT)] = False,
    system: Annotated[str, typer.Option(help="System message.", rich_help_panel=_PUT)] = "",
    shots_as: Annotated[
        str, typer.Option(help="In a chat: demonstrations as turns, or as text.", rich_help_panel=_PUT)
    ] = "turns",
    template_option: Annotated[
        Optional[list[str]],
        typer.Option(help="For the chat template, as in enable_thinking=false.", rich_help_panel=_PUT),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=1024, help="Answers a question.", rich_help_panel=_DRAWN)] = 1,
    temperature: Annotated[
        Optional[float], typer.Option(min=0, max=10, help="Default: greedy.", rich_help_panel=_DRAWN)
    ] = None,
    budget: Annotated[
        Optional[list[str]],
        typer.Option(help="Tokens an answer by style, as in cot=2048,direct=64.", rich_help_panel=_DRAWN),
    ] = None,
    think_budget: Annotated[
        Optional[int],
        typer.Option(min=1, help="The model thinks first: tokens for its thought.", rich_help_panel=_DRAWN),
    ] = None,
    think_marks: Annotated[
        Optional[str],
        typer.Option(help="Around a thought, if not as the model's files say.", rich_help_panel=_DRAWN),
    ] = None,
    dtype: Annotated[str, typer.Option(help="auto, bfloat16, float16 or float32.", rich_help_panel=_ENGINE)] = "auto",
    revision: Annotated[
        Optional[str], typer.Option(help="Branch, tag or commit on the hub.", rich_help_panel=_ENGINE)
    ] = None,
    tensor_parallel: Annotated[
        Optional[int], typer.Option(min=1, help="GPUs that share each layer.", rich_help_panel=_ENGINE)
    ] = None,
    pipeline_parallel: Annotated[
        Optional[int],
        typer.Option(min=1, help="Groups of GPUs with some layers each.", rich_help_panel=_ENGINE),
    ] = None,
    quantization: Annotated[
        Optional[str], typer.Option(help="As vLLM names it, as in fp8 or awq.", rich_help_panel=_ENGINE)
    ] = None,
    lora: Annotated[Optional[Path], typer.Option(help="Folder of a LoRA adapter.", rich_help_panel=_ENGINE)] = None,
    engine_arg: Annotated[
        Optional[list[str]],
        typer.Option(help="For the engine, as in max_model_len=8192.", rich_help_panel=_ENGINE),
    ] = None,
    replicas: Annotated[
        Optional[int], typer.Option(min=1, help="Copies of the model; engine ray.", rich_help_panel=_ENGINE)
    ] = None,
    base_url: Annotated[
        Optional[str], typer.Option(help="Address that ends with /v1; engine openai.", rich_help_panel=_ENGINE)
    ] = None,
    concurrency: Annotated[
        Optional[int], typer.Option(min=1, help="Requests under way at most; engine openai.", rich_help_panel=_ENGINE)
    ] = None,
) -> None:
    """Evaluate a model and store every sample. Exit code 0 done, 2 bad input, 3 the engine failed."""
    from harness.engines.base import EngineSetup
    from harness.running import Wish, run
    from harness.stock_plan import Asking
    from harness.suite import Selection

    foreign = {"--tasks": tasks, "--include-path": include_path, "--limit": limit}
    own = {
        "--suite": suite != "quick", "--families": families, "--levels": levels, "--channel": channel,
        "--style": style, "--n": n, "--seed": seed, "--budget": budget, "--repeats": repeats > 1,
    }  # fmt: skip
    check_apart(foreign, own)
    if not tasks and (shots or 0) > _SHOTS:
        raise BadInput(f"--shots {shots}: Fathom's own items come with {_SHOTS} demonstrations at most")
    if shots_as not in ("turns", "text"):
        raise BadInput(f"--shots-as is turns or text, not {shots_as!r}")
    options = pairs(engine_arg or (), "--engine-arg")
    shorthands = {
        "tensor_parallel_size": tensor_parallel, "pipeline_parallel_size": pipeline_parallel,
        "quantization": quantization, "lora": None if lora is None else str(lora), "replicas": replicas,
        "base_url": base_url, "concurrency": concurrency,
    }  # fmt: skip
    for name, value in shorthands.items():
        if value is not None and options.setdefault(name, value) != value:
            raise BadInput(f"--engine-arg {name}={options[name]} says otherwise than the option of its own")
    prompting = Prompting(
        shots or 0,
        chat,
        system,
        "text" if shots_as == "text" else "turns",
        pairs(template_option or (), "--template-option"),
    )
    decoding = Decoding(
        repeats,
        temperature,
        pairs(names(",".join(budget or ())), "--budget"),
        _thought(think_budget, think_marks),
    )
    wish = Wish(
        model,
        engine,
        seed,
        suite,
        Selection(names(families), names(levels), names(channel), names(style), n),
        prompting,
        decoding,
        EngineSetup(dtype, options),
        revision,
        resume,
        Asking(names(tasks), tuple(map(str, include_path or ())), limit, shots, prompting, decoding),
    )
    raise typer.Exit(run(wish, database_of(db), as_json))

"""The `fathom run` command: parsing only."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import typer

from harness import cli_run_options as option
from harness.cli_db import Db, database_of
from harness.errors import BadInput
from harness.prompting import Decoding, Prompting, Thinking, known_shots_as

run_app = typer.Typer()


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


def _engine_options(given: Iterable[str], own: Mapping[str, Any]) -> dict[str, Any]:
    """Join --engine-arg with the options that have names of their own.

    Raises:
        BadInput: the two say different things of one.
    """
    options = pairs(given, "--engine-arg")
    for name, value in own.items():
        if value is not None and options.setdefault(name, value) != value:
            raise BadInput(f"--engine-arg {name}={options[name]} says otherwise than the option of its own")
    return options


@run_app.command("run")
def run_suite(  # one parameter an option: typer reads the signature
    model: option.Model = None,
    engine: option.Engine = "vllm",
    seed: option.Seed = None,
    db: Db = None,
    resume: option.Resume = None,
    as_json: option.AsJson = False,
    suite: option.Suite = "quick",
    families: option.Families = None,
    levels: option.Levels = None,
    channel: option.Channel = None,
    style: option.Style = None,
    n: option.N = None,
    tasks: option.Tasks = None,
    include_path: option.IncludePath = None,
    limit: option.Limit = None,
    shots: option.Shots = None,
    chat: option.Chat = False,
    system: option.System = "",
    shots_as: option.ShotsAs = "turns",
    template_option: option.TemplateOption = None,
    repeats: option.Repeats = 1,
    temperature: option.Temperature = None,
    budget: option.Budget = None,
    think_budget: option.ThinkBudget = None,
    think_marks: option.ThinkMarks = None,
    dtype: option.Dtype = "auto",
    revision: option.Revision = None,
    tensor_parallel: option.TensorParallel = None,
    pipeline_parallel: option.PipelineParallel = None,
    quantization: option.Quantization = None,
    lora: option.Lora = None,
    engine_arg: option.EngineArg = None,
    replicas: option.Replicas = None,
    base_url: option.BaseUrl = None,
    concurrency: option.Concurrency = None,
) -> None:
    """Evaluate a model and store every sample. Exit code 0 done, 2 bad input, 3 the engine failed."""
    from harness.engines.base import EngineSetup
    from harness.running import Wish, run
    from harness.stock_plan import Asking
    from harness.suite import Selection

    own = {"--suite": suite != "quick", "--families": families, "--levels": levels, "--channel": channel,
           "--style": style, "--n": n, "--seed": seed, "--budget": budget, "--repeats": repeats > 1}  # fmt: skip
    check_apart({"--tasks": tasks, "--include-path": include_path, "--limit": limit}, own)
    options = _engine_options(engine_arg or (), {
        "tensor_parallel_size": tensor_parallel, "pipeline_parallel_size": pipeline_parallel, "replicas": replicas,
        "quantization": quantization, "lora": lora and str(lora), "base_url": base_url, "concurrency": concurrency,
    })  # fmt: skip
    put = Prompting(
        shots or 0, chat, system, known_shots_as(shots_as), pairs(template_option or (), "--template-option")
    )
    budgets = pairs(names(",".join(budget or ())), "--budget")
    drawn = Decoding(repeats, temperature, budgets, _thought(think_budget, think_marks))
    chosen = Selection(names(families), names(levels), names(channel), names(style), n)
    foreign = Asking(names(tasks), tuple(map(str, include_path or ())), limit, shots, put, drawn)
    wish = Wish(model, engine, seed, suite, chosen, put, drawn, EngineSetup(dtype, options), revision, resume, foreign)
    raise typer.Exit(run(wish, database_of(db), as_json))

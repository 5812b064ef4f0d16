"""The `fathom run` command: parsing only."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from fathom.harness.cli.options import AsJson, Db, database_of, names, pairs
from fathom.harness.errors import BadInput
from fathom.harness.runs.prompting import Decoding, Prompting, Thinking, known_shots_as

_asked = partial(typer.Option, rich_help_panel="What is asked")
_put = partial(typer.Option, rich_help_panel="How it is put")
_drawn = partial(typer.Option, rich_help_panel="How answers are drawn")
_engine = partial(typer.Option, rich_help_panel="The engine")
Model = Annotated[Optional[str], typer.Option(help="reference/pebble, a folder, or a hub id.")]
Engine = Annotated[str, typer.Option(help="vllm, hf, openai, ray or oracle.")]
Seed = Annotated[Optional[str], typer.Option(help="Whole number or hex; fresh and random if not given.")]
Resume = Annotated[Optional[str], typer.Option(help="Go on with this run; nothing else need be given.")]
Suite = Annotated[str, _asked(help="Suite of cells.")]
Families = Annotated[Optional[str], _asked(help="Only these families, as in a,b.")]
Levels = Annotated[Optional[str], _asked(help="These levels instead of the suite's; * stands for anything.")]
Channel = Annotated[Optional[str], _asked(help="These channels instead of the suite's.")]
Style = Annotated[Optional[str], _asked(help="These styles instead of the suite's.")]
N = Annotated[Optional[int], _asked("--n", help="Items a cell.")]
Tasks = Annotated[Optional[str], _asked(help="Tasks and groups of lm-eval instead of a suite, as in gsm8k,arc_easy.")]
IncludePath = Annotated[Optional[list[Path]], _asked(help="Folder with lm-eval tasks of your own; goes with --tasks.")]
Limit = Annotated[Optional[int], _asked(min=1, help="Documents a task at most; goes with --tasks.")]
Shots = Annotated[
    Optional[int], _put(min=0, help="Demonstrations before each question; default 0, or what a task says.")
]
Chat = Annotated[bool, _put("--chat", help="Use the model's chat template.")]
System = Annotated[str, _put(help="System message.")]
ShotsAs = Annotated[str, _put(help="In a chat: demonstrations as turns, or as text.")]
TemplateOption = Annotated[Optional[list[str]], _put(help="For the chat template, as in enable_thinking=false.")]
Repeats = Annotated[int, _drawn(min=1, max=1024, help="Answers a question.")]
Temperature = Annotated[Optional[float], _drawn(min=0, max=10, help="Default: greedy.")]
Budget = Annotated[Optional[list[str]], _drawn(help="Tokens an answer by style, as in cot=2048,direct=64.")]
ThinkBudget = Annotated[Optional[int], _drawn(min=1, help="The model thinks first: tokens for its thought.")]
ThinkMarks = Annotated[Optional[str], _drawn(help="Around a thought, if not as the model's files say.")]
Dtype = Annotated[str, _engine(help="auto, bfloat16, float16 or float32.")]
Revision = Annotated[Optional[str], _engine(help="Branch, tag or commit on the hub.")]
TensorParallel = Annotated[Optional[int], _engine(min=1, help="GPUs that share each layer.")]
PipelineParallel = Annotated[Optional[int], _engine(min=1, help="Groups of GPUs with some layers each.")]
Quantization = Annotated[Optional[str], _engine(help="As vLLM names it, as in fp8 or awq.")]
Lora = Annotated[Optional[Path], _engine(help="Folder of a LoRA adapter.")]
EngineArg = Annotated[Optional[list[str]], _engine(help="For the engine, as in max_model_len=8192.")]
Replicas = Annotated[Optional[int], _engine(min=1, help="Copies of the model; engine ray.")]
BaseUrl = Annotated[Optional[str], _engine(help="Address that ends with /v1; engine openai.")]
Concurrency = Annotated[Optional[int], _engine(min=1, help="Requests under way at most; engine openai.")]


app = typer.Typer()


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


@app.command("run")
def run_suite(  # one parameter an option: typer reads the signature
    model: Model = None,
    engine: Engine = "vllm",
    seed: Seed = None,
    db: Db = None,
    resume: Resume = None,
    as_json: AsJson = False,
    suite: Suite = "quick",
    families: Families = None,
    levels: Levels = None,
    channel: Channel = None,
    style: Style = None,
    n: N = None,
    tasks: Tasks = None,
    include_path: IncludePath = None,
    limit: Limit = None,
    shots: Shots = None,
    chat: Chat = False,
    system: System = "",
    shots_as: ShotsAs = "turns",
    template_option: TemplateOption = None,
    repeats: Repeats = 1,
    temperature: Temperature = None,
    budget: Budget = None,
    think_budget: ThinkBudget = None,
    think_marks: ThinkMarks = None,
    dtype: Dtype = "auto",
    revision: Revision = None,
    tensor_parallel: TensorParallel = None,
    pipeline_parallel: PipelineParallel = None,
    quantization: Quantization = None,
    lora: Lora = None,
    engine_arg: EngineArg = None,
    replicas: Replicas = None,
    base_url: BaseUrl = None,
    concurrency: Concurrency = None,
) -> None:
    """Evaluate a model and store every sample. Exit code 0 done, 2 bad input, 3 the engine failed."""
    from fathom.harness.cli.run_command import run
    from fathom.harness.engines.base import EngineSetup
    from fathom.harness.runs.plan import Asking, Wish
    from fathom.tasks.suites import Selection

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

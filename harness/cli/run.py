"""The `fathom run` command: its options, read into the values that a run is made of."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from fathom.harness.cli.options import AsJson, Db, database_of, names, pairs
from fathom.harness.errors import BadInput

app = typer.Typer()

_questions = partial(typer.Option, rich_help_panel="Questions")
_prompt = partial(typer.Option, rich_help_panel="Prompt")
_sampling = partial(typer.Option, rich_help_panel="Sampling")
_engine = partial(typer.Option, rich_help_panel="Engine")
_Model = Annotated[Optional[str], typer.Option(help="reference/pebble, a folder, or a hub id.")]
_Engine = Annotated[str, typer.Option(help="vllm, hf, openai, ray or oracle.")]
_Seed = Annotated[Optional[str], typer.Option(help="Whole number or hex; fresh and random if not given.")]
_Resume = Annotated[Optional[str], typer.Option(help="Resume this run; needs no other option.")]
_Suite = Annotated[str, _questions(help="Suite of cells.")]
_Families = Annotated[
    Optional[str], _questions(help="Only these families, as depo,mano; one outside the suite at its first levels.")
]
_Levels = Annotated[Optional[str], _questions(help="These levels instead of the suite's; * matches anything.")]
_Channel = Annotated[Optional[str], _questions(help="These channels instead of the suite's.")]
_Style = Annotated[Optional[str], _questions(help="These styles instead of the suite's.")]
_N = Annotated[Optional[int], _questions("--n", help="Items a cell.")]
_Tasks = Annotated[
    Optional[str], _questions(help="lm-eval tasks and groups instead of a suite, for example gsm8k,arc_easy.")
]
_IncludePath = Annotated[Optional[list[Path]], _questions(help="Folder with your own lm-eval tasks; with --tasks.")]
_Limit = Annotated[Optional[int], _questions(min=1, help="Documents a task at most; with --tasks.")]
_Shots = Annotated[
    Optional[int], _prompt(min=0, help="Demonstrations before each question; default 0, or the task's own number.")
]
_Chat = Annotated[bool, _prompt("--chat", help="Use the model's chat template.")]
_System = Annotated[str, _prompt(help="System message.")]
_ShotsAs = Annotated[str, _prompt(help="In a chat: demonstrations as turns, or as text.")]
_TemplateOption = Annotated[
    Optional[list[str]], _prompt(help="For the chat template, for example enable_thinking=false.")
]
_Repeats = Annotated[int, _sampling(min=1, max=1024, help="Answers to each question.")]
_Temperature = Annotated[Optional[float], _sampling(min=0, max=10, help="Default: greedy.")]
_Budget = Annotated[Optional[list[str]], _sampling(help="Tokens an answer by style, for example cot=2048,direct=64.")]
_ThinkBudget = Annotated[Optional[int], _sampling(min=1, help="Tokens for the thought of a model that thinks first.")]
_ThinkMarks = Annotated[
    Optional[str], _sampling(help="Start and end of a thought, where the model's files do not tell.")
]
_Dtype = Annotated[str, _engine(help="auto, bfloat16, float16 or float32.")]
_Revision = Annotated[Optional[str], _engine(help="Branch, tag or commit on the hub.")]
_TensorParallel = Annotated[Optional[int], _engine(min=1, help="GPUs that share each layer.")]
_PipelineParallel = Annotated[Optional[int], _engine(min=1, help="Groups of GPUs that hold some layers each.")]
_Quantization = Annotated[Optional[str], _engine(help="vLLM's name for it, for example fp8 or awq.")]
_Lora = Annotated[Optional[Path], _engine(help="Folder of a LoRA adapter.")]
_EngineArg = Annotated[Optional[list[str]], _engine(help="For the engine, for example max_model_len=8192.")]
_Replicas = Annotated[Optional[int], _engine(min=1, help="Copies of the model; engine ray.")]
_BaseUrl = Annotated[Optional[str], _engine(help="Address of the server, ending in /v1; engine openai.")]
_Concurrency = Annotated[Optional[int], _engine(min=1, help="Requests in flight at most; engine openai.")]


def _marks(text: str | None) -> tuple[str, str] | None:
    found = names(text)
    if text is not None and len(found) != 2:
        raise BadInput("--think-marks wants two marks with a comma between, as in <think>,</think>")
    return (found[0], found[1]) if text is not None else None


def _check_apart(foreign: Mapping[str, object], own: Mapping[str, object]) -> None:
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
    """Join --engine-arg with the options that have a flag of their own.

    Raises:
        BadInput: the two give different values for one option.
    """
    options = pairs(given, "--engine-arg")
    for name, value in own.items():
        if value is not None and options.setdefault(name, value) != value:
            raise BadInput(f"--engine-arg {name}={options[name]} contradicts the flag for {name}: give one of them")
    return options


@app.command("run")
def run_model(  # one parameter an option: typer reads the signature
    model: _Model = None,
    engine: _Engine = "vllm",
    seed: _Seed = None,
    db: Db = None,
    resume: _Resume = None,
    as_json: AsJson = False,
    suite: _Suite = "quick",
    families: _Families = None,
    levels: _Levels = None,
    channel: _Channel = None,
    style: _Style = None,
    n: _N = None,
    tasks: _Tasks = None,
    include_path: _IncludePath = None,
    limit: _Limit = None,
    shots: _Shots = None,
    chat: _Chat = False,
    system: _System = "",
    shots_as: _ShotsAs = "turns",
    template_option: _TemplateOption = None,
    repeats: _Repeats = 1,
    temperature: _Temperature = None,
    budget: _Budget = None,
    think_budget: _ThinkBudget = None,
    think_marks: _ThinkMarks = None,
    dtype: _Dtype = "auto",
    revision: _Revision = None,
    tensor_parallel: _TensorParallel = None,
    pipeline_parallel: _PipelineParallel = None,
    quantization: _Quantization = None,
    lora: _Lora = None,
    engine_arg: _EngineArg = None,
    replicas: _Replicas = None,
    base_url: _BaseUrl = None,
    concurrency: _Concurrency = None,
) -> None:
    """Evaluate a model and store every sample. Exit code 0 done, 2 bad input, 3 the engine failed."""
    import secrets

    from fathom.harness.cli import run_command
    from fathom.harness.engines.base import EngineSettings
    from fathom.harness.engines.options import check_engine
    from fathom.harness.runs.plan import TaskSelection, make_plan, make_task_plan
    from fathom.harness.runs.run_settings import (
        PromptSettings,
        RunSettings,
        SamplingSettings,
        given_thinking,
        known_shots_as,
    )
    from fathom.tasks.suites import Selection, families_outside, open_suite

    own = {"--suite": suite != "quick", "--families": families, "--levels": levels, "--channel": channel,
           "--style": style, "--n": n, "--seed": seed, "--budget": budget, "--repeats": repeats > 1}  # fmt: skip
    _check_apart({"--tasks": tasks, "--include-path": include_path, "--limit": limit}, own)
    options = _engine_options(engine_arg or (), {
        "tensor_parallel_size": tensor_parallel, "pipeline_parallel_size": pipeline_parallel, "replicas": replicas,
        "quantization": quantization, "lora": lora and str(lora), "base_url": base_url, "concurrency": concurrency,
    })  # fmt: skip
    template_options = pairs(template_option or (), "--template-option")
    budgets = pairs(names(",".join(budget or ())), "--budget")
    thinking = given_thinking(think_budget, _marks(think_marks))
    settings = RunSettings(
        PromptSettings(shots or 0, chat, system, known_shots_as(shots_as), template_options),
        SamplingSettings(repeats, temperature, budgets, thinking),
        EngineSettings(engine, dtype, options),
    )
    check_engine(engine)
    output = run_command.Output(database_of(db), as_json)
    folders = tuple(map(str, include_path or ()))
    if resume is not None:
        code = run_command.resume(resume, settings.engine, folders, output)
    elif tasks:
        selection = TaskSelection(names(tasks), folders, limit, shots)
        code = run_command.run_tasks(make_task_plan(model, revision, selection, settings), output)
    else:
        chosen = Selection(names(families), names(levels), names(channel), names(style), n)
        asked = open_suite(suite, secrets.token_hex(8) if seed is None else seed, chosen)
        if not levels and (outside := families_outside(suite, chosen.families)):
            output.tell(
                f"not in the suite {suite}, asked at default levels (--levels names others): {', '.join(outside)}"
            )
        code = run_command.run_suite(make_plan(model, revision, asked, settings, output.tell), output)
    raise typer.Exit(code)

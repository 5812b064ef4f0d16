"""The `fathom run` command: its options, and what it prints while a model is evaluated."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Optional

import typer
from typer.core import TyperCommand

from fathom.harness.cli.attempt import Output, continue_run, run_suite, run_tasks
from fathom.harness.cli.batch import run_batch
from fathom.harness.cli.forecast import show_forecast
from fathom.harness.cli.options import AsJson, Db, database_of, names, pairs, selection_of
from fathom.harness.cli.run_file import file_words, is_given, write_run_file
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model_name import check_board_name
from fathom.harness.engines.options import check_engine, chosen_engine, join_options
from fathom.harness.engines.providers import PROVIDERS
from fathom.harness.errors import BadInput
from fathom.harness.runs.plan import Plan, TaskPlan, TaskSelection, check_tags, make_plan, make_task_plan, named, tagged
from fathom.harness.runs.prompt_format import StatedFormat
from fathom.harness.runs.run_settings import (
    PRECISION,
    PromptSettings,
    RunSettings,
    SamplingSettings,
    given_thinking,
    known_shots_as,
)
from fathom.tasks.suites import Selection, Suite, families_outside, open_suite

app = typer.Typer()

_questions = partial(typer.Option, rich_help_panel="Questions")
_prompt = partial(typer.Option, rich_help_panel="Prompt")
_sampling = partial(typer.Option, rich_help_panel="Sampling")
_engine = partial(typer.Option, rich_help_panel="Engine")
_Name = Annotated[
    Optional[str], typer.Option(help="Name of the model in tables and on boards, as org/name; default: its folder's.")
]
_File = Annotated[
    Optional[Path], typer.Argument(help="TOML file with any of these options; those of the command line replace them.")
]
_Write = Annotated[Optional[Path], typer.Option(help="Write the options to this new TOML file, and run nothing.")]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be asked, and how long it takes; load no model.")
]
_Throughput = Annotated[
    Optional[float], typer.Option(min=0.001, help="With --dry-run: tokens a second, in place of earlier runs.")
]
_Tag = Annotated[Optional[list[str]], typer.Option(help="Word to find the run by: `fathom runs --tag`; repeatable.")]
_Model = Annotated[Optional[str], typer.Option(help="reference/pebble, a folder, or a hub id.")]
_Models = Annotated[
    Optional[list[str]], typer.Option(help="reference/pebble, a folder, or a hub id; repeat it for several models.")
]
_Engine = Annotated[
    Optional[str], typer.Option(help="vllm (default), hf, openai (with --provider or --base-url), ray or oracle.")
]
_Seed = Annotated[Optional[str], typer.Option(help="Whole number or hex; fresh and random if not given.")]
_Seeds = Annotated[
    Optional[list[str]],
    typer.Option(help="Whole number or hex; fresh and random if not given; repeat it for several seeds."),
]
_Resume = Annotated[Optional[str], typer.Option(help="Resume this run; needs no other option.")]
_Suite = Annotated[str, _questions(help="Suite of cells.")]
_Families = Annotated[
    Optional[str], _questions(help="Only these families, as depo,mano; one outside the suite at its first levels.")
]
_Levels = Annotated[Optional[str], _questions(help="These levels instead of the suite's; * matches anything.")]
_Channel = Annotated[Optional[str], _questions(help="These channels instead of the suite's.")]
_Style = Annotated[Optional[str], _questions(help="These styles instead of the suite's.")]
_N = Annotated[Optional[int], _questions("--n", help="Items per cell.")]
_Tasks = Annotated[
    Optional[str], _questions(help="lm-eval tasks and groups instead of a suite, for example gsm8k,arc_easy.")
]
_IncludePath = Annotated[Optional[list[Path]], _questions(help="Folder with your own lm-eval tasks; with --tasks.")]
_Limit = Annotated[Optional[int], _questions(min=1, help="Documents per task at most; with --tasks.")]
_Shots = Annotated[
    Optional[int],
    _prompt(
        min=0, help="Demonstrations before each question; default: 0 in a chat, 3 in plain text, or as its card says."
    ),
]
_Chat = Annotated[
    Optional[bool], _prompt("--chat/--no-chat", help="Use the model's chat template; default: if it has one.")
]
_System = Annotated[str, _prompt(help="System message.")]
_ShotsAs = Annotated[str, _prompt(help="In a chat: demonstrations as turns, or as text.")]
_TemplateOption = Annotated[
    Optional[list[str]], _prompt(help="For the chat template, for example enable_thinking=false.")
]
_Filler = Annotated[
    int, _prompt(min=0, max=4096, help="Numbers before a direct answer, which give time to think in the head.")
]
_AskTwice = Annotated[bool, _prompt("--ask-twice", help="Put a direct question twice.")]
_Repeats = Annotated[int, _sampling(min=1, max=1024, help="Answers to each question.")]
_Temperature = Annotated[Optional[float], _sampling(min=0, max=10, help="Default: greedy.")]
_Budget = Annotated[Optional[list[str]], _sampling(help="Tokens per answer by style, for example cot=2048,direct=64.")]
_ThinkBudget = Annotated[Optional[int], _sampling(min=1, help="Tokens for the thought of a model that thinks first.")]
_Precision = Annotated[
    float,
    _sampling(help="Suite depth: a ladder ends at this half-width of its interval, in doublings."),
]
_ThinkMarks = Annotated[
    Optional[str], _sampling(help="Start and end of a thought, where the model's files do not tell.")
]
_Dtype = Annotated[str, _engine(help="auto, bfloat16, float16 or float32.")]
_Revision = Annotated[Optional[str], _engine(help="Branch, tag or commit on the hub.")]
_TensorParallel = Annotated[Optional[int], _engine(min=1, help="GPUs that share each layer.")]
_PipelineParallel = Annotated[Optional[int], _engine(min=1, help="Groups of GPUs that hold some layers each.")]
_Quantization = Annotated[
    Optional[str], _engine(help="vLLM's name for it, for example fp8 or awq; engine hf: 4bit or 8bit.")
]
_Lora = Annotated[Optional[Path], _engine(help="Folder of a LoRA adapter.")]
_EngineArg = Annotated[Optional[list[str]], _engine(help="For the engine, for example max_model_len=8192.")]
_Replicas = Annotated[Optional[int], _engine(min=1, help="Copies of the model; engine ray.")]
_BaseUrl = Annotated[Optional[str], _engine(help="Address of the server, ending in /v1; engine openai.")]
_Provider = Annotated[Optional[str], _engine(help=f"Whose API model it is; engine openai: {', '.join(PROVIDERS)}.")]
_ReasoningEffort = Annotated[Optional[str], _engine(help="How much a model of a provider thinks: none, low, high ...")]
_Concurrency = Annotated[Optional[int], _engine(min=1, help="Requests in flight at most; engine openai.")]


def _marks(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    found = names(text)
    if len(found) != 2:
        raise BadInput("--think-marks wants two marks with a comma between, as in <think>,</think>")
    return found[0], found[1]


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
    if foreign["--include-path"] and not foreign["--tasks"]:
        raise BadInput("--include-path goes with --tasks: name the tasks of that folder, or leave it out")


def _check_resume(given: Mapping[str, object]) -> None:
    """Refuse options that say what is asked or how, since a resumed run keeps its own.

    Raises:
        BadInput: naming the first such option.
    """
    if named := [option for option, value in given.items() if value]:
        raise BadInput(f"--resume continues a run as it was started: leave {named[0]} out")


@dataclass(frozen=True, slots=True)
class _Request:
    """What a call asks for: every model with every seed, or lm-eval's tasks of every model."""

    models: tuple[str | None, ...]
    seeds: tuple[str, ...]
    suite: str
    chosen: Selection
    tasks: TaskSelection
    stated: StatedFormat
    settings: RunSettings
    name: str | None
    revision: str | None
    tags: tuple[str, ...]

    def check(self) -> None:
        """Raise BadInput where options do not go together."""
        check_engine(self.settings.engine.name)
        check_tags(self.tags)
        if self.name is not None:
            check_board_name(self.name)
            if len(self.models) > 1:
                raise BadInput("--name is the name of one model: leave it out, or call `fathom run` once for each")
        if self.tasks.tasks and len(self.seeds) > 1:
            raise BadInput("--seed is about Fathom's own suites, and --tasks about lm-eval's tasks: leave one out")

    def plans(self, output: Output, *, weights: bool = True) -> list[Plan | TaskPlan]:
        """Return one plan a run, all of them checked before any model is loaded; a dry run needs no weights.

        Raises:
            BadInput: no such model, or settings that it or the suite cannot be run with.
        """
        if self.tasks.tasks:
            made = (make_task_plan(model, self.revision, self.tasks, self.settings) for model in self.models)
            return [tagged(named(plan, self.name), self.tags) for plan in made]
        suites = [open_suite(self.suite, seed, self.chosen) for seed in self.seeds]
        self._tell_other_families(suites[0], output)
        return [self._plan(model, suite, output, weights) for model, suite in product(self.models, suites)]

    def _tell_other_families(self, asked: Suite, output: Output) -> None:
        """Say which families are asked in another suite than the named one, or at levels that no suite has."""
        outside = () if self.chosen.levels else families_outside(self.suite, self.chosen.families)
        if asked.name != self.suite:
            families = ", ".join(asked.families)
            output.tell(f"asked in the suite of their package, {asked.name} {asked.version}: {families}")
        elif outside:
            left = ", ".join(outside)
            output.tell(f"not in the suite {self.suite}, asked at default levels (--levels names others): {left}")

    def _plan(self, model: str | None, asked: Suite, output: Output, weights: bool) -> Plan:
        plan = make_plan(model, self.revision, asked, self.settings, output.tell, self.stated, weights=weights)
        return tagged(named(plan, self.name), self.tags)


class RunFileCommand(TyperCommand):
    """A command whose argument `file` names a TOML file with more options; those on the command line replace them."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # click's Context
        """Parse the words; if they name a file, its options come before them.

        Raises:
            BadRunFile: it cannot be read, or holds what the command does not take.
        """
        rest = super().parse_args(ctx, list(args))
        file = ctx.params.get("file")
        if file is None or ctx.resilient_parsing:
            return rest
        stated = [one.name for one in self.params if is_given(ctx, one)]
        words = [word for name, some in file_words(Path(file), self.params) if name not in stated for word in some]
        ctx.params.clear()
        return super().parse_args(ctx, [*words, *args])


@app.command("run", cls=RunFileCommand)
def run_model(  # one parameter an option: typer reads the signature
    context: typer.Context,
    file: _File = None,
    model: _Models = None,
    name: _Name = None,
    engine: _Engine = None,
    seed: _Seeds = None,
    tag: _Tag = None,
    db: Db = None,
    resume: _Resume = None,
    write: _Write = None,
    dry_run: _DryRun = False,
    throughput: _Throughput = None,
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
    chat: _Chat = None,
    system: _System = "",
    shots_as: _ShotsAs = "turns",
    template_option: _TemplateOption = None,
    filler: _Filler = 0,
    ask_twice: _AskTwice = False,
    repeats: _Repeats = 1,
    temperature: _Temperature = None,
    budget: _Budget = None,
    think_budget: _ThinkBudget = None,
    think_marks: _ThinkMarks = None,
    precision: _Precision = PRECISION,
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
    provider: _Provider = None,
    reasoning_effort: _ReasoningEffort = None,
) -> None:
    """Evaluate a model and store every sample. Exit code 0 done, 2 bad input, 3 the engine failed or never answered."""
    own = {"--suite": suite != "quick", "--families": families, "--levels": levels, "--channel": channel,
           "--style": style, "--n": n, "--seed": seed, "--budget": budget, "--repeats": repeats > 1,
           "--filler": filler, "--ask-twice": ask_twice, "--precision": precision != PRECISION}  # fmt: skip
    if resume is not None:
        _check_resume(own | {"FILE": file, "--model": model, "--name": name, "--tag": tag, "--tasks": tasks,
                             "--limit": limit, "--shots": shots is not None, "--chat or --no-chat": chat is not None,
                             "--system": system, "--temperature": temperature, "--revision": revision,
                             "--write": write, "--dry-run": dry_run})  # fmt: skip
    else:
        _check_apart({"--tasks": tasks, "--include-path": include_path, "--limit": limit}, own)
    short = {
        "tensor_parallel": tensor_parallel, "pipeline_parallel": pipeline_parallel, "replicas": replicas,
        "quantization": quantization, "lora": lora and str(lora), "base_url": base_url, "concurrency": concurrency,
        "provider": provider, "reasoning_effort": reasoning_effort,
    }  # fmt: skip
    engine, options = chosen_engine(engine, short), join_options(pairs(engine_arg or (), "--engine-arg"), short)
    template_options = pairs(template_option or (), "--template-option")
    budgets = pairs(names(",".join(budget or ())), "--budget")
    thinking = given_thinking(think_budget, _marks(think_marks))
    settings = RunSettings(
        PromptSettings(shots or 0, bool(chat), system, known_shots_as(shots_as), template_options, filler, ask_twice),
        SamplingSettings(repeats, temperature, budgets, thinking, precision),
        EngineSettings(engine, dtype, options),
    )
    output, folders = Output(database_of(db), as_json), tuple(map(str, include_path or ()))
    if resume is not None:
        check_engine(engine)
        raise typer.Exit(continue_run(resume, settings.engine, folders, output))
    asked = _Request(
        tuple(model or (None,)), tuple(seed or (secrets.token_hex(8),)), suite,
        selection_of(families, levels, channel, style, n), TaskSelection(names(tasks), folders, limit, shots),
        StatedFormat(chat, shots), settings, name, revision, tuple(tag or ()),
    )  # fmt: skip
    asked.check()
    if write is not None:
        write_run_file(write, context, {} if seed or tasks else {"seed": list(asked.seeds)})
        output.tell(f"wrote {write}: run it with `fathom run {write}`")
        return
    plans = asked.plans(output, weights=not dry_run)
    if dry_run:
        show_forecast(plans, output, throughput)
        return
    raise typer.Exit(run_batch(plans, output) if file or len(plans) > 1 else _run(plans[0], output))


def _run(plan: Plan | TaskPlan, output: Output) -> int:
    return run_tasks(plan, output) if isinstance(plan, TaskPlan) else run_suite(plan, output)


@app.command("depth")
def measure_depth(  # one parameter an option: typer reads the signature
    context: typer.Context,
    model: _Model = None,
    name: _Name = None,
    engine: _Engine = None,
    seed: _Seed = None,
    db: Db = None,
    as_json: AsJson = False,
    families: _Families = None,
    levels: _Levels = None,
    channel: _Channel = None,
    style: _Style = None,
    precision: _Precision = PRECISION,
    max_items: Annotated[Optional[int], _questions(min=16, help="Items of a ladder at most; default: 400.")] = None,
    shots: _Shots = None,
    chat: _Chat = None,
    budget: _Budget = None,
    think_budget: _ThinkBudget = None,
    dtype: _Dtype = "auto",
    revision: _Revision = None,
    engine_arg: _EngineArg = None,
    base_url: _BaseUrl = None,
    concurrency: _Concurrency = None,
    provider: _Provider = None,
    reasoning_effort: _ReasoningEffort = None,
) -> None:
    """Find how deep a model can think: questions are placed where they tell most, with a third of a suite's items.

    The same as `fathom run --suite depth`, which takes every option of a run.
    """
    run_model(
        context, model=[model] if model else None, name=name, engine=engine, seed=[seed] if seed else None, db=db,
        as_json=as_json, suite="depth", families=families, levels=levels, channel=channel, style=style, n=max_items,
        shots=shots, chat=chat, budget=budget, think_budget=think_budget, precision=precision, dtype=dtype,
        revision=revision,
        engine_arg=engine_arg, base_url=base_url, concurrency=concurrency, provider=provider,
        reasoning_effort=reasoning_effort,
    )  # fmt: skip

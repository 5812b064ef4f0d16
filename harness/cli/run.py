"""The `fathom run` command: its options, and what it prints while a model is evaluated."""

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console
from sqlalchemy import Engine as Database

from fathom.harness.cli.options import AsJson, Db, database_of, names, open_store, pairs, selection_of
from fathom.harness.db.find import any_run
from fathom.harness.db.read import get_run, get_task_run
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model_name import check_board_name
from fathom.harness.engines.options import check_engine
from fathom.harness.errors import BadInput, EngineFailed, Interrupted
from fathom.harness.format import count, percent, plural
from fathom.harness.records import RunDetail, TaskRunDetail
from fathom.harness.reports.console import RunProgress, StderrHandler, make_console, print_json, print_notes
from fathom.harness.reports.depths import DepthProgress, render_depths
from fathom.harness.reports.describe import notes_on, settings_text
from fathom.harness.reports.measures import measure_run
from fathom.harness.reports.terminal import render_run, render_task_run, run_json, task_run_json
from fathom.harness.runs.evaluate import Outcome, evaluate
from fathom.harness.runs.ladders import open_ladders
from fathom.harness.runs.plan import (
    Plan,
    TaskPlan,
    TaskSelection,
    make_plan,
    make_task_plan,
    named,
    resume_plan,
    resume_task_plan,
)
from fathom.harness.runs.prompt_format import StatedFormat
from fathom.harness.runs.run_settings import (
    PRECISION,
    PromptSettings,
    RunSettings,
    SamplingSettings,
    given_thinking,
    known_shots_as,
)
from fathom.harness.settings import quiet_lm_eval
from fathom.tasks.base import PARAMETRIC
from fathom.tasks.suite_tables import ADAPTIVE
from fathom.tasks.suites import families_outside, open_suite

app = typer.Typer()

_questions = partial(typer.Option, rich_help_panel="Questions")
_prompt = partial(typer.Option, rich_help_panel="Prompt")
_sampling = partial(typer.Option, rich_help_panel="Sampling")
_engine = partial(typer.Option, rich_help_panel="Engine")
_Name = Annotated[
    Optional[str], typer.Option(help="Name of the model in tables and on boards, as org/name; default: its folder's.")
]
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
_Quantization = Annotated[Optional[str], _engine(help="vLLM's name for it, for example fp8 or awq.")]
_Lora = Annotated[Optional[Path], _engine(help="Folder of a LoRA adapter.")]
_EngineArg = Annotated[Optional[list[str]], _engine(help="For the engine, for example max_model_len=8192.")]
_Replicas = Annotated[Optional[int], _engine(min=1, help="Copies of the model; engine ray.")]
_BaseUrl = Annotated[Optional[str], _engine(help="Address of the server, ending in /v1; engine openai.")]
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
    name: _Name = None,
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
) -> None:
    """Evaluate a model and store every sample. Exit code 0 done, 2 bad input, 3 the engine failed or never answered."""
    own = {"--suite": suite != "quick", "--families": families, "--levels": levels, "--channel": channel,
           "--style": style, "--n": n, "--seed": seed, "--budget": budget, "--repeats": repeats > 1,
           "--filler": filler, "--ask-twice": ask_twice, "--precision": precision != PRECISION}  # fmt: skip
    if resume is not None:
        _check_resume(own | {"--model": model, "--name": name, "--tasks": tasks, "--limit": limit,
                             "--shots": shots is not None, "--chat or --no-chat": chat is not None,
                             "--system": system, "--temperature": temperature, "--revision": revision})  # fmt: skip
    else:
        _check_apart({"--tasks": tasks, "--include-path": include_path, "--limit": limit}, own)
    options = _engine_options(engine_arg or (), {
        "tensor_parallel_size": tensor_parallel, "pipeline_parallel_size": pipeline_parallel, "replicas": replicas,
        "quantization": quantization, "lora": lora and str(lora), "base_url": base_url, "concurrency": concurrency,
    })  # fmt: skip
    template_options = pairs(template_option or (), "--template-option")
    budgets = pairs(names(",".join(budget or ())), "--budget")
    thinking = given_thinking(think_budget, _marks(think_marks))
    settings = RunSettings(
        PromptSettings(shots or 0, bool(chat), system, known_shots_as(shots_as), template_options, filler, ask_twice),
        SamplingSettings(repeats, temperature, budgets, thinking, precision),
        EngineSettings(engine, dtype, options),
    )
    check_engine(engine)
    if name is not None:
        check_board_name(name)
    output = Output(database_of(db), as_json)
    folders = tuple(map(str, include_path or ()))
    if resume is not None:
        code = continue_run(resume, settings.engine, folders, output)
    elif tasks:
        selection = TaskSelection(names(tasks), folders, limit, shots)
        foreign = make_task_plan(model, revision, selection, settings)
        code = run_tasks(named(foreign, name), output)
    else:
        chosen = selection_of(families, levels, channel, style, n)
        asked = open_suite(suite, secrets.token_hex(8) if seed is None else seed, chosen)
        if asked.name != suite:
            output.tell(
                f"asked in the suite of their package, {asked.name} {asked.version}: {', '.join(asked.families)}"
            )
        elif not levels and (outside := families_outside(suite, chosen.families)):
            output.tell(
                f"not in the suite {suite}, asked at default levels (--levels names others): {', '.join(outside)}"
            )
        plan = make_plan(model, revision, asked, settings, output.tell, StatedFormat(chat, shots))
        code = run_suite(named(plan, name), output)
    raise typer.Exit(code)


@app.command("depth")
def measure_depth(  # one parameter an option: typer reads the signature
    model: _Model = None,
    name: _Name = None,
    engine: _Engine = "vllm",
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
) -> None:
    """Find how deep a model can think: questions are placed where they tell most, with a third of a suite's items.

    The same as `fathom run --suite depth`, which takes every option of a run.
    """
    run_model(
        model, name, engine, seed, db, None, as_json, "depth", families, levels, channel, style, max_items,
        shots=shots, chat=chat, budget=budget, think_budget=think_budget, precision=precision, dtype=dtype,
        revision=revision, engine_arg=engine_arg, base_url=base_url, concurrency=concurrency,
    )  # fmt: skip


STOPPED = 130
"""Exit code where the user stopped a run."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a run is stored, and how its result is printed."""

    database: str
    as_json: bool

    def console(self) -> Console:
        """Return the console for what is said meanwhile; JSON has the standard output to itself."""
        return make_console(stderr=self.as_json)

    def tell(self, text: str) -> None:
        """Print a remark on one line."""
        self.console().print(text, soft_wrap=True)


def run_suite(plan: Plan, output: Output) -> int:
    """Evaluate a model on a suite, then print a table or JSON; return the exit code."""
    _log_to_stderr()
    if plan.prompt_format is not None:
        make_console(stderr=True).print(plan.prompt_format.text(), soft_wrap=True, highlight=False)
    return _evaluate(plan, open_store(output.database, create=True), output)


def continue_run(run: str, engine: EngineSettings, folders: tuple[str, ...], output: Output) -> int:
    """Go on with a stored run as it was started, on the machines that `engine` names; return the exit code.

    `folders` replace those in which a run of lm-eval's tasks found its tasks, if there are any.
    """
    _log_to_stderr()
    db = open_store(output.database, create=False)
    detail = any_run(db, run)
    if isinstance(detail, TaskRunDetail):
        return _resume_tasks(db, detail, (engine, folders), output)
    plan = resume_plan(detail, engine)
    n_errors = sum(cell.n_errors for cell in detail.cells)
    if detail.summary.state == "done" and detail.summary.n_done == detail.summary.n_samples and not n_errors:
        output.tell(f"run {detail.summary.run} is done; nothing is missing")
        _print_run(db, detail, output)
        return 0
    return _evaluate(plan, db, output)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", handlers=[StderrHandler()])


def _evaluate(plan: Plan, db: Database, output: Output) -> int:
    talk, suite, sampling = output.console(), plan.suite, plan.settings.sampling
    is_adaptive, size = suite.name in ADAPTIVE, f"{count(suite.n_items)} items in {len(suite.cells)} cells"
    if is_adaptive:
        size = f"{plural(len(open_ladders(suite)), 'ladder')}, {count(suite.n_items)} items at most"
    again = f", each answered {sampling.repeats} times" if sampling.repeats > 1 else ""
    heat = "" if sampling.temperature is None else f", temperature {sampling.temperature:g}"
    talk.print(
        f"{plan.model.name} on {suite.name} {suite.version}, seed {suite.seed}: {size}{again}, "
        f"engine {plan.settings.engine.name}{heat}",
        soft_wrap=True,
    )
    if sampling.thinking is not None:
        talk.print(settings_text(plan.settings, suite.cells), soft_wrap=True)

    def work() -> Outcome:
        if is_adaptive:
            with DepthProgress(talk, suite) as rulers:
                return evaluate(plan, db, rulers)
        sizes = [cell.n * sampling.repeats for cell in suite.cells]
        with RunProgress(talk, sizes, unit="answer" if again else "item") as progress:
            return evaluate(plan, db, progress)

    outcome = _attempt(talk, db, work)
    if outcome is None:
        return STOPPED
    detail = get_run(db, outcome.run)
    _print_run(db, detail, output)
    print_notes(talk, notes_on(db, detail))
    return 0


def _attempt(talk: Console, db: Database, work: Callable[[], Outcome]) -> Outcome | None:
    """Do the work of a run and say how it ended, or how to go on; None where the user stopped it."""
    try:
        outcome = work()
    except KeyboardInterrupt as stop:
        run = stop.run if isinstance(stop, Interrupted) else None
        talk.print(f"stopped; what was generated is stored. {_how_to_resume(db, run)}", soft_wrap=True)
        return None
    except EngineFailed as error:
        said = f"the run is stored as failed, with its log (fathom show). {_how_to_resume(db, error.run)}"
        talk.print(said, soft_wrap=True)
        raise
    talk.print(
        f"run {outcome.run}: {count(outcome.n_generated)} generated, "
        f"{count(outcome.n_recalled)} recalled from the journal{_cached(outcome)}",
        soft_wrap=True,
    )
    return outcome


def _cached(outcome: Outcome) -> str:
    if not outcome.n_cached_tokens:
        return ""
    share = percent(outcome.n_cached_tokens / outcome.n_prompt_tokens, 0)
    return f"; {share} of the prompts' tokens came from the prefix cache"


def _how_to_resume(db: Database, run: str | None) -> str:
    if run is None:
        return "Nothing was started yet."
    where = db.url.database if db.dialect.name == "sqlite" else db.url.render_as_string(hide_password=True)
    return f"Go on with: fathom run --resume {run} --db {where}"


def _print_run(db: Database, detail: RunDetail, output: Output) -> None:
    is_trained = any(cell.style in PARAMETRIC for cell in detail.cells)  # only such cells have measures
    measures = measure_run(db, detail) if is_trained else ()
    if output.as_json:
        print_json(run_json(detail, measures=measures))
    elif detail.summary.layer == "adaptive":
        make_console().print(render_depths(detail))
    else:
        make_console().print(render_run(detail, measures))


def run_tasks(plan: TaskPlan, output: Output) -> int:
    """Evaluate a model on lm-eval's own tasks, then print a table or JSON; return the exit code."""
    _log_to_stderr()
    return _evaluate_tasks(plan, open_store(output.database, create=True), output)


def _evaluate_tasks(plan: TaskPlan, db: Database, output: Output) -> int:
    talk = output.console()
    talk.file = talk.file  # keep the stream itself: sys.stdout is replaced while tasks are loaded
    quiet_lm_eval()
    from fathom.harness.runs.lm_eval_tasks.evaluation import prepare_tasks

    with talk.status("building"):
        prepared = prepare_tasks(plan)
    talk.print(
        f"{plan.model.name} on {plural(len(prepared.sizes), 'task')} of lm-eval: "
        f"{count(len(prepared.requests))} requests, engine {plan.settings.engine.name}",
        soft_wrap=True,
    )
    if (thinking := plan.settings.sampling.thinking) is not None:
        talk.print(
            f"a thought ends with {thinking.end} and takes {count(thinking.budget)} tokens at most; what follows it is "
            "scored, and a thought without an end as an empty answer",
            soft_wrap=True,
        )

    def work() -> Outcome:
        with RunProgress(talk, list(prepared.sizes.values()), "task") as progress:
            return evaluate(prepared, db, progress)

    outcome = _attempt(talk, db, work)
    if outcome is None:
        return STOPPED
    _print_tasks(get_task_run(db, outcome.run), output)
    return 0


def _resume_tasks(
    db: Database, detail: TaskRunDetail, now: tuple[EngineSettings, tuple[str, ...]], output: Output
) -> int:
    one = detail.summary
    if one.state == "done":
        output.tell(f"run {one.run} is done; nothing is missing")
        _print_tasks(detail, output)
        return 0
    return _evaluate_tasks(resume_task_plan(detail, *now), db, output)


def _print_tasks(detail: TaskRunDetail, output: Output) -> None:
    if output.as_json:
        print_json(task_run_json(detail))
    else:
        make_console().print(render_task_run(detail))

"""The options of `fathom run`, in the groups in which its help shows them."""

from functools import partial
from pathlib import Path
from typing import Annotated, Optional

import typer

_asked = partial(typer.Option, rich_help_panel="What is asked")
_put = partial(typer.Option, rich_help_panel="How it is put")
_drawn = partial(typer.Option, rich_help_panel="How answers are drawn")
_engine = partial(typer.Option, rich_help_panel="The engine")

Model = Annotated[Optional[str], typer.Option(help="reference/pebble, a folder, or a hub id.")]
Engine = Annotated[str, typer.Option(help="vllm, hf, openai, ray or oracle.")]
Seed = Annotated[Optional[str], typer.Option(help="Whole number or hex; fresh and random if not given.")]
Resume = Annotated[Optional[str], typer.Option(help="Go on with this run; nothing else need be given.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

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

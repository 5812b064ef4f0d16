"""The commands about what is asked: families, single items, grading, lm-eval task names."""

import io
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from fathom.harness.cli.options import AsJson
from fathom.harness.errors import BadInput
from fathom.harness.format import visible
from fathom.harness.reports.console import print_json_text
from fathom.harness.settings import read_settings

app = typer.Typer()


@app.command("families")
def list_families(
    family: Annotated[Optional[str], typer.Argument(metavar="[NAME]", help="Only this family.")] = None,
    as_json: AsJson = False,
    new: Annotated[
        Optional[Path], typer.Option(metavar="FOLDER", help="Write a package with a family NAME, ready to be changed.")
    ] = None,
) -> None:
    """List the task families, or one of them, with their levels and chance levels; or begin a new one."""
    from fathom.harness.reports.console import make_console, print_json
    from fathom.harness.reports.terminal import families_json, render_families
    from fathom.tasks.registry import faults_of_packages

    if new is not None:
        from fathom.harness.cli.scaffold import write_package

        print(write_package(family or "", new))
        return
    if as_json:
        print_json(families_json(family))
    else:
        make_console().print(render_families(family))
    for fault in faults_of_packages():
        make_console(stderr=True).print(visible(fault), style="yellow", soft_wrap=True, markup=False, highlight=False)


@app.command("sample")
def print_samples(
    family: Annotated[str, typer.Argument(help="A family, as in `fathom families`.")],
    level: Annotated[str, typer.Option(help="A level of the family.")],
    seed: Annotated[str, typer.Option(help="A whole number or a hex string of any length.")],
    count: Annotated[int, typer.Option(min=1, help="How many items.")] = 1,
    start: Annotated[int, typer.Option(min=0, help="Index of the first one.")] = 0,
    channel: Annotated[str, typer.Option(help="symbol or story.")] = "symbol",
    style: Annotated[str, typer.Option(help="direct, cot or choice.")] = "direct",
) -> None:
    """Print items as JSON lines: question, gold, and the facts behind them."""
    from fathom.harness.io.items import item_lines

    for line in item_lines(family, level, channel, style, seed, range(start, start + count)):
        print_json_text(line)


@app.command("grade")
def grade_stdin(
    style: Annotated[
        Optional[str], typer.Option(help="Style in which they were asked: an answer ends where a run ends it.")
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="They come from a chat: a thought is not an answer, and must have an end.")
    ] = False,
) -> None:
    """Read {"id", "completion"} as JSON lines; print {"id", "correct", "parsed", "label", "found", ...}."""
    from fathom.harness.io.items import AskedHow, grade_lines

    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")  # as JSON is, whatever the console's encoding
    for line in grade_lines(sys.stdin, AskedHow(style, chat)):
        print_json_text(line)


@app.command("tasks")
def list_tasks(
    lm_eval_path: Annotated[
        bool, typer.Option("--lm-eval-path", help="Print a folder for `lm_eval --include_path`.")
    ] = False,
) -> None:
    """List the lm-eval tasks, or print where lm-eval finds them."""
    from fathom.harness.runs.lm_eval_adapter import all_cells, task_name, write_yaml

    if lm_eval_path:
        print(write_yaml(read_settings().cache))
        return
    for cell in all_cells():
        print(task_name(cell))


@app.command("gallery")
def print_gallery(
    out: Annotated[Path, typer.Option(help="File to write; - prints it.")] = Path("tasks/GALLERY.md"),
) -> None:
    """Write one example item of each family, with its gold and a wrong answer, as Markdown."""
    from fathom.harness.cli.gallery import write_gallery

    text = write_gallery()
    if str(out) == "-":
        print(text, end="")
        return
    if not out.parent.is_dir():
        raise BadInput(f"there is no folder {out.parent}: run it in Fathom's own folder, or give --out FILE")
    out.write_text(text, encoding="utf-8")
    print(f"wrote {out}")

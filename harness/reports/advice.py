"""Say which option to try where many answers of a run could not be read, were cut off or were not asked."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from fathom.harness.format import count, percent, plural
from fathom.harness.records import RunDetail
from fathom.harness.runs.requests import budget_of
from fathom.harness.runs.run_settings import PromptSettings, RunSettings, settings_of
from fathom.harness.stats.scores import CellCounts
from fathom.tasks.base import SCORED
from fathom.tasks.errors import TaskError

_MANY = 1 / 3
"""Share of a style's answers above which something is wrong with how they were asked for."""


def advice_of(detail: RunDetail) -> tuple[str, ...]:
    """Return one sentence for each thing that happened to more than a third of the answers, with the flag to try."""
    settings = settings_of(detail.manifest)
    cells = [cell for cell in detail.cells if cell.style not in SCORED]
    if settings is None or not cells:
        return ()
    has_template = "chat_template" in detail.manifest.stored.get("context", {})
    said = _advice(cells, settings.prompt, has_template, settings.sampling.thinking is not None)
    return (*said, *_too_small_context(detail, settings))


def _too_small_context(detail: RunDetail, settings: RunSettings) -> Iterator[str]:
    """Say where a token budget is larger than the whole context of the model; answers get what the prompt leaves."""
    context = str(detail.manifest.engine_facts.get("context", ""))
    if not context.isdecimal():
        return
    thought = settings.sampling.thinking.budget if settings.sampling.thinking else 0
    budgets = []
    for cell in detail.suite.cells:
        with suppress(TaskError):  # a family or level that is no longer there
            budgets += [budget_of(cell, settings) + thought] if cell.style not in SCORED else []
    large = [budget for budget in budgets if budget >= int(context)]
    if large:
        yield (
            f"the token budget of {count(len(large))} of {plural(len(budgets), 'cell')}, up to {count(max(large))} "
            f"tokens, does not fit the model's context of {count(int(context))}: answers get what the prompt leaves"
        )


def _advice(cells: Iterable[CellCounts], prompt: PromptSettings, has_template: bool, thinks: bool) -> Iterator[str]:
    counted = [cell for cell in cells if cell.found is not None]
    n = sum(cell.n for cell in counted)
    n_unread = sum(cell.found.n_unread for cell in counted if cell.found)
    n_cut = sum(cell.found.n_cut for cell in counted if cell.found)
    n_long = sum(cell.labels.get("too_long", 0) for cell in counted)
    if n_unread > n * _MANY:
        yield f"{_share(n_unread, n)} are empty or could not be read: {_other_prompt_format(prompt, has_template)}"
    if n_cut > n * _MANY:
        flag = "--think-budget 32768" if thinks else "--budget direct=256,cot=8192"
        yield f"{_share(n_cut, n)} were cut off by their token budget: give more, as in {flag}"
    if n_long > n * _MANY:
        fewer = "--shots 0 makes them shorter" if prompt.n_shots else "choose easier --levels"
        yield f"{_share(n_long, n)} were not asked, as prompts do not fit the model's context: {fewer}"


def _share(some: int, n: int) -> str:
    return f"{count(some)} of {count(n)} answers ({percent(some / n, 0)})"


def _other_prompt_format(prompt: PromptSettings, has_template: bool) -> str:
    """Return the prompt format to try next."""
    if not prompt.chat and has_template:
        return "the model has a chat template, try --chat"
    if not prompt.chat:
        return "try --shots 5" if prompt.n_shots else "try --shots 3"
    return "try --no-chat" if prompt.n_shots else "try --shots 2, or --no-chat"

"""Families as tasks of inspect_ai, by its entry point: `inspect eval fathom/depo --model openai/gpt-5 -T seed=9f3c`.

The items, prompts and verdicts are those of a chat run of Fathom; how answers are generated is inspect's business.
Styles that read log-likelihoods have no counterpart there and are left out.
"""

from collections.abc import Callable, Iterator
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver

from fathom.tasks.base import PARAMETRIC, SCORED, Verdict, as_message, grade, level_of, pose, styles_of, verdict_json
from fathom.tasks.environments import after_thought
from fathom.tasks.registry import all_families, find_family, instance_from_id
from fathom.tasks.suites import Selection, instances, open_suite

_CUT = ("max_tokens", "model_length")
"""Inspect's reasons to stop of an answer that has no end of its own."""


def samples(family: str, seed: int | str, selection: Selection, suite: str = "quick") -> Iterator[Sample]:
    """Yield the items of a suite's cells of one family, whose answers are generated, as samples.

    Raises:
        UnknownSuite, UnknownLevel, UnknownStyle, EmptySuite, BadSeed: see `open_suite`.
    """
    asked = open_suite(suite, seed, selection).without((*SCORED, *PARAMETRIC))
    kind = find_family(family)
    for cell in asked.cells:
        n_tokens = kind.budget(level_of(kind, cell.level), cell.style)
        for item in instances(cell, asked.seed):
            facts = {"item": item.id, "level": cell.level, "style": cell.style, "max_tokens": n_tokens}
            text = as_message(pose(kind, item, cell.style))
            yield Sample(input=text, target=item.gold, id=f"{item.id}/{cell.style}", metadata=facts)


@solver
def answer_within_budget() -> Solver:
    """Ask greedily, with the token budget of the sample's level and style."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        return await generate(state, max_tokens=state.metadata["max_tokens"], temperature=0.0)

    return solve


@scorer(metrics=[accuracy(), stderr()])
def verdict() -> Scorer:
    """Grade by Fathom's reader and verifier; the explanation names the mistake."""

    async def score(state: TaskState, target: Target) -> Score:  # noqa: ARG001 - inspect passes it
        found = verdict_of(state.metadata["item"], state.output.completion, state.output.stop_reason in _CUT)
        mistake = " ".join(filter(None, (found.label, str(found.at or ""), found.note)))
        value = CORRECT if found.correct else INCORRECT
        return Score(value=value, answer=found.parsed, explanation=mistake, metadata=verdict_json(found))

    return score


def verdict_of(item: str, completion: str, is_cut: bool) -> Verdict:
    """Grade a completion of the item with this id; a thought before `</think>` is no part of the answer."""
    made = instance_from_id(item)
    return grade(find_family(made.family), made, after_thought(completion), is_cut)


def _task_of(family: str) -> Callable[..., Task]:
    def make(
        seed: str = "0",
        suite: str = "quick",
        levels: str = "",
        channel: str = "",
        style: str = "",
        n: int | None = None,
    ) -> Task:
        """Ask a suite's questions of one family; the arguments are options of `fathom run`, lists with commas."""
        chosen = Selection((family,), _names(levels), _names(channel), _names(style), n)
        return Task(
            dataset=MemoryDataset(list(samples(family, str(seed), chosen, suite)), name=family),
            solver=answer_within_budget(),
            scorer=verdict(),
            version=find_family(family).version,
        )

    return make


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _is_asked_in_context(family: str) -> bool:
    found: Any = find_family(family)
    return any(not set(styles_of(found, level)) & set(PARAMETRIC) for level in found.levels.values())


TASKS = {name: task(name=name)(_task_of(name)) for name in all_families() if _is_asked_in_context(name)}
"""Registered with inspect as fathom/NAME while this module is imported."""

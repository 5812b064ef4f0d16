"""What a run will take: tokens, time and money, expected from earlier runs before anything is loaded."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Engine

from fathom.harness.db.usage import EarlierRun, earlier_runs, usage_of_runs
from fathom.harness.format import plural
from fathom.harness.records import CellUsage, Manifest
from fathom.harness.reports.cost import Prices, priced
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.requests import budget_of, make_requests
from fathom.harness.runs.run_settings import settings_of
from fathom.tasks.base import SCORED
from fathom.tasks.suites import SuiteCell

_CHARACTERS = 3.0
"""Characters of a prompt a token, where no earlier run tells: codes and numbers take more tokens than prose."""
_LOADED = 0.05
"""Seconds up to which an engine counts as loaded before."""
_SAMPLED = 2
"""Items of a cell whose prompts are written for that."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is asked, and what it is expected to take; None where nothing is known."""

    model: str
    asked: str
    n_cells: int
    n_items: int
    n_answers: int
    prompt_tokens: int
    completion_tokens: int
    is_bound: bool
    """Whether the tokens of answers are their budgets, as no earlier run tells how many a model writes."""
    seconds: float | None
    dollars: float | None
    price: str
    basis: str
    """Where the numbers come from."""

    def to_json(self) -> dict[str, Any]:
        """Return all values as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _PerAnswer:
    """What an answer takes on average."""

    prompt_tokens: float
    completion_tokens: float
    weight: float
    """Its milliseconds, and one more for what the harness does."""


@dataclass(frozen=True, slots=True)
class _Earlier:
    """Earlier runs, and what each of their cells used."""

    runs: tuple[EarlierRun, ...] = ()
    cells: tuple[CellUsage, ...] = ()

    def load_seconds(self) -> float:
        """Return how long the engine takes to load, on average over the runs that loaded it."""
        loads = [one.load_seconds for one in self.runs if one.load_seconds > _LOADED]
        return sum(loads) / len(loads) if loads else 0.0

    def seconds_a_weight(self) -> float | None:
        """Return the seconds of a run for each unit of its answers' weight; an engine may answer side by side."""
        spent = sum(max(0.0, one.seconds - one.load_seconds) for one in self.runs)
        total = sum(one.milliseconds + one.n for one in self.cells)
        return spent / total if total else None


def forecast(db: Engine | None, plan: Plan, prices: Prices, hardware: object, throughput: float | None) -> Forecast:
    """Say what a plan will take.

    Earlier runs of the same model, engine and machine (`hardware`, as manifests state it) tell tokens and time by cell;
    where there are none, runs of other models tell the tokens. `throughput`, in tokens a second that are generated,
    tells the time instead. Without a run of any model, prompts are counted by their characters, and answers by budget.
    """
    same, others = _earlier(db, plan, hardware)
    source = same if same.runs else others
    totals = [0.0, 0.0, 0.0]
    is_bound = False
    for cell in plan.suite.cells:
        each = _expected(cell, source.cells)
        if each is None:
            each, is_bound = _by_characters(cell, plan), True
        n = _answers(plan, cell)
        totals = [total + n * one for total, one in zip(totals, _amounts(each), strict=True)]
    n_in, n_out, weight = totals
    seconds = _seconds(same, weight) if throughput is None else n_out / throughput
    manifest = Manifest.read({"decisive": {"model": {"name": plan.model.name}, "engine": _engine(plan)}, "context": {
        "placement": plan.settings.to_json()["placement"]}})  # fmt: skip
    amount, price = priced(manifest, prices, n_in, n_out, seconds)
    n_answers = plan.suite.n_items * plan.settings.sampling.repeats
    return Forecast(
        plan.model.name, f"{plan.suite.name}, seed {plan.suite.seed}", len(plan.suite.cells), plan.suite.n_items,
        n_answers, round(n_in), round(n_out), is_bound, seconds, amount, price, _basis(same, others, throughput),
    )  # fmt: skip


def _engine(plan: Plan) -> dict[str, Any]:
    stated = plan.settings.to_json()
    return {"name": stated["engine"], "options": stated["options"]}


def _answers(plan: Plan, cell: SuiteCell) -> float:
    """Return the answers of a cell; an adaptive suite asks its ladders up to their most, here spread evenly."""
    share = plan.suite.n_items / sum(one.n for one in plan.suite.cells) if plan.suite.is_adaptive else 1.0
    return cell.n * plan.settings.sampling.repeats * share


def _amounts(one: _PerAnswer) -> tuple[float, float, float]:
    return one.prompt_tokens, one.completion_tokens, one.weight


def _earlier(db: Engine | None, plan: Plan, hardware: object) -> tuple[_Earlier, _Earlier]:
    """Return earlier runs of the plan's model on this machine, and of any model, that are asked in the same way."""
    if db is None:
        return _Earlier(), _Earlier()
    engine = plan.settings.engine.name
    found = [earlier_runs(db, engine, model) for model in (plan.model.name, None)]
    same = [one for one in found[0] if one.manifest.context.hardware == hardware and _is_alike(one, plan)]
    others = [one for one in found[1] if _is_alike(one, plan)]
    return _with_cells(db, same), _with_cells(db, others)


def _is_alike(one: EarlierRun, plan: Plan) -> bool:
    settings = settings_of(one.manifest)
    return settings is not None and replace(settings, engine=plan.settings.engine).prompt == plan.settings.prompt


def _with_cells(db: Engine, runs: Sequence[EarlierRun]) -> _Earlier:
    used = usage_of_runs(db, [one.run for one in runs])
    return _Earlier(tuple(runs), tuple(cell for cells in used.values() for cell in cells))


def _expected(cell: SuiteCell, known: Sequence[CellUsage]) -> _PerAnswer | None:
    """Return what an answer of a cell takes: as in the cell itself, else in the nearest cells that are known."""
    for is_near in _nearness(cell):
        if near := [one for one in known if one.n and is_near(one)]:
            n = sum(one.n for one in near)
            return _PerAnswer(
                sum(one.prompt_tokens for one in near) / n, sum(one.completion_tokens for one in near) / n,
                sum(one.milliseconds for one in near) / n + 1,
            )  # fmt: skip
    return None


def _nearness(cell: SuiteCell) -> Iterator[Callable[[CellUsage], bool]]:
    yield lambda one: _names(one) == (cell.family, cell.style, cell.channel, cell.level)
    yield lambda one: _names(one)[:3] == (cell.family, cell.style, cell.channel)
    yield lambda one: _names(one)[:2] == (cell.family, cell.style)


def _names(one: CellUsage) -> tuple[str, str, str, str]:
    return one.family, one.style, one.channel, one.level


def _by_characters(cell: SuiteCell, plan: Plan) -> _PerAnswer:
    prompt, thinking = plan.settings.prompt, plan.settings.sampling.thinking
    made = list(make_requests(cell, plan.suite.seed, "", range(min(_SAMPLED, cell.n)), prompt))
    characters = sum(len(one.prompt) for one in made) / len(made)
    if cell.style in SCORED:
        return _PerAnswer(characters / _CHARACTERS, 0, 0)
    budget = budget_of(cell, plan.settings) + (thinking.budget if thinking else 0)
    return _PerAnswer(characters / _CHARACTERS, budget, 0)


def _seconds(same: _Earlier, weight: float) -> float | None:
    rate = same.seconds_a_weight() if same.runs else None
    return None if rate is None else same.load_seconds() + weight * rate


def _basis(same: _Earlier, others: _Earlier, throughput: float | None) -> str:
    if same.runs:
        said = f"{plural(len(same.runs), 'earlier run')} of this model on this machine"
    elif others.runs:
        models = sorted({one.model for one in others.runs})
        said = f"the tokens of {', '.join(models[:3])}{' and others' if len(models) > 3 else ''}"
    else:
        said = "no earlier run: characters of prompts, budgets of answers"
    return said if throughput is None else f"{said}; {throughput:g} tokens a second as stated"


def total_of(found: Iterable[Forecast]) -> tuple[float | None, float | None]:
    """Return seconds and dollars of several forecasts together; None where one of them is not known."""
    every = list(found)
    seconds = [one.seconds for one in every if one.seconds is not None]
    amounts = [one.dollars for one in every if one.dollars is not None]
    return (
        sum(seconds) if len(seconds) == len(every) else None,
        sum(amounts) if len(amounts) == len(every) else None,
    )

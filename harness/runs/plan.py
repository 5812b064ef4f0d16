"""TODO."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fathom.harness.engines.adapter import adapted, bare_name
from fathom.harness.engines.base import EngineSetup
from fathom.harness.engines.model import ModelSource, find_model, served_model
from fathom.harness.engines.options import check_setup, holds
from fathom.harness.engines.oracle import oracle_kind
from fathom.harness.errors import BadInput, UnknownEngine
from fathom.harness.format import plural
from fathom.harness.records import RunDetail
from fathom.harness.runs.manifest import How, read_setup
from fathom.harness.runs.prompting import Decoding, Prompting, read_sampling, sampling_json, settle
from fathom.tasks.base import SCORED
from fathom.tasks.suites import Selection, Suite, open_suite

if TYPE_CHECKING:  # it brings lm-eval along
    pass


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run; `resume` is the run to go on with."""

    model: ModelSource
    engine: str
    suite: Suite
    resume: str | None = None
    prompting: Prompting = field(default_factory=Prompting)
    decoding: Decoding = field(default_factory=Decoding)
    setup: EngineSetup = field(default_factory=EngineSetup)

    @property
    def how(self) -> How:
        """All but model and suite."""
        return How(self.engine, self.prompting, self.decoding, self.setup)


_PLAIN = EngineSetup()


@dataclass(frozen=True, slots=True)
class Asking:
    """Which of lm-eval's tasks are asked, and how."""

    tasks: tuple[str, ...]
    """Names of tasks, groups and tags, or patterns such as mmlu_*."""
    include_paths: tuple[str, ...] = ()
    """Folders with tasks of one's own."""
    limit: int | None = None
    """Documents a task at most."""
    n_shots: int | None = None
    """None: as each task says."""
    prompting: Prompting = field(default_factory=Prompting)
    decoding: Decoding = field(default_factory=Decoding)

    def to_json(self) -> dict[str, Any]:
        """Return what `read_asking` reads."""
        return {
            "tasks": list(self.tasks),
            "include_paths": list(self.include_paths),
            "limit": self.limit,
            "shots": self.n_shots,
            "shots_as": self.prompting.shots_as,  # which `sampling` leaves out where the number is a task's own
            "sampling": sampling_json(self.prompting, self.decoding),
        }


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user typed after `fathom run`."""

    model: str | None
    engine: str
    seed: str | None
    suite: str
    selection: Selection
    prompting: Prompting
    decoding: Decoding
    setup: EngineSetup
    revision: str | None
    resume: str | None = None
    asking: Asking = field(default_factory=lambda: Asking(()))
    """Of lm-eval's own tasks; without names, the suite is meant."""


def make_plan(wish: Wish, talk: Console) -> Plan:
    """Find the model and the cells that are wished for, and say what is left out.

    Raises:
        BadInput: there is none such, or it cannot be asked so.
    """
    suite = open_suite(wish.suite, wish.seed if wish.seed is not None else secrets.token_hex(8), wish.selection)
    check_setup(wish.engine, wish.setup)
    wish.prompting.check()
    wish.decoding.check(())
    scored = [cell.style for cell in suite.cells if cell.style in SCORED]
    if wish.decoding.repeats > 1 and scored:
        named = " or ".join(dict.fromkeys(scored))
        suite = suite.without(SCORED)
        talk.print(
            f"{plural(len(scored), 'cell')} of the style {named} left out: candidates are scored, so that asking again "
            "gives the same; a run without --repeats asks them",
            soft_wrap=True,
        )
    model = named_model(wish.model, wish.engine, wish.revision, wish.setup)
    decoding = settle(model, wish.prompting, wish.decoding)
    return Plan(model, wish.engine, suite, None, wish.prompting, decoding, wish.setup)


@dataclass(frozen=True, slots=True)
class StockPlan:
    """What is to be run; `resume` is the run to go on with, by its whole id."""

    model: ModelSource
    how: How
    asking: Asking
    resume: str | None = None


def _stock_plan(wish: Wish) -> StockPlan:
    check_answers_tasks(wish.engine)
    check_setup(wish.engine, wish.setup)
    model = named_model(wish.model, wish.engine, wish.revision, wish.setup)
    decoding = settle(model, wish.prompting, wish.decoding)
    how = How(wish.engine, wish.prompting, decoding, wish.setup)
    return StockPlan(model, how, replace(wish.asking, decoding=decoding))


def named_model(name: str | None, engine: str, revision: str | None, setup: EngineSetup = _PLAIN) -> ModelSource:
    """Find the model that an engine is to answer with, with the adapter that its setup names.

    Raises:
        BadInput: no name; see also harness.model.find_model.
    """
    if holds(engine, setup.options) == "oracle":
        kind = oracle_kind(name or "oracle")
        return ModelSource(f"oracle/{kind}", None, f"oracle/{kind}")
    if not name:
        raise BadInput("say which model: --model reference/pebble, a folder, or a hub id (org/name)")
    if engine == "openai":
        return served_model(name)
    lora = setup.options.get("lora")
    return find_model(name, revision) if lora is None else adapted(find_model(name, revision), Path(lora))


def model_again(name: str, engine: str, revision: str | None, setup: EngineSetup) -> ModelSource:
    """Find the model of a run that is to go on, by its stored name; its adapter may have moved.

    Raises:
        BadInput: as `named_model`, or an option that the engine does not take.
    """
    check_setup(engine, setup)
    bare = bare_name(name) if "lora" in setup.options else name
    return replace(named_model(bare, engine, revision, setup), name=name)


def plan_again(detail: RunDetail, now: EngineSetup) -> Plan:
    """Go on as before, but with those options of the engine that only place it as they are now."""
    one = detail.summary
    prompting, decoding = read_sampling(detail.manifest["decisive"]["sampling"])
    setup = read_setup(detail.manifest, now)
    model = model_again(one.model, one.engine, detail.manifest["context"].get("revision"), setup)
    return Plan(model, one.engine, detail.suite, one.run, prompting, decoding, setup)


def read_asking(stored: Mapping[str, Any], folders: tuple[str, ...] = ()) -> Asking:
    """Read what `Asking.to_json` wrote; `folders` take the place of the stored ones, if there are any."""
    prompting, decoding = read_sampling(stored["sampling"])
    prompting = replace(prompting, shots_as=stored["shots_as"])
    paths = folders or tuple(stored["include_paths"])
    return Asking(tuple(stored["tasks"]), paths, stored["limit"], stored["shots"], prompting, decoding)


def check_answers_tasks(engine: str) -> None:
    """Raise UnknownEngine for one that answers Fathom's own items only."""
    if engine == "oracle":
        raise UnknownEngine("the oracle answers Fathom's own items only: run --tasks with vllm, hf or another engine")

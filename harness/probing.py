"""Turn a model, or a stored run, into a probe: the same questions asked again in batches of other sizes."""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Engine as Database

from harness.db import read
from harness.db.engine import open_database
from harness.db.read import RunDetail
from harness.db.samples import samples_at
from harness.db.sealing import check_unsealed
from harness.determinism import Rate, Replies, Reply, any_of, ask, changes, rates
from harness.engines.base import Engine, EngineSetup
from harness.engines.open import check_engine, open_engine
from harness.errors import BadInput, RunChanged
from harness.feed import Asked
from harness.format import count
from harness.provenance import make_manifest
from harness.rendering import requests_of_run
from harness.replay import pick_items
from harness.run import Plan
from harness.running import named_model, plan_again
from harness.suite import Selection, Suite, open_suite
from harness.waves import Stretch, Wave
from tasks.stream import Stream

Tell = Callable[[str], None]
"""Called with what is done now, in words."""

_WIDTH = {"vllm": "max_num_seqs", "hf": "batch_size"}
_LARGEST = 4096
_WIDEST = 64
"""Requests that every engine takes together without being told so."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One way of asking, and how its replies differ from the first one's."""

    name: str
    rates: tuple[Rate, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """What asking again showed."""

    model: str
    engine: str
    facts: Mapping[str, str]
    asked: str
    """Of what, in words."""
    base: str
    """What all passes are compared with."""
    passes: tuple[Pass, ...]
    n_drawn: int
    """Items left out, as their answers are drawn at random."""

    def to_json(self) -> dict[str, Any]:
        """Return all numbers."""
        return {
            "model": self.model, "engine": self.engine, "facts": dict(self.facts), "asked": self.asked,
            "against": self.base, "left_out": self.n_drawn,
            "passes": [
                {"name": one.name, "rates": [rate.to_json() for rate in one.rates]} for one in self.passes
            ],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user typed after `fathom probe-determinism`: a run, or a model and what to ask it."""

    run: str | None
    model: str | None
    engine: str | None
    suite: str
    selection: Selection
    seed: str | None
    n_items: int
    batches: str | None


def probe(wish: Wish, database: str, tell: Tell) -> Probe:
    """Do what the user typed; a database is opened for a run only, and nothing is stored.

    Raises:
        BadInput: neither a run nor a model is named, or both; and see probe_model and probe_run.
    """
    if (wish.run is None) == (wish.model is None):
        raise BadInput("name a run to ask again, or a --model: one of the two")
    if wish.run is None:
        engine = wish.engine or "vllm"
        check_engine(engine)
        suite = open_suite(wish.suite, wish.seed if wish.seed is not None else secrets.token_hex(8), wish.selection)
        plan = Plan(named_model(wish.model, engine, None), engine, suite)
        return probe_model(plan, _read_widths(wish.batches or "1,8,64"), tell)
    db = open_database(database, create=False)
    detail = read.get_run(db, wish.run)
    plan = plan_again(detail, EngineSetup())
    if wish.engine not in (None, plan.engine):
        check_engine(wish.engine)
        plan = replace(plan, engine=wish.engine, setup=EngineSetup(plan.setup.dtype))
    return probe_run(db, detail, plan, Extent(wish.n_items, _read_widths(wish.batches or "")), tell)


def _read_widths(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isascii() and word.isdigit() and 0 < int(word) <= _LARGEST for word in words):
        raise BadInput(f"--batches wants whole numbers from 1 to {_LARGEST}, as in 1,8,64; not {text!r}")
    return tuple(dict.fromkeys(map(int, words)))


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a run is asked again, and in batches of which sizes; none: all at once."""

    n_items: int
    widths: tuple[int, ...] = ()


def probe_model(plan: Plan, widths: Sequence[int], tell: Tell) -> Probe:
    """Ask a suite in batches of each width, the first one the base, and in another order in the widest.

    Raises:
        BadInput: no item of the suite has an answer that is not drawn at random.
        EngineFailed: the engine did not start, or broke.
    """
    suite = plan.suite
    tell("making the questions")
    wave = Wave(tuple(Stretch(at, 0, cell.n) for at, cell in enumerate(suite.cells)))
    digest = make_manifest(plan.model, suite, plan.how).digest()
    asked, n_drawn = _greedy(requests_of_run(suite, digest, (plan.prompting, plan.decoding), wave))
    engine = _open(plan, widths, tell)
    try:
        first, *others = widths
        base = _told(engine, asked, first, tell)
        found = [(_at_once(width), _told(engine, asked, width, tell)) for width in others]
        shuffled, widest = Stream("probe order", suite.seed).shuffle(asked), max(widths)
        found.append((f"{_at_once(widest)}, shuffled", _told(engine, shuffled, widest, tell)))
        facts = engine.facts()
    finally:
        engine.close()
    words = f"{suite.name} suite, seed {suite.seed}"
    passes = _passes(suite, asked, base, found)
    return Probe(plan.model.name, plan.engine, facts, words, f"asking {_at_once(first)}", passes, n_drawn)


def _told(engine: Engine, asked: Sequence[Asked], width: int | None, tell: Tell) -> Replies:
    how, n = f"asking {_at_once(width)}", count(len(asked))
    tell(f"{how}: {n}")
    return ask(engine, asked, width, lambda n_done: tell(f"{how}: {count(n_done)} of {n}"))


def _at_once(width: int | None) -> str:
    return "all at once" if width is None else "one by one" if width == 1 else f"{width} at a time"


def _open(plan: Plan, widths: Sequence[int], tell: Tell) -> Engine:
    tell(f"loading {plan.model.name}")
    setup, widest = plan.setup, max(widths, default=0)
    if widest > _WIDEST and plan.engine in _WIDTH:
        setup = replace(setup, options={**setup.options, _WIDTH[plan.engine]: widest})
    return open_engine(plan.engine, plan.model, setup)


def _greedy(asked: Sequence[Asked]) -> tuple[list[Asked], int]:
    """Return the questions whose answers are not drawn at random, and the number of the others."""
    kept = [one for one in asked if one.repeat == 0 and one.request.sampling.temperature == 0]
    if not kept:
        raise BadInput("all answers here are drawn at random, so that no two need be the same: probe greedy ones")
    kept.sort(key=lambda one: (bool(one.request.choices), one.request.sampling.stop))  # hf takes these apart
    return kept, len(asked) - len(kept)


def _passes(
    suite: Suite, asked: Sequence[Asked], base: Replies, found: Sequence[tuple[str, Replies]]
) -> tuple[Pass, ...]:
    styles = {one.request.key: suite.cells[one.cell].style for one in asked}
    changed = [(name, changes(styles, base, replies)) for name, replies in found]
    if len(changed) > 1:
        changed.append(("any of these", any_of([one for _, one in changed])))
    return tuple(Pass(name, rates(one)) for name, one in changed)


def probe_run(db: Database, detail: RunDetail, plan: Plan, extent: Extent, tell: Tell) -> Probe:
    """Ask random items of a stored run again and compare with what is stored; `plan` is how.

    The items of a cell follow each other from a random one on.

    Raises:
        SealedRun: its season is not over.
        RunChanged: the model's files are not those of the run.
        BadInput: nothing that is stored can be the same again.
        EngineFailed: the engine did not start, or broke.
    """
    one = detail.summary
    check_unsealed(one.sealed, one.season)
    if plan.model.digest != detail.manifest["decisive"]["model"]["digest"]:
        raise RunChanged(
            f"the files of {one.model} are no longer those of run {one.run}: they may well answer otherwise"
        )
    tell("making the questions")
    manner = (plan.prompting, plan.decoding)
    asked, n_drawn = _greedy(requests_of_run(plan.suite, detail.manifest_digest, manner, _pick(plan.suite, extent)))
    base = _stored(db, detail, asked)
    if not base:
        raise BadInput(f"run {one.run} has stored none of these items: `fathom run --resume {one.run}` makes it whole")
    asked = [found for found in asked if found.request.key in base]
    engine = _open(plan, extent.widths, tell)
    try:
        found = [(_at_once(width), _told(engine, asked, width, tell)) for width in extent.widths or (None,)]
        facts = engine.facts()
    finally:
        engine.close()
    words = f"random items of run {one.run} ({one.suite} suite, seed {one.seed}, engine {one.engine})"
    return Probe(
        one.model, plan.engine, facts, words, "what is stored", _passes(plan.suite, asked, base, found), n_drawn
    )


def _pick(suite: Suite, extent: Extent) -> Wave:
    stream = Stream("probe items", secrets.token_hex(8))
    sizes = [cell.n for cell in suite.cells]
    shares = Counter(pick.cell for pick in pick_items(sizes, stream, extent.n_items))
    starts = {at: stream.below(sizes[at] - n + 1) for at, n in shares.items()}
    return Wave(tuple(Stretch(at, starts[at], starts[at] + n) for at, n in sorted(shares.items())))


def _stored(db: Database, detail: RunDetail, asked: Sequence[Asked]) -> Replies:
    by_cell: dict[int, dict[int, str]] = {}
    for one in asked:
        by_cell.setdefault(detail.cells[one.cell].id, {})[one.index] = one.request.key
    found = {}
    for cell, keys in by_cell.items():
        for (_, index), sample in samples_at(db, [cell], list(keys), detail.suite.seed).items():
            if sample.finish_reason != "error":
                found[keys[index]] = Reply(sample.completion, sample.correct, sample.scores)
    return found

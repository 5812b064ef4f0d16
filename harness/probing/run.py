"""Probe a model: items, states, fits and controls, stored point by point.

States are read once for a set of targets; each fit and all of its controls are one transaction. A probe that was cut
off goes on with the same command: what is stored is not fitted again.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import gettempdir

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from fathom.harness.db import probes as store
from fathom.harness.db.probes import ProbeDetail, ProbePoint, TargetFacts
from fathom.harness.db.write import Origin
from fathom.harness.engines.hf import HfEngine
from fathom.harness.errors import NothingToProbe, NotProbeable
from fathom.harness.format import plural, ratio
from fathom.harness.probing.fit import Basis, prepare
from fathom.harness.probing.model import Floats, NextToken, ProbedModel, layers_of, open_model
from fathom.harness.probing.passages import Drawn, ItemPlan, PlacedReading, draw_passages, greedy_answers
from fathom.harness.probing.patch import check_causes
from fathom.harness.probing.plan import LEAST_FIT, ProbePlan, Tell, digest_of
from fathom.harness.probing.question import (
    Outcome,
    Question,
    answer,
    chance_of,
    entropy_of,
    make_question,
    rarer,
    value_only,
)
from fathom.harness.probing.surface import output_outcome, surface_outcome
from fathom.harness.stats.presence import Resampling, weigh
from fathom.tasks.probes import ProbeSet, Variable
from fathom.tasks.registry import find_family
from fathom.tasks.stream import Stream

LEAST_OF_CLASS = 50
"""Fewest readings of the rarer class of yes-no, to fit and to test."""
_ANSWERS = 64
"""Answers that are generated side by side: more need more memory, and are little faster on a CPU."""
NO_LAYER = -1
"""The layer of controls that read no state."""

_Values = NDArray[np.float64]


@dataclass(frozen=True)
class _Read:
    """States of a set's passages, of the model and of its twin with random weights, [layer, token, width]."""

    drawn: Drawn
    trained: Floats
    random: Floats
    expected: Sequence[NextToken] | None
    """By token; where the passages hold the model's own answers."""


_Asked = tuple[Question, NDArray[np.bool_]]
"""A question, and which readings are to test."""


@dataclass(frozen=True)
class _Place:
    """A variable at one place: its question, and what does not depend on the layer."""

    target: int
    place: str
    question: Question
    states: NDArray[np.int64]
    """Rows of the readings' states."""
    is_test: NDArray[np.bool_]
    shuffles: Sequence[Question]
    words: Question | None
    resampling: Resampling
    paired: dict[str, tuple[float, _Values]]
    """Controls that do not depend on the layer, with their draws; the embedding joins when layer 0 is done."""
    waiting: list[ProbePoint]
    """Their points, which are stored with the first fit."""


def run_probe(db: Engine, plan: ProbePlan, tell: Tell = lambda _: None) -> ProbeDetail:
    """Load a model and probe it, or go on with a probe that was cut off; return what is stored.

    Raises:
        NotProbeable, BadStates: the model's states cannot be read.
        NothingToProbe: none of the targets that the user named has enough readings.
        BadInput: layers that the model does not have.
    """
    return probe_opened(db, plan, open_model(plan.source.folder(), plan.settings.dtype), tell)


def probe_opened(db: Engine, plan: ProbePlan, model: ProbedModel, tell: Tell = lambda _: None) -> ProbeDetail:
    """Probe a model that is open, as `run_probe` does; its weights must be those of the plan's folder."""
    began = time.monotonic()
    layers = layers_of(plan.settings.layers, model.n_layers)
    probe = _start(db, plan, model, layers)
    detail = store.get_probe(db, probe)
    if detail.summary.state != "done":
        known = {one.facts.name: one for one in detail.targets}
        if known:
            tell(f"goes on with probe {probe}, of which {ratio(len(known), len(plan.targets))} targets were begun")
        work = _Work(db, plan, model, layers, probe, tell)
        for chosen in plan.sets:
            work.probe_set(chosen, known)
        _finish(db, plan, probe, began)
    if plan.settings.patch:
        check_causes(db, plan, model, store.get_probe(db, probe), tell)
    return store.get_probe(db, probe)


def _start(db: Engine, plan: ProbePlan, model: ProbedModel, layers: Sequence[int]) -> str:
    manifest = plan.manifest(layers, model.dtype)
    source = plan.source
    origin = Origin(model_digest=source.digest if source.by_digest else None)
    return store.start_probe(
        db,
        store.NewProbe(
            source.name, manifest, digest_of(manifest), plan.settings.seed, model.dtype, str(model.device),
            model.n_layers, model.width, origin,
        ),
    )  # fmt: skip


def _finish(db: Engine, plan: ProbePlan, probe: str, began: float) -> None:
    store.end_probe(db, probe, time.monotonic() - began, is_done=True)
    targets = store.get_probe(db, probe).targets
    if plan.is_named and all(one.facts.note for one in targets):
        raise NothingToProbe(f"{targets[0].facts.name}: {targets[0].facts.note}")


class _Work:
    """One attempt at a probe."""

    def __init__(
        self, db: Engine, plan: ProbePlan, model: ProbedModel, layers: Sequence[int], probe: str, tell: Tell
    ) -> None:  # 6 parameters: the parts of an attempt, which its steps share
        self.db, self.plan, self.model, self.probe, self.tell = db, plan, model, probe, tell
        self.layers = layers
        self.read_layers = sorted({0, *layers})  # the bare embedding is a control of every layer
        self.twin: ProbedModel | None = None

    def probe_set(self, chosen: ProbeSet, known: Mapping[str, store.ProbedTarget]) -> None:
        """Probe the targets of a set that are not stored whole."""
        wanted = {name: one for name, one in chosen.targets.items() if name in self.plan.targets}
        left = {name: one for name, one in wanted.items() if not self._is_whole(known.get(name), chosen)}
        if not left:
            return
        self.tell(f"{chosen.name}: items and states")
        try:
            read = self._read(chosen, left)
        except NotProbeable as error:
            for name, variable in left.items():
                store.add_target(self.db, self.probe, replace(self._facts(chosen, name, variable), note=str(error)))
            self.tell(f"{chosen.name}: left out, {error}")
            return
        places = [one for name, variable in left.items() for one in self._prepare(chosen, name, variable, read)]
        alike: dict[bytes, list[_Place]] = {}
        for one in places:
            alike.setdefault(one.states.tobytes(), []).append(one)
        self.tell(f"{chosen.name}: {plural(len(places) * len(self.layers), 'fit')}, each with its controls")
        for layer in self.read_layers:
            for some in alike.values():
                self._probe_layer(layer, some, read)

    def _is_whole(self, known: store.ProbedTarget | None, chosen: ProbeSet) -> bool:
        if known is None:
            return False
        places = {one.place for one in known.points if one.variant == "surface"}
        last = [one for one in known.points if one.variant == "trained"]
        return bool(known.facts.note) or (bool(places) and len(last) == len(places) * len(self.layers))

    def _read(self, chosen: ProbeSet, wanted: Mapping[str, Variable]) -> _Read:
        settings, model = self.plan.settings, self.model
        answers = None
        if chosen.needs_answer or any(one.can_be_said for one in wanted.values()):
            engine = HfEngine(model.model, model.tokenizer, _ANSWERS)
            answers = greedy_answers(chosen, engine, self.plan.chat)
        plan = ItemPlan(*settings.n, settings.seed, self.plan.chat)
        drawn = draw_passages(chosen, plan, model, answers)
        if self.twin is None:
            self.twin = model.random_twin(int.from_bytes(settings.seed.encode()[-6:], "big"))
        folder = Path(gettempdir())
        trained = model.read_states(drawn.rows, self.read_layers, folder)
        random = self.twin.read_states(drawn.rows, self.read_layers, folder)
        expected = model.read_next(drawn.rows) if chosen.needs_answer else None
        return _Read(drawn, trained, random, expected)

    def _prepare(self, chosen: ProbeSet, name: str, variable: Variable, read: _Read) -> list[_Place]:
        """Store a target, and return its variable at each place; nothing where it cannot be probed."""
        by_place: dict[str, list[PlacedReading]] = {}
        for one in read.drawn.readings:
            if one.reading.variable == name.removeprefix(f"{chosen.name}."):
                by_place.setdefault(one.reading.place, []).append(one)
        facts = self._facts(chosen, name, variable)
        if not by_place:
            store.add_target(self.db, self.probe, replace(facts, note="the items have no place to read it"))
            return []
        questions = {place: self._question(variable, found, read) for place, found in by_place.items()}
        note = next((why for one, _ in questions.values() if (why := refusal(one))), "")
        facts = self._measured(replace(facts, note=note), variable, next(iter(by_place.values())), read)
        target = store.add_target(self.db, self.probe, facts)
        if note:
            self.tell(f"{name}: left out, {note}")
            return []
        return [self._place(target, name, found, by_place[place], read) for place, found in questions.items()]

    def _question(self, variable: Variable, readings: Sequence[PlacedReading], read: _Read) -> _Asked:
        is_test = np.array([read.drawn.is_test[one.passage] for one in readings], bool)
        return make_question(variable, readings, is_test, self.model), is_test

    def _facts(self, chosen: ProbeSet, name: str, variable: Variable) -> TargetFacts:
        cell = chosen.cell
        return TargetFacts(
            name, self.plan.targets.index(name), find_family(cell.family).version,
            (cell.family, cell.level, cell.channel, cell.style), variable.kind, variable.about,
        )  # fmt: skip

    def _measured(
        self, facts: TargetFacts, variable: Variable, readings: Sequence[PlacedReading], read: _Read
    ) -> TargetFacts:
        """Add numbers of readings, chance, and what the model says, as of the first place."""
        question, is_test = self._question(variable, readings, read)
        tested = [one for one, kept in zip(readings, is_test, strict=True) if kept]
        said = None
        if variable.can_be_said and all(read.drawn.answers[one.passage] is not None for one in tested):
            said = np.array([_says(read.drawn, one) for one in tested], bool)
        has_both = bool(question.is_fit.any() and not question.is_fit.all())
        return replace(
            facts, n_fit=int(question.is_fit.sum()), n_test=len(tested), n_items=len({one.group for one in tested}),
            chance=chance_of(question) if has_both else 0.0, entropy_bits=entropy_of(question) if has_both else 0.0,
            items_digest=read.drawn.digest, said=said,
        )  # fmt: skip

    def _place(self, target: int, name: str, asked: _Asked, readings: Sequence[PlacedReading], read: _Read) -> _Place:
        question, is_test = asked
        seed, place = self.plan.settings.seed, readings[0].reading.place
        shuffles = [
            question.shuffled(Stream("probe-shuffle", name, place, seed, at))
            for at in range(self.plan.settings.controls)
        ]
        states = np.array([one.state for one in readings], np.int64)
        fixed = {"surface": surface_outcome(question, readings, is_test)}
        if read.expected is not None:
            fixed["output"] = output_outcome(question, [read.expected[at] for at in states], is_test)
        words = question.relabelled(Stream("probe-words", name, place, seed))
        resampling = Resampling(question.test_groups)
        made = _Place(target, place, question, states, is_test, shuffles, words, resampling, {}, [])
        for control, found in fixed.items():
            draws = _draws(made, found)
            made.paired[control] = found.value, draws
            made.waiting.append(_point(made, NO_LAYER, control, found, draws))
        return made

    def _probe_layer(self, layer: int, places: Sequence[_Place], read: _Read) -> None:
        """Fit all variables that are read from the same states, in one layer."""
        trained, random = (self._basis(states, layer, places[0]) for states in (read.trained, read.random))
        for one in places:
            found = answer(one.question, trained)
            draws = _draws(one, found)
            if layer in self.layers:
                points = self._fit(layer, one, (found, trained, draws), random)
                store.add_points(self.db, one.target, [*one.waiting, *points])
                one.waiting.clear()
            if layer == 0:
                one.paired["embedding"] = found.value, draws

    def _fit(
        self, layer: int, one: _Place, fitted: tuple[Outcome, Basis, _Values], of_random: Basis
    ) -> list[ProbePoint]:
        """Return the trained point of a layer and those of its controls."""
        trained, basis, drawn = fitted
        random = answer(one.question, of_random)
        others = _draws(one, random)
        nulls = [value_only(some, basis, trained.penalty, one.question) for some in one.shuffles]
        chance = chance_of(one.question)
        bar = weigh(
            trained.value, drawn, {"chance": chance, "shuffled labels": max(nulls, default=chance)},
            {**one.paired, "random weights": (random.value, others)}, one.resampling.least_error,
        )  # fmt: skip
        point = replace(
            _point(one, layer, "trained", trained, drawn), null_low=min(nulls, default=None),
            null_high=max(nulls, default=None), control=bar.control, control_value=bar.value, p_above=bar.p_above,
            p_below=bar.p_below, right=trained.hits,
        )  # fmt: skip
        points = [point, _point(one, layer, "random", random, others)]
        if one.words is not None:
            by_word = value_only(one.words, basis, trained.penalty, one.words)
            points.append(ProbePoint(one.place, layer, "words", by_word, len(trained.hits)))
        return points

    def _basis(self, states: Floats, layer: int, one: _Place) -> Basis:
        of_layer = states[self.read_layers.index(layer)][one.states]
        device = str(self.model.device)
        return prepare(of_layer[~one.is_test], of_layer[one.is_test], one.question.is_check, device)


def _draws(one: _Place, found: Outcome) -> _Values:
    if one.question.kind == "yes-no":
        return one.resampling.aucs(found.scores, one.question.labels[~one.question.is_fit] == 1)
    return one.resampling.shares(found.hits)


def _point(one: _Place, layer: int, variant: str, found: Outcome, draws: _Values) -> ProbePoint:
    interval = one.resampling.interval(found.value, draws, is_share=one.question.kind != "yes-no")
    has_bits = variant in ("trained", "random") or one.question.kind != "match"
    return ProbePoint(
        one.place, layer, variant, found.value, len(found.hits), interval.low, interval.high,
        found.bits if has_bits else None, found.penalty, found.fit_value,
    )  # fmt: skip


def _says(drawn: Drawn, one: PlacedReading) -> bool:
    verdict = drawn.answers[one.passage]
    said = None if verdict is None else verdict.parsed
    return said is not None and said.strip().lower() == one.reading.label.lower()


def refusal(question: Question) -> str:
    """Say why nothing can be told of a question; empty where it can."""
    fit, test = question.labels[question.is_fit], question.labels[~question.is_fit]
    if len(fit) < LEAST_FIT or not len(test) or not question.is_check.any() or question.is_check.all():
        return f"only {len(fit)} readings to fit and {len(test)} to test: give a greater --n"
    if question.kind == "yes-no":
        least = rarer(question)
        part = min(least, key=lambda name: least[name])
        if least[part] < LEAST_OF_CLASS:
            labels = fit if part == "fit" else test
            often = "yes" if int(labels.sum()) * 2 > len(labels) else "no"
            return (
                f"{often!r} on {len(labels) - least[part]} of {len(labels)} readings to {part}: nothing to predict "
                f"(at least {LEAST_OF_CLASS} of the other are needed)"
            )
    elif question.kind == "classes" and (len(np.unique(fit)) < 2 or len(np.unique(test)) < 2):
        return "all readings are of one class: nothing to predict"
    return ""

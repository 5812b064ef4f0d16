"""The causal check: exchange what a probe reads between two items, and count how often the answer follows.

A present variable may be used or not. Of the state of an item, only the part that differs with the variable's value
is changed: the component along the directions in which states of different values differ gets the value that it has in
the same item with another question. If the model uses them, its answer becomes that of the other question. Controls: as
many random directions, the directions for shuffled labels, the whole state, and all of the state but these directions.

The directions along which a probe reads are others: a probe weighs out what else a state holds. Exchanged alone, they
leave most of what encodes the value as it was, and on pebble no answer follows.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import torch
from sqlalchemy import Engine

from fathom.harness.db import probes as store
from fathom.harness.db.probes import ProbeDetail, ProbedTarget
from fathom.harness.engines.tokens import cut_at_stop
from fathom.harness.probing.model import Floats, ProbedModel, TokenRow
from fathom.harness.probing.passages import ItemPlan, draw_passages, place_passage
from fathom.harness.probing.plan import ProbePlan, Tell
from fathom.harness.probing.question import Question, make_question, targets_of
from fathom.harness.runs.requests import answer_ends
from fathom.tasks.base import Instance, grade, make_instance, pose
from fathom.tasks.probes import Asked, ProbeSet
from fathom.tasks.registry import find_family
from fathom.tasks.stream import Stream

N_PAIRS = 200
"""Items whose states are changed."""
_MOST_TOKENS = 16
"""Tokens of an answer that are generated."""
_EXPLAINED = 0.95
"""Share of the variance between values that the directions must hold: the fewest that do are exchanged."""


@dataclass(frozen=True, slots=True)
class PatchResult:
    """How often the answer became the other item's value, of n, by what was exchanged."""

    place: str
    layer: int
    n: int
    n_directions: int
    followed: int
    random: int
    shuffled: int
    whole: int
    rest: int
    """With all of the state but the directions."""
    unchanged: int
    """How often the answer is the other item's value where nothing is exchanged."""
    kept: int
    """How often the answer is the item's own value where nothing is exchanged."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """An item, the same with another question, and what is read of both at one place."""

    item: Instance
    row: TokenRow
    own: str
    other: str
    donor: TokenRow


def check_causes(db: Engine, plan: ProbePlan, model: ProbedModel, detail: ProbeDetail, tell: Tell) -> None:
    """Check every present variable that can be said and whose set knows other questions; store what is found."""
    for chosen in plan.sets:
        if chosen.twin is None:
            continue
        for target in detail.targets:
            variable = chosen.targets.get(target.facts.name)
            if variable is None or not variable.can_be_said or target.patch is not None:
                continue
            at = patched_point(target)
            if at is None:
                tell(f"{target.facts.name}: no causal check, as it is not present in any layer above 0")
                continue
            result = check_target(chosen, target.facts.name, at, plan, model)
            store.add_patch(db, target.id, asdict(result))
            tell(f"{target.facts.name}: the answer follows in {result.followed} of {result.n}")


def patched_point(target: ProbedTarget) -> tuple[str, int] | None:
    """Return place and layer of the check: the first layer where it is present at the last place, or else anywhere."""
    found = [(place, layer) for (place, layer), said in target.verdicts.items() if said == "present" and layer > 0]
    last = [one for one in found if one[0] == target.places[-1]]
    return min(last or found, key=lambda one: one[1], default=None)


def check_target(chosen: ProbeSet, name: str, at: tuple[str, int], plan: ProbePlan, model: ProbedModel) -> PatchResult:
    """Fit the probe anew, and exchange its directions between items and their twins."""
    place, layer = at
    variable = name.removeprefix(f"{chosen.name}.")
    settings, folder = plan.settings, Path(gettempdir())
    drawn = draw_passages(chosen, ItemPlan(*settings.n, settings.seed, plan.chat), model, None)
    readings = [one for one in drawn.readings if (one.reading.variable, one.reading.place) == (variable, place)]
    is_test = np.array([drawn.is_test[one.passage] for one in readings], bool)
    question = make_question(chosen.variables[variable], readings, is_test, model)
    states = model.read_states(drawn.rows, [layer], folder)[0][[one.state for one in readings]]
    fitted = states[~is_test]
    found = directions(question, fitted, None)
    k = found.shape[1]
    shuffled = question.shuffled(Stream("probe-patch", name, settings.seed))
    rng, whole = np.random.default_rng(0), np.eye(model.width)
    spaces = {
        "followed": _onto(found), "rest": whole - _onto(found),
        "shuffled": _onto(directions(shuffled, fitted, k)), "whole": whole,
        "random": _onto(np.linalg.qr(rng.standard_normal((model.width, k)))[0]),
    }  # fmt: skip
    pairs = _pairs(chosen, variable, place, plan, model)
    own = model.read_states([pair.row for pair in pairs], [layer], folder)[0]
    moves = model.read_states([pair.donor for pair in pairs], [layer], folder)[0] - own
    plain = _answers(chosen, pairs, model, layer, own)
    counts = {}
    for what, space in spaces.items():
        said = _answers(chosen, pairs, model, layer, own + moves @ space)
        counts[what] = sum(one == pair.other for one, pair in zip(said, pairs, strict=True))
    unchanged = sum(one == pair.other for one, pair in zip(plain, pairs, strict=True))
    kept = sum(one == pair.own for one, pair in zip(plain, pairs, strict=True))
    return PatchResult(place, layer, len(pairs), k, **counts, unchanged=unchanged, kept=kept)


def directions(question: Question, states: Floats, k: int | None) -> Floats:
    """Return an orthonormal basis of the k main directions in which states of different values differ: [width, k].

    The states are regressed on the values, as embeddings or classes; without k, as many directions are taken as hold
    95% of the variance that the values explain.
    """
    values = targets_of(question, torch.device("cpu")).double().numpy()
    values, centred = values - values.mean(0), states.astype(np.float64) - states.mean(0)
    explained = values @ np.linalg.lstsq(values, centred, rcond=None)[0]
    _, sizes, turned = np.linalg.svd(explained, full_matrices=False)
    shares = np.cumsum(sizes**2) / (sizes**2).sum()
    n_kept = int(np.searchsorted(shares, _EXPLAINED)) + 1 if k is None else k
    return np.ascontiguousarray(turned[:n_kept].T, np.float32)


def _onto(basis: Floats) -> Floats:
    return basis @ basis.T


def _pairs(chosen: ProbeSet, variable: str, place: str, plan: ProbePlan, model: ProbedModel) -> list[_Pair]:
    """Return items to test and their twins, whose values differ."""
    cell, family = chosen.cell, find_family(chosen.cell.family)
    found: list[_Pair] = []
    for at in range(plan.settings.n[1]):
        item = make_instance(family, cell.level, cell.channel, plan.settings.seed, at, role="probe-test")
        stream = Stream("probe-twin", chosen.name, plan.settings.seed, at)
        twin = chosen.twin(item, stream) if chosen.twin else item
        both = [_read(chosen, one, (variable, place), plan, model) for one in (item, twin)]
        if both[0] is None or both[1] is None or both[0][1] == both[1][1]:
            continue
        found.append(_Pair(item, both[0][0], both[0][1], both[1][1], both[1][0]))
        if len(found) == N_PAIRS:
            break
    return found


def _read(
    chosen: ProbeSet, item: Instance, wanted: tuple[str, str], plan: ProbePlan, model: ProbedModel
) -> tuple[TokenRow, str] | None:
    """Return the tokens of an item up to its answer with the place that is read, and the value there."""
    prompt = pose(find_family(item.family), item, chosen.cell.style)
    passage = chosen.write(Asked(item, prompt, Stream("probe-twin-options", item.index)))
    row, readings = place_passage(passage, model, plan.chat, 0, 0)
    found = [one for one in readings if (one.reading.variable, one.reading.place) == wanted]
    if row is None or not found:
        return None
    return TokenRow(row.ids, [row.places[found[0].state]]), found[0].reading.label


@torch.inference_mode()
def _answers(
    chosen: ProbeSet, pairs: Sequence[_Pair], model: ProbedModel, layer: int, states: Floats
) -> list[str | None]:
    """Return the greedy answers where the state at each item's place is replaced by another one."""
    family, ends = find_family(chosen.cell.family), answer_ends(chosen.cell)
    replaced = torch.from_numpy(np.ascontiguousarray(states, np.float32)).to(model.device)
    rows = [list(pair.row.ids) for pair in pairs]
    places = torch.tensor([pair.row.places[0] for pair in pairs], device=model.device)
    texts = [""] * len(pairs)
    left = list(range(len(pairs)))
    ended = model.tokenizer.eos_token_id
    written: list[list[int]] = [[] for _ in pairs]
    for _ in range(_MOST_TOKENS):
        with _replace(model.blocks[layer - 1], places[left], replaced[left]):
            tokens = model.next_tokens([rows[at] + written[at] for at in left])
        for at, token in zip(left, tokens, strict=True):
            written[at].append(token)
        said = {at: cut_at_stop(model.tokenizer.decode(written[at], skip_special_tokens=True), ends) for at in left}
        texts = [said[at][0] if at in said else text for at, text in enumerate(texts)]
        left = [at for at in left if not said[at][1] and written[at][-1] != ended]
        if not left:
            break
    return [grade(family, pair.item, text).parsed for pair, text in zip(pairs, texts, strict=True)]


@contextmanager
def _replace(block: Any, places: torch.Tensor, states: torch.Tensor) -> Iterator[None]:
    """Replace the output of a block at one place of each row."""

    def hook(_block: Any, _args: Any, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        hidden[torch.arange(len(places), device=hidden.device), places] = states.to(hidden.dtype)
        return output

    handle = block.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()

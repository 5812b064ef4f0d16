"""Items as token rows: passages are written, put as the model is asked, cut into tokens, and their places found."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Literal

from fathom.harness.engines.base import Completion, Request, Turn
from fathom.harness.engines.hf import HfEngine
from fathom.harness.errors import NotProbeable
from fathom.harness.probing.model import ProbedModel, TokenRow
from fathom.harness.runs.requests import sampling_of
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.base import Instance, Verdict, as_message, grade, make_instance, pose
from fathom.tasks.probes import END, Asked, Passage, ProbeSet, Reading
from fathom.tasks.registry import find_family
from fathom.tasks.stream import Stream

_MOST_LEFT_OUT = 0.1
"""Share of items that may be left out, as too long or because a token crosses the end of a place."""


@dataclass(frozen=True, slots=True)
class ItemPlan:
    """Which items are drawn: how many to fit and to test, of which seed, and how they are put."""

    n_fit: int
    n_test: int
    seed: str
    chat: bool


@dataclass(frozen=True, slots=True)
class PlacedReading:
    """A reading, the row of its state, the index of its passage, and its group; `text` is what stands before it."""

    reading: Reading
    state: int
    passage: int
    group: str
    text: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """Items of a set: their token rows, what is read from them, and whether they are to fit or to test."""

    rows: tuple[TokenRow, ...]
    readings: tuple[PlacedReading, ...]
    is_test: tuple[bool, ...]
    """By passage."""
    answers: tuple[Verdict | None, ...]
    """By passage: the model's own answer to the item, where it was asked."""
    digest: str
    """Of the texts that are tested: two probes with the same one were tested on the same items."""


Answers = Callable[[Sequence[Instance]], list[tuple[str, Verdict]]]
"""Returns the model's texts for items, and their verdicts."""


def draw_passages(chosen: ProbeSet, plan: ItemPlan, model: ProbedModel, answers: Answers | None) -> Drawn:
    """Draw items, write their passages, and find the tokens that are read.

    `answers` gives the model's own ones: to all items where the passages hold them, else to those that are tested.

    Raises:
        NotProbeable: more than a tenth of the items are too long, or have places that a token crosses.
    """
    sizes = {
        role: max(1, round(n * chosen.share)) for role, n in (("probe-fit", plan.n_fit), ("probe-test", plan.n_test))
    }
    rows: list[TokenRow] = []
    placed: list[PlacedReading] = []
    is_test: list[bool] = []
    verdicts: list[Verdict | None] = []
    seen: set[str] = set()
    left_out = total = n_states = 0
    state = blake2b(digest_size=16)
    for role, n in sizes.items():
        for passage, verdict in _written(chosen, role, n, plan, answers):
            text = passage.prompt + passage.rest
            if text in seen:
                continue
            seen.add(text)
            total += 1
            row, readings = place_passage(passage, model, plan.chat, len(rows), n_states)
            if row is None:
                left_out += 1
                continue
            if role == "probe-test":
                state.update(f"{len(text)}:{text}".encode())
            rows.append(row)
            placed += readings
            is_test.append(role == "probe-test")
            verdicts.append(verdict)
            n_states += len(row.places)
    if left_out > _MOST_LEFT_OUT * total:
        raise NotProbeable(
            f"{left_out} of {total} items of {chosen.name} are longer than the context of {model.context} tokens, or "
            "have places inside a token: choose other --targets"
        )
    return Drawn(tuple(rows), tuple(placed), tuple(is_test), tuple(verdicts), state.hexdigest())


def _written(
    chosen: ProbeSet, role: str, n: int, plan: ItemPlan, answers: Answers | None
) -> Iterator[tuple[Passage, Verdict | None]]:
    cell, family = chosen.cell, find_family(chosen.cell.family)
    kind: Literal["probe-fit", "probe-test"] = "probe-fit" if role == "probe-fit" else "probe-test"
    items = [make_instance(family, cell.level, cell.channel, plan.seed, at, role=kind) for at in range(n)]
    is_asked = answers is not None and (chosen.needs_answer or kind == "probe-test")
    said = answers(items) if answers is not None and is_asked else [("", None)] * n
    for item, (text, verdict) in zip(items, said, strict=True):
        stream = Stream("probe", chosen.name, family.version, kind, plan.seed, item.index)
        is_right = verdict is not None and verdict.correct
        yield chosen.write(Asked(item, pose(family, item, cell.style), stream, text, is_right)), verdict


@dataclass(frozen=True, slots=True)
class FramedPrompt:
    """A prompt as the model reads it: its text, and how far the question is moved in it."""

    text: str
    shift: int


def frame_prompt(prompt: str, tokenizer: Any, chat: bool) -> FramedPrompt:
    """Return a prompt as it is, or as the message of a chat up to where the model's answer begins."""
    if not chat:
        return FramedPrompt(prompt, 0)
    message = as_message(prompt)
    turns = [{"role": "user", "content": message}]
    text = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    shift = text.find(message)
    if shift < 0:
        raise NotProbeable(
            "the chat template changes the question, so that no place in it can be found: give --no-chat"
        )
    return FramedPrompt(text, shift)


def place_passage(
    passage: Passage, model: ProbedModel, chat: bool, number: int, n_states: int
) -> tuple[TokenRow | None, list[PlacedReading]]:
    """Return the tokens of a passage and its readings; no row where it is too long, or nothing can be read."""
    framed = frame_prompt(passage.prompt, model.tokenizer, chat)
    # cut apart, as the model reads a prompt before it writes: no token of the prompt may hold a part of the rest
    head = _tokens(model, framed.text, not chat)
    tail = _tokens(model, passage.rest, False) if passage.rest else _Tokens((), ())
    n_head, n_prompt = len(head.ids), len(passage.prompt)
    ids = (*head.ids, *tail.ids)
    if not passage.readings or len(ids) > model.context:
        return None, []
    places: list[tuple[Reading, int]] = []
    for reading in passage.readings:
        if reading.at == END:
            token: int | None = n_head - 1
        elif reading.at < n_prompt:
            token = head.token_at(reading.at + framed.shift)
        else:
            inside = tail.token_at(reading.at - n_prompt)
            token = None if inside is None else n_head + inside
        if token is None:
            return None, []
        places.append((reading, token))
    kept = sorted({token for _, token in places})
    at = {token: n_states + position for position, token in enumerate(kept)}
    text, group = passage.prompt + passage.rest, passage.group or str(number)
    readings = [
        PlacedReading(one, at[token], number, group, text[: n_prompt if one.at == END else one.at + 1])
        for one, token in places
    ]
    return TokenRow(ids, kept), readings


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Tokens with the characters that they span."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    def token_at(self, char: int) -> int | None:
        """Return the token whose span ends with this character; None where a token reaches beyond it."""
        for at, (start, end) in enumerate(self.spans):
            if start <= char < end:
                return at if end == char + 1 else None
        return None


def _tokens(model: ProbedModel, text: str, special: bool) -> _Tokens:
    made = model.tokenizer(text, add_special_tokens=special, return_offsets_mapping=True)
    if "offset_mapping" not in made:
        raise NotProbeable(
            "the tokenizer does not tell where its tokens stand (no offsets): a tokenizer.json is needed"
        )
    return _Tokens(tuple(made["input_ids"]), tuple((int(a), int(b)) for a, b in made["offset_mapping"]))


def greedy_answers(chosen: ProbeSet, engine: HfEngine, chat: bool) -> Answers:
    """Return a function that asks a model the items of a set, greedily and without examples."""
    cell, family = chosen.cell, find_family(chosen.cell.family)
    plain = RunSettings()
    settings = replace(plain, prompt=replace(plain.prompt, chat=chat)) if chat else plain
    sampling = replace(sampling_of(cell, settings), temperature=0.0)

    def ask(items: Sequence[Instance]) -> list[tuple[str, Verdict]]:
        found: dict[str, Completion] = {}
        requests = (_request(at, pose(family, item, cell.style)) for at, item in enumerate(items))
        for some in engine.stream(requests):
            found.update((one.key, one) for one in some)
        texts = [found[str(at)] for at in range(len(items))]
        return [
            (one.text, grade(family, item, one.text, one.finish_reason in ("length", "looped")))
            for item, one in zip(items, texts, strict=True)
        ]

    def _request(at: int, prompt: str) -> Request:
        turns = (Turn("user", as_message(prompt)),) if chat else ()
        return Request(str(at), "", prompt, sampling, turns=turns)

    return ask

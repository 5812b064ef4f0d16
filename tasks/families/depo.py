"""The name k steps after another on a ring that is shown edge by edge: multi-hop reasoning depth.

n names form one directed cycle; its n edges are shown in uniformly random order. Asked: the k-fold successor of a
start. Since 0 < k <= n / 2, no way back is shorter, and the answer is never the start. On the ladder `joins` every name
has one arrow too, but several may lead to the same name, and no way leads back from the start to the answer. The
ladders `tokens` and `tokens-long` ask models trained on the corpus depo, in its token form.

Hardness: hops, then number of names. One hop is a look-up, which is what it measures: chance is uniform over all names
but the start. From two hops on, the names beside the start, one arrow before or after it, are known to be wrong, so
chance is uniform over the others, in the text or among candidates. On the ladder `joins`, it is that of a name to which
two arrows lead or more, measured.

Reference: Allen-Zhu, Physics of Language Models 4.1 (arXiv 2512.17351), synthetic task Depo.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import comb
from typing import Any, ClassVar, NamedTuple

from fathom.tasks.answers.kinds import AnswerKind, FirstLine, Names
from fathom.tasks.base import (
    CUT_OFF,
    N_CHOICES,
    NO_ANSWER,
    Cell,
    Instance,
    Level,
    Part,
    Problem,
    Shortcut,
    Verdict,
    candidates,
    example_line,
    write_lessons,
)
from fathom.tasks.graphs.joins import draw_joins
from fathom.tasks.graphs.rings import draw_ring_problem, first_name
from fathom.tasks.probes import END, YES_NO, Asked, Passage, ProbeSet, Reading, Variable, last_of
from fathom.tasks.stream import Stream
from fathom.tasks.words import CODE_SHAPE, NAME_SHAPE, codes, given_names

_SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)

_HOPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)

_MANY_HOPS = {256: (32, 48, 64, 96, 128), 512: (64, 128, 256), 1024: (64, 128, 192, 256)}
"""Hops on the largest rings; on the others all of _HOPS, up to half the ring."""

_VARIED_SIZE = 16
"""Ring size at which the length of names is varied."""

# Names and hops where arrows join -> share of items that `guess` gets right, of 10,000 (16), ... 300 (1024) items.
_JOINS: Mapping[tuple[int, int], float] = {
    (16, 2): 0.139, (32, 2): 0.068, (32, 4): 0.068, (32, 6): 0.068, (64, 8): 0.032, (64, 12): 0.032, (128, 16): 0.016,
    (128, 24): 0.016, (256, 32): 0.0075, (256, 64): 0.0075, (512, 128): 0.004, (1024, 256): 0.002,
}  # fmt: skip

_NAME_LENGTHS = {"short": {"symbol": 2, "story": 2}, "long": {"symbol": 5, "story": 4}}

_MANY_NAMES = 200
"""With more names than this, short codes have three letters."""

_NAMES: Mapping[str, Callable[[Stream, int, int], list[str]]] = {"symbol": codes, "story": given_names}

_TOKENS = {
    "short": [
        (n, k) for n in (8, 16, 32, 75, 100, 125, 225, 300, 375) for k in (1, 2, 4, 8)
        if 2 * k <= n and (k != 2 or n <= 16)
    ],
    "long": [(n, k) for n in (16, 75, 100, 125) for k in (1, 8, 16) if 2 * k <= n],
}  # fmt: skip
"""Rings in token form, for models trained on the corpus depo: its largest rings, and K and K / 2 hops (part 4.1)."""

_ASKED = ("direct", "cot", "choice")

_LONGEST = 80  # characters of a name in token form: 7 tokens

_Edge = tuple[str, str]


def _level(n: int, k: int, names: str = "short") -> Level:
    ladder, name = ("main", f"n{n}k{k}") if names == "short" else ("long-names", f"n{n}k{k}-long-names")
    axes: dict[str, int | str] = {"n": n, "k": k, "order": "shuffled", "names": names}
    return Level(name, _hardness(n, k), axes, ladder, styles=_ASKED, is_one_step=k == 1)


def _hardness(n: int, k: int) -> float:
    return k + n / 10_000


def _levels() -> dict[str, Level]:
    table = [_level(n, k) for n in _SIZES for k in _MANY_HOPS.get(n, _HOPS) if 2 * k <= n and (n, k) != (4, 2)]
    table += [_level(_VARIED_SIZE, k, "long") for k in _HOPS if 2 * k <= _VARIED_SIZE]
    for n, k in _JOINS:
        axes: dict[str, int | str] = {"n": n, "k": k, "order": "shuffled", "names": "short", "graph": "joins"}
        table.append(Level(f"n{n}k{k}-joins", _hardness(n, k), axes, "joins", styles=("direct", "cot")))
    table += [_token_level(n, k, names) for names, pairs in _TOKENS.items() for n, k in pairs]
    return {level.name: level for level in table}


def _token_level(n: int, k: int, names: str) -> Level:
    ladder = "tokens" if names == "short" else "tokens-long"
    axes: dict[str, int | str] = {"n": n, "k": k, "order": "shuffled", "names": names, "form": "tokens"}
    return Level(f"{ladder}-n{n}k{k}", _hardness(n, k), axes, ladder, channels=("symbol",), styles=("trained",))


def _show(edges: list[_Edge], channel: str, is_ring: bool) -> str:
    if channel == "symbol":
        joined = "" if is_ring else "; several may lead to the same code"
        arrows = "; ".join([f"{a} -> {b}" for a, b in edges])
        return f"Each arrow leads from one code to the next{joined}. Arrows: {arrows}."
    told = "round a circle of people" if is_ring else "from person to person, and several may hand it to the same one"
    handed = " ".join([f"{a} always hands it to {b}." for a, b in edges])
    return f"A parcel goes {told}. {handed}"


def _ask(start: str, hops: int, channel: str) -> str:
    if channel == "symbol":
        return f"Which code is {hops} {'arrow' if hops == 1 else 'arrows'} after {start}?"
    return f"Now {start} holds the parcel. Who holds it after {hops} {'hand-over' if hops == 1 else 'hand-overs'}?"


def _walk(successor: Mapping[str, str], start: str, hops: int) -> list[str]:
    path = [start]
    for _ in range(hops):
        path.append(successor[path[-1]])
    return path


def _not_beside(instance: Instance) -> list[str]:
    """Return the names that no arrow links with the start, as shown; at one hop all but the start."""
    start, edges = instance.facts["start"], instance.facts["edges"]
    known = {start}
    if instance.facts["hops"] > 1:
        known.update([other for edge in edges if start in edge for other in edge])
    return [a for a, _ in edges if a not in known]


class _Seen(NamedTuple):
    """What a shortcut gets: the item's facts, and the names or candidates that no arrow links with the start."""

    facts: Mapping[str, Any]
    left: list[str]


def _at_text(facts: Mapping[str, Any], steps: int) -> str:
    """Return where the arrow leads that is shown that many places after the arrow of the start."""
    edges = facts["edges"]
    at = next(at for at, (a, _) in enumerate(edges) if a == facts["start"])
    return str(edges[(at + steps) % len(edges)][1])


def _one_hop(seen: _Seen) -> str | None:
    return _at_text(seen.facts, 0) if seen.facts["hops"] > 1 else None  # one hop is what is asked


def _one_back(seen: _Seen) -> str | None:
    return next((a for a, b in seen.facts["edges"] if b == seen.facts["start"]), None)


def _counted(seen: _Seen) -> str:
    return _at_text(seen.facts, seen.facts["hops"])


def _counted_back(seen: _Seen) -> str:
    return _at_text(seen.facts, -seen.facts["hops"])


def _first_left(seen: _Seen) -> str:
    return seen.left[0]


def _last_left(seen: _Seen) -> str:
    return seen.left[-1]


def _nearest(seen: _Seen) -> str:
    names = [a for a, _ in seen.facts["edges"]]
    origin = names.index(seen.facts["start"])
    return min(seen.left, key=lambda name: abs(names.index(name) - origin))


def _most_arrows(seen: _Seen) -> str:
    ends = [b for _, b in seen.facts["edges"]]
    return max(seen.left, key=ends.count)


def _shortcut(rule: Callable[[_Seen], str | None], about: str) -> Shortcut:
    """Make a shortcut of a rule, named after its function."""

    def answer(instance: Instance, style: str) -> str | None:
        left = _not_beside(instance)
        shown = [name for name in left if name in instance.choices] if style == "choice" else left
        return rule(_Seen(instance.facts, shown))

    return Shortcut(rule.__name__.removeprefix("_"), about, answer, ("direct", "choice", "trained"))


@dataclass(frozen=True)
class Depo:
    """The family `depo`; see the module's docstring."""

    name: str = "depo"
    version: int = 2
    title: str = "Follow arrows"
    part: Part = "Reasoning"
    summary: str = "Follow k arrows from one of n names, whose arrows are shown in random order."
    reference: str = "Physics of Language Models 4.1 (arXiv 2512.17351), task Depo"
    unit: str = "hops"
    channels: tuple[str, ...] = ("symbol", "story")
    styles: tuple[str, ...] = (*_ASKED, "trained")
    labels: ClassVar[Mapping[str, str]] = {
        "start": "The name given in the question: no arrow was followed.",
        "one_hop": "The name one arrow after the start, where more steps were asked.",
        "short_by_one": "One arrow too few.",
        "long_by_one": "One arrow too many.",
        "backwards": "The right number of arrows in the wrong direction, on a ring.",
        "other_node": "Another name of the question, at none of the positions above.",
        "not_a_node": "Not a name of the question.",
        "no_answer": NO_ANSWER,
        "cut_off": CUT_OFF,
    }
    shortcuts: ClassVar[tuple[Shortcut, ...]] = (
        _shortcut(_one_hop, "The name one arrow after the start."),
        _shortcut(_one_back, "The name one arrow before the start."),
        _shortcut(_counted, "Where the arrow leads that is shown k places after that of the start."),
        _shortcut(_counted_back, "Where the arrow leads that is shown k places before that of the start."),
        _shortcut(_first_left, "The first name in the text that no arrow links with the start."),
        _shortcut(_last_left, "The last name in the text that no arrow links with the start."),
        _shortcut(_nearest, "The name nearest to the start in the text that no arrow links with it."),
        _shortcut(_most_arrows, "The name to which most arrows lead, of those that no arrow links with the start."),
    )
    grading: str = "The name must be spelt as in the question, capitals included."

    @cached_property
    def levels(self) -> dict[str, Level]:
        """Main ladder n x k with 2k <= n; at n = 16 also long names; arrows that join; rings in token form."""
        return _levels()

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw a ring, or arrows that join. Names come in random order, so the first ones are random ones."""
        n, hops = int(level.axes["n"]), int(level.axes["k"])
        if "form" in level.axes:
            posed = draw_ring_problem(str(level.axes["names"]), n, hops, stream)
            told = {"edges": posed.edges, "start": posed.start, "hops": hops, "form": "tokens"}
            return Problem(posed.question, posed.answer, (), told)
        *names, example = _draw_names(str(level.axes["names"]), channel, n + 1, stream)
        facts: dict[str, Any] = {"hops": hops, "example": example}
        choices: tuple[str, ...] = ()
        if "graph" in level.axes:
            follows, first = draw_joins(n, hops, stream)
            edges = [(name, names[to]) for name, to in zip(names, follows, strict=True)]
            facts |= {"edges": stream.shuffle(edges), "start": names[first], "graph": "joins"}
            gold = _walk(dict(edges), names[first], hops)[-1]
        else:
            facts |= {"edges": stream.shuffle(zip(names, names[1:] + names[:1], strict=True)), "start": names[0]}
            gold, choices = names[hops], candidates(stream, names[hops], names[1:hops] + names[hops + 1 :])
        shown = _show(facts["edges"], channel, "graph" not in facts)
        return Problem(f"{shown}\n{_ask(facts['start'], hops, channel)}", gold, choices, facts)

    def instruction(self, instance: Instance, style: str) -> str:
        """Ask for the name alone, or for steps and a last line with the name."""
        noun = "code" if instance.channel == "symbol" else "name"
        if style == "cot":
            return (
                f"Go step by step. Then end with a line that gives the {noun} after the word Answer, for example: "
                f"{example_line(instance)}"
            )
        return f"Reply with the {noun} only."

    def solution(self, instance: Instance) -> str:
        """Return the path: start -> next -> ... -> gold."""
        facts = instance.facts
        return " " + " -> ".join(_walk(dict(facts["edges"]), facts["start"], facts["hops"]))

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Return up to N_QUESTIONS questions about different starts, each with 1..k hops and no name twice.

        This is the paper's multi-question form; only the first prompt shows the arrows.
        """
        problem = self.generate(level, channel, stream)
        if "form" in level.axes:
            return [(problem.question, f" {problem.gold}")]
        shown, _, _ = problem.question.partition("\n")

        def others() -> Iterator[Problem]:
            successor = dict(problem.facts["edges"])
            for start in stream.shuffle(successor):
                hops = 1 + stream.below(problem.facts["hops"])
                path = _walk(successor, start, hops)
                if len(set(path)) == len(path):
                    facts = {**problem.facts, "start": start, "hops": hops}
                    yield Problem(f"{shown}\n{_ask(start, hops, channel)}", path[-1], (), facts)

        return write_lessons(self, Cell(self.name, level.name, channel, style), shown, others())

    def answer_kind(self, instance: Instance) -> AnswerKind:
        """Return a name of the question; the first line for the token form."""
        facts = instance.facts
        if "form" in facts:
            return FirstLine()
        shape = CODE_SHAPE if instance.channel == "symbol" else NAME_SHAPE
        return Names([name for name, _ in facts["edges"]], (facts["start"],), shape)

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Compare with the gold; a wrong name is labelled by its distance from the start."""
        said = _read_tokens(answer) if "form" in instance.facts else answer
        if said is None:
            return Verdict(False, None, "no_answer")
        if said == instance.gold:
            return Verdict(True, said, "correct")
        return Verdict(False, said, self._diagnose(instance, said))

    def _diagnose(self, instance: Instance, answer: str) -> str:
        successor = dict(instance.facts["edges"])
        if answer not in successor:
            return "not_a_node"
        n, hops = len(successor), instance.facts["hops"]
        path = _walk(successor, instance.facts["start"], n - 1)
        signs = (
            ("start", 0),
            ("one_hop", 1),
            ("short_by_one", hops - 1),
            ("long_by_one", hops + 1),
            *([] if "graph" in instance.facts else [("backwards", n - hops)]),
        )
        return next((label for label, at in signs if path[at] == answer), "other_node")

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return any name or candidate that no arrow links with the start; one with two arrows where arrows join."""
        left, ends = _not_beside(instance), [b for _, b in instance.facts["edges"]]
        if style == "choice":
            return stream.choice([name for name in instance.choices if name in left])
        joined = [name for name in left if ends.count(name) > 1] if "graph" in instance.facts else []
        return stream.choice(joined or left)

    def chance(self, level: Level, style: str) -> float:
        """Return the share of one name among those that the start's own arrows leave, or of one candidate."""
        n, hops = int(level.axes["n"]), int(level.axes["k"])
        if "graph" in level.axes:
            return _JOINS[n, hops]
        if style == "choice":
            return 1 / min(n - 1, N_CHOICES) if hops == 1 else _chance_of_choice(n)
        return 1 / (n - 1 if hops == 1 else n - 3)

    def budget(self, level: Level, style: str) -> int:
        """Return the tokens of a name in token form, of a sentence, or of all arrows and a sentence a hop."""
        if style == "trained":
            return 48 if level.axes["names"] == "long" else 16
        if style != "cot":
            return 96 if style == "direct" else 1
        return 192 + 16 * int(level.axes["n"]) + 60 * int(level.axes["k"])


def _chance_of_choice(n: int) -> float:
    """Return the mean share of one candidate among those that are not beside the start; 0 to 2 of n - 2 others are."""
    wrong = min(n - 2, N_CHOICES - 1)
    ways = [comb(2, beside) * comb(n - 4, wrong - beside) for beside in range(3)]
    return sum(way / (wrong + 1 - beside) for beside, way in enumerate(ways)) / sum(ways)


def _draw_names(length: str, channel: str, n: int, stream: Stream) -> list[str]:
    letters = 3 if channel == "symbol" and length == "short" and n > _MANY_NAMES else _NAME_LENGTHS[length][channel]
    return _NAMES[channel](stream, n, letters)


def _read_tokens(text: str) -> str | None:
    name = first_name(text)
    return name if name is not None and len(name) <= _LONGEST else None


FAMILY = Depo()

_HOP_WORDS = ("the name given in the question", "the name one arrow after the start")


def _hop(hops: int, asked: int) -> Variable:
    about = _HOP_WORDS[hops] if hops < len(_HOP_WORDS) else f"the name {hops} arrows after the start"
    return Variable("match", about, is_asked=hops == asked, can_be_said=True)


def _write_path(asked: Asked) -> Passage:
    """Read names along the path, and the one before the start, at the start in the question and at the end."""
    facts = asked.instance.facts
    successor, start, hops = dict(facts["edges"]), facts["start"], facts["hops"]
    path = _walk(successor, start, len(successor) - 1)
    options = tuple(asked.stream.shuffle(path))
    labels = {"start": start, **{f"next{at}": path[at] for at in range(1, hops + 2)}, "previous": path[-1]}
    places = {"start in the question": last_of(asked.instance.question, start), "end of the prompt": END}
    readings = [
        Reading(name, place, at, label, start, options)
        for name, label in labels.items()
        for place, at in places.items()
    ]
    return Passage(asked.prompt, "", tuple(readings))


def _write_steps(asked: Asked) -> Passage:
    """Read at each name of the written path which name comes next, and which after it."""
    facts = asked.instance.facts
    path = _walk(dict(facts["edges"]), facts["start"], facts["hops"] + 1)
    options = tuple(asked.stream.shuffle([name for name, _ in facts["edges"]]))
    rest, readings = f" {path[0]}", []
    for at in range(facts["hops"]):
        place, here = f"name {at + 1} of the solution", len(asked.prompt) + len(rest) - 1
        readings += [
            Reading("next", place, here, path[at + 1], path[at], options),
            Reading("after", place, here, path[at + 2], path[at], options),
        ]
        rest += f" -> {path[at + 1]}"
    return Passage(asked.prompt, rest, tuple(readings))


def _write_mistake(asked: Asked) -> Passage:
    label = "no" if asked.is_right else "yes"
    reading = Reading("answer", "end of the prompt", END, label, asked.instance.facts["start"])
    return Passage(asked.prompt, "", (reading,))


def _other_start(instance: Instance, stream: Stream) -> Instance:
    """Ask the item's question from another of its names, over its own arrows."""
    facts = instance.facts
    start = stream.choice([name for name, _ in facts["edges"] if name != facts["start"]])
    shown = instance.question.rpartition("\n")[0]
    question = f"{shown}\n{_ask(start, facts['hops'], instance.channel)}"
    gold = _walk(dict(facts["edges"]), start, facts["hops"])[-1]
    return replace(instance, question=question, gold=gold, choices=(), facts={**facts, "start": start})


_PLACES = {"start in the question": "at the start's name in the question", "end of the prompt": "before the answer"}
_PREVIOUS = Variable(
    "match", "the name whose arrow leads to the start, which is never needed", can_be_said=True, is_decoy=True
)


def _path_set(hops: int) -> ProbeSet:
    variables = {"start": _hop(0, hops), **{f"next{at}": _hop(at, hops) for at in range(1, hops + 2)}}
    cell = Cell("depo", f"n8k{hops}", "symbol", "direct")
    return ProbeSet(
        f"depo.n8k{hops}", cell, {**variables, "previous": _PREVIOUS}, _PLACES, _write_path, twin=_other_start
    )


PROBES = (
    _path_set(1),
    _path_set(2),
    ProbeSet(
        "depo.n8k2-steps", Cell("depo", "n8k2", "symbol", "cot"),
        {"next": Variable("match", "the name that the solution gives next"),
         "after": Variable("match", "the name one arrow after the next one")},
        {f"name {at} of the solution": f"at name {at} of the written solution" for at in (1, 2)}, _write_steps,
        is_default=False,
    ),
    ProbeSet(
        "mistake.depo", Cell("depo", "n8k2", "symbol", "direct"),
        {"answer": Variable("yes-no", "whether this answer will be wrong", YES_NO)},
        {"end of the prompt": "before the answer"}, _write_mistake, needs_answer=True, is_default=False,
    ),
)  # fmt: skip

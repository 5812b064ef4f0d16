"""The name k steps after another on a ring that is shown edge by edge: multi-hop reasoning depth.

n names form one directed cycle; its n edges are shown, by default in uniformly random order. Asked: the k-fold
successor of a start. Since 0 < k < n, it is unique and never the start. The ladders `tokens` and `tokens-long` ask
models trained on the corpus depo, in its token form.

Hardness: hops, then ring size. Chance: uniform over all names but the start, or over the candidates.

Reference: Allen-Zhu, Physics of Language Models 4.1 (arXiv 2512.17351), synthetic task Depo.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

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
    write_lessons,
)
from fathom.tasks.graphs.rings import draw_ring_problem, first_name
from fathom.tasks.stream import Stream
from fathom.tasks.words import CODE_SHAPE, NAME_SHAPE, codes, given_names

_SIZES = (4, 8, 16, 32, 64, 128)

_HOPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)

_VARIED_SIZE = 16
"""Ring size at which the other axes (order of edges, length of names) are varied."""

_NAME_LENGTHS = {"short": {"symbol": 2, "story": 2}, "long": {"symbol": 5, "story": 4}}

_NAMES: Mapping[str, Callable[[Stream, int, int], list[str]]] = {"symbol": codes, "story": given_names}

_TOKENS = {
    "short": [(n, k) for n in (8, 16, 32, 75, 125, 225, 375) for k in (1, 2, 4, 8) if k < n and (k != 2 or n <= 16)],
    "long": [(n, k) for n in (16, 75, 125) for k in (1, 8, 16) if k < n],
}
"""Rings in token form, for models trained on the corpus depo: its largest rings, and K and K / 2 hops (part 4.1)."""

_ASKED = ("direct", "cot", "choice")

_LONGEST = 80  # characters of a name in token form: 7 tokens

_Edge = tuple[str, str]


def _level(n: int, k: int, order: str = "shuffled", names: str = "short") -> Level:
    ladder = order if order != "shuffled" else "main" if names == "short" else "long-names"
    name = f"n{n}k{k}" + ("" if ladder == "main" else f"-{ladder}")
    axes: dict[str, int | str] = {"n": n, "k": k, "order": order, "names": names}
    return Level(name, k + n / 1000, axes, ladder, styles=_ASKED)


def _levels() -> dict[str, Level]:
    table = [_level(n, k) for n in _SIZES for k in _HOPS if k < n]
    for order, names in (("forward", "short"), ("backward", "short"), ("shuffled", "long")):
        table += [_level(_VARIED_SIZE, k, order, names) for k in _HOPS if k < _VARIED_SIZE]
    table += [_token_level(n, k, names) for names, pairs in _TOKENS.items() for n, k in pairs]
    return {level.name: level for level in table}


def _token_level(n: int, k: int, names: str) -> Level:
    ladder = "tokens" if names == "short" else "tokens-long"
    axes: dict[str, int | str] = {"n": n, "k": k, "order": "shuffled", "names": names, "form": "tokens"}
    return Level(f"{ladder}-n{n}k{k}", k + n / 1000, axes, ladder, channels=("symbol",), styles=("trained",))


def _show(edges: list[_Edge], channel: str) -> str:
    if channel == "symbol":
        arrows = "; ".join([f"{a} -> {b}" for a, b in edges])
        return f"Each arrow leads from one code to the next. Arrows: {arrows}."
    handed = " ".join([f"{a} always hands it to {b}." for a, b in edges])
    return f"A parcel goes round a circle of people. {handed}"


def _ask(start: str, hops: int, channel: str) -> str:
    if channel == "symbol":
        return f"Which code is {hops} {'arrow' if hops == 1 else 'arrows'} after {start}?"
    return f"Now {start} holds the parcel. Who holds it after {hops} {'hand-over' if hops == 1 else 'hand-overs'}?"


def _walk(successor: Mapping[str, str], start: str, hops: int) -> list[str]:
    path = [start]
    for _ in range(hops):
        path.append(successor[path[-1]])
    return path


@dataclass(frozen=True)
class Depo:
    """The family `depo`; see the module's docstring."""

    name: str = "depo"
    version: int = 1
    title: str = "Follow arrows"
    part: Part = "Reasoning"
    summary: str = "Follow k arrows round a ring of n names whose arrows are shown in random order."
    reference: str = "Physics of Language Models 4.1 (arXiv 2512.17351), task Depo"
    unit: str = "hops"
    channels: tuple[str, ...] = ("symbol", "story")
    styles: tuple[str, ...] = (*_ASKED, "trained")
    labels: ClassVar[Mapping[str, str]] = {
        "start": "The name given in the question: no arrow was followed.",
        "one_hop": "The name one arrow after the start, where more steps were asked.",
        "short_by_one": "One arrow too few.",
        "long_by_one": "One arrow too many.",
        "backwards": "The right number of arrows in the wrong direction.",
        "other_node": "Another name on the ring, at none of the positions above.",
        "not_a_node": "Not a name on the ring.",
        "no_answer": NO_ANSWER,
        "cut_off": CUT_OFF,
    }
    shortcuts: ClassVar[tuple[Shortcut, ...]] = ()
    grading: str = "The name must be spelt as in the question, capitals included."

    @cached_property
    def levels(self) -> dict[str, Level]:
        """Main ladder n x k with k < n; at n = 16 also the other orders and long names; rings in token form."""
        return _levels()

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw a ring. The start is its first name; names come in random order, so it is a random one."""
        n, hops, order = int(level.axes["n"]), int(level.axes["k"]), level.axes["order"]
        if "form" in level.axes:
            posed = draw_ring_problem(str(level.axes["names"]), n, hops, stream)
            told = {"edges": posed.edges, "start": posed.start, "hops": hops, "form": "tokens"}
            return Problem(posed.question, posed.answer, (), told)
        length = _NAME_LENGTHS[str(level.axes["names"])][channel]
        ring = _NAMES[channel](stream, n, length)
        edges = list(zip(ring, ring[1:] + ring[:1], strict=True))
        if order == "shuffled":
            edges = stream.shuffle(edges)
        else:
            cut = stream.below(n)
            edges = edges[cut:] + edges[:cut]
            if order == "backward":
                edges.reverse()
        others = ring[1:hops] + ring[hops + 1 :]
        choices = candidates(stream, ring[hops], others)
        facts = {"edges": edges, "start": ring[0], "hops": hops}
        question = f"{_show(edges, channel)}\n{_ask(ring[0], hops, channel)}"
        return Problem(question, ring[hops], choices, facts)

    def instruction(self, instance: Instance, style: str) -> str:
        """Ask for the name alone, or for steps and a last line with the name."""
        noun = "code" if instance.channel == "symbol" else "name"
        if style == "cot":
            return f"Go step by step, then end with a last line of the form: Answer: <{noun}>"
        return f"Reply with the {noun} only."

    def solution(self, instance: Instance) -> str:
        """Return the path: start -> next -> ... -> gold."""
        facts = instance.facts
        return " " + " -> ".join(_walk(dict(facts["edges"]), facts["start"], facts["hops"]))

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Return up to N_QUESTIONS questions about different starts of one ring, each with 1..k hops.

        This is the paper's multi-question form; only the first prompt shows the ring.
        """
        problem = self.generate(level, channel, stream)
        if "form" in level.axes:
            return [(problem.question, f" {problem.gold}")]
        shown, _, _ = problem.question.partition("\n")

        def others() -> Iterator[Problem]:
            successor = dict(problem.facts["edges"])
            for start in stream.shuffle(successor):
                hops = 1 + stream.below(problem.facts["hops"])
                facts = {"edges": problem.facts["edges"], "start": start, "hops": hops}
                gold = _walk(successor, start, hops)[-1]
                yield Problem(f"{shown}\n{_ask(start, hops, channel)}", gold, (), facts)

        return write_lessons(self, Cell(self.name, level.name, channel, style), shown, others())

    def answer_kind(self, instance: Instance) -> AnswerKind:
        """Return a name of the ring; the first line for the token form."""
        facts = instance.facts
        if "form" in facts:
            return FirstLine()
        shape = CODE_SHAPE if instance.channel == "symbol" else NAME_SHAPE
        return Names([name for name, _ in facts["edges"]], (facts["start"],), shape)

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Compare with the gold; a wrong name is labelled by its position on the ring."""
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
        steps = _walk(successor, instance.facts["start"], n - 1).index(answer)
        signs = (
            ("start", 0),
            ("one_hop", 1),
            ("short_by_one", hops - 1),
            ("long_by_one", hops + 1),
            ("backwards", n - hops),
        )
        return next((label for label, at in signs if at == steps), "other_node")

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return a random candidate, or any name but the start."""
        if style == "choice":
            return stream.choice(instance.choices)
        names: list[str] = [a for a, _ in instance.facts["edges"] if a != instance.facts["start"]]
        return stream.choice(names)

    def chance(self, level: Level, style: str) -> float:
        """Return the share of one name among all but the start, or of one candidate."""
        others = int(level.axes["n"]) - 1
        return 1 / min(others, N_CHOICES) if style == "choice" else 1 / others

    def budget(self, level: Level, style: str) -> int:
        """Return the tokens of a name in token form, of a sentence, or of all arrows and a sentence a hop."""
        if style == "trained":
            return 48 if level.axes["names"] == "long" else 16
        if style != "cot":
            return 96 if style == "direct" else 1
        return 192 + 16 * int(level.axes["n"]) + 60 * int(level.axes["k"])


def _read_tokens(text: str) -> str | None:
    name = first_name(text)
    return name if name is not None and len(name) <= _LONGEST else None


FAMILY = Depo()

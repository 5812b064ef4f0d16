"""All prerequisites of a goal in an order that works: recursive dependencies.

A random DAG of n vertices is shown edge by edge, in random order. Asked: all ancestors of one vertex and the vertex
itself, prerequisites first. Every linear extension of exactly these is right.

Hardness: vertices. Chance: the direct needs as shown, followed by the goal; measured. Counting helps at few vertices:
to list everything that is needed by something, least needs first, is right for 89% of the items at n = 4, 58% at 6 and
27% at 8; and of four candidates that contain the direct needs, the one whose numbers of needs fall least often is right
for 67% at n = 8, 35% from 24 on. Chance is stated for guessers that do not count: read levels below n = 12 with care.

Reference: Allen-Zhu, Physics of Language Models 4.1 (arXiv 2512.17351), synthetic task Brevo.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any, ClassVar, NamedTuple

from fathom.tasks.answers.compound import NameList
from fathom.tasks.answers.kinds import AnswerKind
from fathom.tasks.base import CUT_OFF, NO_ANSWER, Instance, Level, Part, Problem, Shortcut, Verdict, write_lesson
from fathom.tasks.graphs.dependencies import DependencyGraph, VertexOrder, ancestors, draw_graph
from fathom.tasks.stream import Stream
from fathom.tasks.words import CODE_SHAPE, NAME_SHAPE, codes, given_names

_SIZES = (4, 6, 8, 12, 16, 24, 32, 48, 64)

# n -> the share of items that `guess` gets right, measured on 100,000 items of each level (channel symbol).
_SHORTCUT: Mapping[int, float] = {
    4: 0.248,
    6: 0.111,
    8: 0.052,
    12: 0.03,
    16: 0.024,
    24: 0.021,
    32: 0.02,
    48: 0.018,
    64: 0.019,
}

N_ORDERS = 4
"""Candidates in the style `choice`."""

_PLACES = tuple(permutations(range(N_ORDERS)))


class _Setting(NamedTuple):
    """The words of a channel: the rule, a fact such as "QK needs RT", and the question about {q}."""

    rule: str
    needs: str  # concatenated, not formatted: five times as fast
    gap: str  # between two facts
    ask: str


_CODES = _Setting(
    "Each task has a code. A task can be done only when all the tasks that it needs have been done; "
    "one that needs none can be done at any time. Needs: ",
    " needs ", "; ",
    "List all the tasks that must be done before {q}, directly or indirectly, and then {q} itself, "
    "in an order in which they can be done: each task once, and no task that is not needed.",
)  # fmt: skip


def _story(scene: str, noun: str, verb: str, done: str, goal: str) -> _Setting:
    return _Setting(
        f"{scene} A {noun} can be {done} only when every {noun} that it {verb} has been {done}; "
        f"one that {verb} no other can be {done} at any time. ",
        f" {verb} ", ". ",
        f"{goal}, and nothing has been {done} yet. List all the {noun}s that must be {done} for that, {{q}} included, "
        f"in an order in which they can be {done}: each {noun} once, and no {noun} that is not needed.",
    )  # fmt: skip


_STORIES = (
    _story("In a village kitchen, some soups are made out of others.", "soup", "is cooked with", "cooked",
           "The cook wants to serve {q}"),
    _story("In a workshop, some tools are made out of others.", "tool", "is built from", "built",
           "The smith wants to sell a {q}"),
    _story("On an island, some rites prepare for others.", "rite", "calls for", "held",
           "The elders want to hold {q}"),
    _story("At a school of magic, some spells build on others.", "spell", "builds on", "learnt",
           "A pupil wants to master {q}"),
)  # fmt: skip


def _orders(right: VertexOrder, graph: DependencyGraph, words: Sequence[int]) -> list[VertexOrder]:
    """Return four orders, the right one first and the others wrong.

    They combine two faults, one of order and one of membership, each in two of the four, so that neither a vote among
    them nor (on average) their length reveals the right one.
    """
    parents, n_children = graph
    inside = set(right)
    spare = [v for v, some in enumerate(parents) if v not in inside and (some or n_children[v])]
    if len(right) == 2:
        first = words[0] % len(spare)
        wrong = [[other, right[1]] for other in (spare[first:] + spare[:first])[:3]]
        return [right, *wrong, right[::-1]][:4]
    dependent = [v for v in right[1:-1] if parents[v]]
    if not spare:
        # Moved in this order, two cannot undo each other: the later is no parent of the earlier.
        late = 1 + words[0] % (len(dependent) - 1)
        other = _moved(right, dependent[words[1] % late], parents, words[2])
        return [right, other, *[_moved(order, dependent[late], parents, words[3]) for order in (right, other)]]
    likely = [v for v in spare if n_children[v]] or spare
    new = likely[words[0] % len(likely)]
    if dependent:
        movable = [v for v in dependent if parents[v] != right[:1]] or dependent
        if words[3] >> 63:
            # Otherwise the order of the numbers of needs would reveal the wrong ones.
            movable = [v for v in movable if len(parents[v]) < len(parents[max(parents[v])])] or movable
        changed = movable[words[1] % len(movable)]
        other = _moved(right, changed, parents, words[2])
    else:
        changed = right[words[1] % (len(right) - 1)]
        rest = [v for v in spare if v != new]
        other = _replaced(right, changed, rest[words[2] % len(rest)])
    kind = words[3] % 3 if len(right) > 3 or not dependent else 2
    if kind == 0:
        place = words[4] % len(right)
        return [right, other, *[[*order[:place], new, *order[place:]] for order in (right, other)]]
    # Of two that change places, neither can be left out: the orders would be the same.
    passed = right[other.index(changed)] if dependent else changed
    inner = [v for v in right[:-1] if v != changed and v != passed] or [passed]
    distant = [v for v in inner if v not in parents[right[-1]]] or inner
    distant = [v for v in distant if n_children[v] == n_children[new]] or distant
    old = distant[words[4] % len(distant)]
    if kind == 1:
        return [right, other, *[[v for v in order if v != old] for order in (right, other)]]
    return [right, other, *[_replaced(order, old, new) for order in (right, other)]]


def _moved(order: VertexOrder, vertex: int, parents: Sequence[VertexOrder], word: int) -> VertexOrder:
    """Move a vertex to a random position before one that it needs, but not to the front if possible."""
    last = max(map(order.index, parents[vertex]))
    moved = order[:]
    moved.remove(vertex)
    moved.insert(1 + word % last if last else 0, vertex)
    return moved


def _replaced(order: VertexOrder, old: int, new: int) -> VertexOrder:
    return [new if v == old else v for v in order]


def _is_right(names: Sequence[str], facts: Mapping[str, Any]) -> bool:
    """Return whether names are a linear extension of the query's ancestors and the query.

    In a DAG this holds exactly if all have what they need before them, and each but the query is needed by another.
    """
    places = {name: place for place, name in enumerate(names)}
    if len(places) != len(names) or facts["query"] not in places:
        return False
    used = {facts["query"]}
    for before, after in facts["edges"]:
        place = places.get(after)
        if place is not None:
            if places.get(before, place) >= place:
                return False
            used.add(before)
    return len(used) == len(names)


def _needs(facts: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what each name needs, in the order shown; leaves need nothing."""
    needs: dict[str, list[str]] = {}
    for before, after in facts["edges"]:
        needs.setdefault(before, [])
        needs.setdefault(after, []).append(before)
    return needs


def _search(needs: Mapping[str, Sequence[str]], query: str) -> list[str]:
    """Return the query and its ancestors, nearest first."""
    found = {query: None}
    queue = [query]
    for name in queue:
        fresh = [other for other in needs[name] if other not in found]
        found.update(dict.fromkeys(fresh))
        queue += fresh
    return queue


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "nothing"


def _diagnose(names: Sequence[str], facts: Mapping[str, Any]) -> Verdict:
    """Label the first mistake of a wrong list."""
    needs = _needs(facts)
    wanted = _search(needs, facts["query"])
    known, listed, seen = set(wanted), set(names), set[str]()
    label, at = "missing", len(names) + 1
    for place, name in enumerate(names, 1):
        late = [other for other in needs.get(name, ()) if other not in seen]
        if name not in needs:
            label = "unknown_vertex"
        elif name in seen:
            label = "duplicate"
        elif name not in known:
            label = "extra"
        elif late:
            label = "order" if listed.issuperset(late) else "missing"
        else:
            seen.add(name)
            continue
        at = place
        break
    return Verdict(False, ", ".join(names), label, at, f"{len(seen)} of {len(wanted)} right")


@dataclass(frozen=True)
class Brevo:
    """The family `brevo`; see the module's docstring."""

    name: str = "brevo"
    version: int = 1
    title: str = "Order dependencies"
    part: Part = "Reasoning"
    summary: str = "List all that must be done before a goal, prerequisites first, from n vertices' shuffled needs."
    reference: str = "Physics of Language Models 4.1 (arXiv 2512.17351), task Brevo"
    unit: str = "vertices"
    channels: tuple[str, ...] = ("symbol", "story")
    styles: tuple[str, ...] = ("direct", "cot", "choice")
    labels: ClassVar[Mapping[str, str]] = {
        "missing": "Something needed is left out; the position is where it was first needed.",
        "extra": "Something is listed that the goal does not need.",
        "duplicate": "Something is listed twice.",
        "order": "Something is listed before what it needs.",
        "unknown_vertex": "A name that is not in the question.",
        "no_answer": NO_ANSWER,
        "cut_off": CUT_OFF,
    }
    shortcuts: ClassVar[tuple[Shortcut, ...]] = ()
    grading: str = (
        "Every order that works is right: the goal and all that it needs, nothing else, each after what it needs. "
        "Commas or blanks separate the names."
    )

    @cached_property
    def levels(self) -> dict[str, Level]:
        """One ladder over the number of vertices."""
        return {f"n{n}": Level(f"n{n}", hardness=n, axes={"n": n}) for n in _SIZES}

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw a DAG, a query among its last quarter, and an order of the edges."""
        n = int(level.axes["n"])
        names = codes(stream, n) if channel == "symbol" else given_names(stream, n)
        wording = _CODES if channel == "symbol" else stream.choice(_STORIES)
        words = stream.words(n + 7)
        graph = draw_graph(words[7:])
        query = n - 1 - words[0] % (n // 4)
        edges = stream.shuffle([(names[a], names[b]) for b, some in enumerate(graph.parents) for a in some])
        orders = [
            ", ".join([names[v] for v in order])
            for order in _orders(ancestors(graph.parents, query), graph, words[2:7])
        ]
        gold, choices = orders[0], tuple([orders[place] for place in _PLACES[words[1] % len(_PLACES)]])
        facts = {"edges": edges, "query": names[query], "accepts": "verifier"}
        needs = wording.needs
        shown = wording.gap.join([b + needs + a for a, b in edges])
        question = f"{wording.rule}{shown}.\n{wording.ask.replace('{q}', names[query])}"
        return Problem(question, gold, choices, facts)

    def instruction(self, instance: Instance, style: str) -> str:
        """Ask for the list alone, or for steps and a last line with the list."""
        noun = "codes" if instance.channel == "symbol" else "names"
        if style == "cot":
            return f"Go step by step, then end with a last line of the form: Answer: <{noun}, separated by commas>"
        return f"Reply with the {noun} only, separated by commas."

    def solution(self, instance: Instance) -> str:
        """Return what the query needs, what these need, and so on; the answer then puts them in order."""
        needs = _needs(instance.facts)
        told = [f" {name} needs {_listed(needs[name])}." for name in _search(needs, instance.facts["query"])]
        return "".join(told)

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Return one problem with its solution."""
        return write_lesson(self, level, channel, style, stream)

    def answer_kind(self, instance: Instance) -> AnswerKind:
        """Return a list of names."""
        shape = CODE_SHAPE if instance.channel == "symbol" else NAME_SHAPE
        return NameList(list(_needs(instance.facts)), shape)

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Accept every order that works; otherwise label the first mistake."""
        names = answer.split(", ")
        if _is_right(names, instance.facts):
            return Verdict(True, answer, "correct")
        return _diagnose(names, instance.facts)

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return the best shortcut, the direct needs as shown and then the query; or any candidate."""
        if style == "choice":
            return stream.choice(instance.choices)
        query = instance.facts["query"]
        return ", ".join([*_needs(instance.facts)[query], query])

    def chance(self, level: Level, style: str) -> float:
        """Return the measured accuracy of the shortcut; 1/4 for candidates."""
        return 1 / N_ORDERS if style == "choice" else _SHORTCUT[int(level.axes["n"])]

    def budget(self, level: Level, style: str) -> int:
        """Return the tokens of a sentence with all names, or of all needs, each vertex and its order in sentences."""
        n = int(level.axes["n"])
        return 128 + 6 * n if style == "direct" else 256 + 88 * n if style == "cot" else 1


FAMILY = Brevo()

"""All prerequisites of a goal in an order that works: recursive dependencies.

A goal needs exactly m tasks, directly or indirectly. They are shown need by need, in random order, among as many tasks
or more that it does not need: copies of the same kind of graph, whose tasks need some of the needed ones too. Asked:
all that the goal needs and the goal itself, prerequisites first. Every linear extension of exactly these is right.

Hardness: needs, direct and indirect. A task is needed by one of the next sqrt(m) tasks in the order of doing (by the
next at m < 6), so some need is at least three steps away, and at m = 256 sixteen. Chance, direct: the best rule that
looks at two steps only, measured; with one or two needs, the best that guesses the last one. There is no style choice:
an order is checked need by need without following any chain, so candidates would not ask for depth.

The ladders `tokens` and `tokens-multi` ask models trained on the corpus brevo, in its token form, about the paper's
graphs of n vertices. There the number of needs varies, and hardness is its mean.

Reference: Allen-Zhu, Physics of Language Models 4.1 (arXiv 2512.17351), synthetic task Brevo.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isqrt
from typing import Any, ClassVar, NamedTuple

from fathom.tasks.answers.compound import NameList
from fathom.tasks.answers.kinds import AnswerKind, FirstLine
from fathom.tasks.base import (
    CUT_OFF,
    NO_ANSWER,
    Instance,
    Level,
    Part,
    Problem,
    Shortcut,
    Verdict,
    example_line,
    write_lesson,
)
from fathom.tasks.graphs.dependencies import VertexOrder, draw_needed
from fathom.tasks.graphs.needs import draw_needs_problem, split_names
from fathom.tasks.stream import Stream
from fathom.tasks.words import CODE_SHAPE, NAME_SHAPE, codes, given_names

# needs -> the share of items that the best shortcut gets right: of 20,000 items up to 6 needs, none of 2,000 above.
_SHORTCUT: Mapping[int, float] = {
    1: 0.25, 2: 0.25, 3: 0.25, 4: 0.246, 6: 0.163, 8: 0.0, 12: 0.0, 16: 0.0, 24: 0.0, 32: 0.0,
    48: 0.0, 64: 0.0, 96: 0.0, 128: 0.0, 192: 0.0, 256: 0.0,
}  # fmt: skip

_CHAINS = 6
"""With fewer needs, the goal and its needs are a chain."""

# n -> mean number of needs, and the share that `two_levels` gets right, of 6,000 graphs of the paper (3,000 at 110).
_GRAPHS: Mapping[int, tuple[float, float]] = {
    30: (13.9, 0.08), 40: (17.1, 0.06), 50: (19.8, 0.06), 70: (24.6, 0.056), 90: (29.2, 0.055), 110: (33.0, 0.055),
}  # fmt: skip

_TOKENS = {"single": (30, 50, 70, 90, 110), "multi": (30, 40, 50)}
"""Vertices of graphs in token form: the largest of each training mix of part 4.1, and smaller ones."""

_N_EXAMPLE = 3
"""Names in the example of an answer, at every level."""

_MANY_NAMES = 200
"""With more names than this, codes have three letters."""


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


def _copies(needs: int) -> int:
    """Return how many graphs of the same kind the goal does not need: more of small ones, against guessing."""
    return 3 if needs < _CHAINS else 2 if needs <= 8 else 1


def _size(needs: int) -> int:
    """Return the number of all vertices."""
    return (needs + 1) * (1 + _copies(needs)) + (needs + 1) // 2


def _draw_parents(needs: int, stream: Stream) -> list[VertexOrder]:
    """Return what each vertex needs: those of the first graph, whose last is the goal, of its copies, and of the rest.

    The first graph differs from its copies in nothing but the goal. The rest need 1 to 3 of all that come before, so
    what is connected with the goal need not be needed.
    """
    n, n_graphs, reach = needs + 1, 1 + _copies(needs), isqrt(needs) if needs >= _CHAINS else 1
    words = stream.words(_size(needs))
    parents: list[VertexOrder] = []
    for first in range(0, n * n_graphs, n):
        parents += [[first + at for at in some] for some in draw_needed(words[first : first + n], reach)]
    for word in words[n * n_graphs :]:
        rest, some = divmod(word, 3)
        parents.append(list(dict.fromkeys([(rest >> 20 * at) % len(parents) for at in range(some + 1)])))
    return parents


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


def _near(needs: Mapping[str, Sequence[str]], query: str, steps: int) -> list[str]:
    """Return what is at most that many steps from the query, and the query, each after what it needs of these."""
    found = {query: None}
    edge = [query]
    for _ in range(steps):
        edge = list(dict.fromkeys([other for name in edge for other in needs[name] if other not in found]))
        found.update(dict.fromkeys(edge))
    return _sorted(needs, list(found)[::-1])


def _sorted(needs: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[str]:
    """Return names in an order in which each stands after what it needs of these."""
    left, order = dict.fromkeys(names), list[str]()
    while left:
        ready = [name for name in left if not any(other in left for other in needs[name])]
        order += ready
        for name in ready:
            del left[name]
    return order


def _times_needed(facts: Mapping[str, Any]) -> dict[str, int]:
    """Return how often each name is needed, in the order shown."""
    times: dict[str, int] = {}
    for before, after in facts["edges"]:
        times[before] = times.get(before, 0) + 1
        times.setdefault(after, 0)
    return times


def _direct_needs(facts: Mapping[str, Any]) -> list[str]:
    return [*_needs(facts)[facts["query"]], facts["query"]]


def _two_levels(facts: Mapping[str, Any]) -> list[str]:
    return _near(_needs(facts), facts["query"], 2)


def _leaf_first(facts: Mapping[str, Any]) -> list[str]:
    needs, times, query = _needs(facts), _times_needed(facts), facts["query"]
    near = _near(needs, query, min(2, len(_search(needs, query)) - 2))
    leaves = [name for name in times if not needs[name] and name not in near]
    return [*sorted(leaves, key=times.__getitem__)[-1:], *near]


def _both_ends(facts: Mapping[str, Any]) -> list[str]:
    needs, near = _needs(facts), _two_levels(facts)
    pairs = [(some[0], name) for name, some in needs.items() if len(some) == 1 and not needs[some[0]]]
    return [*next((pair for pair in pairs if not set(pair) & set(near)), ()), *near]


def _all_needed(facts: Mapping[str, Any]) -> list[str]:
    needs, query = _needs(facts), facts["query"]
    named = [name for name, times in _times_needed(facts).items() if times and name != query]
    return [*sorted(named, key=lambda name: len(needs[name])), query]


def _peeled(facts: Mapping[str, Any]) -> list[str]:
    needs = _needs(facts)
    for _ in range(2):
        used = {facts["query"], *[other for some in needs.values() for other in some]}
        needs = {name: some for name, some in needs.items() if name in used}
    return _sorted(needs, list(needs))


def _most_needed(facts: Mapping[str, Any]) -> list[str]:
    needs, query, times = _needs(facts), facts["query"], _times_needed(facts)
    ranked = sorted([name for name in times if name != query], key=times.__getitem__)
    return [*_sorted(needs, ranked[len(ranked) + 1 - len(_search(needs, query)) :]), query]


def _neighbours(facts: Mapping[str, Any]) -> list[str]:
    needs, query = _needs(facts), facts["query"]
    core = {query, *needs[query]}
    shown = [name for edge in facts["edges"] if core & set(edge) for name in edge if name != query]
    return [*_sorted(needs, list(dict.fromkeys(shown))), query]


def _shortcut(rule: Callable[[Mapping[str, Any]], list[str]], about: str, steps: int = 0) -> Shortcut:
    """Return a rule as a shortcut; none where the steps that it follows from the goal are all that there are."""

    def answer(instance: Instance, _style: str) -> str | None:
        if "form" not in instance.facts and len(_search(_needs(instance.facts), instance.facts["query"])) <= steps + 1:
            return None
        return _join(instance, rule(instance.facts))

    return Shortcut(rule.__name__.removeprefix("_"), about, answer, ("direct", "trained"))


def _join(instance: Instance, names: Sequence[str]) -> str:
    return (" " if "form" in instance.facts else ", ").join(names)


@dataclass(frozen=True)
class Brevo:
    """The family `brevo`; see the module's docstring."""

    name: str = "brevo"
    version: int = 2
    title: str = "Order dependencies"
    part: Part = "Reasoning"
    summary: str = "List everything that a goal needs, prerequisites first, from the shuffled needs of many tasks."
    reference: str = "Physics of Language Models 4.1 (arXiv 2512.17351), task Brevo"
    unit: str = "needs"
    channels: tuple[str, ...] = ("symbol", "story")
    styles: tuple[str, ...] = ("direct", "cot", "trained")
    labels: ClassVar[Mapping[str, str]] = {
        "missing": "Something needed is left out; the position is where it was first needed.",
        "extra": "Something is listed that the goal does not need.",
        "duplicate": "Something is listed twice.",
        "order": "Something is listed before what it needs.",
        "unknown_vertex": "A name that is not in the question.",
        "no_answer": NO_ANSWER,
        "cut_off": CUT_OFF,
    }
    shortcuts: ClassVar[tuple[Shortcut, ...]] = (
        _shortcut(_direct_needs, "The direct needs as shown, and the goal.", 1),
        _shortcut(_two_levels, "Needs, and needs of needs, in an order that works.", 2),
        _shortcut(_leaf_first, "The most needed task that needs nothing, then two levels, or one less than all."),
        _shortcut(_both_ends, "A task that needs nothing and one that needs it alone, then two levels."),
        _shortcut(_all_needed, "All that something needs, fewest needs first."),
        _shortcut(_peeled, "What is left when all that nothing needs is taken away twice.", 1),
        _shortcut(_most_needed, "Those that stand in most needs, as many as are right."),
        _shortcut(_neighbours, "All that stand in a sentence with the goal or a direct need.", 2),
    )
    grading: str = (
        "Every order that works is right: the goal and all that it needs, nothing else, each after what it needs. "
        "Commas or blanks separate the names."
    )

    @cached_property
    def levels(self) -> dict[str, Level]:
        """One ladder over the number of needs; the paper's graphs in token form."""
        table = [_level(needs) for needs in _SHORTCUT]
        table += [_token_level(names, n) for names, sizes in _TOKENS.items() for n in sizes]
        return {level.name: level for level in table}

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw the graphs, their names and an order of the needs."""
        if "form" in level.axes:
            posed = draw_needs_problem(str(level.axes["names"]), int(level.axes["n"]), stream)
            told = {"edges": posed.edges, "query": posed.query, "accepts": "verifier", "form": "tokens"}
            return Problem(posed.question, posed.answer, (), told)
        n, needs = int(level.axes["n"]), int(level.axes["needs"])
        names = _draw_names(channel, n + _N_EXAMPLE, stream)
        wording = _CODES if channel == "symbol" else stream.choice(_STORIES)
        parents = _draw_parents(needs, stream)
        edges = stream.shuffle([(names[a], names[b]) for b, some in enumerate(parents) for a in some])
        facts = {"edges": edges, "query": names[needs], "accepts": "verifier", "example": ", ".join(names[n:])}
        verb = wording.needs
        shown = wording.gap.join([b + verb + a for a, b in edges])
        question = f"{wording.rule}{shown}.\n{wording.ask.replace('{q}', names[needs])}"
        return Problem(question, ", ".join(names[: needs + 1]), (), facts)

    def instruction(self, instance: Instance, style: str) -> str:
        """Ask for the list alone, or for steps and a last line with the list."""
        noun = "codes" if instance.channel == "symbol" else "names"
        if style == "cot":
            return (
                f"Go step by step. Then end with a line that gives the {noun}, separated by commas, after the word "
                f"Answer, for example: {example_line(instance)}"
            )
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
        """Return a list of names; the first line for the token form."""
        if "form" in instance.facts:
            return FirstLine()
        shape = CODE_SHAPE if instance.channel == "symbol" else NAME_SHAPE
        return NameList(list(_needs(instance.facts)), shape)

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Accept every order that works; otherwise label the first mistake."""
        names = split_names(answer) if "form" in instance.facts else answer.split(", ")
        if not names:
            return Verdict(False, None, "no_answer")
        if _is_right(names, instance.facts):
            return Verdict(True, answer, "correct")
        return _diagnose(names, instance.facts)

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return the best shortcut: two levels, at few needs with what may come before them."""
        return _join(instance, _GUESSES.get(instance.level, _two_levels)(instance.facts))

    def chance(self, level: Level, style: str) -> float:
        """Return the measured accuracy of the best shortcut."""
        if "form" in level.axes:
            return _GRAPHS[int(level.axes["n"])][1]
        return _SHORTCUT[int(level.axes["needs"])]

    def budget(self, level: Level, style: str) -> int:
        """Return the tokens of a sentence with all names, or of all needs, each vertex and its order in sentences."""
        n = int(level.axes["n"])
        if style == "trained":
            return 8 * n if level.axes["names"] == "multi" else 16 + 4 * n
        needs = int(level.axes["needs"])
        return 112 + 13 * needs if style == "direct" else 256 + 26 * n + 74 * needs


_GUESSES = {
    **dict.fromkeys(("needs1", "needs2", "needs3"), _leaf_first), **dict.fromkeys(("needs4", "needs6"), _both_ends)
}  # fmt: skip


def _level(needs: int) -> Level:
    return Level(f"needs{needs}", needs, {"needs": needs, "n": _size(needs)}, styles=("direct", "cot"))


def _token_level(names: str, n: int) -> Level:
    ladder = "tokens" if names == "single" else "tokens-multi"
    axes: dict[str, int | str] = {"n": n, "names": names, "form": "tokens"}
    return Level(f"{ladder}-n{n}", _GRAPHS[n][0], axes, ladder, channels=("symbol",), styles=("trained",))


def _draw_names(channel: str, n: int, stream: Stream) -> list[str]:
    """Draw names of one item; many codes have three letters."""
    return codes(stream, n, 3 if n > _MANY_NAMES else 2) if channel == "symbol" else given_names(stream, n)


FAMILY = Brevo()

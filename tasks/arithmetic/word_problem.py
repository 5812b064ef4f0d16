"""A puzzle of counts in words: equations over codes, or sentences about villages and their contents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fathom.tasks.arithmetic.formula import Formula, Tree, tree, write_calculation
from fathom.tasks.arithmetic.puzzle import NextWord, Puzzle
from fathom.tasks.stream import Stream
from fathom.tasks.words import codes, given_names

REMAINDERS = (
    "replace every result by its remainder from 0 to 22 on division by 23, so 20 + 5 gives 2 and 3 - 5 gives 21."
)

_Group = tuple[str, tuple[tuple[str, str], ...]]


def _group(name: str, words: str) -> _Group:
    pairs = (word.partition("/") for word in words.split())
    return name, tuple((one, many or one + "s") for one, _, many in pairs)


WORD_GROUPS: tuple[tuple[_Group, ...], ...] = (
    (
        _group(
            "buildings", "barn mill inn chapel stable bakery/bakeries tower school smithy/smithies cottage bank tavern"
        ),
        _group(
            "rooms",
            "kitchen cellar attic pantry/pantries study/studies nursery/nurseries den loft vault nook salon foyer",
        ),
        _group("vehicles", "wagon cart tram lorry/lorries barge bus/buses truck sledge van ferry/ferries taxi trailer"),
    ),
    (
        _group("containers", "crate basket chest barrel trunk hamper bucket tin jar urn tub carton"),
        _group(
            "bags", "satchel pouch/pouches purse handbag rucksack sack wallet knapsack tote holdall kitbag suitcase"
        ),
    ),
    (
        _group("fruits", "apple pear plum fig lemon melon peach/peaches mango/mangoes apricot quince banana lime"),
        _group("tools", "hammer saw chisel rake spade trowel wrench/wrenches drill axe sickle hoe clamp"),
        _group("toys", "kite doll puppet whistle puzzle drum ball rattle robot marble hoop balloon"),
    ),
)
"""Layers below the villages, outermost first: groups, each of twelve words with their plurals."""


@dataclass(frozen=True, slots=True)
class ProblemText:
    """A puzzle in words. `names[i]` is parameter i's name in facts and in written steps."""

    names: list[str]
    preface: str  # rules, and in a story what contains what
    statements: list[str]  # one for each parameter that is stated, in random order
    ask: str
    facts: dict[str, Any]

    def problem(self, *, ask_first: bool = False) -> str:
        """Return the whole text."""
        parts = [self.preface, " ".join(self.statements)]
        return "\n".join([self.ask, *parts] if ask_first else [*parts, self.ask])


def write_problem(puzzle: Puzzle, channel: str, stream: Stream, roll: NextWord) -> ProblemText:
    """Write a puzzle in the words of a channel."""
    return _tell_codes(puzzle, stream) if channel == "symbol" else _tell_story(puzzle, stream, roll)


def _facts(puzzle: Puzzle, names: list[str]) -> dict[str, Any]:
    formulas, constants = puzzle.formulas, puzzle.constants
    parameters = {name: tree(formulas[at], constants[at], names) for at, name in enumerate(names)}
    return {"parameters": parameters, "query": names[puzzle.query]}


def _tell_codes(puzzle: Puzzle, stream: Stream) -> ProblemText:
    names = codes(stream, len(puzzle.due))
    facts = _facts(puzzle, names)
    stated = [f"{name} = {write_calculation(node)}." for name, node in facts["parameters"].items()]
    preface = f"All arithmetic is modulo 23: {REMAINDERS} Multiply before adding or subtracting."
    return ProblemText(names, preface, stream.shuffle(stated), f"What is {names[puzzle.query]}?", facts)


def _tell_story(puzzle: Puzzle, stream: Stream, roll: NextWord) -> ProblemText:
    drawn = [groups[roll() * len(groups) >> 64] for groups in WORD_GROUPS[len(WORD_GROUPS) + 1 - len(puzzle.layers) :]]
    holders, kinds = _item_words(puzzle, drawn, stream)
    names, said = [], []
    for holder, held in zip(puzzle.holder, puzzle.held, strict=True):
        name = f"{kinds[held] if held >= 0 else drawn[~held - 1][0]} in {holders[holder]}"
        names.append(name)
        said.append(f"the number of {name}" if held >= 0 else f"the total number of {name}")
    stated = [
        f"The{said[at][3:]} is {_phrase(puzzle.formulas[at], puzzle.constants[at], said)}."
        for at, held in enumerate(puzzle.held)
        if held >= 0
    ]
    inside = {
        holders[item]: sorted([kinds[kind] for kind in puzzle.holds[item]])
        for layer in puzzle.layers[:-1]
        for item in sorted(layer, key=holders.__getitem__)
        if puzzle.holds[item]
    }
    groups = {
        group: {kinds[item]: holders[item] for item in sorted(layer, key=kinds.__getitem__)}
        for (group, _), layer in zip(drawn, puzzle.layers[1:], strict=True)
    }
    asked = said[puzzle.query]
    facts = _facts(puzzle, names) | {"groups": groups, "inside": inside}
    return ProblemText(names, _preface(groups, inside), stream.shuffle(stated), f"What is {asked}?", facts)


def _item_words(puzzle: Puzzle, drawn: Sequence[_Group], stream: Stream) -> tuple[list[str], list[str]]:
    """Return for each item its name as a container ("each barn", "Dabok") and as contents ("barns")."""
    holders, kinds = [""] * len(puzzle.layer_of), [""] * len(puzzle.layer_of)
    villages = puzzle.layers[0]
    for item, village in zip(villages, given_names(stream, len(villages)), strict=True):
        holders[item] = village
    for (_, pool), layer in zip(drawn, puzzle.layers[1:], strict=True):
        for item, (one, many) in zip(layer, stream.shuffle(pool), strict=False):
            holders[item], kinds[item] = f"each {one}", many
    return holders, kinds


def _preface(groups: Mapping[str, Mapping[str, str]], inside: Mapping[str, Sequence[str]]) -> str:
    kinds = " ".join([f"{group.capitalize()}: {', '.join(words)}." for group, words in groups.items()])
    contents = " ".join(
        [f"{holder[0].upper()}{holder[1:]} contains {join_words(what)}." for holder, what in inside.items()]
    )
    return (
        f"All numbers are counted modulo 23: {REMAINDERS}\n{kinds}\n{contents} Nothing else contains anything.\n"
        "A total number covers all kinds of a group, and also those that lie deeper: "
        "if a hall contains 2 boxes with 3 nails each, the total number of nails in the hall is 6."
    )


def implied_totals(facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the abstract parameters of a story's facts by name: the total of each group in each container."""
    if "groups" not in facts:
        return {}
    groups: Mapping[str, Mapping[str, str]] = facts["groups"]
    inside: Mapping[str, Sequence[str]] = facts["inside"]
    order = list(groups)
    depth = {kind: at for at, group in enumerate(order) for kind in groups[group]}
    holder_of = {kind: holder for group in order for kind, holder in groups[group].items()}
    totals: dict[str, dict[str, Any]] = {}
    for holder, kinds in inside.items():
        first = depth[kinds[0]]
        totals[f"{order[first]} in {holder}"] = {"op": "+", "args": [f"{kind} in {holder}" for kind in kinds]}
        for group in order[first + 1 :]:
            args: list[Tree] = [
                {"op": "*", "args": [f"{kind} in {holder}", f"{group} in {holder_of[kind]}"]} for kind in kinds
            ]
            totals[f"{group} in {holder}"] = args[0] if len(args) == 1 else {"op": "+", "args": args}
    empty = [(at, holder) for kind, at in depth.items() if (holder := holder_of[kind]) not in inside]
    for at, holder in empty:
        totals |= {f"{group} in {holder}": {"op": "constant", "args": [0]} for group in order[at + 1 :]}
    return totals


def join_words(words: Sequence[str]) -> str:
    """Join words as in a sentence: a, b and c."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def _phrase(formula: Formula, constant: int, said: Sequence[str]) -> str:
    inner, inputs, outer = formula
    if not inputs:
        return str(constant)
    shown = [said[source] for source in inputs]
    if len(shown) == 1:
        text = shown[0]
    elif inner == "-":
        text = f"{shown[0]} minus {shown[1]}"
        text = f"the result of {text}" if outer else text
    else:
        text = f"the {'sum' if inner == '+' else 'product'} of {join_words(shown)}"
    if not outer:
        return text
    return f"{constant} {'more than' if outer == '+' else 'fewer than' if outer == '-' else 'times'} {text}"

"""Rules that answer questions about a grammar without following all of its levels, kept to see what they earn."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from fathom.tasks.base import Instance, Shortcut
from fathom.tasks.grammars.baselines import copied_tails, rules_in_a_row
from fathom.tasks.grammars.grammar import Grammar
from fathom.tasks.grammars.near_miss import Tokens
from fathom.tasks.grammars.parser import Chart, sound_height
from fathom.tasks.grammars.text import OPTIONS, join_tokens
from fathom.tasks.stream import Stream

_N_SENTENCES = 40
_RUN = 4


@dataclass(frozen=True, slots=True)
class _Shown:
    """The strings that an item shows, its grammar, and its name for draws."""

    grammar: Grammar
    strings: Sequence[Tokens]
    item_id: str


_Score = Callable[[_Shown], list[float]]


def _strings(item: Instance) -> list[Tokens]:
    """Return the whole strings among which an item asks for the sentence: one, or the candidates."""
    facts = item.facts
    if facts["mode"] == "complete":
        return [f"{facts['prefix']} {rest}".split() for rest in item.choices]
    return [string.split() for string in facts.get("strings", [facts.get("string", "")])]


def _pick(name: str, score: _Score, item: Instance, style: str) -> str | None:
    """Answer with the string of the highest score; say yes to a single string whose score is 1."""
    mode = item.facts["mode"]
    if mode not in ("recognise", "choose", "complete") or (mode == "complete" and style != "choice"):
        return None
    scores = score(_Shown(Grammar.from_json(item.facts["grammar"]), _strings(item), item.id))
    if mode == "recognise":
        return "yes" if scores[0] >= 1 else "no"
    drawn = Stream("shortcut", name, item.id)
    best = drawn.choice([at for at, one in enumerate(scores) if one == max(scores)])
    return OPTIONS[best] if mode == "choose" else item.choices[best]


def _rule(name: str, about: str, score: _Score) -> Shortcut:
    return Shortcut(name, about, partial(_pick, name, score))


def _lowest_rules(shown: _Shown) -> list[float]:
    return [float(sound_height(shown.grammar, tokens) >= 1) for tokens in shown.strings]


def _all_but_root(shown: _Shown) -> list[float]:
    return [float(sound_height(shown.grammar, tokens) >= shown.grammar.depth - 1) for tokens in shown.strings]


def _ends(shown: _Shown) -> list[float]:
    """Score 1 if a sentence may begin with the first tokens, and the last ones end like a lowest rule."""
    grammar = shown.grammar
    lowest = [rule for symbol in grammar.levels[-2] for rule in grammar.rules[symbol]]
    return [
        float(Chart(grammar, tokens[:_RUN]).viable == _RUN and any(tuple(tokens[-len(r) :]) == r for r in lowest))
        for tokens in shown.strings
    ]


def _known_runs(shown: _Shown) -> list[float]:
    """Score the share of runs of tokens that occur in sentences, written by the rules for comparison."""
    grammar, stream = shown.grammar, Stream("shortcut", "sentences", shown.item_id)
    known = {run for _ in range(_N_SENTENCES) for run in _runs(grammar.expand([grammar.root], grammar.depth, stream))}
    return [sum(run in known for run in _runs(tokens)) / max(1, len(_runs(tokens))) for tokens in shown.strings]


def _runs(tokens: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(tokens[at : at + _RUN]) for at in range(len(tokens) - _RUN + 1)]


def _alike(shown: _Shown) -> list[float]:
    """Score how much of a string the others share, place by place."""
    return [
        float(sum(a == b for other in shown.strings for a, b in zip(tokens, other, strict=False)))
        for tokens in shown.strings
    ]


def _unlike(shown: _Shown) -> list[float]:
    return [-score for score in _alike(shown)]


def _plain(shown: _Shown) -> list[float]:
    """Score how evenly a string uses its tokens."""
    return [-float(max(Counter(tokens).values())) for tokens in shown.strings]


def _without_prefix(item: Instance, _: str) -> str | None:
    """Return the end of a fresh sentence, or of a sample that agrees with the prefix as long as any."""
    facts = item.facts
    if facts["mode"] not in ("complete", "samples"):
        return None
    prefix, stream = facts["prefix"].split(), Stream("shortcut", "tail", item.id)
    if facts["mode"] == "samples":
        return join_tokens(copied_tails(facts["samples"], prefix)[0])
    grammar = Grammar.from_json(facts["grammar"])
    sentence = grammar.sentence(stream)
    return join_tokens(sentence[len(prefix) :] or sentence[-1:])


def _lowest_row(item: Instance, _: str) -> str | None:
    if item.facts["mode"] != "write":
        return None
    return join_tokens(rules_in_a_row(Grammar.from_json(item.facts["grammar"]), Stream("shortcut", "row", item.id)))


SHORTCUTS: tuple[Shortcut, ...] = (
    _rule("lowest_rules", "Takes a string for a sentence if it can be cut into lowest rules.", _lowest_rules),
    _rule("all_but_root", "Checks the rules of all levels but those of the root.", _all_but_root),
    _rule("ends", "Checks that a sentence may begin with the first tokens and end with the last ones.", _ends),
    _rule("known_runs", "Checks that runs of four tokens occur in sentences written for comparison.", _known_runs),
    _rule("most_alike", "Takes the candidate that agrees most with the others.", _alike),
    _rule("odd_one_out", "Takes the candidate that agrees least with the others.", _unlike),
    _rule("plainest", "Takes the candidate that uses its tokens most evenly.", _plain),
    Shortcut(
        "other_tail", "Continues like another sentence, whatever the given beginning.", _without_prefix, ("direct",)
    ),
    Shortcut("lowest_row", "Writes the rules of the lowest level in a row.", _lowest_row, ("direct",)),
)

"""A language defined by a hierarchical grammar: write, recognise, choose, complete or continue sentences.

Grammars are drawn from the item's seed, so no model has seen them. The ladders `generate-*` and `law-*` are for models
trained on one fixed language: they ask for more of its sentences, or for their likelihood.

Hardness: levels of the grammar, all of which a solver has to follow: strings that are no sentences are wrong in the row
of symbols below the root alone. Chance: uniform over the candidates; measured for written answers (GUESS_ACCURACY).

Reference: Allen-Zhu, Physics of Language Models 1 (arXiv 2305.13673), section 2: synthetic CFGs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from fathom.tasks.answers.compound import TokenString
from fathom.tasks.answers.kinds import AnswerKind, Choice, FirstLine, YesNo
from fathom.tasks.base import (
    CUT_OFF,
    NO_ANSWER,
    SCORED,
    Instance,
    Level,
    Part,
    Problem,
    Shortcut,
    Verdict,
    candidates,
    example_line,
    write_lesson,
)
from fathom.tasks.grammars import text as say
from fathom.tasks.grammars.baselines import any_completes, blind_tails, copied_tails, rules_in_a_row
from fathom.tasks.grammars.grammar import Grammar, GrammarShape, draw_grammar
from fathom.tasks.grammars.languages import (
    LANGUAGES,
    SENTENCE_MARK,
    draw_continuation,
    draw_law_problem,
    language,
    language_levels,
)
from fathom.tasks.grammars.near_miss import Alike, AlikeSearch, Miss, Tokens, draw_miss, draw_wrong_rest, wrong_rows
from fathom.tasks.grammars.parser import Chart, recognises
from fathom.tasks.grammars.probes import language_probes
from fathom.tasks.grammars.shortcuts import SHORTCUTS
from fathom.tasks.grammars.text import OPTIONS, join_tokens
from fathom.tasks.stream import Stream
from fathom.tasks.words import given_names

SHAPES = {
    2: GrammarShape(2, fewest_rules=3),
    3: GrammarShape(3),
    4: GrammarShape(4, most_rules=3),
    5: GrammarShape(5, most_rules=3, percent_long=33, greatest_mean=70),
    6: GrammarShape(6, most_rules=3, percent_long=20, greatest_mean=120),
    7: GrammarShape(7, most_rules=3, percent_long=15, greatest_mean=220),
    8: GrammarShape(8, most_rules=3, percent_long=15, greatest_mean=440),
}
"""Grammars of the items, by depth. The flattest have more rules, since they would have few sentences otherwise; deep
ones have fewer, since most strings would be sentences; from depth 5 on rules are shorter, as sentences double with
each level."""

_DEEPEST = {"recognise": 8, "choose": 6, "complete": 7}
"""Deepest grammars by mode: the deeper, the longer it takes to find several strings that are equally long."""

N_SAMPLES = {2: 30, 3: 60, 4: 80}

LONGEST = {2: 80, 3: 80, 4: 80, 5: 80, 6: 160, 7: 320, 8: 640}
"""Most tokens of a sentence in a prompt, by depth."""

LEAST_REST = 4
"""Fewest tokens of a completion, so that none is a single rule of the question."""

_FIXED = tuple("SABCDEFGHIJKLMNOPQRTUV"), tuple("abc")
"""Symbols and terminals of the mode `write`, as in the paper's grammars: only the rules are new."""

_CAPITALS = "EFGHIJKLMNOPQRSTUVWXYZ"  # none of OPTIONS; 22, as many as depth 8 needs
_LETTERS = "abcdefghjkmnpqrstuvwxyz"  # none that looks like a digit
_WORDS = tuple(onset + vowel + coda for onset in "bdfgklmnprtvz" for vowel in "aeiou" for coda in "vb")
_VERBS = r"(?:is|are|was|does|do|can|could|will|would)"
_FITS = (
    r"(?:sentence|valid|grammatical|generated|made|built|formed|derived|produced|fit|belong|parsed?|"
    r"part of the language|in the language)"
)
_IS_SENTENCE = rf"\b{_VERBS}\b[^.:;]{{0,60}}\b{_FITS}"
_IS_NO_SENTENCE = rf"\b{_VERBS}(?:n't|\s?not| no)\b[^.:;]{{0,60}}\b{_FITS}|\b(?:invalid|ungrammatical)\b"
"""Whole sentences that say yes or no to: is this string a sentence?"""

GUESS_ACCURACY = {
    "complete-d2": 0.1823, "complete-d3": 0.1148, "complete-d4": 0.0528, "complete-d5": 0.0508,
    "complete-d6": 0.0487, "complete-d7": 0.0417,
    "samples-d2": 0.1470, "samples-d3": 0.0957, "samples-d4": 0.0371,
    "write-d2": 0.2024, "write-d3": 0.0772, "write-d4": 0.0227, "write-d5": 0.0466,
    "write-d6": 0.0588, "write-d7": 0.0668, "write-d8": 0.0515,
}  # fmt: skip
"""Accuracy of the best guesser. Measured on 20,000 items of each level of samples and of write up to depth 5; then on
6,000, 6,000, 5,000, 2,500, 1,500 and 600 items of complete-d2 to d7, and 4,000, 2,500 and 2,000 of write-d6 to d8.

Completions: the tail of another sentence (fresh, or a sample), cut after as many tokens as the prefix has. It is the
best of ten guessers at every level; the others take random letters, one lowest rule or two, the prefix again, a symbol
or the root's rules expanded, or what follows the end of the prefix in a sample. Sentences: lowest rules in a row, the
best of ten guessers that read only these rules. (A symbol below the root twice, derived in full each time, reaches
0.19, 0.15, 0.12 and 0.23 of 2,000 items; that is most of the work, not a guess.)
"""


def _levels() -> dict[str, Level]:
    asked = ("direct", "cot", "choice")
    table = [
        Level(f"{mode}-d{depth}", depth, {"mode": mode, "depth": depth}, ladder, styles=asked)
        for mode, ladder in (("recognise", "main"), ("choose", "choose"), ("complete", "complete"))
        for depth in SHAPES
        if depth <= _DEEPEST[mode]
    ]
    for depth, n_samples in N_SAMPLES.items():
        axes: dict[str, int | str] = {"mode": "samples", "depth": depth, "samples": n_samples}
        table.append(Level(f"samples-d{depth}", depth, axes, "samples", styles=asked[:2]))
    table += [Level(f"write-d{at}", at, {"mode": "write", "depth": at}, "write", styles=asked[:2]) for at in SHAPES]
    return {level.name: level for level in [*table, *language_levels()]}


def _draw(shape: GrammarShape, mode: str, channel: str, stream: Stream) -> Grammar:
    """Draw a grammar and the spelling of its symbols."""
    if channel == "symbol" and mode == "write":
        symbols, terminals = list(_FIXED[0][: shape.n_symbols]), list(_FIXED[1])
    elif channel == "symbol":
        symbols, terminals = stream.sample(_CAPITALS, shape.n_symbols), stream.sample(_LETTERS, 3)
    else:
        symbols = [name.lower() for name in given_names(stream, shape.n_symbols)]
        terminals = stream.sample(_WORDS, 3)
    return draw_grammar(shape, symbols, terminals, stream)


@dataclass(frozen=True)
class Lano:
    """The family `lano`; see the module's docstring."""

    name: str = "lano"
    version: int = 2
    title: str = "Follow a grammar"
    part: Part = "Language structure"
    summary: str = "Write, recognise, choose or complete sentences of a language that a hierarchical grammar defines."
    reference: str = "Physics of Language Models 1 (arXiv 2305.13673), synthetic CFGs"
    unit: str = "levels"
    channels: tuple[str, ...] = ("symbol", "story")
    styles: tuple[str, ...] = ("direct", "cot", "choice", "free", "bits")
    labels: ClassVar[Mapping[str, str]] = {
        "said_yes": "Said yes to a string that is not a sentence.",
        "said_no": "Said no to a sentence.",
        "other_string": "Chose another string.",
        "outside": "No sentence continues like this; the position is the first token of the answer that does not fit.",
        "too_short": "The beginning of a sentence, but not a complete one.",
        "whole_sentence": "A whole sentence of its own, where a given one was to be completed.",
        "not_terminals": "Contains something that is not a letter or word of the language.",
        "no_answer": NO_ANSWER,
        "cut_off": CUT_OFF,
    }
    shortcuts: ClassVar[tuple[Shortcut, ...]] = SHORTCUTS
    grading: str = (
        "Yes or no, and the letter of a string, are compared. A continuation is parsed: every continuation that "
        "makes a sentence is right, not only the gold."
    )

    @cached_property
    def levels(self) -> dict[str, Level]:
        """Five ways to ask about a new language of depth 2..8, and four languages for training."""
        return _levels()

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw a language, unless the level has a fixed one, and a question about it."""
        mode, depth = str(level.axes["mode"]), int(level.axes["depth"])
        if mode == "generate":
            return draw_continuation(str(level.axes["shape"]), int(level.axes["given"]), stream)
        if mode == "law":
            return draw_law_problem(str(level.axes["shape"]), stream)
        while True:
            grammar = _draw(SHAPES[depth], mode, channel, stream)
            made = _MAKERS[mode](grammar, channel, stream)
            if made is not None:
                return _with_example(made, channel, stream)

    def instruction(self, instance: Instance, style: str) -> str:
        """Ask for the answer alone, or for steps and a last line with it."""
        noun = _ANSWER_NOUNS.get(instance.facts["mode"], "sentence")
        if style != "cot":
            return f"Reply with {noun} only."
        shown = f", for example: {example_line(instance)}" if "example" in instance.facts else " and a colon."
        return f"Go step by step. Then end with a line that gives {noun} after the word Answer{shown}"

    def solution(self, instance: Instance) -> str:
        """Return a derivation, level by level; for a string that is no sentence, where and why it fails."""
        facts = instance.facts
        grammar, mode = _grammar(facts), facts["mode"]
        if mode == "recognise":
            return f" {say.explain_string(grammar, facts['string'].split())}"
        if mode == "choose":
            judged = [say.explain_string(grammar, string.split()) for string in facts["strings"]]
            return " " + "\n".join([f"{option}: {said}" for option, said in zip(OPTIONS, judged, strict=True)])
        tree = Chart(grammar, f"{facts['prefix']} {instance.gold}".split()).tree()
        made = say.derive(tree) if tree else instance.gold
        if mode == "write":
            return f" One sentence is made level by level: {made}"
        rules = f" The sentences fit these rules:\n{say.arrows(grammar)}\nBy them," if mode == "samples" else ""
        one = f"{rules} one" if rules else " One"
        return f"{one} sentence that begins so is made level by level: {made}\nThe rest of it is {instance.gold}"

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Return one problem with its solution; for a fixed language, a whole sentence after the mark."""
        if level.axes["mode"] in ("generate", "law"):
            return [(SENTENCE_MARK, f" {join_tokens(language(str(level.axes['shape'])).sentence(stream))}")]
        return write_lesson(self, level, channel, style, stream)

    def answer_kind(self, instance: Instance) -> AnswerKind:
        """Return yes or no, the letter of a string, or a string; the first line for a fixed language."""
        mode = instance.facts["mode"]
        if mode in ("generate", "law"):
            return FirstLine()
        if mode == "recognise":
            return YesNo(_IS_SENTENCE, _IS_NO_SENTENCE)
        if mode == "choose":
            return Choice(dict(zip(OPTIONS, instance.facts["strings"], strict=True)))
        return TokenString(_grammar(instance.facts).terminals)

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Compare with the gold, or parse prefix and completion; `at` counts within the completion."""
        mode = instance.facts["mode"]
        if mode in ("generate", "complete", "samples", "write"):
            return _judge_rest(instance, answer.split())
        said = join_tokens(answer.split()) if mode == "law" else answer
        if said == instance.gold:
            return Verdict(True, said, "correct")
        return Verdict(False, said, "other_string" if mode in ("choose", "law") else f"said_{said}")

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return a random candidate, or the best guessed completion or sentence (GUESS_ACCURACY)."""
        if instance.choices and (style == "choice" or instance.facts["mode"] != "complete"):
            return stream.choice(instance.choices)
        return _guess_rest(instance, stream)

    def chance(self, level: Level, style: str) -> float:
        """Return the share of one candidate; for written answers the measured accuracy; 0 for fixed languages."""
        mode = level.axes["mode"]
        if mode == "recognise" or (mode == "complete" and style == "choice"):
            return 1 / 2
        if mode == "choose":
            return 1 / len(OPTIONS)
        return GUESS_ACCURACY.get(level.name, 0.0)

    def budget(self, level: Level, style: str) -> int:
        """Return the tokens of a sentence with the answer twice, or of a derivation or a search, step by step."""
        if style in SCORED:
            return 1
        mode = level.axes["mode"]
        if mode == "generate":
            # A token and its blank take 2 at most, and few sentences are longer than 1.5 times the mean.
            return 64 + int(3 * language(str(level.axes["shape"])).mean_length)
        depth = int(level.axes["depth"])
        longest: int = min(LONGEST[depth], 3**depth)
        if style == "cot":
            each = 40 if depth <= 5 else 56
            return 768 + each * longest * (2 if mode == "choose" else 1)  # most candidates fail half-way
        return 64 if mode in ("recognise", "choose") else 96 + 5 * longest


def _grammar(facts: Mapping[str, Any]) -> Grammar:
    return language(facts["shape"]) if "shape" in facts else Grammar.from_json(facts["grammar"])


def _make_recognise(grammar: Grammar, channel: str, stream: Stream) -> Problem | None:
    alike = _draw_strings(grammar, 1, stream)
    if alike is None:
        return None
    gold, other = stream.shuffle(("yes", "no"))
    string = join_tokens(alike.right if gold == "yes" else alike.wrong[0])
    facts = {"mode": "recognise", "grammar": grammar.to_json(), "string": string}
    question = f"{say.show_rules(grammar, channel)}\n{say.ask_whether(string)}"
    return Problem(question, gold, candidates(stream, gold, [other]), facts)


def _make_choose(grammar: Grammar, channel: str, stream: Stream) -> Problem | None:
    """Show a sentence among misses of the same length, all from draws of their own."""
    alike = _draw_strings(grammar, len(OPTIONS) - 1, stream)
    if alike is None:
        return None
    shown = alike.mix(stream)
    facts = {"mode": "choose", "grammar": grammar.to_json(), "strings": shown.strings}
    question = f"{say.show_rules(grammar, channel)}\n{say.ask_which(shown.strings)}"
    return Problem(question, OPTIONS[shown.right], OPTIONS, facts)


def _draw_strings(grammar: Grammar, n_wrong: int, stream: Stream) -> Alike | None:
    rows, longest = wrong_rows(grammar), LONGEST[grammar.depth]
    if len(rows) < n_wrong:
        return None

    def sentence() -> Tokens | None:
        drawn = grammar.expand([grammar.root], grammar.depth, stream)
        return drawn if len(drawn) <= longest else None

    def miss() -> Miss | None:
        return draw_miss(grammar, rows, stream)

    return AlikeSearch(sentence, miss, lambda tokens: _is_outside(grammar, tokens), n_wrong).find(grammar.depth)


def _is_outside(grammar: Grammar, tokens: Tokens) -> bool:
    return not recognises(grammar, tokens)


def _make_complete(grammar: Grammar, channel: str, stream: Stream) -> Problem | None:
    """Show a prefix; the candidates are a completion and a miss of the same length.

    Of three misses, two often have the same wrong row, and the completion would be the odd one out.
    """
    rows, longest = wrong_rows(grammar), LONGEST[grammar.depth]
    if not rows or grammar.longest < 2 + LEAST_REST or grammar.shortest > longest:
        return None
    sentence, given = _cut(grammar, stream)
    prefix = sentence[:given]
    if any_completes(grammar, prefix, blind_tails(grammar, given, stream)):
        return None
    chart, lengths = Chart(grammar, prefix), range(LEAST_REST, longest - given + 1)

    def right() -> Tokens | None:
        rest = chart.completion(stream)
        return rest if len(rest) in lengths else None

    search = AlikeSearch(
        right,
        lambda: draw_wrong_rest(chart, rows, stream),
        lambda rest: _is_outside(grammar, prefix + rest) and not _repeats(grammar, prefix, rest),
        1,
    )
    alike = search.find(grammar.depth)
    if alike is None:
        return None
    shown = alike.mix(stream)
    facts = {"mode": "complete", "grammar": grammar.to_json(), "prefix": join_tokens(prefix), "accepts": "verifier"}
    question = f"{say.show_rules(grammar, channel)}\n{say.ask_rest(join_tokens(prefix), channel)}"
    return Problem(question, shown.strings[shown.right], tuple(shown.strings), facts)


def _make_write(grammar: Grammar, channel: str, _stream: Stream) -> Problem | None:
    """Ask for any sentence; the gold takes the first rule of every symbol. Return None if it is too long."""
    gold = grammar.first_sentence
    if len(gold) > LONGEST[grammar.depth]:
        return None
    facts = {"mode": "write", "grammar": grammar.to_json(), "prefix": "", "accepts": "verifier"}
    return Problem(f"{say.show_rules(grammar, channel)}\n{say.ask_sentence(channel)}", join_tokens(gold), (), facts)


def _make_samples(grammar: Grammar, channel: str, stream: Stream) -> Problem | None:
    """Show different sentences, none of which begins with the prefix. Return None if there are too few."""
    if grammar.longest < 2 + LEAST_REST:
        return None
    sentence, given = _cut(grammar, stream)
    n_samples = N_SAMPLES[grammar.depth]
    samples: dict[str, None] = {}
    for _ in range(10 * n_samples):
        drawn = grammar.sentence(stream, 0, LONGEST[grammar.depth])
        if drawn[:given] != sentence[:given]:
            samples[join_tokens(drawn)] = None
        if len(samples) == n_samples:
            break
    if len(samples) < n_samples:
        return None
    prefix, shown = join_tokens(sentence[:given]), list(samples)
    if any_completes(grammar, sentence[:given], copied_tails(shown, sentence[:given])):
        return None
    facts = {
        "mode": "samples", "grammar": grammar.to_json(), "samples": shown, "prefix": prefix, "accepts": "verifier",
    }  # fmt: skip
    question = f"{say.show_sentences(shown, grammar.depth, channel)}\n{say.ask_rest(prefix, channel)}"
    return Problem(question, join_tokens(sentence[given:]), (), facts)


_ANSWER_NOUNS = {
    "recognise": "yes or no", "choose": "the letter", "complete": "the rest", "samples": "the rest",
    "write": "the sentence",
}  # fmt: skip

_MAKERS = {
    "recognise": _make_recognise, "choose": _make_choose, "complete": _make_complete, "samples": _make_samples,
    "write": _make_write,
}  # fmt: skip


_N_EXAMPLE_TOKENS = 4


def _with_example(made: Problem, channel: str, stream: Stream) -> Problem:
    """Add an answer in other letters or words. Of few possible answers none is shown, which would rule it out."""
    if made.facts["mode"] in ("recognise", "choose"):
        return made
    known = made.facts["grammar"]["terminals"]
    foreign = [token for token in (_LETTERS if channel == "symbol" else _WORDS) if token not in known]
    tokens = stream.sample(foreign, 3)
    example = join_tokens([stream.choice(tokens) for _ in range(_N_EXAMPLE_TOKENS)])
    return replace(made, facts={**made.facts, "example": example})


def _cut(grammar: Grammar, stream: Stream) -> tuple[Tokens, int]:
    sentence = grammar.sentence(stream, 2 + LEAST_REST, LONGEST[grammar.depth])
    n = len(sentence)
    least, most = max(2, n // 4), min(n - LEAST_REST, n * 2 // 3)
    return sentence, least + stream.below(most - least + 1)


def _judge_rest(instance: Instance, tokens: list[str]) -> Verdict:
    grammar, prefix = _grammar(instance.facts), instance.facts["prefix"].split()
    if instance.facts["mode"] != "generate" and _repeats(grammar, prefix, tokens):
        tokens = tokens[len(prefix) :]
    tokens = tokens[: grammar.longest - len(prefix) + 1]  # a longer one is outside wherever it is cut
    said = join_tokens(tokens)
    foreign = next((at for at, token in enumerate(tokens, 1) if token not in grammar.terminals), None)
    if foreign is not None:
        return Verdict(False, said, "not_terminals", foreign)
    chart = Chart(grammar, [*prefix, *tokens])
    if chart.accepts:
        return Verdict(True, said, "correct")
    if prefix and recognises(grammar, tokens):
        return Verdict(False, said, "whole_sentence")
    fits = chart.viable - len(prefix)
    return Verdict(False, said, "too_short") if fits == len(tokens) else Verdict(False, said, "outside", fits + 1)


def _repeats(grammar: Grammar, prefix: Tokens, tokens: Tokens) -> bool:
    """Say whether the tokens repeat the given beginning before they complete it."""
    is_whole = bool(prefix) and len(tokens) <= grammar.longest and tokens[: len(prefix)] == prefix
    return is_whole and recognises(grammar, tokens)


def _guess_rest(instance: Instance, stream: Stream) -> str:
    """Return the tail of a sample or of a fresh sentence, or lowest rules; random letters for a fixed language."""
    if instance.facts["mode"] in ("generate", "law"):
        return join_tokens([stream.choice("abc") for _ in range(250)])
    if instance.facts["mode"] == "write":
        return join_tokens(rules_in_a_row(_grammar(instance.facts), stream))
    samples, given = instance.facts.get("samples"), len(instance.facts["prefix"].split())
    sentence = stream.choice(samples).split() if samples else _grammar(instance.facts).sentence(stream)
    return join_tokens(sentence[given:] or sentence[-1:])


FAMILY = Lano()
PROBES = tuple(language_probes(shape) for shape in LANGUAGES)

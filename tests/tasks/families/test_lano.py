import re
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import exp, inf, log, sqrt

import pytest

from fathom.tasks.base import Instance, channels_of, grade, grade_likelihood, make_instance, pose
from fathom.tasks.families.lano import FAMILY, LONGEST, N_SAMPLES
from fathom.tasks.grammars.grammar import Grammar
from fathom.tasks.grammars.languages import GIVEN_TOKENS, GIVEN_TOKENS_SHORT, LAW_TOKENS, language
from fathom.tasks.grammars.likelihood import SENTENCE_END, next_token_law
from fathom.tasks.grammars.parser import recognises
from fathom.tasks.stream import Stream
from tests.tasks.grammars.derivations import EDITS, edit

BY_DEPTH = {2: 160, 3: 110, 4: 45, 5: 30, 6: 3, 7: 1, 8: 1}
"""Items to solve per mode and channel: 2,094 in all, few of them long."""


def made(level, channel, seed, count):
    return [make_instance(FAMILY, level, channel, seed, index) for index in range(count)]


class Reader:
    """Read rules out of a question's text, and say by another algorithm which strings they derive.

    The textbook's table over all spans: rules of three are split in two, symbols are bits.
    """

    def __init__(self, question):
        self.known, self.bits, self.joins, self.lowest = {}, {}, [], {}
        rules = read_arrows(question) if " -> " in question else read_story(question)
        self.root = re.search(r"made from (\w+) in this way|A sentence is one whole (\w+)\.", question)
        self.root = next(group for group in self.root.groups() if group)
        assert self.root in rules
        for symbol, options in rules.items():
            for first, *rest in options:
                if len(rest) == 2:
                    self.joins.append((self.bit(tuple(rest)), self.bit(rest[0]), self.bit(rest[1])))
                    rest = [tuple(rest)]
                self.joins.append((self.bit(symbol), self.bit(first), self.bit(rest[0])))
        self.tokens = {part for options in rules.values() for rule in options for part in rule} - set(rules)
        self.rules = rules

    def bit(self, name):
        return 1 << self.bits.setdefault(name, len(self.bits))

    def join(self, left, right):
        if (left, right) not in self.known:
            found = 0
            for whole, first, second in self.joins:
                found |= whole if left & first and right & second else 0
            self.known[left, right] = found
        return self.known[left, right]

    def derives(self, tokens):
        return bool(tokens and self.symbols(tokens) & self.bit(self.root))

    def symbols(self, tokens):
        """Return the symbols that derive the tokens, as bits."""
        n = len(tokens)
        spans = {(at, at + 1): self.bit(token) for at, token in enumerate(tokens)}
        for length in range(2, n + 1):
            for start in range(n - length + 1):
                end, found = start + length, 0
                for cut in range(start + 1, end):
                    left, right = spans[start, cut], spans[cut, end]
                    if left and right:
                        found |= self.join(left, right)
                spans[start, end] = found
        return spans[0, n]


def read_arrows(question):
    found = re.findall(r"^(\w+) -> (.+)$", question, re.MULTILINE)
    return {symbol: [option.split() for option in options.split(" | ")] for symbol, options in found}


def read_story(question):
    rules = {}
    for symbol, options in re.findall(r"^A (\w+) is (.+)\.$", question, re.MULTILINE):
        quoted = re.findall(r'"([^"]+)"', options)
        if symbol == "sentence":
            continue
        if quoted:
            rules[symbol] = [option.split() for option in quoted]
        else:
            rules[symbol] = [re.findall(r"\ba (\w+)", option) for option in options.split(", or ")]
    return rules


def line_after(question, words):
    return re.search(rf"{words}\n(.*)$", question, re.MULTILINE)[1].split()


def solve(question):
    """Say which answers are right: yes or no, a letter, or the test of a completion."""
    reader = Reader(question)
    if "taken as a whole" in question:
        return "yes" if reader.derives(line_after(question, "a sentence\\?")) else "no"
    if "Which one?" in question:
        options = re.findall(r"^([A-D]): (.*)$", question, re.MULTILINE)
        assert [letter for letter, _ in options] == list("ABCD")
        return [letter for letter, string in options if reader.derives(string.split())]
    prefix = line_after(question, "begins with these \\w+:")
    return lambda rest: reader.derives(prefix + rest.split())


def cells(*modes):
    return [
        (level, channel)
        for level, at in FAMILY.levels.items()
        if at.axes["mode"] in modes
        for channel in channels_of(FAMILY, at)
    ]


SLOW = ("complete-d7", "recognise-d8")
"""Levels whose strings the textbook's table takes seconds for."""


@pytest.mark.cases(6)
@pytest.mark.parametrize(
    ("level", "channel"),
    [
        pytest.param(*cell, marks=[pytest.mark.full] if cell[0] in SLOW else [])
        for cell in cells("recognise", "choose", "complete")
    ],
)
def test_gold_follows_from_the_question_alone(level, channel):
    mode, depth = FAMILY.levels[level].axes["mode"], FAMILY.levels[level].axes["depth"]
    for item in made(level, channel, 11, BY_DEPTH[depth]):
        answer = solve(item.question)
        if mode == "recognise":
            assert answer == item.gold
        elif mode == "choose":
            assert answer == [item.gold]
        else:
            assert [choice for choice in item.choices if answer(choice)] == [item.gold]


@pytest.mark.parametrize(("level", "channel"), [cell for cell in cells("write") if cell[0] < "write-d8"])
@pytest.mark.cases(3)
def test_a_written_sentence_is_right_exactly_if_the_rules_of_the_question_make_it(level, channel):
    right, n = Counter(), {"write-d2": 60, "write-d3": 30, "write-d6": 2, "write-d7": 1}.get(level, 8)
    for item in made(level, channel, 24, n):
        reader, stream = Reader(item.question), Stream("written", item.id)
        assert item.gold.split() == first_rules(reader)
        drawn = Grammar.from_json(item.facts["grammar"]).sentence(
            stream, 0, LONGEST[FAMILY.levels[level].axes["depth"]]
        )
        edited = [" ".join(edit(drawn, kind, item.facts["grammar"]["terminals"], stream)) for kind in EDITS]
        answers = [item.gold, " ".join(drawn), FAMILY.guess(item, "direct", stream), *edited]
        for at, answer in enumerate(answers):
            verdict = grade(FAMILY, item, f"So it is.\nAnswer: {answer}")
            assert verdict.correct == reader.derives(answer.split())
            right[at] += verdict.correct
    assert right[0] == right[1] == n
    assert n < 8 or any(right[at] < n for at in range(3, 7))


def first_rules(reader):
    line = [reader.root]
    while line[0] in reader.rules:
        line = [part for symbol in line for part in reader.rules[symbol][0]]
    return line


@pytest.mark.parametrize(("level", "channel"), cells("recognise", "choose", "complete", "samples", "write"))
def test_a_grammar_has_the_depth_of_its_level(level, channel):
    (item,) = made(level, channel, 27, 1)
    rules, steps, symbol = item.facts["grammar"]["rules"], 0, item.facts["grammar"]["root"]
    while symbol in rules:
        symbol, steps = rules[symbol][0][0], steps + 1
    assert steps == FAMILY.levels[level].axes["depth"] == FAMILY.levels[level].hardness


def test_where_a_sentence_is_written_in_letters_only_the_rules_are_new():
    grammars = [item.facts["grammar"] for item in made("write-d3", "symbol", 25, 20)]
    assert {tuple(grammar["rules"]) for grammar in grammars} == {tuple("SABCDEF")}
    assert {tuple(grammar["terminals"]) for grammar in grammars} == {tuple("abc")}
    assert len({str(grammar["rules"]) for grammar in grammars}) == 20


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_a_sentence_is_derived_by_rules_of_the_question(channel):
    for item in made("write-d4", channel, 26, 20):
        rules = Reader(item.question).rules
        rows = [row.split() for row in re.search(r"level by level: (.*)", FAMILY.solution(item))[1].split(" => ")]
        assert rows[-1] == item.gold.split()
        assert len(rows) == 5
        for above, below in pairwise(rows):
            starts = {()}
            for symbol in above:
                starts = {start + tuple(rule) for start in starts for rule in rules[symbol]}
                starts = {start for start in starts if tuple(below[: len(start)]) == start}
            assert tuple(below) in starts


def test_the_solver_is_given_two_thousand_items():
    assert sum(BY_DEPTH.values()) * 6 >= 2_000


@pytest.mark.parametrize(("level", "channel"), [cell for cell in cells("complete") if cell[0] < "complete-d7"])
def test_a_completion_is_right_exactly_if_the_question_says_so(level, channel):
    right = 0
    for item in made(level, channel, 12, 12 if level < "complete-d4" else 4 if level < "complete-d6" else 1):
        answer, stream = solve(item.question), Stream("mutate", item.id)
        for _ in range(6):
            tokens = item.gold.split()
            tokens[stream.below(len(tokens))] = stream.choice(item.facts["grammar"]["terminals"])
            verdict = grade(FAMILY, item, " ".join(tokens))
            assert verdict.correct == answer(" ".join(tokens))
            right += verdict.correct
        guess = FAMILY.guess(item, "direct", stream)
        assert grade(FAMILY, item, f"So it is.\nAnswer: {guess}").correct == answer(guess)
    assert right or level >= "complete-d6"


@pytest.mark.parametrize(("level", "channel"), cells("samples"))
def test_samples_are_different_sentences_that_do_not_begin_like_the_asked_one(level, channel):
    n_samples = N_SAMPLES[FAMILY.levels[level].axes["depth"]]
    for item in made(level, channel, 13, 10):
        lines = item.question.split("\n")
        prefix = line_after(item.question, "begins with these \\w+:")
        samples = lines[1 : lines.index(next(line for line in lines if "begins with these" in line))]
        assert samples == item.facts["samples"]
        assert len(set(samples)) == n_samples
        assert f"{n_samples} sentences" in lines[0]
        assert not any(sample.split()[: len(prefix)] == prefix for sample in samples)
        assert read_arrows(FAMILY.solution(item)) == item.facts["grammar"]["rules"]


@pytest.mark.parametrize("level", ["samples-d2", "samples-d3", "samples-d4"])
def test_samples_and_gold_fit_the_grammar_of_the_facts(level):
    for item in made(level, "symbol", 14, 3):
        reader = Reader(as_question(item.facts["grammar"]))
        assert reader.derives(f"{item.facts['prefix']} {item.gold}".split())
        assert all(reader.derives(sample.split()) for sample in item.facts["samples"][:8])
        rests = [sample.split()[len(item.facts["prefix"].split()) :] for sample in item.facts["samples"]]
        assert not all(reader.derives(item.facts["prefix"].split() + rest) for rest in rests[:8])


def as_question(grammar):
    rules = "\n".join(f"{at} -> " + " | ".join(map(" ".join, options)) for at, options in grammar["rules"].items())
    return f"{rules}\nmade from {grammar['root']} in this way"


# --- what must not betray the answer ---


@pytest.mark.parametrize("level", ["recognise-d2", "recognise-d3", "recognise-d4"])
@pytest.mark.slow
def test_the_length_of_a_string_says_nothing_of_its_label(level):
    items = made(level, "symbol", 15, 2_000 if level == "recognise-d2" else 1_000)
    lengths = [len(item.facts["string"].split()) for item in items]
    seen = {}
    for item, length in zip(items[::2], lengths[::2], strict=True):
        seen.setdefault(length, Counter())[item.gold] += 1
    asked = list(zip(items[1::2], lengths[1::2], strict=True))
    hits = sum(seen.get(length, Counter(no=1)).most_common(1)[0][0] == item.gold for item, length in asked)
    assert abs(hits / len(asked) - 1 / 2) < 4.5 * sqrt(1 / 4 / len(asked))


@pytest.mark.parametrize(("level", "channel"), cells("choose", "complete"))
def test_candidates_are_equally_long(level, channel):
    for item in made(level, channel, 16, 60 if level[-1] in "234" else 2):
        strings = item.facts.get("strings") or item.choices
        assert len({len(string.split()) for string in strings}) == 1
        assert len(set(strings)) == (4 if "strings" in item.facts else 2)


def test_yes_and_no_come_equally_often():
    golds = Counter(item.gold for item in made("recognise-d2", "story", 17, 2_000))
    assert abs(golds["yes"] - golds["no"]) < 4.5 * sqrt(2_000)


@pytest.mark.parametrize("level", ["recognise-d2", "recognise-d3", "recognise-d4", "choose-d3"])
def test_strings_outside_are_flawless_below_the_root(level):
    """They can be cut into strings of the root's parts, found here by the solver's table and not by the parser."""
    for item in made(level, "symbol", 18, 40 if level != "recognise-d4" else 10):
        reader = Reader(item.question)
        parts = {part for rule in reader.rules[reader.root] for part in rule}
        for string in item.facts.get("strings") or [item.facts["string"]]:
            assert covered(reader, string.split(), parts)


def covered(reader, tokens, parts):
    """Say whether a string is two or three strings that some of the parts derive."""
    n, whole = len(tokens), sum(reader.bit(part) for part in parts)
    ends = {0: {0}}
    for start in range(n):
        for count in [count for count, places in ends.items() if start in places and count < 3]:
            for end in range(start + 1, n + 1):
                if reader.symbols(tokens[start:end]) & whole:
                    ends.setdefault(count + 1, set()).add(end)
    return any(n in ends.get(count, ()) for count in (2, 3))


def rates(level, style, n):
    """Return how often each shortcut is right."""
    asked = made(level, "symbol", 31, n)
    found = {}
    for rule in FAMILY.shortcuts:
        answers = [rule.answer(item, style) for item in asked] if style in rule.styles else [None]
        if None not in answers:
            found[rule.name] = sum(
                answer == item.gold if style == "choice" else grade(FAMILY, item, answer).correct
                for item, answer in zip(asked, answers, strict=True)
            ) / n  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("level", "style"),
    [(f"{mode}-d{depth}", style) for mode in ("recognise", "choose", "complete") for depth in (2, 3, 4)
     for style in ("direct", "choice")],
)  # fmt: skip
@pytest.mark.cases(3)
def test_no_shortcut_beats_the_stated_chance(level, style):
    n, chance = 300, FAMILY.chance(FAMILY.levels[level], style)
    found = rates(level, style, n)
    assert len(found) >= (7 if style == "choice" or "complete" not in level else 1)
    for name, rate in found.items():
        assert rate < chance + 0.05 + 3 * sqrt(chance * (1 - chance) / n), name


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_the_example_in_a_prompt_is_in_other_letters_or_words(channel):
    for level in ("complete-d2", "samples-d2", "write-d3", "complete-d6"):
        for item in made(level, channel, 32, 10):
            prompt = pose(FAMILY, item, "cot")
            example = prompt.rstrip().rsplit("Answer: ", 1)[1]
            assert example == item.facts["example"]
            assert not set(example.split()) & set(item.facts["grammar"]["terminals"])
            assert not grade(FAMILY, item, f"Answer: {example}").correct
    for level, noun in (("recognise-d2", "yes or no"), ("choose-d2", "the letter")):
        item = made(level, channel, 32, 1)[0]
        assert pose(FAMILY, item, "cot").endswith(f"gives {noun} after the word Answer and a colon.\n")
        assert pose(FAMILY, item, "direct").endswith(f"Reply with {noun} only.\nAnswer:")


def test_lengths_stay_within_bounds():
    for level, channel in cells("recognise", "choose", "complete", "samples", "write"):
        for item in made(level, channel, 20, 10 if level[-1] in "2345" else 1):
            facts = item.facts
            whole = (
                [f"{facts['prefix']} {rest}" for rest in (item.choices or (item.gold,))] if "prefix" in facts else []
            )
            for string in [*whole, *facts.get("strings", []), facts.get("string", "x " * 9), *facts.get("samples", [])]:
                assert 4 <= len(string.split()) <= LONGEST[FAMILY.levels[level].axes["depth"]]


# --- what a wrong answer is called ---

GRAMMAR = {
    "root": "S",
    "rules": {
        "S": [["E", "F"], ["F", "E", "E"]],
        "E": [["a", "b"], ["a", "a", "b"]],
        "F": [["b", "c"], ["c", "c", "a"]],
    },
    "terminals": ["a", "b", "c"],
}


def item_of(gold, **facts):
    return Instance("lano", 1, "complete-d2", "symbol", "", 0, "", gold, (), {"grammar": GRAMMAR, **facts})


@pytest.mark.parametrize(
    ("answer", "label", "at"),
    [
        ("a b b c", "correct", None),
        ("b c, a b, a a b", "correct", None),
        ("a b b", "too_short", None),
        ("a b a", "outside", 3),
        ("a b b c a", "outside", 5),
        ("S", "not_terminals", 1),
        ("E F", "not_terminals", 1),
        ("a b => b c", "too_short", None),  # a derivation: what follows the last arrow
        ("", "no_answer", None),
        ("a b b c\nc c a a b a b", "no_answer", None),
    ],
)
def test_a_sentence_is_judged_and_its_first_fault_placed(answer, label, at):
    verdict = grade(FAMILY, item_of("a b b c", mode="write", prefix="", accepts="verifier"), answer)
    assert (verdict.label, verdict.at) == (label, at)


@pytest.mark.parametrize(
    ("answer", "label", "at"),
    [
        ("b b c", "correct", None),
        ("a b c c a", "correct", None),
        ("a, b, b, c", "correct", None),
        ("[b b c]", "correct", None),
        ("b b", "too_short", None),
        ("a", "too_short", None),
        ("b a", "outside", 2),
        ("c b c", "outside", 1),
        ("b b c a", "outside", 4),
        ("b b c " * 60, "outside", 4),
        ("a b b c", "correct", None),
        ("a b c c b", "outside", 5),
        ("b x c", "not_terminals", 2),
        ("E F", "not_terminals", 1),
        ("q b c", "not_terminals", 1),
        ("", "no_answer", None),
        ("b ... c", "no_answer", None),
        ("...", "no_answer", None),
        ("b b c\nb b c", "correct", None),
        ("b b c\na b c c a", "no_answer", None),
        ("a b b", "too_short", None),
        ("b c a b a b", "whole_sentence", None),
    ],
)
def test_a_completion_is_judged_and_its_first_fault_placed(answer, label, at):
    item = item_of("b b c", mode="complete", prefix="a", accepts="verifier")
    verdict = grade(FAMILY, item, answer)
    assert (verdict.label, verdict.at) == (label, at)
    assert verdict.correct is (label == "correct")


def test_the_whole_sentence_in_place_of_its_rest_is_told_from_other_faults():
    item = item_of("c", mode="complete", prefix="a b b", accepts="verifier")
    assert grade(FAMILY, item, "Answer: c").correct
    assert grade(FAMILY, item, "Answer: a b b c").correct  # the given beginning is repeated
    assert grade(FAMILY, item, "Answer: a b c c a").label == "whole_sentence"


def test_wrong_verdicts_and_wrong_letters_are_told_apart():
    item = make_instance(FAMILY, "recognise-d2", "symbol", 1, 0)
    for gold, other in (("yes", "no"), ("no", "yes")):
        asked = replace(item, gold=gold)
        assert grade(FAMILY, asked, f"Answer: {gold.upper()}.").correct
        assert grade(FAMILY, asked, f"Answer: {other}").label == f"said_{other}"
        assert grade(FAMILY, asked, f"{gold} or {other}").label == "no_answer"
    item = make_instance(FAMILY, "choose-d2", "symbol", 1, 0)
    assert [grade(FAMILY, item, letter).label for letter in "ABCD"].count("other_string") == 3
    string = item.facts["strings"]["ABCD".index(item.gold)]
    for text in (string, f"({item.gold})", f"{item.gold}: {string}", f"Option {item.gold}"):
        assert grade(FAMILY, item, text).correct
    assert grade(FAMILY, item, "A, B").label == grade(FAMILY, item, "\n".join("ABCD")).label == "no_answer"


# --- what a solution says ---


@pytest.mark.parametrize("channel", FAMILY.channels)
@pytest.mark.parametrize("level", ["recognise-d2", "recognise-d3", "recognise-d5"])
def test_a_reduction_leads_to_the_root_by_rules_of_the_question(level, channel):
    for item in [item for item in made(level, channel, 21, 40) if item.gold == "yes"]:
        reader = Reader(item.question)
        *steps, last = FAMILY.solution(item).strip().split("\n")
        line = item.facts["string"].split()
        assert len(steps) == FAMILY.levels[level].axes["depth"]
        for step in steps:
            left, right = step.split(" = ")
            groups, names = [group.split() for group in re.findall(r"\[([^]]+)\]", left)], right.split()
            assert [token for group in groups for token in group] == line
            assert all(group in reader.rules[name] for group, name in zip(groups, names, strict=True))
            line = names
        assert line == [reader.root]
        assert last == "It is a sentence."


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_a_refutation_is_true_of_the_written_out_language(channel):
    kinds = Counter()
    for item in [item for item in made("recognise-d2", channel, 22, 150) if item.gold == "no"]:
        rules = Reader(item.question).rules
        lowest = {symbol: options for symbol, options in rules.items() if options[0][0] not in rules}
        language = set()
        for rule in next(options for symbol, options in rules.items() if symbol not in lowest):
            strings = [()]
            for part in rule:
                strings = [string + tuple(more) for string in strings for more in lowest[part]]
            language |= set(strings)
        text, tokens = FAMILY.solution(item), tuple(item.facts["string"].split())
        viable = max(n for n in range(len(tokens) + 1) if any(s[:n] == tokens[:n] for s in language))
        nexts = {string[viable] for string in language if string[:viable] == tokens[:viable] and len(string) > viable}
        said = re.search(r"(?:goes on|begins) with ((?:\w+ or )*\w+?)(?: or ends)?[.,]", text)
        assert (set(said[1].split(" or ")) - {"ends"} if said else set()) == nexts
        assert (" ends" in text) == (tokens[:viable] in language)
        assert text.endswith("It is no sentence.")
        if viable == len(tokens):
            assert "stops too soon" in text
        else:
            assert f"token {viable + 1} is {tokens[viable]}, so no rule fits." in text
        kinds[viable == len(tokens), tokens[:viable] in language] += 1
    assert len(kinds) == 3


def test_a_completion_is_derived_level_by_level():
    for item in made("complete-d3", "symbol", 23, 20):
        rows = re.search(r"level by level: (.*)", FAMILY.solution(item))[1].split(" => ")
        assert rows[0] == item.facts["grammar"]["root"]
        assert rows[-1] == f"{item.facts['prefix']} {item.gold}"
        assert len(rows) == 4


# --- languages to be trained on ---


def test_the_languages_have_the_lengths_of_the_design():
    means = {shape: language(shape).mean_length for shape in "abfk"}
    assert [language(shape).depth for shape in "abfk"] == [4, 6, 6, 7]
    assert 20 <= means["a"] <= 40
    assert 240 <= means["f"] <= 260
    assert 500 <= means["k"] <= 540
    assert all(len(rules) == 2 for shape in "ab" for rules in language(shape).rules.values())
    assert {len(rules) for shape in "fk" for rules in language(shape).rules.values()} == {3, 4}


@pytest.mark.parametrize("shape", "abfk")
def test_a_language_is_strict(shape):
    """Joined halves of two sentences, and edited sentences, are seldom sentences."""
    grammar, stream = language(shape), Stream("strict", shape)
    joined = edited = 0
    for index in range(60):
        first, second = grammar.sentence(stream), grammar.sentence(stream)
        joined += recognises(grammar, first[: len(first) // 2] + second[len(second) // 2 :])
        edited += recognises(grammar, edit(first, tuple(EDITS)[index % 4], grammar.terminals, stream))
    assert joined < 6
    assert edited < 10


@pytest.mark.parametrize("shape", "abfk")
def test_a_trained_model_goes_on_in_a_language_that_no_seed_changes(shape):
    given = GIVEN_TOKENS_SHORT if shape == "a" else GIVEN_TOKENS
    items = made(f"generate-{shape}-{given}", "symbol", 1, 3) + made(f"generate-{shape}-{given}", "symbol", 2, 3)
    assert len({repr(item.facts["grammar"]) for item in items}) == 1
    for item in items:
        mark, *prefix = pose(FAMILY, item, "free").split(" ")
        assert mark == "Sentence:"
        assert len(prefix) == given
        assert grade(FAMILY, item, f" {item.gold}\nSentence: a a").correct
        assert grade(FAMILY, item, f"Answer: {item.gold}").label == "not_terminals"
        assert grade(FAMILY, item, f" {item.gold}" + " a" * 3_000).label == "outside"
        assert grade(FAMILY, item, f" {' '.join(item.gold.split()[:5])}\nand so on").label == "too_short"
        assert grade(FAMILY, item, f"\n{item.gold}").correct
        whole = " ".join([*prefix, item.gold])
        if len(whole.split()) <= language(shape).longest - given:  # what is longer is outside, wherever it is cut
            assert grade(FAMILY, item, whole).label == "whole_sentence"
    apart = items[0] if shape != "a" else replace(items[0], facts={**items[0].facts, "prefix": "a b b"})
    assert not grade(FAMILY, apart, items[1].gold).correct  # after 12 tokens of a, the same may come twice


@pytest.mark.parametrize("shape", "abfk")
def test_from_the_start_any_sentence_is_right(shape):
    first, second = made(f"generate-{shape}-0", "symbol", 1, 2)
    assert first.question == second.question == "Sentence:"
    assert first.gold != second.gold
    assert grade(FAMILY, first, second.gold).correct


def test_a_lesson_of_a_language_is_a_whole_sentence_after_the_mark():
    for name, level in FAMILY.levels.items():
        if level.axes["mode"] in ("generate", "law"):
            ((prompt, completion),) = FAMILY.lesson(level, "symbol", "free", Stream("train", name))
            assert prompt == "Sentence:"
            assert grade(
                FAMILY, make_instance(FAMILY, f"generate-{level.axes['shape']}-0", "symbol", 1, 0), completion
            ).correct


@pytest.mark.parametrize("shape", "abfk")
def test_the_likelihood_of_a_sentence_is_the_one_that_inside_probabilities_give(shape):
    grammar = language(shape)
    for item in made(f"law-{shape}", "symbol", 25, 12):
        tokens, nats = item.gold.split(), item.facts["nats"]
        assert len(tokens) == item.facts["n_tokens"] <= LAW_TOKENS
        assert nats["guessed"] == pytest.approx(-len(tokens) * log(4))
        assert exp(nats["known"]) == pytest.approx(share_of_sentences(grammar, tokens), rel=1e-9)
        assert nats["guessed"] < nats["known"] < 0
        assert all(row[SENTENCE_END] == -inf for row in next_token_law(grammar, tokens)[:-1])


def share_of_sentences(grammar, prefix):
    """Sum, symbol by symbol from the right, the chance of the strings that begin so: not by the law's way."""

    @cache
    def ends(line, at):
        """Return the chance that what the line derives begins with prefix[at:], or is all of it up to a place."""
        if at == len(prefix):
            return 1.0
        if not line:
            return 0.0
        first, *rest = line
        if first not in grammar.rules:
            return ends(tuple(rest), at + 1) if prefix[at] == first else 0.0
        options = grammar.rules[first]
        return sum(ends((*rule, *rest), at) for rule in options) / len(options)

    return ends((grammar.root,), 0)


def test_a_model_that_knows_the_law_is_told_from_one_that_guesses():
    for item in made("law-a", "symbol", 26, 20):
        known, guessed = (item.facts["nats"][who] for who in ("known", "guessed"))
        assert grade_likelihood(item, known).correct
        assert grade_likelihood(item, known - 0.6).correct
        assert grade_likelihood(item, guessed).label == "unsure"
        assert grade(FAMILY, item, item.gold).correct
        assert grade(FAMILY, item, f" {item.gold} a").label == "other_string"


def test_every_label_is_stated():
    assert set(FAMILY.labels) == {
        "said_yes", "said_no", "other_string", "outside", "too_short", "whole_sentence", "not_terminals", "no_answer",
        "cut_off",
    }  # fmt: skip


def test_budgets_hold_the_longest_right_answers():
    for level, channel in cells("recognise", "choose", "complete", "samples", "generate"):
        rung = FAMILY.levels[level]
        free = rung.axes["mode"] == "generate"
        for item in made(level, channel, 24, 5 if level[-1] in "2345" else 1):
            assert len(item.gold.encode()) / 2 <= FAMILY.budget(rung, "free" if free else "direct")
            if not free:
                assert len(FAMILY.solution(item).encode()) / 2 <= FAMILY.budget(rung, "cot")

"""Solve the documents of the token forms from their ids, by other ways than the generators."""

import re
from collections import Counter

import pytest

from fathom.tasks.corpora.base import make_block, read_options
from fathom.tasks.corpora.registry import find_corpus
from fathom.tasks.grammars.languages import LANGUAGES, language
from fathom.tasks.grammars.parser import recognises
from fathom.tasks.graphs.rings import RING_NAMES, draw_ring_problem, first_name, ring_vocabulary
from fathom.tasks.stream import Stream
from fathom.tasks.tokens import TokenNames, pack_tokens, size_table, unpack_tokens

NAME = r"v\d+|(?:a\d+ )*z\d+"


def documents(name, number=0, **given):
    """Return the documents as texts of tokens, and of each the tokens that are learnt."""
    corpus = find_corpus(name)
    options = read_options(corpus, given)
    vocabulary = corpus.vocabulary(options)
    made = make_block(corpus, options, 7, number)
    spelt = [vocabulary[at] for at in unpack_tokens(made.ids)]
    learnt = [bool(one) for one in made.learnt or b"\1" * len(spelt)]
    found, began = [], 0
    for end in made.ends:
        flags = learnt[began:end]
        found.append((" ".join(spelt[began:end]), [t for t, on in zip(spelt[began:end], flags, strict=True) if on]))
        began = end
    return found


def read_ring(text):
    shown, *asked = re.split(r" (?=\?\d)", text.removesuffix(" <end>"))
    names = re.findall(NAME, shown)
    assert shown == " ".join(["Ring:", *names])
    arrows = dict(zip(names[::2], names[1::2], strict=True))
    questions = [re.fullmatch(rf"\?(\d+) ({NAME}) = ({NAME})", one).groups() for one in asked]
    return arrows, [(int(k), start, answer) for k, start, answer in questions]


@pytest.mark.parametrize("given", [{"n": 20, "k": 8}, {"names": "long", "n": 30, "k": 16}, {"questions": 3, "n": 9}])
def test_rings_are_followed_to_the_answers(given):
    for text, learnt in documents("depo", **given):
        arrows, questions = read_ring(text)
        n = len(arrows)
        assert 3 <= n <= given["n"]
        assert set(arrows) == set(arrows.values())
        assert len(questions) == min(n, given.get("questions", 10)) == len({start for _, start, _ in questions})
        for k, start, answer in questions:
            at = start
            for _ in range(k):
                at = arrows[at]
            assert at == answer
            assert 1 <= k <= given.get("k", 8)
        assert learnt == [token for _, _, answer in questions for token in answer.split()] + ["<end>"]
        ring = next(iter(arrows))
        assert len({ring := arrows[ring] for _ in range(n)}) == n


def test_arrows_of_rings_come_in_random_order():
    followed = [
        b == c
        for text, _ in documents("depo", n=60)
        for shown in [list(read_ring(text)[0].items())]
        for (_, b), (c, _) in zip(shown, shown[1:], strict=False)
    ]
    assert sum(followed) / len(followed) < 0.15


@pytest.mark.parametrize("given", [{"n": 40}, {"names": "multi", "n": 40}])
def test_needs_are_met_in_the_order_of_the_answer(given):
    for text, learnt in documents("brevo", **given):
        shown, query, answer = re.fullmatch(rf"Needs: (.*) \? ({NAME}) = (.*) <end>", text).groups()
        names = re.findall(NAME, shown)
        assert shown == " ".join(names)
        needs = {}
        for before, after in zip(names[::2], names[1::2], strict=True):
            needs.setdefault(after, set()).add(before)
        wanted, waiting = set(), [query]
        while waiting:
            one = waiting.pop()
            if one not in wanted:
                wanted.add(one)
                waiting += needs.get(one, ())
        listed = re.findall(NAME, answer)
        assert " ".join(listed) == answer
        assert sorted(listed) == sorted(wanted)
        assert listed[-1] == query
        assert all(needs.get(name, set()) <= set(listed[:at]) for at, name in enumerate(listed))
        assert learnt == [*answer.split(), "<end>"]


def value(tokens, p):
    stack = []
    for token in reversed(tokens):
        if token.isdigit():
            stack.append(int(token))
        else:
            a, b = stack.pop(), stack.pop()
            stack.append({"+": a + b, "-": a - b, "*": a * b}[token] % p)
    assert len(stack) == 1
    return stack[0]


@pytest.mark.parametrize(("p", "most"), [(23, 10), (7, 3), (23, 1)])
def test_expressions_have_their_values(p, most):
    lengths = Counter()
    for number in range(4):
        for text, learnt in documents("mano", number, modulus=p, operations=most):
            shown, said = re.fullmatch(r"Value: (.*) = (\d+) <end>", text).groups()
            assert value(shown.split(), p) == int(said)
            assert all(int(token) < p for token in shown.split() if token.isdigit())
            assert learnt == [said, "<end>"]
            lengths[len(re.findall(r"[-+*]", shown))] += 1
    assert set(lengths) == set(range(1, most + 1))


@pytest.mark.parametrize("shape", LANGUAGES)
def test_sentences_are_of_the_language(shape):
    grammar = language(shape)
    for text, _ in documents("lano", language=shape)[:8]:
        found = re.fullmatch(r"Sentence: ([abc ]+) <end>", text)
        assert recognises(grammar, found[1].split())


def test_what_is_learnt_is_a_setting():
    for name in ("depo", "brevo", "mano"):
        assert all(" ".join(learnt) == text for text, learnt in documents(name, learn="all"))


@pytest.mark.parametrize("names", RING_NAMES)
def test_a_ring_posed_alone_reads_as_a_document_begins(names):
    vocabulary = set(ring_vocabulary(names, 4))
    for index in range(20):
        posed = draw_ring_problem(names, 9, 4, Stream("test", index))
        arrows, ((k, start, answer),) = read_ring(f"{posed.question} {posed.answer}")
        assert (k, start, answer, list(arrows.items())) == (4, posed.start, posed.answer, posed.edges)
        at = start
        for _ in range(k):
            at = arrows[at]
        assert at == answer == first_name(f" {answer} ?3 a0")
        assert set(posed.question.split()) <= vocabulary


def test_a_name_without_an_end_is_no_name():
    assert first_name("a1 a2") is None
    assert first_name("? a1 z2") is None
    assert first_name("") is None


def test_expressions_are_split_uniformly():
    """Of three operations, 0, 1 or 2 are on the left, each a third of the time."""
    left = Counter()
    for number in range(140):
        for text, _ in documents("mano", number, operations=3):
            prefix = re.fullmatch(r"Value: (.*) = \d+ <end>", text)[1].split()
            if len(prefix) == 7:
                left[(size_of_operand(prefix[1:]) - 1) // 2] += 1
    n = left.total()
    assert n > 2_500
    assert all(abs(count - n / 3) < 4 * (n * 2 / 9) ** 0.5 for count in left.values())
    assert set(left) == {0, 1, 2}


def size_of_operand(tokens):
    """Count the tokens of the first operand in a prefix form."""
    due = 1
    for at, token in enumerate(tokens, 1):
        due += -1 if token.isdigit() else 1
        if not due:
            return at
    raise AssertionError(tokens)


def test_names_are_different_and_each_length_is_as_likely():
    names = TokenNames(3, 4, 4, 5, 7)
    drawn = [name for index in range(40) for name in names.draw(Stream("names", index), 60)]
    lengths = Counter(len(name) // 2 for name in drawn)
    assert set(lengths) == {5, 6, 7}
    assert all(abs(count / len(drawn) - 1 / 3) < 0.04 for count in lengths.values())
    assert len(set(names.table)) == names.count
    assert all(len(set(names.draw(Stream("names", index), 60))) == 60 for index in range(10))


def test_small_sizes_are_likelier_as_the_paper_says():
    table = size_table(3, 75)
    assert len(table) == 65_536
    counts = Counter(table)
    assert set(counts) == set(range(3, 76))
    assert abs(counts[3] / counts[75] - (75 + 75**0.5) / (3 + 75**0.5)) < 0.05
    assert unpack_tokens(pack_tokens([0, 255, 256, 65_535])) == [0, 255, 256, 65_535]

from collections import Counter
from fractions import Fraction
from functools import cache, partial
from itertools import pairwise, product
from math import exp, inf, isclose, log, log2, sqrt

import pytest

from fathom.tasks.grammars.grammar import Grammar, GrammarShape, draw_grammar
from fathom.tasks.grammars.languages import LANGUAGES, language
from fathom.tasks.grammars.likelihood import SENTENCE_END, next_token_law
from fathom.tasks.grammars.near_miss import AlikeSearch, draw_miss, wrong_rows
from fathom.tasks.grammars.parser import Chart, recognises, sound_height
from fathom.tasks.stream import Stream
from tests.tasks.grammars.derivations import EDITS, count_derivations, edit, log_probability

SMALL = [GrammarShape(2), GrammarShape(2, 3, 4), GrammarShape(3, 2, 2, 20), GrammarShape(2, 2, 2)]


def drawn(shape, *name):
    symbols = [f"N{at}" for at in range(shape.n_symbols)]
    return draw_grammar(shape, symbols, "abc", Stream("test", *name))


@cache
def small_grammars():
    return [drawn(shape, at, index) for at, shape in enumerate(SMALL) for index in range(4)]


def written_out(grammar, symbol=None):
    """Return every string that a symbol derives, as often as it derives it, with its probability."""
    symbol = symbol or grammar.root
    if symbol not in grammar.rules:
        return Counter({(symbol,): 1}), {(symbol,): Fraction(1)}
    counts, shares = Counter(), {}
    for rule in grammar.rules[symbol]:
        tables = [written_out(grammar, part) for part in rule]
        for strings in product(*[table[0] for table in tables]):
            whole = tuple(token for string in strings for token in string)
            n, share = 1, Fraction(1, len(grammar.rules[symbol]))
            for (count, chance), string in zip(tables, strings, strict=True):
                n, share = n * count[string], share * chance[string]
            counts[whole] += n
            shares[whole] = shares.get(whole, 0) + share
    return counts, shares


@cache
def small_languages():
    return [(grammar, *written_out(grammar)) for grammar in small_grammars()]


class Cyk:
    """The textbook's recogniser: rules in Chomsky normal form, a table over all spans, symbols as bits."""

    def __init__(self, grammar):
        pairs, names = [], {}

        def bit(name):
            return 1 << names.setdefault(name, len(names))

        for symbol, rules in grammar.rules.items():
            for rule in rules:
                left, *rest = rule
                if len(rest) == 2:
                    pairs.append((bit(("two", *rest)), bit(rest[0]), bit(rest[1])))
                    rest = [("two", *rest)]
                pairs.append((bit(symbol), bit(left), bit(rest[0])))
        self.pairs, self.root, self.bit, self.known = pairs, bit(grammar.root), bit, {}

    def joined(self, left, right):
        found = self.known.get((left, right))
        if found is None:
            found = 0
            for whole, first, second in self.pairs:
                if left & first and right & second:
                    found |= whole
            self.known[left, right] = found
        return found

    def accepts(self, tokens):
        n, known = len(tokens), self.known
        starts = [[0] * (n + 1) for _ in range(n + 1)]  # [start][end], and [end][start] beside it, for speed
        ends = [[0] * (n + 1) for _ in range(n + 1)]
        for end in range(1, n + 1):
            for start in range(end - 1, -1, -1):
                found = self.bit(tokens[start]) if end == start + 1 else 0
                for left, right in zip(starts[start][start + 1 : end], ends[end][start + 1 : end], strict=True):
                    if left and right:
                        more = known.get((left, right))
                        found |= self.joined(left, right) if more is None else more
                starts[start][end] = ends[end][start] = found
        return bool(n and starts[0][n] & self.root)


def all_strings(longest):
    return [string for n in range(longest + 1) for string in product("abc", repeat=n)]


# --- drawing ---


@pytest.mark.parametrize(
    "shape",
    [GrammarShape(2), GrammarShape(3), GrammarShape(4, 2, 3), GrammarShape(5, 2, 3, 33, 0, 70), *LANGUAGES.values()],
)
def test_a_drawn_grammar_keeps_its_shape(shape):
    for index in range(20):
        grammar = drawn(shape, "shape", index)
        assert grammar.depth == shape.depth
        assert [len(level) for level in grammar.levels] == [1] + [3] * shape.depth
        assert set(grammar.levels[-1]) == set(grammar.terminals) == set("abc")
        assert shape.least_mean <= grammar.mean_length <= shape.greatest_mean
        for level, below in zip(grammar.levels, grammar.levels[1:], strict=False):
            strings = [rule for symbol in level for rule in grammar.rules[symbol]]
            assert len(set(strings)) == len(strings)
            assert {len(rule) for rule in strings} <= {2, 3}
            assert {part for rule in strings for part in rule} == set(below)
            assert all(shape.fewest_rules <= len(grammar.rules[symbol]) <= shape.most_rules for symbol in level)


def test_numbers_of_rules_and_their_lengths_are_drawn_evenly():
    grammars = [drawn(GrammarShape(3), "even", index) for index in range(400)]
    counts = Counter(len(rules) for grammar in grammars for rules in grammar.rules.values())
    assert all(abs(counts[n] / counts.total() - 1 / 3) < 0.04 for n in (2, 3, 4))
    lengths = Counter(len(rule) for grammar in grammars for rules in grammar.rules.values() for rule in rules)
    # The nine strings of two run short, so those of three come a little more often.
    assert 0.38 < lengths[2] / lengths.total() < 0.5


def test_a_grammar_survives_json():
    for grammar in small_grammars():
        assert Grammar.from_json(grammar.to_json()) == grammar
        assert set(grammar.to_json()) == {"root", "rules", "terminals"}


def test_a_grammar_that_is_not_stratified_is_refused():
    for rules in ({"S": (("S", "S"),)}, {"S": (("E", "a"),), "E": (("a", "a"),)}):
        with pytest.raises(ValueError, match="stratified"):
            _ = Grammar("S", rules, ("a",)).levels


# --- sizes and sampling ---


def test_sizes_agree_with_the_written_out_language():
    for grammar, _, shares in small_languages():
        lengths = [len(string) for string in shares]
        assert (grammar.shortest, grammar.longest) == (min(lengths), max(lengths))
        assert isclose(grammar.mean_length, sum(len(string) * share for string, share in shares.items()))
        assert sum(shares.values()) == 1


def test_entropy_is_that_of_the_derivation():
    grammar = Grammar("S", {"S": (("E", "E"), ("E", "E", "E")), "E": (("a", "b"), ("b", "a"))}, ("a", "b"))
    assert isclose(grammar.derivation_bits, 1 + 2.5)
    for grammar, counts, shares in small_languages():
        of_text = -sum(float(share) * log2(share) for share in shares.values())
        if max(counts.values()) == 1:
            assert isclose(of_text, grammar.derivation_bits)
        else:
            assert of_text < grammar.derivation_bits
        assert isclose(grammar.bits_per_token * grammar.mean_length, grammar.derivation_bits)


def test_sentences_come_as_often_as_they_should():
    n = 20_000
    grammar, _, shares = small_languages()[-1]
    stream = Stream("frequency")
    seen = Counter(tuple(grammar.sentence(stream)) for _ in range(n))
    assert set(seen) <= set(shares)
    for string, share in shares.items():
        assert abs(seen[string] / n - share) < 4.5 * sqrt(share * (1 - share) / n)


@pytest.mark.parametrize("shape", LANGUAGES)
def test_the_mean_length_is_the_exact_one(shape):
    grammar = language(shape)
    lengths = [len(grammar.sentence(Stream("length", shape, index))) for index in range(1_500)]
    mean = sum(lengths) / len(lengths)
    variance = sum((length - mean) ** 2 for length in lengths) / (len(lengths) - 1)
    assert abs(mean - grammar.mean_length) < 3 * sqrt(variance / len(lengths))
    assert grammar.shortest <= min(lengths) <= max(lengths) <= grammar.longest


def test_bounds_on_length_are_kept_and_impossible_ones_refused():
    grammar = language("f")
    assert all(200 <= len(grammar.sentence(Stream("bounds", index), 200, 230)) <= 230 for index in range(20))
    small = small_grammars()[0]
    with pytest.raises(ValueError, match="no sentence of 28 to 30 tokens"):
        small.sentence(Stream("none"), 28, 30)


# --- recognising ---


@pytest.mark.slow
def test_the_recognisers_agree_on_every_short_string():
    strings = all_strings(7)
    for grammar, counts, _ in small_languages():
        cyk = Cyk(grammar)
        for string in strings:
            assert recognises(grammar, string) == (string in counts) == cyk.accepts(string)


def test_every_sentence_of_a_small_language_is_recognised():
    for grammar, counts, _ in small_languages():
        assert all(recognises(grammar, string) for string in counts)


@pytest.mark.parametrize(("shape", "n", "n_cyk"), [("b", 400, 10), ("f", 400, 6), ("k", 200, 1)])
def test_sentences_are_accepted_by_both_recognisers(shape, n, n_cyk):
    grammar = language(shape)
    cyk = Cyk(grammar)
    for index in range(n):
        sentence = grammar.sentence(Stream("sentence", shape, index))
        assert recognises(grammar, sentence)
        assert index >= n_cyk or cyk.accepts(sentence)


@pytest.mark.parametrize(("shape", "n"), [("b", 10), ("f", 6)])
def test_edited_sentences_are_judged_alike_by_both_recognisers(shape, n):
    grammar, stream = language(shape), Stream("edited", shape)
    cyk = Cyk(grammar)
    for index in range(n):
        tokens = edit(grammar.sentence(stream), tuple(EDITS)[index % 4], grammar.terminals, stream)
        assert recognises(grammar, tokens) == cyk.accepts(tokens)


def test_strings_of_deeper_grammars_are_judged_alike_by_both_recognisers():
    outside = 0
    for index in range(60):
        stream = Stream("deeper", index)
        grammar = drawn(GrammarShape(4, 2, 3), "deeper", index)
        cyk = Cyk(grammar)
        sentence = grammar.sentence(stream, 0, 60)
        assert recognises(grammar, sentence)
        assert cyk.accepts(sentence)
        for kind in EDITS:
            tokens = edit(sentence, kind, grammar.terminals, stream)
            assert recognises(grammar, tokens) == cyk.accepts(tokens)
            outside += not cyk.accepts(tokens)
    assert outside > 150


def test_what_is_no_terminal_and_no_token_at_all_is_outside():
    grammar = language("f")
    sentence = grammar.sentence(Stream("odd"))
    assert not recognises(grammar, [])
    assert not recognises(grammar, ["x", *sentence])
    assert not recognises(grammar, [*sentence, ""])
    assert not recognises(grammar, ["S"])


# --- prefixes, trees, counts ---


def test_the_viable_prefix_and_the_next_tokens_agree_with_the_written_out_language():
    for grammar, counts, _ in small_languages():
        begun = {string[:n] for string in counts for n in range(len(string) + 1)}
        stream = Stream("viable", grammar.root, *[len(rules) for rules in grammar.rules.values()])
        for _ in range(300):
            string = tuple("abc"[stream.below(3)] for _ in range(stream.below(11)))
            viable = max(n for n in range(len(string) + 1) if string[:n] in begun)
            assert Chart(grammar, string).viable == viable
            head = string[:viable]
            assert set(Chart(grammar, head).next_tokens()) == {token for token in "abc" if (*head, token) in begun}


def test_a_tree_derives_its_string_by_the_rules():
    def check(node, grammar):
        if node.children:
            assert tuple(child.symbol for child in node.children) in grammar.rules[node.symbol]
            for child in node.children:
                check(child, grammar)

    for grammar in [*small_grammars(), language("b"), language("f")]:
        sentence = grammar.sentence(Stream("tree"))
        tree = Chart(grammar, sentence).tree()
        assert tree.tokens == sentence
        assert tree.symbol == grammar.root
        check(tree, grammar)
        assert Chart(grammar, [*sentence, "x"]).tree() is None


def test_a_reading_covers_the_prefix_with_whole_symbols():
    for grammar in small_grammars():
        sentence = grammar.sentence(Stream("reading"))
        for n in range(1, len(sentence)):
            read = Chart(grammar, sentence[:n]).reading()
            assert [token for node in read for token in node.tokens] == sentence[:n]
    assert Chart(grammar, []).reading() == []


def test_derivations_are_counted_as_by_writing_them_out():
    for grammar, counts, _ in small_languages():
        for string, n in list(counts.items())[:200]:
            assert count_derivations(grammar, string) == n
        assert count_derivations(grammar, ["a"]) == 0


def test_every_completion_may_come_and_nothing_else():
    for grammar, counts, _ in small_languages()[:8]:
        stream = Stream("completion")
        prefix = tuple(grammar.sentence(stream)[:2])
        rests = {string[2:] for string in counts if string[:2] == prefix}
        chart = Chart(grammar, prefix)
        assert {tuple(chart.completion(stream)) for _ in range(60 * len(rests))} == rests
    with pytest.raises(ValueError, match="no sentence begins"):
        Chart(grammar, ["x"]).completion(stream)


def test_completions_of_long_prefixes_make_sentences():
    for shape, given in (("f", 50), ("f", 0), ("k", 200)):
        grammar, stream = language(shape), Stream("long", shape)
        prefix = grammar.sentence(stream, given + 1)[:given]
        for _ in range(5):
            assert recognises(grammar, prefix + Chart(grammar, prefix).completion(stream))


def test_the_sound_height_is_that_of_the_highest_row_of_whole_symbols():
    for at, (grammar, counts, _) in enumerate(small_languages()):
        derived = [[written_out(grammar, symbol)[0] for symbol in level] for level in grammar.levels[:-1]]
        strings = [{string for counter in level for string in counter} for level in derived]

        @cache
        def is_row(string, height, strings=strings):
            if not string:
                return True
            parts = strings[-height]
            return any(string[:n] in parts and is_row(string[n:], height) for n in range(1, len(string) + 1))

        stream = Stream("height", at)
        for _ in range(150):
            string = tuple(edit(grammar.sentence(stream), tuple(EDITS)[stream.below(4)], "abc", stream))
            heights = [height for height in range(1, grammar.depth) if is_row(string, height)]
            expected = grammar.depth if string in counts else max(heights, default=0)
            assert sound_height(grammar, string) == expected


# --- the law ---


def test_the_law_is_the_share_of_sentences_that_go_on_so():
    for grammar, _, shares in small_languages()[:9]:
        sentence = tuple(grammar.sentence(Stream("law")))
        law = next_token_law(grammar, sentence)
        assert len(law) == len(sentence) + 1
        for n, row in enumerate(law):
            going = {string: share for string, share in shares.items() if string[:n] == sentence[:n]}
            for token in (*"abc", SENTENCE_END):
                tail = (token,) if token else ()
                hits = sum(share for string, share in going.items() if string[n : n + 1] == tail)
                assert isclose(exp(row[token]), hits / sum(going.values()), abs_tol=1e-12)


@pytest.mark.parametrize("shape", LANGUAGES)
def test_rows_of_the_law_sum_to_one_and_their_product_is_the_inside_probability(shape):
    grammar = language(shape)
    for index in range(2):
        sentence = grammar.sentence(Stream("product", index))
        law = next_token_law(grammar, sentence)
        assert all(isclose(sum(map(exp, row.values())), 1, abs_tol=1e-9) for row in law)
        assert all(set(row) == {*"abc", SENTENCE_END} for row in law)
        along = sum(row[token] for row, token in zip(law, [*sentence, SENTENCE_END], strict=True))
        assert isclose(along, log_probability(grammar, sentence), rel_tol=1e-10)


def test_the_probability_is_that_of_the_written_out_language():
    for grammar, _, shares in small_languages():
        for string, share in list(shares.items())[:100]:
            assert isclose(log_probability(grammar, string), log(share))
        assert log_probability(grammar, "ab"[:1]) == -inf


def test_the_law_ends_where_no_sentence_goes_on():
    for grammar in small_grammars():
        string = [*grammar.sentence(Stream("stop"))[:3], "a", "b", "c"] * 4
        assert len(next_token_law(grammar, string)) == Chart(grammar, string).viable + 1
    assert len(next_token_law(grammar, ["x", "a"])) == 1


def test_wrong_rows_are_no_rules_of_the_root_though_each_two_neighbours_stand_in_one():
    n_rows = 0
    for grammar in small_grammars():
        rules = grammar.rules[grammar.root]
        padded = ["".join(f"<{part}>" for part in ("start", *rule, "end")) for rule in rules]
        for row in wrong_rows(grammar):
            n_rows += 1
            assert row not in rules
            whole = ("start", *row, "end")
            assert all(any(f"<{a}><{b}>" in one for one in padded) for a, b in pairwise(whole))
    assert n_rows > 5


def test_a_miss_is_made_of_whole_symbols_below_the_root():
    for at, (grammar, counts, _) in enumerate(small_languages()):
        stream, rows = Stream("miss", at), wrong_rows(grammar)
        for _ in range(20 if rows else 0):
            miss = draw_miss(grammar, rows, stream)
            assert sound_height(grammar, miss.tokens) == grammar.depth - (tuple(miss.tokens) not in counts)


def test_strings_that_are_alike_are_a_sentence_and_misses_equally_long():
    found = 0
    for at, (grammar, counts, _) in enumerate(small_languages()):
        stream, rows = Stream("alike", at), wrong_rows(grammar)
        if len(rows) < 2:
            continue
        search = AlikeSearch(
            partial(grammar.sentence, stream),
            partial(draw_miss, grammar, rows, stream),
            lambda tokens, counts=counts: tuple(tokens) not in counts,
            2,
        )
        for _ in range(10):
            alike = search.find(grammar.depth)
            if alike is None:
                continue
            found += 1
            assert tuple(alike.right) in counts
            assert not any(tuple(tokens) in counts for tokens in alike.wrong)
            assert len({len(tokens) for tokens in (alike.right, *alike.wrong)}) == 1
            shown = alike.mix(stream)
            assert shown.strings[shown.right].split() == alike.right
            assert len(set(shown.strings)) == 3
    assert found > 20

import subprocess
import sys
from collections import Counter

import pytest

from fathom.tasks.errors import BadSeed
from fathom.tasks.stream import Stream, canonical_seed

PINNED = ["025dca6504fc6957", "bb91484d99a46bbf", "777910e581dc9159"]


def test_the_first_words_are_pinned_to_the_bit():
    assert Stream("eval", "depo", 1).words(3) == Stream("eval", "depo", 1).words(3)
    assert [f"{word:016x}" for word in Stream("pinned").words(3)] == PINNED


def test_words_do_not_depend_on_how_they_are_drawn():
    together = Stream("a", 1).words(40)
    one = Stream("a", 1)
    assert [one.words(1)[0] for _ in range(40)] == together


def test_parts_of_a_name_cannot_run_together():
    assert Stream("ab", "c").words(1) != Stream("a", "bc").words(1)
    assert Stream("a", 12).words(1) != Stream("a", 1, 2).words(1)


def test_neighbouring_streams_share_no_word():
    words = [word for index in range(2_000) for word in Stream("s", index).words(8)]
    assert len(set(words)) == len(words)


def test_below_stays_below_and_is_uniform():
    stream = Stream("uniform")
    counts = Counter(stream.below(7) for _ in range(70_000))
    assert set(counts) == set(range(7))
    assert sum((n - 10_000) ** 2 / 10_000 for n in counts.values()) < 27.9  # chi-square, 6 df, p = 0.0001


def test_shuffle_reaches_every_order_equally():
    stream = Stream("shuffle")
    counts = Counter(tuple(stream.shuffle("abc")) for _ in range(12_000))
    assert len(counts) == 6
    assert sum((n - 2_000) ** 2 / 2_000 for n in counts.values()) < 25.7  # chi-square, 5 df, p = 0.0001


@pytest.mark.parametrize("count", [0, 1, 3, 5, 6])
def test_sample_draws_without_replacement(count):
    for _ in range(50):
        drawn = Stream("sample", count).sample("abcdef", count)
        assert len(set(drawn)) == count


def test_bounds_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="bound of 1"):
        Stream("x").below(0)
    with pytest.raises(ValueError, match="different numbers"):
        Stream("x").distinct(3, 2)


@pytest.mark.parametrize(
    ("seed", "text"), [(7, "7"), ("7", "7"), ("0x7F", "7f"), (" BEEF ", "beef"), ("0" * 70, "0" * 70)]
)
def test_seeds_have_one_spelling(seed, text):
    assert canonical_seed(seed) == text


@pytest.mark.parametrize("seed", [-1, "xyz", "", "1.5", "0x", True, "7 7", "é"])
def test_what_is_no_seed_is_refused_with_advice(seed):
    with pytest.raises(BadSeed, match="hex digits"):
        canonical_seed(seed)


def test_tasks_need_nothing_but_the_standard_library():
    script = "import sys; before = set(sys.modules); import fathom.tasks, fathom.tasks.families.depo; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded - {"fathom"} <= set(sys.stdlib_module_names)

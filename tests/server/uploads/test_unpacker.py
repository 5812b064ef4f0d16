"""Bytes become lines, however they are packed; what is too large is given up while it grows."""

import gzip
import tracemalloc

import pytest

from fathom.harness.errors import BadInput, TooLarge
from fathom.server.uploads.unpacker import UPLOAD_LIMITS, Unpacker, UploadLimits
from fathom.tasks.base import styles_of
from fathom.tasks.registry import all_families


def lines_of(data, limits=None, size=1000):
    unpacker = Unpacker(limits or UploadLimits())
    found = []
    for at in range(0, len(data), size):
        for some in unpacker.feed(data[at : at + size]):
            found += some
    return found + unpacker.close()


TEXT = [b"line %d" % at for at in range(500)]
PLAIN = b"\n".join(TEXT) + b"\n"


@pytest.mark.parametrize("size", [1, 2, 7, 100_000])
@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        PLAIN[:-1],
        gzip.compress(PLAIN),
        gzip.compress(PLAIN[:900]) + gzip.compress(b"") + gzip.compress(PLAIN[900:]),
        gzip.compress(PLAIN) + b"\0" * 512,
    ],
)
def test_lines_come_out_however_they_are_packed_and_cut(data, size):
    assert lines_of(data, size=size) == TEXT


def test_more_than_a_piece_in_one_member_comes_out_whole():
    """zlib may hold back text although it took all bytes."""
    text = (b"x" * 200 + b"\n") * 20_000
    assert lines_of(gzip.compress(text), UploadLimits(ratio=10_000), size=1 << 20) == [b"x" * 200] * 20_000


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (gzip.compress(PLAIN)[:-9], BadInput, "cut off"),
        (b"\x1f\x8b", BadInput, "cut off"),
        (gzip.compress(PLAIN) + b"\x1f", BadInput, "cut off"),
        (gzip.compress(PLAIN) + b"junk", BadInput, "something follows"),
        (gzip.compress(PLAIN)[:-6] + b"\0\0\0\0\0\0", BadInput, "damaged"),
        (b"\x1f\x8b" + b"\0" * 50, BadInput, "damaged"),
        (gzip.compress(b"\0" * (5 << 20)), TooLarge, "100 times|512 kB"),
        (gzip.compress(b"\n" * (5 << 20)), TooLarge, "100 times"),
        (gzip.compress(b"") * 20_001, TooLarge, "too many members"),
        (b"x" * (600 << 10), TooLarge, "line 1 has more than 512 kB"),
        (b"ok\n" + b"x" * (512 << 10) + b"y\n", TooLarge, "line 2 has more than 512 kB"),
    ],
)
def test_what_cannot_be_a_parcel_is_refused_early(data, error, message):
    with pytest.raises(error, match=message):
        lines_of(data, size=1 << 16)


def test_packed_and_unpacked_bytes_are_limited():
    with pytest.raises(TooLarge, match="more than 1 MB: pack it"):
        lines_of(b"x\n" * (1 << 20), UploadLimits(packed=1 << 20))
    with pytest.raises(TooLarge, match="more than 2 MB once unpacked"):
        lines_of(gzip.compress(b"0123456789\n" * (1 << 18)), UploadLimits(unpacked=2 << 20, ratio=10_000))


def feed_all(unpacker, data):
    for at in range(0, len(data), 1 << 16):
        for _ in unpacker.feed(data[at : at + (1 << 16)]):
            pass


def test_a_bomb_is_given_up_within_a_few_megabytes():
    bomb = gzip.compress((b"0" * 999 + b"\n") * (64 << 10), 9)
    tracemalloc.start()
    try:
        unpacker = Unpacker()
        with pytest.raises(TooLarge, match="100 times"):
            feed_all(unpacker, bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    assert unpacker.n_unpacked < 10 << 20


def test_an_answer_of_the_largest_budget_fits_into_a_line():
    largest = max(
        family.budget(level, style)
        for family in all_families().values()
        for level in family.levels.values()
        for style in styles_of(family, level)
    )
    assert 8 * largest <= UPLOAD_LIMITS.line

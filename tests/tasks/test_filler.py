import re
from collections import Counter

import pytest

from fathom.tasks.stream import Stream
from fathom.tasks.words import _THEMES, CHARS_A_TOKEN, _table, codes, filler, given_names

CHANNELS = ("symbol", "story")
BEGINNINGS = {channel: [head for head, _ in _table(channel)[0]] for channel in CHANNELS}
ENDS = {channel: list(dict.fromkeys(end for _, ends in _table(channel)[0] for end in ends)) for channel in CHANNELS}
PIECES = {channel: BEGINNINGS[channel] + ENDS[channel] for channel in CHANNELS}


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("tokens", [150, 1_000, 4_000.5, 32_000])
def test_the_length_is_as_asked_within_half_a_sentence(channel, tokens):
    for number in range(20 if tokens < 10_000 else 3):
        drawn = filler(Stream("length", number), channel, tokens)
        characters = sum(len(sentence) + 1 for sentence in drawn)
        longest = max(map(len, drawn)) + 1
        assert abs(characters - tokens * CHARS_A_TOKEN[channel]) <= longest


@pytest.mark.parametrize("channel", CHANNELS)
def test_no_room_gives_no_filler(channel):
    assert filler(Stream("none"), channel, 0) == []
    assert filler(Stream("none"), channel, -70) == []


@pytest.mark.parametrize("channel", CHANNELS)
def test_one_stream_gives_one_text_and_two_streams_two(channel):
    first, again, other = (filler(Stream("text", name), channel, 500) for name in "aab")
    assert first == again
    assert not set(first[:5]) & set(other[:5])


def test_sentences_hold_no_number_no_birth_and_nobodys_name():
    text = " ".join(PIECES["story"]).lower()
    assert re.fullmatch(r"[a-z .'-]+", text)
    assert not re.search(r"\b(born|birth\w*|years?|age[ds]?|same|century|thousand|hundred)\b", text)
    sound = re.compile(r"(?:[bdfgklmnprtvz][aeiou]){2,4}[bfgkpvxz]")  # how tasks.words spells given names
    assert all(sound.fullmatch(name.lower()) for name in given_names(Stream("names"), 500))
    assert not [word for word in re.findall(r"\w+", text) if sound.fullmatch(word)]


def test_lines_share_no_code_sign_or_number_with_statements():
    for line in filler(Stream("lines"), "symbol", 32_000):
        code, sign, rest = re.fullmatch(r"([A-Z]{2}) ([<>~+]) ([A-Z]{2}|1[0-8]\d\d)", line).groups()
        assert re.search("[AEIOU]", code)
        assert rest.isdecimal() == (sign == ">")
        assert rest.isdecimal() or re.search("[AEIOU]", rest)
    assert not [code for code in codes(Stream("codes"), 390) if re.search("[AEIOU]", code)]


def test_every_sentence_is_spelt_like_one():
    for head in BEGINNINGS["story"]:
        assert re.fullmatch(r"[A-Z][A-Za-z' -]*[a-z]", head)
    for end in ENDS["story"]:
        assert re.fullmatch(r" [a-z][A-Za-z' -]*[a-z]\.", end)
    for piece in PIECES["story"]:
        assert "  " not in piece
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou ]", piece)


def test_lists_name_nothing_twice():
    for theme in _THEMES:
        for names in (theme.subjects, theme.verbs, theme.objects):
            assert len(set(names.split("|"))) == len(names.split("|")) >= 7


@pytest.mark.parametrize("channel", CHANNELS)
def test_long_texts_hardly_repeat_a_sentence(channel):
    counts = Counter(filler(Stream("varied"), channel, 32_000))
    assert counts.total() > 2_500
    assert len(counts) > 0.95 * counts.total()
    assert max(counts.values()) <= 4


def test_all_themes_come_equally_often_for_their_size():
    drawn = Counter(sentence.rsplit(" ", 2)[-1] for sentence in filler(Stream("themes"), "story", 200_000))
    words = {theme: {noun.split()[-1] + "." for noun in theme.objects.split("|")} for theme in _THEMES}
    total = drawn.total()
    for theme, last in words.items():
        size = len(theme.subjects.split("|")) / sum(len(other.subjects.split("|")) for other in _THEMES)
        assert sum(drawn[word] for word in last) > 0.8 * size * total

"""Turn a stream into invented names: short codes and made-up given names.

All names of one kind are spelt alike (same number of letters), so that each costs about the same
number of tokens. No list of real names went in; a made-up name that exists somewhere is chance.
"""

from tasks.stream import Stream

CONSONANTS = "BCDFGHJKLMNPQRSTVWXZ"
_ONSETS = "bdfgklmnprtvz"
_VOWELS = "aeiou"
_CODAS = "bfgkpvxz"
_SYLLABLES = tuple(onset + vowel for onset in _ONSETS for vowel in _VOWELS)

_PAIRS = tuple(first + second for first in CONSONANTS for second in CONSONANTS)


def codes(stream: Stream, count: int, length: int = 2) -> list[str]:
    """Return `count` different codes of `length` consonants, such as QK (length even or odd)."""
    if length == 2:
        return [_PAIRS[at] for at in stream.distinct(count, len(_PAIRS))]
    numbers = stream.distinct(count, len(CONSONANTS) ** length)
    return [_spell_code(number, length) for number in numbers]


def _spell_code(number: int, length: int) -> str:
    letters = []
    for _ in range(length):
        number, at = divmod(number, len(CONSONANTS))
        letters.append(CONSONANTS[at])
    return "".join(letters)


def given_names(stream: Stream, count: int, syllables: int = 2) -> list[str]:
    """Return `count` different invented names, such as Zolupev: open syllables and a closing sound."""
    space = len(_SYLLABLES) ** syllables * len(_CODAS)
    return [_spell_name(number, syllables) for number in stream.distinct(count, space)]


def _spell_name(number: int, syllables: int) -> str:
    number, coda = divmod(number, len(_CODAS))
    parts = []
    for _ in range(syllables):
        number, at = divmod(number, len(_SYLLABLES))
        parts.append(_SYLLABLES[at])
    return ("".join(parts) + _CODAS[coda]).capitalize()

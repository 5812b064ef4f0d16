"""Whole numbers, in digits or words."""

import re
from dataclasses import dataclass

from fathom.tasks.answers.kinds import AnswerKind, unique, without_noun

NUMBER_WORDS = {word: str(at) for at, word in enumerate((
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
))}  # fmt: skip
ORDINALS = {word: str(at) for at, word in enumerate((
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
    "twelfth",
), 1)}  # fmt: skip
_DIGITS = r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d{1,30})(?:\.0{1,9})?"
_ASKED_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_MODULO = re.compile(r"[(\[]?\s?\b(?:in )?(?:mod(?:ulo|ulus)?)\s{0,2}[(\[]?\s{0,2}\d{1,6}[)\]]{0,2}", re.IGNORECASE)
_WHOLE = re.compile(
    rf"({_DIGITS}|{'|'.join(NUMBER_WORDS)})(?:st|nd|rd|th)?"
    r"(?:\s{1,3}(?!(?:and|or|to|then|is|was|takes|that|which|who)\b)[A-Za-z]{2,20}(?:\s(?!and\b)[a-z]{2,20})?"
    r"(?:\s(?:in|of|per|between|born|who|that)\b[\w ,]{0,60})?)?",
    re.ASCII | re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(rf"(?<![\w.,/^])({_DIGITS})(?![\w/^]|[.,]\d)", re.ASCII)
_AFTER_SIGN = re.compile(r".*[=≡]\s*", re.DOTALL)
_RELATED_NUMBER = re.compile(
    r"(?:\b(?:by|mod|modulo|modulus|plus|minus|times|than|over|from|until|least|most|about|around|approximately|roughly|"
    r"almost|nearly|before|after|row|section|part)|(?<=[\w)])[ \t]?[-+*/×·%]|[<>≈~])[ \t]{0,3}$",
    re.IGNORECASE,
)


def _integer(digits: str) -> str:
    return str(int(digits.partition(".")[0].replace(",", "")))


@dataclass(frozen=True, slots=True)
class Integer(AnswerKind):
    """A whole number in decimal digits or, up to twenty, in words; at least `n_digits` long in a sentence.

    `subject` is what the question asks for the number of, where a text may also state the numbers of others.
    """

    n_digits: int = 1
    subject: str = ""

    def is_about_another(self, sentence: str, has_subject: bool) -> bool:
        """Return whether a sentence is an equation about another thing than what is asked for."""
        return has_subject and "=" in sentence and not self.is_about_subject(sentence)

    def is_about_subject(self, sentence: str) -> bool:
        """Return whether a sentence is an equation that begins with what is asked for and ends with a number."""
        named, sign, rest = sentence[:200].partition("=")
        words = named.lower().rstrip(" *_`$\\()")
        subject = self.subject.lower()
        is_named = words.endswith(subject) and not words[: -len(subject)][-1:].isalnum()
        return (
            bool(subject and sign)
            and is_named
            and self.exact(rest.rpartition("=")[2].strip(" *_`$\\().;,")) is not None
        )

    def asked(self, text: str) -> str | None:
        """Return the number if the text is its digits."""
        return str(int(text)) if _ASKED_INTEGER.fullmatch(text) else None

    def may_be_in(self, text: str) -> bool:
        """Return whether the text has a digit, or is short enough to be a number in words."""
        return len(text) < 24 or _DIGIT.search(text) is not None

    def exact(self, text: str) -> str | None:
        """Return the number; a unit, a modulus and calculations before an equals sign may stand around it."""
        if len(text) > 120:
            return None
        bare = _MODULO.sub("", text).strip(" ,.")
        number = without_noun(bare)
        found = _WHOLE.fullmatch(number)
        if found and not self.hedge.search(number):
            word = found[1].lower()
            return NUMBER_WORDS.get(word) or _integer(word)
        return ORDINALS.get(number.lower())

    def named(self, text: str) -> list[str]:
        """Return the numbers that a phrase names, but not a modulus, a divisor or a term."""
        phrase = _MODULO.sub("", text)
        if "between" in phrase:
            return []
        found = [
            _integer(one[1])
            for one in _NUMBER.finditer(phrase)
            if not _RELATED_NUMBER.search(phrase[max(0, one.start() - 20) : one.start()])
            and not _is_term(phrase, one.end())
        ]
        return unique([number for number in found if len(number) >= self.n_digits])

    def stated(self, sentence: str) -> str | None:
        """Return the only number of a sentence, as in "3 people were born there"."""
        numbers = self.named(sentence)
        return numbers[0] if len(numbers) == 1 else None


def _is_term(phrase: str, end: int) -> bool:
    return bool(re.match(r"[ \t]{0,3}(?:[+*/×·÷^%]|-\s?\d|times\b|plus\b|minus\b|divided\b|mod\b)", phrase[end:]))

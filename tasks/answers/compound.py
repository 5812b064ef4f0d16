"""Answers of several parts: dates, pairs, lists of names, strings of a grammar."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from fathom.tasks.answers.kinds import AnswerKind, unique, without_noun
from fathom.tasks.answers.phrases import HEDGE, peel

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_MONTH = "|".join(f"{month[:3]}(?:{month[3:]})?" if len(month) > 3 else month for month in MONTHS) + "|Sept"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_FORMS = (
    re.compile(
        rf"\b{_DAY}\s{{0,2}}(?:of\s)?[-/\s]{{0,2}}({_MONTH})\b\.?[,\s/-]{{0,3}}(?:of\s)?(\d{{4}})\b", re.IGNORECASE
    ),
    re.compile(rf"\b({_MONTH})\b\.?\s{{0,2}}(?:the\s)?{_DAY}\b[,\s]{{0,3}}(?:of\s)?(\d{{4}})\b", re.IGNORECASE),
    re.compile(rf"\b(\d{{4}})[,\s]{{1,3}}({_MONTH})\b\.?\s{{0,2}}{_DAY}\b", re.IGNORECASE),
    re.compile(r"(?<!\d)(\d{4})\s?[-/.年]\s?(\d{1,2})\s?[-/.月]\s?(\d{1,2})(?!\d)日?"),
    re.compile(r"(?<!\d)(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(?!\d)"),
)
_LABELLED = re.compile(
    rf"\W*day\W{{1,6}}{_DAY}\W{{1,6}}month\W{{1,6}}({_MONTH})\W{{1,6}}year\W{{1,6}}(\d{{4}})\W*", re.IGNORECASE
)
_ASKED_DATE = re.compile(rf"\d{{1,2}} (?:{'|'.join(MONTHS)}) \d{{4}}")


def _date(at: int, parts: tuple[str, ...]) -> str | None:
    """Return a date from the groups of the form at that place; None if day and month cannot be told apart."""
    day, month, year = {0: (0, 1, 2), 1: (1, 0, 2), 2: (2, 1, 0), 3: (2, 1, 0), 4: (0, 1, 2)}[at]
    if at == 4 and int(parts[0]) <= 12 and int(parts[1]) > 12:
        day, month = month, day
    elif at == 4 and int(parts[0]) <= 12 and parts[0] != parts[1]:
        return None
    number = int(parts[month]) if parts[month].isdigit() else _month_number(parts[month])
    if not 1 <= number <= 12 or not 1 <= int(parts[day]) <= 31:
        return None
    return f"{int(parts[day])} {MONTHS[number - 1]} {parts[year]}"


def _month_number(name: str) -> int:
    return next(at for at, month in enumerate(MONTHS, 1) if month[:3].lower() == name[:3].lower())


@dataclass(frozen=True, slots=True)
class Date(AnswerKind):
    """A day, a month and a year in any order or in ISO form; canonical: 15 May 1897."""

    def asked(self, text: str) -> str | None:
        """Return the date if the text is one in the canonical form."""
        return text if _ASKED_DATE.fullmatch(text) else None

    def exact(self, text: str) -> str | None:
        """Return the date that the text is."""
        bare = without_noun(text)
        labelled = _LABELLED.fullmatch(text)
        if labelled:
            return _date(0, labelled.groups())
        for at, form in enumerate(_FORMS):
            found = form.fullmatch(bare)
            if found:
                return _date(at, found.groups())
        return None

    def named(self, text: str) -> list[str]:
        """Return the dates of a phrase."""
        places: list[tuple[int, str]] = []
        for at, form in enumerate(_FORMS):
            for found in form.finditer(text):
                date = _date(at, found.groups())
                if date is not None and not re.search(r"\b(?:before|after|from|until|than)\s$", text[: found.start()]):
                    places.append((found.start(), date))
        return unique([date for _, date in sorted(places)])

    def stated(self, sentence: str) -> str | None:
        """Return the only date of a sentence."""
        dates = self.named(sentence)
        return dates[0] if len(dates) == 1 else None


_SPLITS = (
    r"\s{0,3};\s{0,3}",
    r"\s{0,3}\n+\s{0,3}",
    r",?\s{1,3}and\s{1,3}",
    r",\s{0,3}",
    r"\s?[/|&]\s?",
    r"\s[-\u2013\u2014]\s",
    r"\s{2,}",
    r"\s\(",
)
_MAX_SPLITS = 6
"""Most places, for each sign between two values, at which a text is cut in two."""


@dataclass(frozen=True, slots=True)
class Pair(AnswerKind):
    """Two values in this order, between semicolon, comma, "and", or on two lines; canonical: with a semicolon."""

    first: AnswerKind
    second: AnswerKind
    spans_lines: ClassVar[bool] = True

    def asked(self, text: str) -> str | None:
        """Return the pair if the text is two values with a semicolon between."""
        parts = text.split("; ")
        return self._joined(parts[0], parts[1], "asked") if len(parts) == 2 else None

    def _joined(self, one: str, other: str, way: str) -> str | None:
        for first, second in ((self.first, self.second), (self.second, self.first)):
            a, b = getattr(first, way)(one), getattr(second, way)(other)
            if a is not None and b is not None:
                return f"{a}; {b}"
        return None

    def exact(self, text: str) -> str | None:
        """Return the pair that the text is; the two in the wrong order are a pair as well."""
        text = _ITEM.sub("", text)
        for split in _SPLITS:
            for found in islice(re.finditer(split, text), _MAX_SPLITS):
                one, other = (peel(_unlabelled(part)) for part in (text[: found.start()], text[found.end() :]))
                pair = self._joined(one, other, "exact") if one and other else None
                if pair is not None:
                    return pair
        return None

    def named(self, text: str) -> list[str]:
        """Return the pair that a phrase ends in, or the values of the two kinds, if it names one of each."""
        pair = self.exact(peel(text))
        if pair:
            return [pair]
        if text.count(";") > 1:  # several pairs
            return []
        ones, others = self.first.named(text), self.second.named(text)
        return [f"{ones[0]}; {others[0]}"] if len(ones) == 1 and len(others) == 1 and ones != others else []

    def foreign(self, text: str) -> str | None:
        """Return two parts, where only one of them is a value or both look like one."""
        parts = [part.strip() for part in text.split(";")]
        is_pair = len(parts) == 2 and all(0 < len(part.split()) <= 4 and len(part) < 60 for part in parts)
        return "; ".join(parts) if is_pair and not self.named(text) else None

    def stated(self, sentence: str) -> str | None:
        """Return the pair of a sentence that names one value of each kind."""
        named = self.named(sentence)
        return named[0] if len(named) == 1 else None


def _unlabelled(part: str) -> str:
    label, colon, rest = part.partition(":")
    return rest if colon and rest.strip() and len(label) < 40 else part


_ITEM = re.compile(r"^[ \t]{0,8}(?:[-*•]|\(?\d{1,4}[.):])[ \t]+", re.MULTILINE)
_INLINE_ITEM = re.compile(r"\s{0,3}(?<!\w)\d{1,3}[.) ]\s{0,2}(?=[A-Za-z])")
_LONGEST_NAME = 40
_BETWEEN = re.compile(
    r"\s{0,3}(?:->|=>|→|>|,\s{0,3}and\b|,\s{0,3}then\b|[,;\n]|"
    r"\b(?:first|next|last|finally|lastly|and|then|followed by)\b)\s{0,3}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class NameList(AnswerKind):
    """Names in order, between commas, "and", arrows, semicolons, as JSON or one a line; canonical: with commas."""

    members: Collection[str]
    shape: str
    limit: ClassVar[int] = 4_000
    spans_lines: ClassVar[bool] = True
    has_items: ClassVar[bool] = True

    def asked(self, text: str) -> str | None:
        """Return the list if it is names with commas."""
        names = text.split(", ")
        return text if all(name in self.members for name in names) else None

    def exact(self, text: str) -> str | None:
        """Return the list that the text is; other names of the same shape are items too."""
        text = _without_repeats(text)
        if len(text) > self.limit:
            return None
        bare = _INLINE_ITEM.sub(", ", _ITEM.sub("", text).translate(_NO_BRACKETS))
        parts = [stripped for part in _BETWEEN.split(bare) if (stripped := part.strip())]
        return self._joined(bare.split() if len(parts) == 1 else parts)

    def _joined(self, parts: list[str]) -> str | None:
        names: list[str] = []
        for part in parts:
            name = self._name(part)
            if name is None:
                return None
            names.append(name)
        return ", ".join(names) or None

    def _name(self, text: str) -> str | None:
        if text in self.members:
            return text
        bare = peel(text)
        if " " in bare:
            bare = without_noun(bare)
        if len(bare) > _LONGEST_NAME or bare in self.members:
            return bare if bare in self.members else None
        if re.fullmatch(self.shape, bare):
            return bare
        low = bare.lower()
        return next((member for member in self.members if member.lower() == low), None)

    def may_be_in(self, text: str) -> bool:
        """Return whether the text contains a member in any case, or is short enough to be a list of other names."""
        low = text.lower()
        return len(text) < 40 or any(member.lower() in low for member in self.members)

    def named(self, text: str) -> list[str]:
        """Return the list if the phrase is one."""
        names = self.exact(peel(text))
        return [names] if names else []


def _without_repeats(text: str) -> str:
    """Return the first line of a text of equal lines, else the text."""
    lines = {line.strip() for line in text.split("\n")} if "\n" in text else ()
    return text.partition("\n")[0] if len(lines) == 1 else text


def _is_not_one_string(text: str) -> bool:
    """Say whether a text leaves some of a string out, or has several lines with more than one token in one of them."""
    if ".." in text or "…" in text:
        return True
    return "\n" in text and any(len(line.split()) > 1 for line in text.split("\n"))


_NO_TOKENS = re.compile(rf"^\W*(?:so|thus|hence|then|the|is|it)\b|{HEDGE.pattern}", re.IGNORECASE)
"""Words by which a text with foreign tokens is a sentence of English, not a string."""

_NO_BRACKETS = str.maketrans("[](){}\"'", "        ")
_TOKEN_GAP = re.compile(r"[\s,;|.\"'`+\u00b7→-]+")


@dataclass(frozen=True, slots=True)
class TokenString(AnswerKind):
    """A string of a grammar: its tokens between blanks, commas or quotes; letters may stand together."""

    tokens: Collection[str]
    limit: ClassVar[int] = 4_000
    spans_lines: ClassVar[bool] = True
    has_items: ClassVar[bool] = True

    def asked(self, text: str) -> str | None:
        """Return the string if it is tokens between blanks."""
        parts = text.split()
        return " ".join(parts) if parts and all(part in self.tokens for part in parts) else None

    def exact(self, text: str) -> str | None:
        """Return the string that the text is; a text of other short words is one too, with foreign tokens."""
        text = _without_repeats(text)
        if len(text) > self.limit or _is_not_one_string(text):
            return None
        parts = [part for part in _TOKEN_GAP.split(text.translate(_NO_BRACKETS)) if part]
        if not parts:
            return None
        for told in (parts, [part.lower() for part in parts]):  # "A b b": letters in another case
            if all(part in self.tokens for part in told):
                return " ".join(told)
        letters = "".join(parts)
        if len(letters) > 1 and all(letter in self.tokens for letter in letters):
            return " ".join(letters)
        return " ".join(parts) if self._is_string(parts) and not _NO_TOKENS.search(text) else None

    def _is_string(self, parts: list[str]) -> bool:
        known = sum(part in self.tokens or part.lower() in self.tokens for part in parts)
        longest = max(map(len, self.tokens))
        if not all(len(part) <= longest and part.isalpha() for part in parts):
            return False
        shapes = {_shape(token) for token in self.tokens}
        return (
            longest == 1 or 2 * known > len(parts) or (len(parts) > 1 and all(_shape(part) in shapes for part in parts))
        )

    def named(self, text: str) -> list[str]:
        """Return the string if the phrase is one."""
        string = self.exact(peel(text))
        return [string] if string else []


def _shape(word: str) -> str:
    return "".join(["V" if letter in "aeiou" else "C" for letter in word.lower()])

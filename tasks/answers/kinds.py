"""Kinds of answers: how a value is written, and which values a phrase names.

A value is a text in its canonical form, such as "16", "QK" or "15 May 1897".
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fathom.tasks.answers.phrases import DENIAL_OR_DOUBT, DOUBT, HEDGE, peel


class AnswerKind:
    """What an item's answer may be."""

    limit: ClassVar[int] = 400
    """Most characters of a text that is read as one answer."""

    spans_lines: ClassVar[bool] = False
    """Whether an answer may take several lines, as a list does."""

    has_items: ClassVar[bool] = False
    """Whether a line may hold one item of such an answer."""

    hedge: ClassVar[re.Pattern[str]] = HEDGE
    """Words that leave such an answer open."""

    is_raw: ClassVar[bool] = False
    """Whether the first line is the answer as it is, without any reading."""

    def asked(self, text: str) -> str | None:
        """Return the value if the text is written as the prompt asks for it, else None."""
        return None

    def exact(self, text: str) -> str | None:
        """Return the value if the text, plain and peeled, is one and nothing else but its own noun ("code QK")."""
        return None

    def named(self, text: str) -> list[str]:
        """Return the values that a phrase names, in order, each once."""
        return []

    def may_be_in(self, text: str) -> bool:
        """Return False if the text certainly names no value, which is quick to see."""
        return True

    def lists_values(self, text: str) -> bool:
        """Return whether a phrase is a list of values of which only one can be right."""
        return False

    def foreign(self, text: str) -> str | None:
        """Return the text if it is an answer in form, but none that the item knows."""
        return None

    def stated(self, sentence: str) -> str | None:
        """Return the value that a whole sentence states, where nothing behind its last verb does."""
        return None

    def is_about_another(self, sentence: str, has_subject: bool) -> bool:
        """Return whether a sentence states something that is not asked for.

        `has_subject` says that another sentence of the text is about the subject.
        """
        return False

    def is_about_subject(self, sentence: str) -> bool:
        """Return whether a sentence states the value of what is asked for, by its name."""
        return False


_LEAD = re.compile(
    r"(?:(?:the|a|an|it|it's|is|are|was|be|that|this|so|in|on|at|to|of|for|my|our|code|name|person|year|step|line|number|"
    r"value|result|total|sum|remainder|count|city|town|month|day|date|dated|university|college|place|company|employer|"
    r"subject|major|option|choice|letter|string|sentence|word|words|letters|answer|final|equal|equals|exactly|called|"
    r"named|namely|i\.e\.|rest|list|order|sequence|born|no\.)\b[\s:,.#=]{0,4})+",
    re.IGNORECASE,
)


def without_noun(text: str) -> str:
    """Remove the words that stand before a value: the code, in, step, is equal to."""
    found = _LEAD.match(text)
    return text[found.end() :] if found and found.end() < len(text) else text


def unique(values: Collection[str]) -> list[str]:
    """Return the values in order, each once."""
    return list(dict.fromkeys(values))


_RELATED_NAME = re.compile(
    r"\b(?:after|before|from|than|past|beyond|following|preceding|behind|precedes|follows|between|start|starting|"
    r"at first)\s{1,3}(?:the\s)?(?:code\s|name\s|person\s)?$",
    re.IGNORECASE,
)
_BETWEEN_TWO = re.compile(r"^\W*(?:between|of|comparing)\b[^.;]{0,80}?,\s", re.IGNORECASE)
_NAME_LIST_SIGN = re.compile(r"\s{0,3}[,;\n/&]\s{0,3}|\s{1,3}and\s{1,3}", re.IGNORECASE)
MAX_LISTED = 8
"""Most values of a list that is recognised as one."""

_NO_NAME = re.compile(
    r"(?:yes|no|none|sure|okay|ok|hello|hi|thanks?|sorry|unknown|well|here|there|the|an?|it|its|this|that|see|same|as|"
    r"please|answer|error|null|let|we|i|my|so|not)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Names(AnswerKind):
    """One of the names of an item, in any case where it stands alone.

    `given` are names of the question, which a sentence may use to say what it is about. `shape` is what other names
    would look like. `relation` tells what a sentence says between two names so that the first is the answer.
    """

    members: Collection[str]
    given: Collection[str] = ()
    shape: str = ""
    relation: str = ""
    by_lower: Mapping[str, str] | None = None

    @classmethod
    def of(cls, members: Sequence[str], shape: str = "") -> "Names":
        """Return the kind for a large, fixed domain: its members in lower case are looked up, not searched."""
        return cls(members, shape=shape, by_lower={member.lower(): member for member in members})

    def asked(self, text: str) -> str | None:
        """Return the name if the text is one."""
        if self.by_lower is not None:
            return text if self.by_lower.get(text.lower()) == text else None
        return text if text in self.members else None

    def may_be_in(self, text: str) -> bool:
        """Return whether the text contains a member, or is short enough to be one in another case."""
        return len(text) < 40 or any(member in text for member in self.members)

    def exact(self, text: str) -> str | None:
        """Return the name that the text is, in any case, perhaps after a noun."""
        if len(text) > 80:
            return None
        by_lower = self.by_lower or {member.lower(): member for member in self.members}
        return by_lower.get(text.lower()) or by_lower.get(without_noun(text).lower())

    def named(self, text: str) -> list[str]:
        """Return the members that a phrase contains as whole words, unless a word such as "after" precedes them."""
        return [name for name, is_related in self._found(text) if not is_related]

    def _found(self, text: str) -> list[tuple[str, bool]]:
        places: list[tuple[int, str]] = []
        for member in self.members:
            at = text.find(member)
            if at >= 0 and _is_word(text, at, at + len(member)):
                places.append((at, member))
        inside = [at for at, one in places for start, other in places if one != other and one in other and start <= at]
        return [
            (name, _is_related(text, at))
            for at, name in sorted(places)
            if at not in inside or any(start == at and len(other) > len(name) for start, other in places) is False
        ]

    def lists_values(self, text: str) -> bool:
        """Return whether a phrase is nothing but two names or more."""
        parts = [self.exact(peel(part)) for part in _NAME_LIST_SIGN.split(text, MAX_LISTED)]
        return None not in parts and len(set(parts)) > 1

    def foreign(self, text: str) -> str | None:
        """Return the text if it looks like a name; in small letters only if it contains none."""
        if not self.shape or not re.fullmatch(self.shape, text) or _NO_NAME.match(text):
            return None
        return None if text[:1].islower() and self.named(text) else text

    def stated(self, sentence: str) -> str | None:
        """Return the only name of a sentence that the question does not give; of two that are related, the first."""
        sentence = _BETWEEN_TWO.sub("", sentence) if self.relation else sentence
        found = [] if "between" in sentence else self._found(sentence)
        if self.relation and len(found) == 2:
            (one, _), (other, _) = found
            link = sentence[sentence.find(one) + len(one) : sentence.find(other)]
            return one if re.search(rf"\b(?:{self.relation})\b", link) else None
        new = [name for name, is_related in found if name not in self.given and not is_related]
        return new[0] if len(new) == 1 else None


def _is_related(text: str, at: int) -> bool:
    return _RELATED_NAME.search(text[max(0, at - 40) : at]) is not None


def _is_word(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    glued = before[-1:].isalnum() or before[-1:] in ("_", ".") or (before[-1:] == "-" and before[:1].isalpha())
    return not glued and not after[:1].isalnum() and after[:1] != "_" and after != "'s"


_YES = re.compile(r"(?:yes|true|yep|yeah)\b", re.IGNORECASE)
_NO_ALONE = re.compile(r"\bno\b(?=\W*$|[,.;])", re.IGNORECASE)
_NO = re.compile(r"(?:no|false|nope)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class YesNo(AnswerKind):
    """A yes or a no; `affirms` and `denies` are phrases of whole sentences that say the same."""

    affirms: str = r"(?!)"
    denies: str = r"(?!)"
    hedge: ClassVar[re.Pattern[str]] = DENIAL_OR_DOUBT

    def asked(self, text: str) -> str | None:
        """Return yes or no if the text is one of them."""
        low = text.lower()
        return low if low in ("yes", "no") else None

    def exact(self, text: str) -> str | None:
        """Return yes or no if the text is one of them or begins with one and a sign, or is a sentence of that kind."""
        for value, words, other in (("yes", _YES, _NO_ALONE), ("no", _NO, _YES)):
            found = words.match(text)
            if found and (
                found.end() == len(text)
                or text[found.end()] in ",.;:!-()\u2013\u2014"
                or text[found.end() : found.end() + 2] in (" -", " \u2013", " \u2014", " (")
            ):
                return None if DOUBT.search(text) or other.search(text, found.end()) else value
        return None if DOUBT.search(text) else self.stated(text)

    def named(self, text: str) -> list[str]:
        """Return yes or no, where the phrase is one of them."""
        value = self.exact(peel(text))
        return [value] if value else []

    def stated(self, sentence: str) -> str | None:
        """Return what a whole sentence says: that it is so, or not."""
        if re.search(self.denies, sentence, re.IGNORECASE):
            return "no"
        return "yes" if re.search(self.affirms, sentence, re.IGNORECASE) else None


@dataclass(frozen=True, slots=True)
class Choice(AnswerKind):
    """The letter of one of several shown texts; the text itself, or both, will do."""

    options: Mapping[str, str]
    limit: ClassVar[int] = 1_000

    def asked(self, text: str) -> str | None:
        """Return the letter if the text is one."""
        return text if text in self.options else None

    def exact(self, text: str) -> str | None:
        """Return the letter that the text is, names, or writes out."""
        bare = text if text[:1] in self.options and not text[1:2].isalnum() else without_noun(text)
        for letter, shown in self.options.items():
            if bare.upper() == letter or bare == shown:
                return letter
            if re.fullmatch(rf"\W{{0,2}}{letter}\s?[:.)\],-]\s{{0,3}}{re.escape(shown)}", bare):
                return letter
        return None

    def named(self, text: str) -> list[str]:
        """Return the letters that a phrase names, unless a word such as "after" precedes them."""
        places = [found for found in _WORD.finditer(text) if found[0] in self.options]
        return unique([found[0] for found in places if not _is_related(text, found.start())])

    def stated(self, sentence: str) -> str | None:
        """Return the only letter of a sentence, as in "B is a sentence", but not its first word "A"."""
        named = self.named(re.sub(r"^A (?!is\b|can\b|=)", "", sentence))
        return named[0] if len(named) == 1 else None


class FirstLine(AnswerKind):
    """The first line as it is: the answer of a model trained on our own text."""

    limit: ClassVar[int] = 400_000
    is_raw: ClassVar[bool] = True


_LIST_SIGN = re.compile(r"\s{0,3}[,;\n]\s{0,3}")


@dataclass(frozen=True, slots=True)
class Either(AnswerKind):
    """The main kind; values of other kinds are answers where they stand alone."""

    main: AnswerKind
    others: Sequence[AnswerKind] = ()

    def asked(self, text: str) -> str | None:
        """Return the value of the first kind that is asked for so."""
        return self.main.asked(text) or _first(kind.asked(text) for kind in self.others)

    def exact(self, text: str) -> str | None:
        """Return the value of the first kind that the text is."""
        return self.main.exact(text) or _first(kind.exact(text) for kind in self.others)

    def may_be_in(self, text: str) -> bool:
        """Return whether one of the kinds may be in the text."""
        return any(kind.may_be_in(text) for kind in (self.main, *self.others))

    def named(self, text: str) -> list[str]:
        """Return the values of the main kind."""
        return self.main.named(text)

    def lists_values(self, text: str) -> bool:
        """Return whether a phrase is nothing but three values or more, of whatever kinds."""
        parts = _LIST_SIGN.split(text, MAX_LISTED)
        is_list = len(parts) > 2 and all(self.exact(peel(part)) is not None for part in parts)
        return is_list or self.main.lists_values(text)

    def foreign(self, text: str) -> str | None:
        """Return what is an answer to one of the kinds in form."""
        return _first(kind.foreign(text) for kind in (self.main, *self.others))

    def stated(self, sentence: str) -> str | None:
        """Return what the main kind reads."""
        return self.main.stated(sentence)

    def is_about_another(self, sentence: str, has_subject: bool) -> bool:
        """Return what the main kind says."""
        return self.main.is_about_another(sentence, has_subject)

    def is_about_subject(self, sentence: str) -> bool:
        """Return what the main kind says."""
        return self.main.is_about_subject(sentence)


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value is not None), None)

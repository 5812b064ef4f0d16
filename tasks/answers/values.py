"""The value that a short text states: the text itself, what follows its last verb, or the subject of its sentence."""

import re

from fathom.tasks.answers.kinds import AnswerKind
from fathom.tasks.answers.phrases import (
    conclusion,
    first_sentence,
    peel,
    plain,
    without_asides,
    without_reason,
)

OPEN = "\0"
"""Stands for a text that names answers but commits to none; it ends the search. No clean text contains it."""

_SAYS = re.compile(
    r"\b(?:is|are|was|were|be|becomes?|equals?|gives?|yields?|returns?|gets?|obtain|leads?(?: us)?(?: back)? to|holds|"
    r"named|called|dated|reach(?:es)?|arrives? at|ends? (?:up )?(?:at|on|with|in)|lands? (?:at|on)|follows)\b"
    r"|=|≡|:(?!\s?\d\d)",
    re.IGNORECASE,
)


def bare_value(text: str, kind: AnswerKind) -> str | None:
    """Return the value of a text that is nothing else, apart from marks and its own noun."""
    return kind.exact(peel(plain(text))) if len(text) <= kind.limit else None


def value_of(text: str, kind: AnswerKind, is_strict: bool = True) -> str | None:
    """Return the value that a text is, or that its first sentence states; OPEN if that leaves it open.

    An answer that the item does not know is returned too if it looks like a name, or, with `is_strict`, like a word.
    """
    bare = plain(text[: kind.limit])
    value = kind.exact(peel(bare))
    if value is not None:
        return value
    sentence = without_reason(without_asides(first_sentence(bare.strip())))
    if kind.hedge.search(sentence):
        return OPEN
    peeled = peel(sentence)
    value = kind.exact(peeled)
    if value is None and (is_strict or peeled[:1].isupper()):
        value = kind.foreign(peeled)
    return value or statement(sentence, kind)


def statement(sentence: str, kind: AnswerKind) -> str | None:
    """Return the one value that a sentence names behind its last verb, or by its subject; OPEN if it names more."""
    if kind.lists_values(sentence):
        return OPEN
    concluded = conclusion(sentence)
    if concluded is not sentence:
        value = bare_value(concluded, kind)
        if value is not None:
            return value
        if kind.named(concluded):
            sentence = concluded
        elif (other := kind.foreign(peel(concluded))) is not None:
            return other
    said = list(_SAYS.finditer(sentence))
    named = kind.named(sentence[said[-1].end() :]) if said else []
    if len(named) == 1:
        return named[0]
    value = None if named else kind.stated(sentence)
    if value is not None:
        return value
    return OPEN if named or kind.named(sentence) else None


def foreign_value(sentence: str, kind: AnswerKind) -> str | None:
    """Return what a sentence is, or gives behind its last verb, if only its form is that of an answer."""
    behind = [found.end() for found in _SAYS.finditer(sentence)][-1:]
    return next((value for at in (0, *behind) if (value := kind.foreign(peel(sentence[at:])))), None)


def holds_value(text: str, kind: AnswerKind) -> bool:
    """Say whether a text states a value."""
    return value_of(text, kind) not in (None, OPEN)

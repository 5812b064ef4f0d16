"""A wrong step of a written solution, or none; with the number that it should have."""

import re
from dataclasses import dataclass
from typing import ClassVar

from fathom.tasks.answers.kinds import AnswerKind, unique, without_noun
from fathom.tasks.answers.numbers import NUMBER_WORDS, ORDINALS, Integer
from fathom.tasks.answers.phrases import DOUBT, HEDGE_OF_MISTAKE, peel

_NONE = ("none", "no", "no mistake", "nothing", "no error", "none of them")
_NONE_WRONG = re.compile(
    r"\b(?:no|none of the|not a single|zero)\s(?:\w+\s){0,2}(?:steps?|lines?|mistakes?|errors?)\b"
    r"|\b(?:all|every)\s(?:of\s)?(?:the\s)?(?:steps?|lines?)\s(?:\w+\s)?(?:are|is)\s(?:\w+\s)?(?:correct|right)"
    r"|\bthere (?:is|are) none\b",
    re.IGNORECASE,
)
_MAY_BE = re.compile(
    rf"\d|\b(?:no|none|nothing|all|every|zero|not a|steps?|lines?|{'|'.join(NUMBER_WORDS)}|{'|'.join(ORDINALS)})\b",
    re.IGNORECASE,
)
_ONLY_NONE = re.compile(r"\W*none\W*", re.IGNORECASE)
_NAMES_NONE = re.compile(r"\bnone\b", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")
_STEP_WORD = re.compile(r"\b(?:steps?|lines?)\b", re.IGNORECASE)
_STEP = re.compile(
    r"\b(?:step|line)[^\w\n.]{0,4}(?:(?:no\.|number|is)[^\w\n]{1,3})?(?:(?:step|line)[^\w\n]{1,3})?(\d{1,4})(?!\w)"
    r"(?!\s(?:is|was|are) (?:right|correct|fine|ok))|\b(\d{1,4})(?:st|nd|rd|th)\s(?:step|line)\b",
    re.IGNORECASE,
)
_ORDINAL_STEP = re.compile(r"\bthe (\w{5,8}) (?:step|line)\b(?! (?:is|was) (?:right|correct))", re.IGNORECASE)
_IS_WRONG = re.compile(r"\b(?:is|was) (?:the )?(?:first )?(?:wrong|incorrect)\b.*", re.IGNORECASE | re.DOTALL)
_EQUATION = re.compile(r"\w\s{0,3}=")
_JUDGES = re.compile(r"\b(?:steps?|lines?|wrong|incorrect|mistakes?|errors?|should|none|answer)\b", re.IGNORECASE)
_VALUE = re.compile(
    r"(?:(?:should|must|needs to|ought to) (?:be|have been|equal|give|read)|(?:number|value|result|correction)\W{0,3}"
    r"(?:(?:is|should be|would be|must be|being)\W{1,3})?|[→=]|->)\W{0,4}([+-]?\d{1,9})(?![\w.]|\s?[-+*/×])",
    re.IGNORECASE,
)
_STEP_AND_VALUE = re.compile(r"(?:step\s|line\s)?(\d{1,4})\s?(?::|→|->)\s?-?\d{1,9}", re.IGNORECASE | re.ASCII)
_ASKED_MENDED = re.compile(r"(\d{1,4}): (-?\d{1,9})", re.ASCII)
_MENDED = re.compile(
    r"\(?(?:step\s|line\s|no\.\s|#)?(\d{1,4})\)?\s{0,3}(?:[:=,;→|]|->|-(?=\s))\s{0,3}([+-]?\d{1,9})\)?",
    re.IGNORECASE | re.ASCII,
)


def _steps_named(text: str) -> list[str]:
    found = [one[1] or one[2] for one in _STEP.finditer(text)]
    words = [ORDINALS.get(one[1].lower()) for one in _ORDINAL_STEP.finditer(text)]
    return unique([str(int(step)) for step in found] + [word for word in words if word])


def _says_none(text: str) -> bool:
    return text.lower() in _NONE or (_NONE_WRONG.match(text) is not None and not _steps_named(text))


@dataclass(frozen=True, slots=True)
class WrongStep(AnswerKind):
    """The number of a step, or "none"."""

    hedge: ClassVar[re.Pattern[str]] = HEDGE_OF_MISTAKE

    def may_be_in(self, text: str) -> bool:
        """Return whether the text has a digit, or a word that may be an answer."""
        return _MAY_BE.search(text) is not None

    def is_about_another(self, sentence: str, _has_subject: bool) -> bool:
        """Return whether a sentence is a step of the solution, written again: an equation without a word on it."""
        return _EQUATION.search(sentence) is not None and not _JUDGES.search(sentence)

    def asked(self, text: str) -> str | None:
        """Return the answer if the text is `none` or a number."""
        return "none" if text.lower() == "none" else Integer().asked(text)

    def exact(self, text: str) -> str | None:
        """Return the answer that the text is, with "step" before it, or "is wrong" or the right number behind it."""
        if _says_none(text):
            return "none"
        with_value = _STEP_AND_VALUE.fullmatch(text)
        if with_value:
            return str(int(with_value[1]))
        bare = _IS_WRONG.sub("", text)
        value = Integer().exact(bare)
        return None if value is None or self.hedge.search(bare) else value

    def named(self, text: str) -> list[str]:
        """Return the steps that a phrase names, or the numbers of a phrase that names no step; and none."""
        if _ONLY_NONE.fullmatch(text) or _NONE_WRONG.search(text):
            return ["none", *_steps_named(text)]
        none = ["none"] if _NAMES_NONE.search(text) else []
        steps = _steps_named(text)
        if steps or _STEP_WORD.search(text):
            return steps + none
        return (_DIGITS.findall(text) if none else Integer().named(text)) + none

    def stated(self, sentence: str) -> str | None:
        """Return the only step that a sentence names, as in "Step 3 is wrong"."""
        named = self.named(sentence)
        return named[0] if len(named) == 1 else None


@dataclass(frozen=True, slots=True)
class MendedStep(AnswerKind):
    """The number of a step and the number that it should have, as in 3: 17; or "none"."""

    spans_lines: ClassVar[bool] = True
    hedge: ClassVar[re.Pattern[str]] = HEDGE_OF_MISTAKE

    def may_be_in(self, text: str) -> bool:
        """Return whether the text has a digit, or a word that may be an answer."""
        return _MAY_BE.search(text) is not None

    def asked(self, text: str) -> str | None:
        """Return the answer if the text is `none`, or a step and its number."""
        found = _ASKED_MENDED.fullmatch(text)
        return f"{int(found[1])}: {int(found[2])}" if found else "none" if text.lower() == "none" else None

    def exact(self, text: str) -> str | None:
        """Return the answer that the text is, or that it states about one step."""
        if _says_none(text):
            return "none"
        found = _MENDED.fullmatch(without_noun(text)) or _MENDED.fullmatch(text)
        return f"{int(found[1])}: {int(found[2])}" if found else self._described(text)

    def _described(self, text: str) -> str | None:
        """Return the only step that a text names with the only number that it should have."""
        if DOUBT.search(text):
            return None
        steps, values = _steps_named(text), unique([str(int(one[1])) for one in _VALUE.finditer(text)])
        values = [value for value in values if value not in steps] or values
        return f"{steps[0]}: {values[0]}" if len(steps) == 1 and len(values) == 1 else None

    def named(self, text: str) -> list[str]:
        """Return the answer that a phrase names."""
        if _ONLY_NONE.fullmatch(text) or (_NONE_WRONG.search(text) and not _steps_named(text)):
            return ["none"]
        mended = self.exact(peel(text))
        return [mended] if mended else []

    def stated(self, sentence: str) -> str | None:
        """Return the answer that a sentence states, as in "Step 3 should be 17"."""
        named = self.named(sentence)
        return named[0] if named else None

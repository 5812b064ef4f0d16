"""A wrong step of a written solution, or none; with the number that it should have."""

import re
from dataclasses import dataclass
from typing import ClassVar

from fathom.tasks.answers.kinds import AnswerKind, unique, without_noun
from fathom.tasks.answers.numbers import ORDINALS, Integer
from fathom.tasks.answers.wording import DOUBT, HEDGE_OF_MISTAKE, peel

_NONE_WRONG = re.compile(
    r"\b(?:no|none of the|not a single|zero)\s(?:\w+\s){0,2}(?:steps?|lines?|mistakes?|errors?)\b"
    r"|\b(?:all|every)\s(?:of\s)?(?:the\s)?(?:steps?|lines?)\s(?:\w+\s)?(?:are|is)\s(?:\w+\s)?(?:correct|right)"
    r"|\bthere (?:is|are) none\b",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"\b(?:step|line)[^\w\n.]{0,4}(?:(?:no\.|number|is)[^\w\n]{1,3})?(?:(?:step|line)[^\w\n]{1,3})?(\d{1,4})(?!\w)"
    r"(?!\s(?:is|was|are) (?:right|correct|fine|ok))|\b(\d{1,4})(?:st|nd|rd|th)\s(?:step|line)\b",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"(?:(?:should|must|needs to|ought to) (?:be|have been|equal|give|read)|(?:number|value|result|correction)\W{0,3}"
    r"(?:(?:is|should be|would be|must be|being)\W{1,3})?|[→=]|->)\W{0,4}([+-]?\d{1,9})(?![\w.]|\s?[-+*/×])",
    re.IGNORECASE,
)
_MENDED = re.compile(
    r"\(?(?:step\s|line\s|no\.\s|#)?(\d{1,4})\)?\s{0,3}(?:[:=,;→]|->|-(?=\s))\s{0,3}([+-]?\d{1,9})\)?", re.IGNORECASE
)
_ORDINAL_STEP = re.compile(r"\bthe (\w{5,8}) (?:step|line)\b(?! (?:is|was) (?:right|correct))", re.IGNORECASE)


def _steps_named(text: str) -> list[str]:
    found = [one[1] or one[2] for one in _STEP.finditer(text)]
    words = [ORDINALS.get(one[1].lower()) for one in _ORDINAL_STEP.finditer(text)]
    return unique([str(int(step)) for step in found] + [word for word in words if word])


@dataclass(frozen=True, slots=True)
class Mistake(AnswerKind):
    """The number of a step, or "none"; with a value also the number that the step should have, as in 3: 17."""

    with_value: bool = False
    spans_lines: ClassVar[bool] = True
    hedge: ClassVar[re.Pattern[str]] = HEDGE_OF_MISTAKE

    def asked(self, text: str) -> str | None:
        """Return the answer if the text is `none`, a number, or a step and its number."""
        if text.lower() == "none":
            return "none"
        if not self.with_value:
            return Integer().asked(text)
        found = re.fullmatch(r"(\d{1,4}): (-?\d{1,9})", text)
        return f"{int(found[1])}: {int(found[2])}" if found else None

    def exact(self, text: str) -> str | None:
        """Return the answer that the text is, with "step" or "line" before it, or in a sentence."""
        low = text.lower()
        if low in ("none", "no", "no mistake", "nothing", "no error", "none of them") or _NONE_WRONG.match(low):
            return "none"
        if self.with_value:
            found = _MENDED.fullmatch(without_noun(text)) or _MENDED.fullmatch(text)
            return f"{int(found[1])}: {int(found[2])}" if found else self._mended(text)
        bare = re.sub(
            r"\b(?:is|was) (?:the )?(?:first )?(?:wrong|incorrect)\b.*", "", text, flags=re.IGNORECASE | re.DOTALL
        )
        return None if self.hedge.search(bare) else Integer().exact(bare)

    def _mended(self, text: str) -> str | None:
        if DOUBT.search(text):
            return None
        steps, values = _steps_named(text), unique([str(int(one[1])) for one in _VALUE.finditer(text)])
        values = [value for value in values if value not in steps] or values
        return f"{steps[0]}: {values[0]}" if len(steps) == 1 and len(values) == 1 else None

    def named(self, text: str) -> list[str]:
        """Return the answers that a phrase names."""
        if re.fullmatch(r"\W*none\W*", text, re.IGNORECASE) or _NONE_WRONG.search(text):
            return ["none"]
        if self.with_value:
            mended = self.exact(peel(text))
            return [mended] if mended else []
        none = ["none"] if re.search(r"\bnone\b", text, re.IGNORECASE) else []
        steps = _steps_named(text)
        if steps or re.search(r"\b(?:steps?|lines?)\b", text, re.IGNORECASE):
            return steps + none
        return Integer().named(text) + none

    def stated(self, sentence: str) -> str | None:
        """Return the only step that a sentence names, as in "Step 3 is wrong"."""
        named = self.named(sentence)
        return named[0] if len(named) == 1 else None

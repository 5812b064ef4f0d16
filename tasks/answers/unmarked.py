"""The answer of a text without a mark: its last line or sentence that names one, or a bare first line."""

import re

from fathom.tasks.answers.kinds import AnswerKind
from fathom.tasks.answers.layout import BULLET, FENCE, outside_code
from fathom.tasks.answers.phrases import (
    INSTRUCTION,
    REFUSAL,
    RETRACTION,
    is_placeholder,
    is_question,
    is_unfinished,
    peel,
    plain,
    sentences,
    without_asides,
    without_reason,
    without_retraction,
)
from fathom.tasks.answers.values import OPEN, bare_value, foreign_value, statement

_LONGEST_LINE = 2_000
_CLOSING = " \t*_`\"'>)$]}."
_LONGEST_WORD = 100
_MAX_EQUATIONS = 40
"""Most lines, from the last one back, in which an equation about what is asked for is looked for."""
_MAX_UNITS = 8
"""Most sentences, from the last one back, that are looked at."""


def read_unmarked(text: str, kind: AnswerKind, cut: bool) -> str | None:
    """Return the value that a text without a mark ends in, or begins with; None if there is none."""
    if REFUSAL.match(text.lstrip(" \n\t*#\"'")):
        return None
    if cut:
        return _first_line(text, kind)
    if kind.spans_lines:
        value = _whole_text(text, kind)
        if value is not None:
            return value
    value = _last_unit(text, kind)
    if value is None:
        value = _first_line(text, kind)
    if value is None:
        value = _foreign_value(text, kind)
    return None if value is OPEN else value


def _whole_text(text: str, kind: AnswerKind) -> str | None:
    """Return the value that the whole text is, or its last paragraph."""
    bare = FENCE.sub("", text).strip()
    bullet = BULLET.match(bare) if "\n" not in bare else None
    bare = bare[bullet.end() :] if bullet else bare
    for part in (bare, bare.rpartition("\n\n")[2]):
        value = bare_value(part, kind)
        if value is not None:
            return value
    return None


def _last_unit(text: str, kind: AnswerKind) -> str | None:
    """Return the value of the last line or sentence that names one; OPEN if it commits to none."""
    lines, n_units = outside_code(text), 0
    has_subject = any(
        kind.is_about_subject(one) for line in lines[-_MAX_EQUATIONS:] if "=" in line for one in sentences(line[-200:])
    )
    for at in reversed(range(len(lines))):
        for unit in reversed(_units(lines[at], kind)):
            if kind.is_about_another(unit, has_subject):
                continue  # "QX = 4" behind "HJ = 13", where HJ is asked for
            value = _unit_value(unit, kind, lines, at)
            if n_units == 0 and is_unfinished(plain(unit[-60:])) and not _ends_with(unit, value):
                return OPEN
            if INSTRUCTION.search(unit) or (value is None and (is_question(unit) or RETRACTION.search("\n" + unit))):
                return OPEN
            n_units += 1
            if value is not None or n_units > _MAX_UNITS:
                return value
    return None


def _ends_with(unit: str, value: str | None) -> bool:
    """Say whether a sentence ends with the last word of a value."""
    before, last, _ = unit.rstrip(_CLOSING).lower().rpartition(value.split()[-1].lower() if value else "\n")
    return bool(last) and unit.rstrip(_CLOSING).lower() == before + last and not before[-1:].isalnum()


def _units(line: str, kind: AnswerKind) -> list[str]:
    """Return the sentences of a line, or the line without its bullet if it is a value."""
    line = line[-_LONGEST_LINE:]
    bullet = BULLET.match(line)
    rest = line[bullet.end() :] if bullet else line
    may_be_bare = len(rest) <= kind.limit and kind.may_be_in(rest) and not RETRACTION.search(rest, 1)
    return [rest] if may_be_bare and bare_value(rest, kind) is not None else sentences(rest)


def _is_listed(value: str, kind: AnswerKind, lines: list[str], at: int) -> bool:
    """Say whether a bare value follows another one, as in a list of candidates.

    Single items that follow each other are one answer, and lines may show how one grows.
    """
    if at == 0:
        return False
    if BULLET.match(lines[at]) and BULLET.match(lines[at - 1]):
        return True
    before = bare_value(lines[at - 1], kind)
    if before is None or before == value:
        return False
    is_whole = " " in before and kind.asked(before) is not None and not value.startswith(before)
    return is_whole or not kind.has_items


def _unit_value(unit: str, kind: AnswerKind, lines: list[str], at: int) -> str | None:
    """Return the value of a sentence without a mark, OPEN if it names one but commits to none, else None."""
    if not kind.may_be_in(unit) or is_placeholder(unit):
        return None
    said = without_retraction(unit)
    bare = plain(said[-kind.limit :])
    value = kind.exact(peel(bare))
    if value is not None:
        return OPEN if "?" in unit or (said is unit and _is_listed(value, kind, lines, at)) else value
    if any(len(word) > _LONGEST_WORD for word in said.split()) or _is_formula(bare):
        return None  # noise
    clause = without_reason(without_asides(bare))
    value = kind.exact(peel(clause)) or statement(clause, kind)
    return OPEN if value is not None and kind.hedge.search(clause) else value


def _is_formula(sentence: str) -> bool:
    """Say whether a sentence is an expression that is written down and not worked out, as an echo of the question.

    Its brackets are no asides, so that one of its numbers must not pass for a value.
    """
    return "=" not in sentence and bool(_BRACKETED.search(sentence)) and not _VERB.search(sentence)


_BRACKETED = re.compile(r"[-+*/×·]\s?\(|\)\s?[-+*/×·]")
_VERB = re.compile(r"\b(?:is|are|be|equals?|gives?|yields?|get|leaves?)\b|[:≡→]|->", re.IGNORECASE)


def _first_line(text: str, kind: AnswerKind) -> str | None:
    """Return the value of a bare first line that is followed by more."""
    line, newline, rest = text.lstrip().partition("\n")
    if not newline or len(line) > kind.limit or "?" in line or BULLET.match(line):
        return None
    return None if RETRACTION.search("\n" + rest[:2_000]) else bare_value(line, kind)


def _foreign_value(text: str, kind: AnswerKind) -> str | None:
    """Return what a text of one line gives as its answer, if it has the form of one but is none that the item knows."""
    line = plain(text.strip()) if len(text) <= kind.limit else ""
    return None if not line or "\n" in line or kind.hedge.search(line) else foreign_value(line, kind)

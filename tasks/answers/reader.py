r"""The answer that a text commits to: the last one, as a careful human reader would say.

Commitments, of which the last counts:

1. a line or clause with "answer": `Answer: x`, `**Final Answer**` with x on the next line, "So the answer is x",
   `{"answer": "x"}`, `<answer>x</answer>`, in Chinese too;
2. `\boxed{x}`, and `#### x`;
3. where there is none of these: a bare last line, a last sentence that names just one possible answer ("The code is
   QK.", "1 + 5 = 6"), or a bare first line with an explanation below.

A text that lists candidates, hedges ("x or y"), denies ("not x"), asks back or refuses has no answer. Words such as
"Wait, that is wrong" take an answer back. Marks, Markdown, LaTeX, quotes, units and end-of-text marks around a value
are no part of it (`phrases`); what a value is, the kinds say (`kinds`, `numbers`, `compound`, `mistakes`).

At most WINDOW characters at the end of a text are read, and its beginning: time is linear in these.
"""

from dataclasses import dataclass
from itertools import islice
from typing import Literal

from fathom.tasks.answers.kinds import AnswerKind
from fathom.tasks.answers.marks import Region, ends_with_mark, has_mark_near, marked_regions
from fathom.tasks.answers.phrases import RETRACTION, THINKS_ALOUD, clean, is_placeholder
from fathom.tasks.answers.unmarked import read_unmarked
from fathom.tasks.answers.values import OPEN, value_of

WINDOW = 16_000
"""Most characters at the end of a text in which its answer is looked for."""

MAX_REGIONS = 12
"""Most marked parts of a text, from the last one back, that are read."""

Found = Literal["asked", "read", "none"]
"""How an answer was found. asked: in the form that was asked for; read: in other words; none: there is none."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A value in canonical form, or None, and how it was found."""

    value: str | None
    found: Found


NOTHING = Reading(None, "none")


def read_answer(text: str, kind: AnswerKind, cut: bool = False) -> Reading:
    """Read the answer of a text. Never raises.

    Args:
        text: The completion without its thought.
        kind: What the answer may be.
        cut: Whether the text ends because its token budget was spent; then only an answer with text behind it counts.
    """
    if kind.is_raw:
        return _first_line(text, kind, cut)
    line = None if cut else _asked_line(text)
    value = None if line is None or len(line) > kind.limit else kind.asked(line)
    if value is not None:
        return Reading(value, "asked")
    if "<think>" in text and "</think>" not in text:
        return NOTHING
    value = _in_other_words(clean(text[-WINDOW:]), kind, cut)
    return NOTHING if value is None else Reading(value, "asked" if value == line else "read")


def _first_line(text: str, kind: AnswerKind, cut: bool) -> Reading:
    line, newline, _ = text.lstrip().partition("\n")
    is_whole = len(line) <= kind.limit and not (cut and not newline)
    return Reading(line.strip(), "asked") if is_whole and line.strip() else NOTHING


def _asked_line(text: str) -> str | None:
    """Return what stands where a prompt asks for the answer: alone, or in one last line behind `Answer:`."""
    stripped = text[-WINDOW:].strip()
    above, _, line = stripped.rpartition("\n")
    if line[:7].lower() == "answer:":
        above = above.rstrip()
        is_one = above[above.rfind("\n") + 1 :][:7].lower() != "answer:"
        line = line[7:].lstrip()
    else:
        is_one = not above and len(text) <= WINDOW
    return line.removesuffix(".") if is_one else None


def _in_other_words(text: str, kind: AnswerKind, cut: bool) -> str | None:
    """Return the value of the last mark of a clean text that has one, else that of the text."""
    regions, is_form = islice(marked_regions(text, kind), MAX_REGIONS), ends_with_mark(text)
    for region in regions:
        if cut and not text[region.end :].strip(" \t"):
            continue
        value = _marked_value(text, region, kind)
        if value is OPEN:
            return None
        if value is not None:
            before = next(regions, None) if has_mark_near(text, region) else None
            is_listed = _are_listed(text, before, region, value, kind)
            return None if is_listed else _unless_retracted(text, region, value, kind, cut)
        is_form = is_form or (region.is_strict and is_placeholder(text[region.start : region.end]))
    return None if is_form else read_unmarked(text, kind, cut)


def _marked_value(text: str, region: Region, kind: AnswerKind) -> str | None:
    """Return the value of a region, OPEN if it ends the search without one, or None to look further back."""
    marked = text[region.start : region.end]
    if not marked.strip() or is_placeholder(marked):
        return None
    value = value_of(marked, kind, region.is_strict)
    return OPEN if value is None and region.is_strict and not THINKS_ALOUD.match(marked) else value


def _are_listed(text: str, before: Region | None, region: Region, value: str, kind: AnswerKind) -> bool:
    """Say whether the mark before has another value and stands on the line before, as in a list of candidates."""
    if before is None or before.end >= region.start or not (before.is_strict and region.is_strict):
        return False
    if "\n" in text[before.end : region.start].strip("\n"):
        return False
    return _marked_value(text, before, kind) not in (None, OPEN, value)


def _unless_retracted(text: str, region: Region, value: str, kind: AnswerKind, cut: bool) -> str | None:
    """Return the value, or what follows if words behind it take it back."""
    rest = text[region.start : region.start + 4_000]
    taken_back = RETRACTION.search(rest, 1) if len(rest) > len(value) + 3 else None
    return read_unmarked(rest[taken_back.start() + 1 :], kind, cut) if taken_back else value

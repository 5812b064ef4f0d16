r"""The answer that a text commits to: the last one, as a careful human reader would say.

Commitments, of which the last counts:

1. a line or clause with "answer": `Answer: x`, `**Final Answer**` with x on the next line, "So the answer is x",
   `{"answer": "x"}`, `<answer>x</answer>`, in Chinese too;
2. `\boxed{x}`, and `#### x`;
3. where there is none of these: a bare last line, a last sentence that names just one possible answer ("The code is
   QK.", "1 + 5 = 6"), or a bare first line with an explanation below.

A text that lists candidates, hedges ("x or y"), denies ("not x"), asks back or refuses has no answer. Words such as
"Wait, that is wrong" take an answer back. Marks, Markdown, LaTeX, quotes, units and end-of-text marks around a value
are no part of it (`wording`); what a value is, the kinds say (`kinds`, `compound`).

At most WINDOW characters at the end of a text are read, and its beginning: time is linear in these.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecoder
from typing import Literal

from fathom.tasks.answers.kinds import AnswerKind
from fathom.tasks.answers.wording import (
    CONDITION,
    REFUSAL,
    RETRACTION,
    clean,
    conclusion,
    first_sentence,
    is_placeholder,
    is_unfinished,
    peel,
    plain,
    sentences,
    without_asides,
    without_reason,
)

WINDOW = 16_000
"""Most characters at the end of a text in which its answer is looked for."""

MAX_MARKS = 40
"""Most marks, from the last one back, that are looked at."""

Found = Literal["asked", "read", "none"]
"""How an answer was found. asked: in the form that was asked for; read: in other words; none: there is none."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A value in canonical form, or None, and how it was found."""

    value: str | None
    found: Found


NOTHING = Reading(None, "none")
_LONGEST_LINE = 2_000
_NEAR = 400
"""Characters at the end of a text in which a mark is looked for first, as most stand there."""


def read_answer(text: str, kind: AnswerKind, cut: bool = False) -> Reading:
    """Read the answer of a text. Never raises.

    Args:
        text: The completion without its thought.
        kind: What the answer may be.
        cut: Whether the text ends because its token budget was spent; then only an answer with text behind it counts.
    """
    if kind.is_raw:
        line, newline, _ = text.lstrip().partition("\n")
        is_whole = 0 < len(line) <= kind.limit and not (cut and not newline)
        return Reading(line.strip(), "asked") if is_whole and line.strip() else NOTHING
    if not cut:
        value = _in_asked_form(text, kind)
        if value is not None:
            return Reading(value, "asked")
    if "<think>" in text and "</think>" not in text:
        return NOTHING
    value = _Text(clean(text[-WINDOW:]), kind, cut).answer()
    return NOTHING if value is None else Reading(value, "read")


def _in_asked_form(text: str, kind: AnswerKind) -> str | None:
    """Return the value of a text that is one, or whose last line is `Answer: <value>`."""
    stripped = text[-WINDOW:].strip()
    line = stripped[stripped.rfind("\n") + 1 :]
    if line[:7].lower() == "answer:":
        line = line[7:].lstrip()
    elif line != stripped or len(text) > WINDOW:
        return None
    if len(line) > kind.limit:
        return None
    value = kind.asked(line)
    return kind.asked(line[:-1]) if value is None and line.endswith(".") else value


_KEY = re.compile(
    r"(?<![a-z])(?<!not_the_)answers?(?![a-z])|\bans\b|答案|答え|(?<!\w)(?:respuesta|resposta|réponse|antwort|risposta|ответ)(?!\w)|\\f?box(?:ed)?\b|^[ \t]{0,4}####(?!#)",
    re.IGNORECASE | re.MULTILINE,
)
_BEFORE = re.compile(
    r"(?:\W|_|\d|\b(?:step|so|therefore|thus|hence|then|finally|final|my|the|a|our|your|correct|right|overall|short|direct|this|gives|and|is|model|"
    r"solution|question|problem|in|conclusion|sum|up|here|i|can|now|say|that|we|have|as)\b)*",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(
    r"(?P<decor>['\"*_`)\]}\s]{0,6})(?P<about>[^:=\n.!?→]{0,90}?)(?:(?P<colon>[:=→|]|->)|(?<=\s)[-\u2013\u2014](?=\s)|\b(?P<verb>is|are|was|should be|must be|will be|would be|es|est|ist|lautet|é|è)\b\s?(?:donc\s|also\s)?:?|[是为])",
    re.IGNORECASE,
)
_VERB_IN_QUESTION = re.compile(r"\b(?:what|which|who|where|when|how)\b", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]{0,8}(?:```|~~~)[^\n`]{0,30}$", re.MULTILINE)
_BULLET = re.compile(r"\s{0,12}(?:[-*•>]\s{1,4}|\(?\d{1,3}[.)]\s{1,4}|#{1,6}\s{1,4})+", re.IGNORECASE)
_SAYS = re.compile(
    r"\b(?:is|are|was|were|be|becomes?|equals?|gives?|yields?|returns?|gets?|obtain|leads?(?: us)?(?: back)? to|holds|named|called|dated|"
    r"reach(?:es)?|arrives? at|ends? (?:up )?(?:at|on|with|in)|lands? (?:at|on)|follows)\b|=|≡|:(?!\s?\d\d)",
    re.IGNORECASE,
)
_SUBJECT_BEFORE = re.compile(r"\s(?:is|are|as|be)\s(?:the|our|my)\s(?:final\s|correct\s|right\s)?$", re.IGNORECASE)
_VERB_BEFORE = re.compile(
    r"\b(?:makes?|get|gives?|have|reach|obtain|find|yields?|means)\s(?:the|our|an|my)\s(?:final\s)?$", re.IGNORECASE
)
_CANDIDATES = re.compile(r"\b(?:possible|candidate|potential|plausible)\s(?:final\s)?$", re.IGNORECASE)
_DECORATION = re.compile(r"[\s\W_]*")
_JSON = JSONDecoder()
_OPEN = "open"
"""A text that names an answer but leaves it open; it ends the search."""


@dataclass(frozen=True, slots=True)
class _Region:
    """A text that should hold the answer: where it starts and ends, and whether the mark before it is unmistakable."""

    start: int
    end: int
    is_strict: bool


class _Text:
    """A cleaned text and the kind of its answer."""

    def __init__(self, text: str, kind: AnswerKind, cut: bool) -> None:
        self.text, self.kind, self.cut = text, kind, cut

    def answer(self) -> str | None:
        """Return the value of the last mark that has one, else that of the text."""
        is_form = False
        regions = self._regions()
        for region in regions:
            value = self._read(region)
            if value is _OPEN:
                return None
            if value is not None:
                before = next(regions, None)
                return (
                    None
                    if before and self._are_listed(before, region, value)
                    else self._unless_retracted(value, region)
                )
            is_form = is_form or (region.is_strict and is_placeholder(self.text[region.start : region.end]))
        return None if is_form else self._unmarked(self.text)

    def _are_listed(self, before: _Region, region: _Region, value: str) -> bool:
        """Say whether two marks with different values stand on lines that follow each other."""
        if "\n" in self.text[before.end : region.start].strip("\n") or before.end >= region.start:
            return False
        return before.is_strict and region.is_strict and self._read(before) not in (None, _OPEN, value)

    def _unless_retracted(self, value: str, region: _Region) -> str | None:
        rest = self.text[region.start : region.start + 4_000]
        taken_back = RETRACTION.search(rest, 1) if len(rest) > len(value) + 3 else None
        return self._unmarked(rest[taken_back.start() + 1 :]) if taken_back else value

    # ---- marks

    def _regions(self) -> Iterator[_Region]:
        for key in self._keys():
            region = self._region(key)
            if region is not None and not (self.cut and not self.text[region.end :].strip(" \t")):
                yield region

    def _keys(self) -> Iterator[re.Match[str]]:
        """Return the words and signs that may be marks, from the last one back; the end of the text is searched first."""
        near = self.text.rfind("\n", 0, max(0, len(self.text) - _NEAR)) + 1
        ends = list(_KEY.finditer(self.text, near))[-MAX_MARKS:]
        yield from reversed(ends)
        if near and len(ends) < MAX_MARKS:
            yield from reversed(list(_KEY.finditer(self.text, 0, near))[len(ends) - MAX_MARKS :])

    def _region(self, key: re.Match[str]) -> _Region | None:
        word = key[0].lower()
        if "\\" in word:
            return self._boxed(key)
        if "#" in word:
            return self._after_hashes(key)
        return self._after_word(key)

    def _boxed(self, key: re.Match[str]) -> _Region | None:
        text, at = self.text, key.end()
        while at < len(text) and text[at] == " ":
            at += 1
        if text[at : at + 1] != "{":
            return None
        depth, start = 0, at + 1
        for place in range(at, min(len(text), at + self.kind.limit + 40)):
            depth += (text[place] == "{") - (text[place] == "}")
            if depth == 0:
                return _Region(start, place, True)
        return None

    def _after_hashes(self, key: re.Match[str]) -> _Region | None:
        end = self._line_end(key.end())
        value = self.kind.asked(self.text[key.end() : end].strip(" *."))
        return None if value is None else _Region(key.end(), end, True)

    def _after_word(self, key: re.Match[str]) -> _Region | None:
        text, start, line_end = self.text, key.end(), self._line_end(key.end())
        before = text[text.rfind("\n", 0, key.start()) + 1 : key.start()]
        if before.endswith("</") or re.search(r"\b(?:to|can|will|not|cannot)\s$", before[-10:]):
            return None
        if before.endswith("<") and text[start : start + 1] == ">":
            end = text.find("</", start)
            return _Region(start + 1, end if start < end < start + self.kind.limit + 80 else line_end, True)
        is_first = len(before) < 60 and _BEFORE.fullmatch(before) is not None
        if CONDITION.search(before[-200:]):
            return None
        found = _SEPARATOR.match(text, start, line_end)
        if found is None or (found["about"] and not found["about"].isascii()):
            subject = _SUBJECT_BEFORE.search(before[-60:])
            if subject and _DECORATION.fullmatch(text, start, line_end):
                begin = key.start() - len(before) + before.rfind(". ") + 1
                return _Region(begin, key.start() - len(subject[0]), False)
            if _VERB_BEFORE.search(before[-60:]):
                return _Region(start, line_end, False)
            is_heading = is_first and _DECORATION.fullmatch(text, start, line_end) is not None
            return self._below(line_end, True) if is_heading else None
        if found["verb"] and _VERB_IN_QUESTION.search(found["about"]):
            found = _last_verb(text, start, line_end) or found
        if before.lower().rstrip().endswith("is the") and text[start:line_end].rstrip().endswith("?"):
            return _Region(start, line_end, True)
        if _CANDIDATES.search(before[-60:]):
            return _Region(start, self._paragraph_end(line_end), True)
        if found["colon"] == ":" and '"' in found["decor"]:
            return self._json_value(found.end())
        start, is_strict = found.end(), is_first and found["colon"] is not None and len(found["about"]) < 40
        if (
            _DECORATION.fullmatch(text, start, line_end)
            and "_" not in text[start:line_end]
            and not _has_placeholder(text[start:line_end])
        ):
            return self._below(line_end, is_strict)
        return self._beside(start, line_end, is_strict)

    def _json_value(self, start: int) -> _Region:
        """Return the value of a key of a JSON object, of which the text may end too early."""
        while self.text[start : start + 1].isspace():
            start += 1
        try:
            _, end = _JSON.raw_decode(self.text[: start + 2 * self.kind.limit], start)
        except ValueError:
            end = self._line_end(start)
        return _Region(start, end, True)

    def _beside(self, start: int, line_end: int, is_strict: bool) -> _Region:
        """Return the rest of the line; where an answer may span lines and the line does not hold it, the paragraph."""
        if not self.kind.spans_lines or self._value(self.text[start:line_end]) not in (None, _OPEN):
            if self.kind.spans_lines and self.text[:line_end].rstrip().endswith((",", "[", "->", "→")):
                return _Region(start, self._paragraph_end(line_end), is_strict)
            if (
                self.kind.spans_lines
                and self._value(self.text[start : self._paragraph_end(start)], whole=True) is not None
            ):
                return _Region(start, self._paragraph_end(start), is_strict)
            return _Region(start, line_end, is_strict)
        end = self._paragraph_end(start)
        is_better = end > line_end and self._value(self.text[start:end]) not in (None, _OPEN)
        return _Region(start, end if is_better else line_end, is_strict)

    def _below(self, line_end: int, is_strict: bool) -> _Region | None:
        """Return the next line that is no decoration; where an answer may span lines, the paragraph if it is one."""
        start = line_end
        while start < len(self.text):
            end = self._line_end(start + 1)
            line = self.text[start + 1 : end]
            if line.strip() and not _FENCE.match(line) and not re.fullmatch(r"[\s\W]*", line):
                break
            start = end
        else:
            return None
        if self.kind.spans_lines:
            whole = self._paragraph_end(start + 1)
            if self._value(self.text[start + 1 : whole], whole=True) is not None:
                return _Region(start + 1, whole, is_strict)
        if not self.kind.spans_lines and _BULLET.match(line) and _BULLET.match(self.text, end + 1):
            end = self._line_end(end + 1)  # a list of candidates
        bullet = _BULLET.match(line)
        return _Region(start + 1 + (bullet.end() if bullet and bullet.end() < len(line) else 0), end, is_strict)

    def _line_end(self, at: int) -> int:
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end

    def _paragraph_end(self, at: int) -> int:
        fence = _FENCE.search(self.text, at)
        ends = [self.text.find("\n\n", at + 1), fence.start() if fence else -1]
        return min([end for end in ends if end >= 0], default=len(self.text))

    # ---- values

    def _read(self, region: _Region) -> str | None:
        """Return the value of a region, _OPEN if it ends the search without one, or None to look further back."""
        text = self.text[region.start : region.end]
        if not text.strip() or is_placeholder(text):
            return None
        value = self._value(text)
        if value is None and region.is_strict and not _is_thinking_aloud(text):
            return _OPEN
        return value

    def _value(self, text: str, whole: bool = False) -> str | None:
        """Return the value of a text; with `whole`, only if the text is nothing else."""
        kind = self.kind
        if len(text) > kind.limit:
            if whole:
                return None
            text = text[: kind.limit]
        bare = plain(text)
        value = kind.exact(peel(bare))
        if value is not None or whole:
            return value
        sentence = without_reason(without_asides(first_sentence(bare.strip())))
        clause = sentence
        value = kind.exact(peel(clause)) if not kind.hedge.search(sentence) else None
        if value is not None:
            return value
        if kind.hedge.search(sentence):
            return _OPEN
        return kind.foreign(peel(clause)) or self._statement(clause)

    def _statement(self, sentence: str) -> str | None:
        """Return the one value that a sentence names behind its last verb, or by its subject; _OPEN if it names more."""
        kind, concluded = self.kind, conclusion(sentence)
        if concluded is not sentence and (kind.named(concluded) or kind.foreign(peel(concluded))):
            sentence = concluded
            if kind.foreign(peel(sentence)) and not kind.named(sentence):
                return kind.foreign(peel(sentence))
        said = list(_SAYS.finditer(sentence))
        named = kind.named(sentence[said[-1].end() :]) if said else []
        if len(named) == 1:
            return named[0]
        if not named:
            value = kind.stated(sentence)
            if value is not None:
                return value
        return _OPEN if named or kind.named(sentence) else None

    # ---- texts without a mark

    def _unmarked(self, text: str) -> str | None:
        """Return the value of the last line or sentence that names one, or of a bare first line."""
        if REFUSAL.match(text.lstrip(" \n\t*#\"'")):
            return None
        if self.cut:
            return self._first_line(text)
        if self.kind.spans_lines:
            value = self._whole_text(text)
            if value is not None:
                return value
        value = self._last_unit(text)
        return self._first_line(text) if value is None else None if value is _OPEN else value

    def _whole_text(self, text: str) -> str | None:
        """Return the value that the whole text is, or its last paragraph."""
        bare = _FENCE.sub("", text).strip()
        bullet = _BULLET.match(bare) if "\n" not in bare else None
        bare = bare[bullet.end() :] if bullet else bare
        return self._value(bare, whole=True) or self._value(bare.rpartition("\n\n")[2], whole=True)

    def _last_unit(self, text: str) -> str | None:
        lines = _outside_code(text)
        n_units = 0
        for at in range(len(lines) - 1, -1, -1):
            line = lines[at][-_LONGEST_LINE:]
            bullet = _BULLET.match(line)
            rest = line[bullet.end() :] if bullet else line
            in_list = bullet is not None and at > 0 and _BULLET.match(lines[at - 1]) is not None
            units = [rest] if len(rest) <= self.kind.limit and self._is_bare(rest) else sentences(rest)
            for unit in reversed(units):
                value = self._unit(unit, in_list or self._follows_another(lines, at, unit))
                n_units += 1
                if value is None and n_units == 1 and is_unfinished(unit):
                    return _OPEN
                if value is not None or n_units > 8:
                    return value
            if RETRACTION.search("\n" + line):
                return _OPEN
        return None

    def _follows_another(self, lines: list[str], at: int, unit: str) -> bool:
        """Say whether a bare line follows a bare line with another value, as in a list of candidates."""
        if at == 0 or self.kind.spans_lines:
            return False
        value, before = (self.kind.exact(peel(plain(one))) for one in (unit, lines[at - 1]))
        return value is not None and before is not None and value != before

    def _is_bare(self, line: str) -> bool:
        return self.kind.exact(peel(plain(line))) is not None

    def _unit(self, unit: str, in_list: bool) -> str | None:
        """Return the value of a sentence without a mark, _OPEN if it names one but commits to none, else None."""
        if not self.kind.may_be_in(unit) or is_placeholder(unit):
            return None
        kind, bare = self.kind, plain(unit[-self.kind.limit :])
        value = kind.exact(peel(bare))
        if value is not None:
            return _OPEN if in_list or "?" in unit else value
        clause = without_reason(without_asides(bare))
        value = kind.exact(peel(clause)) or self._statement(clause)
        if value not in (None, _OPEN) and kind.hedge.search(clause):
            return _OPEN
        return value

    def _first_line(self, text: str) -> str | None:
        """Return the value of a bare first line that is followed by more."""
        line, newline, rest = text.lstrip().partition("\n")
        if not newline or len(line) > self.kind.limit or RETRACTION.search("\n" + rest[:2_000]) or _BULLET.match(line):
            return None
        return self.kind.exact(peel(plain(line))) if "?" not in line else None


def _last_verb(text: str, start: int, end: int) -> re.Match[str] | None:
    """Return the last verb of a line, as the separator of "the answer to which code comes next is x"."""
    pattern = re.compile(r"(?P<about>.*)\b(?P<verb>is|are|was)\b\s?:?(?P<colon>(?!))?")
    return pattern.match(text, start, end)


def _has_placeholder(text: str) -> bool:
    return is_placeholder(text) and bool(text.strip())


def _is_thinking_aloud(text: str) -> bool:
    return re.match(r"\W*(?:let|we|i|first|to find|now|step)\b", text, re.IGNORECASE) is not None


def _outside_code(text: str) -> list[str]:
    """Return the lines that are not blank, without blocks of code of more than one line."""
    lines: list[str] = []
    block: list[str] | None = None
    for line in text.split("\n"):
        if _FENCE.match(line):
            if block is not None and len(block) == 1:
                lines += block
            block = [] if block is None else None
        elif not line.strip():
            continue
        elif block is not None:
            block.append(line)
        else:
            lines.append(line)
    return lines + (block or [])

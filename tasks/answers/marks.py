r"""Marks of an answer and what they mark: `Answer:`, "so the answer is", `\boxed{`, `<answer>`, `####`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecoder

from fathom.tasks.answers.kinds import AnswerKind
from fathom.tasks.answers.layout import BULLET, FENCE, is_decoration, line_end, paragraph_end
from fathom.tasks.answers.phrases import CONDITION, is_placeholder
from fathom.tasks.answers.values import bare_value, holds_value

MAX_MARKS = 40
"""Most marks, from the last one back, that are looked at."""

_NEAR = 400
"""Characters at the end of a text in which a mark is looked for first, as most stand there."""

_FAR = 600
"""Characters before an answer, beside its own length, in which another mark makes both a list of candidates."""

_KEY = re.compile(
    r"(?=[ar\u043e\u0111\u7b54\ub2f5\\#])"  # what a mark begins with: most places are passed over at once
    r"(?:(?<![a-z])(?<!not_the_)answers?(?![a-z])|\bans\b|答案|答え"
    r"|(?<!\w)(?:respuesta|resposta|réponse|antwort|antwoord|risposta|ответ|đáp án)(?!\w)|답(?=은|:)"
    r"|\bresult(?=[*_ ]{0,4}:)|\\f?box(?:ed)?\b|(?<!#)####(?!#))",
    re.IGNORECASE,
)
_PARTS_OF_KEYS = ("ans", "box", "####", "答", "resp", "répon", "antw", "risp", "ответ", "đáp", "답", "result")
"""One of these is in each mark, which is quick to see."""

_BEFORE = re.compile(
    r"(?:\W|_|\d|\b(?:step|so|therefore|thus|hence|then|finally|final|my|the|a|our|your|correct|right|overall|"
    r"short|direct|this|gives|and|is|model|solution|question|problem|in|conclusion|sum|up|here|i|can|now|say|that|"
    r"we|have|as)\b)*",
    re.IGNORECASE,
)
"""What may stand before the word "answer" on its line without making it part of a sentence about something else."""

_SEPARATOR = re.compile(
    r"(?P<decor>['\"*_`)\]}\s]{0,6})(?P<about>[^:=\n.!?→]{0,90}?)"
    r"(?:(?P<colon>[:=→|]|->)|(?<=\s)[-\u2013\u2014](?=\s)|[是为은]"
    r"|\b(?P<verb>is|are|was|should be|must be|will be|would be|remains|es|est|ist|lautet|é|è|là)\b\s?"
    r"(?:donc\s|also\s|dus\s)?:?)",
    re.IGNORECASE,
)
_LAST_VERB = re.compile(r"(?P<decor>)(?P<about>.*)\b(?P<verb>is|are|was)\b\s?:?(?P<colon>(?!))?")
_QUESTION_WORD = re.compile(r"\b(?:what|which|who|where|when|how)\b", re.IGNORECASE)
_SUBJECT_BEFORE = re.compile(r"\s(?:is|are|as|be)\s(?:the|our|my)\s(?:final\s|correct\s|right\s)?$", re.IGNORECASE)
_VERB_BEFORE = re.compile(
    r"\b(?:makes?|get|gives?|have|reach|obtain|find|yields?|means)\s(?:the|our|an|my)\s(?:final\s)?$", re.IGNORECASE
)
_VERB_OF_ANSWER = re.compile(
    r"\b(?:to|can|will|not|cannot)\s(?:(?:find|get|determine|reach|obtain|compute)\s(?:the|our|my)\s(?:final\s)?)?$",
    re.IGNORECASE,
)
_CANDIDATES = re.compile(r"\b(?:possible|candidate|potential|plausible)\s(?:final\s)?$", re.IGNORECASE)
_BRACE = re.compile(r"[{}]")
_LETTER = re.compile(r"\w")
_ENDS_OPEN = (",", "[", "->", "→")
_JSON = JSONDecoder()


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a text that should hold the answer; `is_strict` says that the mark before it is unmistakable."""

    start: int
    end: int
    is_strict: bool


def marked_regions(text: str, kind: AnswerKind) -> Iterator[Region]:
    """Return the marked parts of a clean text, from the last one back."""
    for key in _keys(text):
        word = key[0]
        region = (
            _boxed(text, key.end(), kind)
            if "\\" in word
            else _after_hashes(text, key.end(), kind)
            if "#" in word
            else _Mark(text, key, kind).region()
        )
        if region is not None:
            yield region


def _keys(text: str) -> Iterator[re.Match[str]]:
    """Return the words and signs that may be marks, from the last one back; the end of the text is searched first."""
    if not _count_parts(text):
        return
    near = text.rfind("\n", 0, max(0, len(text) - _NEAR)) + 1
    ends = list(_KEY.finditer(text, near))[-MAX_MARKS:]
    yield from reversed(ends)
    if near and len(ends) < MAX_MARKS:
        yield from reversed(list(_KEY.finditer(text, 0, near))[len(ends) - MAX_MARKS :])


_EMPTY_MARK = re.compile(r"\banswer[\s*_]{0,6}:\W{0,20}$", re.IGNORECASE)


def ends_with_mark(text: str) -> bool:
    """Say whether a text ends with a mark behind which nothing stands: then only an answer before it counts."""
    return _EMPTY_MARK.search(text[-40:]) is not None


def has_mark_near(text: str, region: Region) -> bool:
    """Say whether another mark, with an answer as long as that of a region, may stand before its mark; quick."""
    return _count_parts(text[max(0, 2 * region.start - region.end - _FAR) : region.start]) > 1


def _count_parts(text: str) -> int:
    low = text.lower()
    return sum(low.count(part) for part in _PARTS_OF_KEYS)


def _boxed(text: str, at: int, kind: AnswerKind) -> Region | None:
    while text[at : at + 1] == " ":
        at += 1
    if text[at : at + 1] != "{":
        return None
    depth = 0
    for brace in _BRACE.finditer(text, at, at + kind.limit + 40):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return Region(at + 1, brace.start(), True)
    return None


def _after_hashes(text: str, start: int, kind: AnswerKind) -> Region | None:
    end, line = line_end(text, start), text.rfind("\n", 0, start) + 1
    if text[line : start - 4].strip() or start - 8 > line:
        return None
    return None if kind.asked(text[start:end].strip(" *.")) is None else Region(start, end, True)


class _Mark:
    """A word for "answer" in a text, and the part that it marks."""

    def __init__(self, text: str, key: re.Match[str], kind: AnswerKind) -> None:
        self.text, self.kind, self.at, self.start = text, kind, key.start(), key.end()
        self.line_end = line_end(text, self.start)
        self.before = text[text.rfind("\n", 0, self.at) + 1 : self.at]
        self.near = self.before[-60:]
        self.is_first = len(self.before) < 60 and _BEFORE.fullmatch(self.before) is not None

    def region(self) -> Region | None:
        """Return the part of the text that should hold the answer, or None if the word marks none."""
        if self.before.endswith(("</", "[/")) or _VERB_OF_ANSWER.search(self.near):
            return None
        if self.before[-1:] + self.text[self.start : self.start + 1] in ("<>", "[]"):
            return self._tagged()
        if CONDITION.search(self.before[-200:]):
            return None
        found = _SEPARATOR.match(self.text, self.start, self.line_end)
        if found is None or not found["about"].isascii():
            return self._without_separator()
        rest = self.text[self.start : self.line_end]
        if found["about"].strip().isdigit() and bare_value(rest, self.kind) is not None:
            return Region(self.start, self.line_end, self.is_first)  # the answer 3: 17
        if found["verb"] and _QUESTION_WORD.search(found["about"]):
            # the answer to which code comes next is x
            found = _LAST_VERB.match(self.text, self.start, self.line_end) or found
        return self._after(found)

    def _tagged(self) -> Region:
        end = self.text.find("</" if self.before.endswith("<") else "[/", self.start)
        is_near = self.start < end < self.start + self.kind.limit + 80
        return Region(self.start + 1, end if is_near else self.line_end, True)

    def _without_separator(self) -> Region | None:
        """Return what stands before "is the answer", behind "makes the answer", or below a heading."""
        is_last = is_decoration(self.text, self.start, self.line_end)
        subject = _SUBJECT_BEFORE.search(self.near) if is_last else None
        if subject:
            sentence = self.at - len(self.before) + self.before.rfind(". ") + 1
            return Region(sentence, self.at - len(subject[0]), False)
        if _VERB_BEFORE.search(self.near):
            return Region(self.start, self.line_end, False)
        return self._below(True) if self.is_first and is_last else None

    def _after(self, found: re.Match[str]) -> Region | None:
        """Return what follows a colon or a verb: a JSON value, the rest of the line, or what is below."""
        text, end = self.text, self.line_end
        if self.before.lower().rstrip().endswith("is the") and text[self.start : end].rstrip().endswith("?"):
            return Region(self.start, end, True)
        if _CANDIDATES.search(self.near):
            return Region(self.start, paragraph_end(text, end), True)
        if found["colon"] == ":" and '"' in found["decor"]:
            return self._json_value(found.end())
        is_strict = self.is_first and found["colon"] is not None and len(found["about"]) < 40
        rest = text[found.end() : end]
        is_empty = is_decoration(rest, 0, len(rest)) and "_" not in rest
        if is_empty and not (rest.strip() and is_placeholder(rest)):
            return self._below(is_strict)
        return self._beside(found.end(), is_strict)

    def _json_value(self, start: int) -> Region:
        """Return the value of a key of a JSON object, of which the text may end too early."""
        while self.text[start : start + 1].isspace():
            start += 1
        try:
            _, end = _JSON.raw_decode(self.text[: start + 2 * self.kind.limit], start)
        except (ValueError, RecursionError):
            end = line_end(self.text, start)
        return Region(start, end, True)

    def _beside(self, start: int, is_strict: bool) -> Region:
        """Return the rest of the line; where an answer may span lines and goes on below, the paragraph."""
        text, kind, end = self.text, self.kind, self.line_end
        if not kind.spans_lines:
            return Region(start, end, is_strict)
        whole = self._paragraph_end()
        if not holds_value(text[start:end], kind):
            return Region(start, whole if whole > end and holds_value(text[start:whole], kind) else end, is_strict)
        if text[:end].rstrip().endswith(_ENDS_OPEN):
            return Region(start, paragraph_end(text, end), is_strict)
        return Region(start, whole if bare_value(text[start:whole], kind) is not None else end, is_strict)

    def _paragraph_end(self) -> int:
        """Return where the paragraph ends, or the line before the next mark."""
        end = paragraph_end(self.text, self.start)
        other = _KEY.search(self.text, self.line_end, end)
        return self.text.rfind("\n", 0, other.start()) if other else end

    def _below(self, is_strict: bool) -> Region | None:
        """Return the next line that is no decoration; where an answer may span lines, the paragraph if it is one."""
        text, start = self.text, self.line_end + 1
        while start <= len(text):
            end = line_end(text, start)
            line = text[start:end]
            if not FENCE.match(line) and _LETTER.search(line):
                return self._from_line(start, end, is_strict)
            start = end + 1
        return None

    def _from_line(self, start: int, end: int, is_strict: bool) -> Region:
        text, bullet = self.text, BULLET.match(self.text, start, end)
        if self.kind.spans_lines:
            whole = paragraph_end(text, start)
            if bare_value(text[start:whole], self.kind) is not None:
                return Region(start, whole, is_strict)
        elif bullet and BULLET.match(text, end + 1):
            end = line_end(text, end + 1)  # a list of candidates
        return Region(bullet.end() if bullet and bullet.end() < end else start, end, is_strict)

r"""One short answer, read from a model's text by the same rules for every family.

1. If any line begins with "Answer:" (any case, Markdown emphasis allowed), the answer is what follows it on that
   line, or the next line that is not blank. Several such lines must agree.
2. Otherwise the text must be one line, and that line is the answer.
3. White space, surrounding quotes, Markdown emphasis, code ticks, dollar signs, `\boxed{}` and one final full stop
   are removed.

Any other text has no answer; nor has a text of more than MAX_TEXT characters, which no budget allows. Nothing is
searched for inside a sentence, so a text that lists every candidate is never right by luck.
"""

import re
from collections.abc import Sequence
from itertools import islice

MAX_TEXT = 400_000
"""Most characters of a completion that is parsed, so that grading stays fast."""

MAX_MARKS = 1000
"""Most lines that begin with "Answer:"; a text with more has no answer."""

MAX_ANSWER = 200
"""Most characters of an answer, except for families whose answers are long lists."""

_MARKED = re.compile(r"^[ \t>#-]{0,8}([*_]{0,3})answer[*_]{0,3}[ \t]{0,4}:[*_]{0,3}(.*)$", re.IGNORECASE | re.MULTILINE)
_NEXT_LINE = re.compile(r"[ \t\r\n]{1,16}([^\n]+)")
_INTEGER = re.compile(r"[-+]?[0-9]{1,30}")
_WRAPPERS = (('"', '"'), ("'", "'"), ("**", "**"), ("*", "*"), ("_", "_"), ("`", "`"), ("$", "$"), ("\\boxed{", "}"))


def normalise(text: str) -> str:
    """Remove white space, wrappers and one final full stop from an answer."""
    peeled = text.strip()
    stops = 1
    while True:
        before = peeled
        for left, right in _WRAPPERS:
            if peeled.startswith(left) and peeled.endswith(right) and len(peeled) > len(left + right):
                peeled = peeled[len(left) : -len(right)].strip()
        if stops and peeled.endswith(".") and not peeled.endswith(".."):
            stops, peeled = 0, peeled[:-1].rstrip()
        if peeled == before:
            return peeled


def final_answer(text: str, limit: int = MAX_ANSWER) -> str | None:
    """Return the one answer of a text, of at most `limit` characters, or None."""
    if len(text) > MAX_TEXT:
        return None
    marks = list(islice(_MARKED.finditer(text), MAX_MARKS + 1))
    if marks:
        answers = {_marked_answer(text, found, limit) for found in marks}
        return answers.pop() if len(answers) == 1 and len(marks) <= MAX_MARKS else None
    if len(text) > 4 * limit:
        return None
    return _short(text, limit) if len(text.strip().splitlines()) == 1 else None


def _marked_answer(text: str, found: re.Match[str], limit: int) -> str | None:
    emphasis, rest = found.groups()
    if emphasis:  # **Answer: x** opens before the mark and closes after the answer
        rest = rest.rstrip().removesuffix(emphasis)
    if not rest.strip():
        following = _NEXT_LINE.match(text, found.end())
        rest = following[1] if following else ""
    return _short(rest, limit)


def _short(text: str, limit: int) -> str | None:
    if len(text) > 4 * limit:
        return None
    answer = normalise(text)
    return answer if 0 < len(answer) <= limit else None


def final_integer(text: str) -> int | None:
    """Return the answer if it is a whole number in ASCII digits, else None."""
    answer = final_answer(text)
    return int(answer) if answer is not None and _INTEGER.fullmatch(answer) else None


def final_option(text: str, options: Sequence[str]) -> str | None:
    """Return the option that is the answer, ignoring the case of ASCII letters, or None."""
    answer = final_answer(text)
    if answer is None or not answer.isascii():
        return None
    return next((option for option in options if option.lower() == answer.lower()), None)


def final_list(text: str, limit: int = MAX_ANSWER) -> list[str] | None:
    """Return the answer as a list of names separated by commas or blanks, or None."""
    answer = final_answer(text, limit)
    if answer is None:
        return None
    return [name for name in re.split(r"[,\s]+", answer.strip("[]()")) if name]

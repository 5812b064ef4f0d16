"""Lines, paragraphs, list items and blocks of code of a text."""

import re

FENCE = re.compile(r"^[ \t]{0,8}(?:```|~~~)[^\n`]{0,30}$", re.MULTILINE)
"""A line that begins or ends a block of code."""

BULLET = re.compile(r"\s{0,12}(?:[-*•>]\s{1,4}|\(?\d{1,3}[.)]\s{1,4}|#{1,6}\s{1,4})+")
"""What marks a line as an item of a list, a quotation or a heading."""

_DECORATION = re.compile(r"[\s\W_]*")


def is_decoration(text: str, start: int, end: int) -> bool:
    """Say whether a part of a text has neither letters nor digits."""
    return _DECORATION.fullmatch(text, start, end) is not None


def line_end(text: str, at: int) -> int:
    """Return where the line ends in which a place lies."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def paragraph_end(text: str, at: int) -> int:
    """Return where the paragraph, or the block of code, ends that begins at a place."""
    fence = FENCE.search(text, at)
    ends = [text.find("\n\n", at + 1), fence.start() if fence else -1]
    return min([end for end in ends if end >= 0], default=len(text))


def outside_code(text: str) -> list[str]:
    """Return the lines that are not blank, without blocks of code of more than one line."""
    lines: list[str] = []
    block: list[str] | None = None
    for line in text.split("\n"):
        if FENCE.match(line):
            lines += block if block and len(block) == 1 else []
            block = [] if block is None else None
        elif line.strip():
            (lines if block is None else block).append(line)
    return lines + (block or [])

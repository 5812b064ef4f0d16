"""Plain characters in place of those that a console's encoding does not have."""

import codecs
import io
import sys
import unicodedata

_BLOCKS = dict(zip("▁▂▃▄▅▆▇█", "_.:-=+*#", strict=True))
"""Bars of eight heights."""
_PLAIN = {
    **_BLOCKS,
    **dict.fromkeys("‐‑‒–—−─━", "-"), **dict.fromkeys("│┃┤├", "|"), **dict.fromkeys("┌┐└┘┬┴┼", "+"),
    **dict.fromkeys("‘’‚", "'"), **dict.fromkeys("“”„«»", '"'), **dict.fromkeys("●◆■", "*"),
    **dict.fromkeys("○◇□", "o"),
    **dict.fromkeys("·•", "."), "±": "+-", "≤": "<=", "≥": ">=", "≈": "~", "≠": "!=", "×": "x", "÷": "/", "→": "->",
    "←": "<-", "↑": "^", "↓": "v", "…": "...", "µ": "u", "∞": "inf", "✓": "v", "✗": "x", "½": "1/2",
}  # fmt: skip
"""Characters of our tables and pictures."""
_ERRORS, _JSON_ERRORS = "fathom-plain", "fathom-json"


def plain(char: str) -> str:
    """Return ASCII characters that stand for one that cannot be shown; ? where there are none."""
    if char in _PLAIN:
        return _PLAIN[char]
    parts = unicodedata.normalize("NFKD", char)
    return "".join(part for part in parts if part.isascii() and part.isprintable()) or "?"


def use_plain_characters() -> None:
    """Let both output streams write what their encoding has, and plain characters for the rest, instead of failing."""
    codecs.register_error(_ERRORS, _replace)
    codecs.register_error(_JSON_ERRORS, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def print_json_text(text: str) -> None:
    """Print a line of JSON, exactly: what the console cannot show is escaped, as JSON allows."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper) and stream.errors == _ERRORS:
        text = text.encode(stream.encoding, _JSON_ERRORS).decode(stream.encoding)
    print(text, flush=True)  # noqa: T201  # a command's output


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(plain, error.object[error.start : error.end])), error.end


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)), error.end

"""Turn numbers into text for people; the only place where numbers are formatted."""

import datetime as dt

from harness.stats import Interval


def percent(share: float, digits: int = 1) -> str:
    """Write 0.7134 as 71.3%."""
    return f"{100 * share:.{digits}f}%"


def interval_text(interval: Interval) -> str:
    """Write an interval of shares as 65.1–77.0%."""
    return f"{100 * interval.low:.1f}–{100 * interval.high:.1f}%"


def count(number: int) -> str:
    """Write 12345 as 12,345."""
    return f"{number:,}"


def duration(seconds: float) -> str:
    """Write 75 as 1 min 15 s."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def instant(moment: dt.datetime) -> str:
    """Write an instant as 2026-11-23 04:05 UTC."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def plural(number: int, noun: str) -> str:
    """Write 1 item, 2 items."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def visible(text: str) -> str:
    """Show control and bidirectional characters as escapes, so that text cannot disguise itself."""
    return "".join(char if char in "\n\t" or char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")

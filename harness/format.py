"""Numbers as text for people; no other module formats numbers."""

import datetime as dt
from math import floor, inf, log10

from fathom.harness.stats.intervals import Estimate, Interval

_BARS = "▁▂▃▄▅▆▇█"


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


def prompt_format_words(prompt_format: str) -> str:
    """Write chat/0 as "chat", and plain/3/twice as "plain text, 3 shots, asked twice"; empty where it is not known."""
    kind, _, rest = prompt_format.partition("/")
    if not kind:
        return ""
    shots, *more = rest.split("/")
    said = ["chat" if kind == "chat" else "plain text"]
    said += [] if shots == "0" else [plural(int(shots), "shot")]
    said += ["asked twice" if one == "twice" else f"{one.removeprefix('filler-')} filler numbers" for one in more]
    return ", ".join(said)


def instant(moment: dt.datetime) -> str:
    """Write an instant as 2026-11-23 04:05 UTC."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def plural(number: int, noun: str) -> str:
    """Write 1 item, 2 items."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def visible(text: str) -> str:
    """Write control and bidirectional characters as escapes, so that they cannot hide or reorder text."""
    if text.isprintable():
        return text
    return "\n".join(line if line.isprintable() else _visible_line(line) for line in text.split("\n"))


def _visible_line(line: str) -> str:
    return "".join(char if char == "\t" or char.isprintable() else _escape(char) for char in line)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def ratio(k: int, n: int) -> str:
    """Write 12 of 1,234 as 12/1,234."""
    return f"{count(k)}/{count(n)}"


def log_likelihood(nats: float) -> str:
    """Write a log-likelihood in nats with two digits and a real minus sign."""
    return f"{nats:.2f}".replace("-", "\N{MINUS SIGN}")


def milliseconds(number: int) -> str:
    """Write 1234 as 1.23 s, and numbers below 1000 as 234 ms."""
    return f"{number} ms" if number < 1000 else f"{number / 1000:.2f} s"


def shorten(text: str, limit: int = 120) -> str:
    """Cut a long text, and add the number of characters cut off."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({count(len(text) - limit)} more characters)"


def hardness(number: float) -> str:
    """Write a level's hardness as 4 or 2.0008, with all its digits."""
    return f"{number:.9g}"


def score(estimate: Estimate) -> str:
    """Write a score and half of its 95% interval as 0.41 ± 0.05, with a real minus sign."""
    half = (estimate.interval.high - estimate.interval.low) / 2
    return f"{estimate.value:z.2f} ± {half:.2f}".replace("-", "\N{MINUS SIGN}")


def difference(estimate: Estimate) -> str:
    """Write a difference of two scores and half of its 95% interval as +0.41 ± 0.05."""
    half = (estimate.interval.high - estimate.interval.low) / 2
    return f"{estimate.value:+z.2f} ± {half:.2f}".replace("-", "\N{MINUS SIGN}")


def about(number: int) -> str:
    """Write 1,912 as about 1,900; numbers of one or two digits stay exact."""
    digits = len(str(abs(number)))
    return count(number) if digits <= 2 else f"about {count(round(number, 2 - digits))}"


def odds(value: float, interval: Interval) -> str:
    """Write odds and their interval as 2.5 (1.2–5.1); infinite odds are ∞."""
    return f"{_odds(value)} ({_odds(interval.low)}–{_odds(interval.high)})"


def _odds(number: float) -> str:
    if number in (0, inf):
        return "∞" if number else "0"
    if number < 1:
        return f"{number:.2f}"
    return count(round(number)) if number >= 10 else f"{number:.1f}"


def bar(share: float) -> str:
    """Write a share of 0..1 as one of eight block characters."""
    return _BARS[min(len(_BARS) - 1, max(0, int(share * len(_BARS))))]


def size(n_parameters: int) -> str:
    """Write 7241748480 as 7.24B, 956288 as 956K."""
    for unit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if n_parameters >= unit:
            return f"{n_parameters / unit:.3g}{letter}"
    return str(n_parameters)


def tokens(number: float) -> str:
    """Write 1234567 as 1.23M, 45678 as 45.7k, and numbers below 1,000 as they are."""
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{letter}"
    return count(round(number))


def dollars(amount: float) -> str:
    """Write 12.345 as $12.35, and amounts below a dollar with two significant digits, as $0.00042."""
    if amount >= 1 or amount == 0:
        return f"${amount:,.2f}"
    places = max(2, 1 - floor(log10(amount)))
    return f"${amount:.{places}f}"


def megabytes(n_bytes: int) -> str:
    """Write 2,345,678 as 2.3 MB, and sizes below 100,000 as 57 kB."""
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 100_000 else f"{n_bytes / 1e3:.0f} kB"


def p_value(p: float) -> str:
    """Write a p value as 0.03, and values below a thousandth as < 0.001."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def ranks(low: int, high: int) -> str:
    """Write an interval of ranks as 2–5."""
    return count(low) if low == high else f"{count(low)}–{count(high)}"


def law_effect(value: float, unit: str, *, signed: bool = True) -> str:
    """Return an effect of a law in its unit: points for shares, bits, or the factor that log2 ratio stands for."""
    if unit == "log2 ratio":
        return f"{2**value:.2f}"
    if unit == "share":
        return f"{100 * value:{'+' if signed else ''}.1f}"
    return f"{value:{'+' if signed else ''}.3f}"

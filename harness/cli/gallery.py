"""Turn every family into a page of examples: a question, its gold, a wrong answer and its verdict."""

from collections.abc import Iterator
from math import log
from textwrap import fill

from fathom.harness.format import plural
from fathom.tasks.base import PARAMETRIC, Family, Instance, Level, channels_of, demonstrate, make_instance, styles_of
from fathom.tasks.registry import all_families
from fathom.tasks.stream import Stream

SEED = "2026"
_SHOWN = 1800
"""Characters of a question that are shown; the middle of a longer one is left out."""

_ENDS = 8
"""Lines that are shown of each end of a text of many short ones."""

_WIDTH = 110

_HEAD = """# Gallery

One item of each family, ladder, channel and style, with its gold, a wrong answer, and what the grader says of it.
Written by `fathom gallery`; a test keeps it fresh. Seed {seed}, index 0, so that
`fathom sample FAMILY --level LEVEL --seed {seed}` prints the same items in full.

*direct*: the answer alone. *cot*: think first, then a last line `Answer: ...`. *choice*: the candidate of the highest
log-likelihood. For models that were trained on our text: *free*: go on from the bare text; *trained*: answer as the
text does; *bits*: how likely the gold is found. Long lines are broken here for reading.
"""


def write_gallery() -> str:
    """Return the gallery as Markdown."""
    return "\n".join(
        [_HEAD.format(seed=SEED), *(part for family in all_families().values() for part in _family(family))]
    )


def _family(family: Family) -> Iterator[str]:
    yield f"## {family.name}\n\n{family.summary} *{family.reference}.* Hardness counts {family.unit}.\n"
    for ladder in dict.fromkeys(level.ladder for level in family.levels.values()):
        levels = [level for level in family.levels.values() if level.ladder == ladder]
        shown = levels[min(1, len(levels) - 1)]
        names = f"{levels[0].name} to {levels[-1].name}" if len(levels) > 1 else levels[0].name
        yield f"### {family.name}, ladder {ladder}: {shown.name}\n\n{plural(len(levels), 'level')}: {names}.\n"
        for channel in channels_of(family, shown):
            yield from _item(family, shown, channel)


def _item(family: Family, level: Level, channel: str) -> Iterator[str]:
    item = make_instance(family, level.name, channel, SEED, 0)
    styles = styles_of(family, level)
    yield f"#### {level.name}, {channel}\n"
    yield _block(_elide(item.question))
    for style in styles:
        if style not in PARAMETRIC:
            yield f"**{style}**: {family.instruction(channel, style)}\n"
        if style == "trained":
            yield f"**{style}**: the question alone, as in the text that the model was trained on.\n"
        if style == "cot":
            yield _block(_elide(demonstrate(family, item, style).strip("\n")))
        if style == "choice":
            yield f"Candidates: {', '.join(map(_code, item.choices))}\n"
        if style == "bits":
            yield f"**{style}**: {_stake(item)}.\n\n{_right(item, style)}\n"
            continue
        yield f"{_right(item, style)} {_wrong(family, item, style)}\n"


def _stake(item: Instance) -> str:
    nats = item.facts["nats"]
    known, guessed = (-nats[who] / log(2) for who in ("known", "guessed"))
    return f"{guessed:.2f} bits if all is guessed, {abs(known):.2f} if all is known"


def _right(item: Instance, style: str) -> str:
    several = (
        " (for example; a verifier decides)" if item.facts.get("accepts") == "verifier" and style != "choice" else ""
    )
    return f"Gold: {_code(_elide(item.gold))}{several}."


def _wrong(family: Family, item: Instance, style: str) -> str:
    """Find a wrong answer: a candidate if there are any, else a guess, else none at all."""
    stream = Stream("gallery", style, item.id)
    tries = stream.shuffle(item.choices) if item.choices else [family.guess(item, style, stream) for _ in range(20)]
    for text in [*tries, ""]:
        verdict = family.grade(item, text)
        if not verdict.correct:
            break
    place = f" at {verdict.at}" if verdict.at else ""
    note = f" ({verdict.note})" if verdict.note else ""
    return f"Wrong: {_code(_elide(text))} → `{verdict.label}`{place}{note}."


def _block(text: str) -> str:
    lines = [fill(line, _WIDTH, break_on_hyphens=False) for line in text.splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def _code(text: str) -> str:
    return f"`{text.strip()}`" if text.strip() else "(nothing)"


def _elide(text: str) -> str:
    lines = text.splitlines()
    if len(lines) > 3 * _ENDS and max(map(len, lines[:-_ENDS])) < _SHOWN // 4:
        n_left_out = len(lines) - 2 * _ENDS
        return "\n".join([*lines[:_ENDS], f"[... {n_left_out:,} lines ...]", *lines[-_ENDS:]])
    if len(text) <= _SHOWN:
        return text
    half = _SHOWN // 2
    return f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"

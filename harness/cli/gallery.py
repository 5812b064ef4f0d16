"""The gallery: one example item of each family, as a page in Markdown."""

from collections.abc import Iterable, Iterator
from math import log
from textwrap import fill

from fathom.harness.format import plural
from fathom.tasks.base import SCORED, Family, Instance, Level, channels_of, grade, make_instance, styles_of
from fathom.tasks.registry import own_families
from fathom.tasks.stream import Stream

_SEED = "2026"
_LONGEST = 700  # characters of a question or solution; the middle of a longer one is left out
_MOST_LINES = 10
_WIDTH = 110

_HEAD = f"""# Gallery

One item of each family, with its gold, a wrong answer and the label that the grader gives it. Written by
`fathom gallery`; a test keeps it fresh. Long texts are shortened: `[... 900 characters ...]` marks what is left out.
`fathom sample FAMILY --level LEVEL --channel CHANNEL --seed {_SEED}` prints these items in full.
"""


def write_gallery(families: Iterable[Family] | None = None) -> str:
    """Return the gallery of some families, or of all, as Markdown."""
    shown = own_families().values() if families is None else families
    return "\n".join([_HEAD, *(part for family in shown for part in _section(family))])


def _section(family: Family) -> Iterator[str]:
    level = _example_level(family)
    channel, style = channels_of(family, level)[0], styles_of(family, level)[0]
    item = make_instance(family, level.name, channel, _SEED, 0)
    n_ladders = len({level.ladder for level in family.levels.values()})
    yield f"## {family.name}: {family.title}\n"
    yield f"{family.summary} *{family.reference}.*\n"
    yield (
        f"Hardness counts {family.unit}: {plural(len(family.levels), 'level')} on {plural(n_ladders, 'ladder')}. "
        f"Shown: `{level.name}`, {channel}, {style}.\n"
    )
    yield _block(item.question)
    if instruction := family.instruction(item, style):
        yield f"{instruction}\n"
    yield f"{_gold(item, style)} {_wrong_answer(family, item, style)}\n"
    if "cot" in styles_of(family, level):
        yield f"One way to solve it:\n\n{_block(family.solution(item).strip())}"


def _example_level(family: Family) -> Level:
    """Return the second level of the first ladder, or its only one."""
    first, *others = family.levels.values()
    return next((level for level in others if level.ladder == first.ladder), first)


def _gold(item: Instance, style: str) -> str:
    several = " (one of several: a verifier decides)" if item.facts.get("accepts") == "verifier" else ""
    gold = f"Gold: {_code(item.gold)}{several}."
    if style in SCORED and "nats" in item.facts:
        bits = {name: abs(nats) / log(2) for name, nats in item.facts["nats"].items()}
        gold += f" It costs {bits['guessed']:.2f} bits to guess, and {bits['known']:.2f} if all is learnt."
    return gold


def _wrong_answer(family: Family, item: Instance, style: str) -> str:
    """Show a wrong answer and its label: a candidate, else a guess, else an empty text."""
    stream = Stream("gallery", style, item.id)
    tries = stream.shuffle(item.choices) if item.choices else [family.guess(item, style, stream) for _ in range(20)]
    text, verdict = next((text, verdict) for text in [*tries, ""] if not (verdict := grade(family, item, text)).correct)
    place = f" at {verdict.at}" if verdict.at else ""
    return f"Wrong: {_code(text)}, `{verdict.label}`{place}. {family.labels[verdict.label]}"


def _block(text: str) -> str:
    lines = [fill(line, _WIDTH, break_on_hyphens=False) for line in _shortened(text).splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def _code(text: str) -> str:
    return f"`{_shortened(text.strip())}`" if text.strip() else "(nothing)"


def _shortened(text: str) -> str:
    """Leave out the middle of a text of many characters or lines, and say how much."""
    lines = text.splitlines()
    if len(lines) > _MOST_LINES:
        half = _MOST_LINES // 2
        text = "\n".join([*lines[:half], f"[... {len(lines) - 2 * half:,} lines ...]", *lines[-half:]])
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"

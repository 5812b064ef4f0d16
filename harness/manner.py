"""Turn how a run was put to its model, and how that answered, into one line for people."""

from collections.abc import Iterable, Iterator, Mapping

from harness.format import count, plural, shorten
from harness.prompting import Decoding, Prompting, Thinking, read_sampling
from harness.prompts import sampling_of
from harness.suite import SuiteCell
from tasks import TaskError
from tasks.base import SCORED


def manner_text(prompting: Prompting, decoding: Decoding, cells: Iterable[SuiteCell] = ()) -> str:
    """Say how questions are put and answers drawn; of `cells`, the budgets by style."""
    asked = tuple(cells)
    parts = [*_put(prompting), *_drawn(decoding), *_budgets(prompting, decoding, asked)]
    said = "asked " + ", ".join(parts) + _thought(decoding.thinking)
    thinks_in_chat = prompting.chat and decoding.thinking is not None and decoding.thinking.opened is not None
    if thinks_in_chat and (not asked or any(cell.style in SCORED for cell in asked)):
        said += "; candidates are scored after an empty thought"
    return said


def manner_of(manifest: Mapping[str, object], cells: Iterable[SuiteCell]) -> str:  # JSON of provenance.Manifest
    """Say it of a stored run; nothing of one whose manifest was not written by `fathom run`."""
    decisive = manifest.get("decisive")
    try:
        prompting, decoding = read_sampling(decisive["sampling"])  # type: ignore[index]  # checked by trying
    except (KeyError, TypeError, ValueError, AttributeError):
        return ""
    return manner_text(prompting, decoding, cells)


def _put(prompting: Prompting) -> Iterator[str]:
    yield "in a chat" if prompting.chat else "in plain text"
    shots = plural(prompting.n_shots, "shot") if prompting.n_shots else "zero-shot"
    yield f"{shots} as {prompting.shots_as}" if prompting.chat and prompting.n_shots else shots
    if prompting.system:
        yield f"system “{shorten(prompting.system, 60)}”"
    yield from (f"{name}={value}" for name, value in prompting.template_options.items())


def _drawn(decoding: Decoding) -> Iterator[str]:
    yield "greedy" if not decoding.temperature else f"temperature {decoding.temperature:g}"
    if decoding.repeats > 1:
        yield f"{count(decoding.repeats)} answers an item"


def _budgets(prompting: Prompting, decoding: Decoding, cells: Iterable[SuiteCell]) -> Iterator[str]:
    thought = decoding.thinking.budget if decoding.thinking else 0
    found: dict[str, set[int]] = {}
    for cell in cells:
        try:
            if cell.style not in SCORED:
                budget = sampling_of(cell, prompting, decoding).max_tokens - thought
                found.setdefault(cell.style, set()).add(budget)
        except TaskError:  # a family or level that is no longer there
            continue
    said = [f"{_span(min(some), max(some))} ({style})" for style, some in found.items()]
    if said:
        yield "at most " + " or ".join(said) + " tokens an answer"


def _span(low: int, high: int) -> str:
    return count(low) if low == high else f"{count(low)}–{count(high)}"


def _thought(one: Thinking | None) -> str:
    if one is None:
        return ""
    opened = " that the template opens" if one.opened else ""
    return f"; after a thought{opened}, {one.start} to {one.end}, of at most {count(one.budget)} tokens"


def cut_text(cut: Mapping[str, int]) -> str:
    """Say how many answers used their budget up, by style; nothing where none did."""
    if not cut:
        return ""
    said = ", ".join(f"{style} {count(n)}" for style, n in cut.items())
    return f"cut off, as the budget ran out: {said} (--budget, or --think-budget, gives more)"

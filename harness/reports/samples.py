"""Stored samples as plain text for a terminal: prompt, completion, what was read of it, and the verdict."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from fathom.harness.db.task_samples import AnsweredDoc, DocRequest
from fathom.harness.engines.base import Completion
from fathom.harness.format import count, log_likelihood, milliseconds, plural, shorten, visible
from fathom.harness.records import SampleView
from fathom.harness.reports.questions import Excerpt, excerpt, make_sample_question
from fathom.harness.runs.run_settings import PromptSettings

WIDTH = 80
"""Characters of a line."""

ENDINGS: Mapping[str, str] = {
    "stop": "ended by itself",
    "length": "cut off: its token budget ran out",
    "looped": "stopped early: it repeated itself",
    "too_long": "not asked: the prompt does not fit the context",
    "error": "the engine failed on it",
}
"""Finish reasons in words."""

_INDENT = "    "
_TERM = 12
"""Characters of the column of terms."""


def sample_lines(sample: SampleView, number: int, asked: PromptSettings) -> Iterator[str]:
    """Yield the lines of a sample of a suite's run, asked in this way; `number` counts the samples shown, from 1."""
    again = f", answer {sample.repeat + 1}" if sample.repeat else ""
    yield _rule(f"{number}  {sample.item}, {sample.style}{again}")
    made = make_sample_question(sample, asked)
    yield "prompt"
    yield from _text(excerpt(made.text) if made else None, "this version of Fathom no longer makes this item")
    yield "completion"
    yield from _text(excerpt(sample.completion), "empty")
    if made and sample.scores is not None and len(sample.scores) == len(made.item.choices):
        yield from _candidates(made.item.choices, sample.scores)
    yield from _term("ending", _ending(sample.finish_reason, sample.prompt_tokens, sample.completion_tokens))
    if sample.error:
        yield from _term("error", sample.error)
    yield from _term("answer", _answer(sample))
    yield from _term("gold", made.gold if made else "not known")
    yield from _term("verdict", _verdict(sample))


def _rule(title: str) -> str:
    return f"\n── {visible(shorten(title, WIDTH - 4))} ".ljust(WIDTH + 1, "─")


def _text(one: Excerpt | None, otherwise: str) -> Iterator[str]:
    if one is None or not one.text:
        yield f"{_INDENT}({otherwise})"
        return
    yield from _wrapped(one.text)
    if one.n_cut:
        yield f"{_INDENT}[... {plural(one.n_cut, 'character')} left out ...]"
        yield from _wrapped(one.end)


def _wrapped(text: str) -> Iterator[str]:
    for line in visible(text).expandtabs(4).split("\n"):
        parts = wrap(line, WIDTH - len(_INDENT), replace_whitespace=False) or [""]
        yield from (f"{_INDENT}{part.rstrip()}".rstrip() for part in parts)


def _candidates(choices: Sequence[str], scores: Sequence[float]) -> Iterator[str]:
    yield "candidates and their log-likelihoods"
    for choice, score in zip(choices, scores, strict=True):
        yield f"{_INDENT}{log_likelihood(score):>9}  {visible(shorten(choice.strip(), WIDTH - 20))}"


def _term(term: str, value: str) -> Iterator[str]:
    first, *rest = wrap(visible(shorten(value, 600)), WIDTH - _TERM) or [""]
    yield f"{term:<{_TERM}}{first}".rstrip()
    yield from (f"{'':<{_TERM}}{line}" for line in rest)


def _ending(reason: str, n_prompt: int, n_tokens: int) -> str:
    return f"{ENDINGS.get(reason, reason)}; {count(n_prompt)} tokens in, {count(n_tokens)} out"


_FOUND = {"asked": "in the form asked for", "read": "in another form than asked for"}


def _answer(sample: SampleView) -> str:
    """Say what was read, and how it was found."""
    read = "none" if sample.parsed is None else " ".join(sample.parsed.split("\n"))
    if sample.found is None:
        return f"{read} (how it was found is not stored: `fathom regrade` reads it again)"
    if sample.found == "none":
        return read if sample.parsed is None else f"{read} (not an answer)"
    return f"{read} ({_FOUND[sample.found]})"


def _verdict(sample: SampleView) -> str:
    note = f" ({sample.note})" if sample.note else ""
    if sample.correct:
        return f"right{note}"
    return f"wrong, {sample.label}{f' at {sample.fault_at}' if sample.fault_at else ''}{note}"


def doc_lines(doc: AnsweredDoc, number: int) -> Iterator[str]:
    """Yield the lines of a document of lm-eval's own tasks with its requests, and what each filter made of them."""
    yield _rule(f"{number}  {doc.task}, document {doc.doc_id}")
    for request in doc.requests:
        yield from _request(request)
    if doc.target is not None:
        yield from _term("target", doc.target)
    for line in doc.logged:
        yield from _term("verdict", _scored(line))


def _request(one: DocRequest) -> Iterator[str]:
    done: Completion = one.completion
    yield "prompt"
    yield from _text(excerpt(one.prompt), "empty")
    if not one.choices:
        yield "completion"
        yield from _text(excerpt(done.text), "empty")
    elif done.scores is not None:
        yield from _candidates(one.choices, done.scores)
    took = f", {milliseconds(round(done.seconds * 1000))}"
    yield from _term("ending", _ending(done.finish_reason, done.prompt_tokens, done.completion_tokens) + took)
    if done.error:
        yield from _term("error", done.error)


def _scored(line: Mapping[str, Any]) -> str:
    """Say what a filter read, and the metrics of it."""
    read = line["filtered_resps"]
    texts = read if isinstance(read, list) else [read]
    said = "; ".join(" ".join(str(one).split()) for one in texts) if _is_text(texts) else ""
    metrics = ", ".join(f"{name} {line[name]}" for name in line["metrics"])
    by = "" if line["filter"] == "none" else f", filter {line['filter']}"
    return f"{metrics}{by}" + (f", read as: {shorten(said, 200)}" if said else "")


def _is_text(read: Sequence[Any]) -> bool:
    return all(isinstance(one, str) for one in read)


def is_wrong(doc: AnsweredDoc) -> bool:
    """Say whether a scored document has no metric above 0 under any filter."""
    values = [line[name] for line in doc.logged for name in line["metrics"]]
    return bool(doc.logged) and not any(_above_zero(value) for value in values)


def _above_zero(value: object) -> bool:
    return not isinstance(value, int | float) or value > 0


UNREAD = "[invalid]"
"""What lm-eval's filters make of a text in which they find nothing."""


def is_unread(doc: AnsweredDoc) -> bool:
    """Say whether no filter of lm-eval's found an answer in the texts of a scored document that were not cut off."""
    texts = [line["filtered_resps"] for line in doc.logged]
    written = bool(doc.requests) and not any(one.choices for one in doc.requests)
    return written and bool(texts) and not is_cut(doc) and all(map(_found_nothing, texts))


def _found_nothing(read: object) -> bool:
    if isinstance(read, list):
        return all(map(_found_nothing, read))
    return str(read).strip() in ("", UNREAD)


def is_cut(doc: AnsweredDoc) -> bool:
    """Say whether a text of a document used up its token budget."""
    return any(not one.choices and one.completion.finish_reason == "length" for one in doc.requests)

"""Requests of lm-eval's own tasks, as requests to an engine."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fathom.harness.db.task_samples import TaskPosition, TaskSample
from fathom.harness.engines.base import Completion, Request, Sampling, Turn
from fathom.harness.errors import BadInput
from fathom.harness.runs.lm_eval_model import AnswerSource, RequestKind, thought_frame
from fathom.harness.runs.requests import AnswerReader, sample_key
from fathom.harness.runs.run_settings import RunSettings

_BUDGET = 256
"""Tokens of an answer where a task names no number, as in lm-eval's own backends."""
_BUDGET_OPTIONS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_KNOWN_OPTIONS = {*_BUDGET_OPTIONS, "until", "do_sample", "temperature", "top_p", "num_beams"}


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """A request to the engine: a text to generate, or all continuations of one context to score."""

    request: Request
    position: int
    """Position of its task in the run."""
    of: TaskPosition
    prompt: str
    """As lm-eval wrote it."""
    choices: tuple[str, ...]
    options: dict[str, Any] | None
    reader: AnswerReader

    @property
    def begins_answer(self) -> bool:
        """Whether a chat ends with the beginning of the model's answer."""
        return bool(self.request.turns) and self.request.turns[-1].role == "assistant"

    def scored_text(self, completion: Completion) -> str:
        """Return the text that lm-eval scores: after a thought, and up to the task's first stop text."""
        return self.reader.answer(completion).text

    def sample(self, completion: Completion) -> TaskSample:
        """Return the row to store."""
        return TaskSample(self.of, self.prompt, self.choices, self.options, completion)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A request to the engine, without what the run's settings add."""

    of: TaskPosition
    prompt: str
    sampling: Sampling
    choices: tuple[str, ...] = ()
    options: dict[str, Any] | None = None

    def takes(self, row: Any, prompt: str) -> bool:
        """Say whether a continuation of lm-eval's follows the same context of the same document."""
        same = (self.of.task, self.of.doc_id, self.prompt) == (row.task_name, row.doc_id, prompt)
        return same and self.of.index + len(self.choices) == row.idx


@dataclass(frozen=True, slots=True)
class TaskReader:
    """Reads lm-eval's requests for its own tasks."""

    manifest_digest: str
    settings: RunSettings
    positions: Mapping[str, int]
    """Position of each task in the run."""

    def read(self, kind: RequestKind, rows: Sequence[Any]) -> tuple[list[TaskRequest], list[AnswerSource]]:
        """Return a request a text to generate, and one a context with all of its continuations.

        A request that lm-eval repeats is asked again only where it generates; a log-likelihood stays the same.

        Raises:
            BadInput: a kind of request, or an option, that our engines do not support.
        """
        if kind == "generate_until":
            drafts, sources = list(_generations(rows)), [(at, 0) for at in range(len(rows))]
        elif kind in ("loglikelihood", "loglikelihood_rolling"):
            drafts, sources = _scorings(kind, rows)
        else:
            raise BadInput(f"the task {rows[0].task_name} asks for {kind}, which Fathom's engines do not support")
        return [self._request(one) for one in drafts], sources

    def _request(self, one: _Draft) -> TaskRequest:
        prompt, choices = one.prompt, one.choices
        turns = _turns(prompt) if self.settings.prompt.chat and prompt else ()
        if choices and not turns:
            prompt, choices = _with_blanks_moved(prompt, choices)
        item = f"{one.of.task}/{one.of.doc_id}/{one.of.index}"
        key = sample_key(
            self.manifest_digest, item, one.prompt, (one.sampling, one.sampling.top_p, one.choices), one.of.repeat
        )
        options = tuple(sorted(self.settings.prompt.template_options.items())) if turns else ()
        thinking = self.settings.sampling.thinking
        frame = thought_frame(self.settings.prompt, thinking, bool(choices)) if turns or not choices else ("", ())
        request = Request(key, "", prompt, self._with_thought(one), choices, turns, options, *frame)
        reader = AnswerReader(one.sampling.stop, thinking, thinking is None)
        position = self.positions[one.of.task]
        return TaskRequest(request, position, one.of, one.prompt, one.choices, one.options, reader)

    def _with_thought(self, one: _Draft) -> Sampling:
        """Return a sampling that leaves room for a thought, and does not stop within it."""
        thinking = self.settings.sampling.thinking
        if thinking is None or one.choices:
            return one.sampling
        return replace(one.sampling, max_tokens=one.sampling.max_tokens + thinking.budget, stop=())


def _turns(prompt: str) -> tuple[Turn, ...]:
    return tuple(Turn(one["role"], one["content"]) for one in json.loads(prompt))


def _with_blanks_moved(prompt: str, choices: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Move blanks at the end of a context to the continuations, where lm-eval's own backends tokenize them."""
    kept = prompt.rstrip()
    return kept, tuple(prompt[len(kept) :] + choice for choice in choices)


def _generations(rows: Sequence[Any]) -> Iterator[_Draft]:
    seen: Counter[int] = Counter()
    for row in rows:
        prompt, options = row.args
        of = TaskPosition(row.task_name, row.doc_id, row.idx, seen[id(row)], "generate_until")
        yield _Draft(of, prompt, read_generation_options(row.task_name, options), (), options)
        seen[id(row)] += 1


def _scorings(kind: RequestKind, rows: Sequence[Any]) -> tuple[list[_Draft], list[AnswerSource]]:
    drafts: list[_Draft] = []
    sources: list[AnswerSource] = []
    known: dict[int, AnswerSource] = {}
    for row in rows:
        if id(row) not in known:
            prompt, choice = row.args if kind == "loglikelihood" else ("", row.args[0])
            last = drafts[-1] if drafts else None
            if last is not None and kind == "loglikelihood" and last.takes(row, prompt):
                drafts[-1] = replace(last, choices=(*last.choices, choice))
            else:
                of = TaskPosition(row.task_name, row.doc_id, row.idx, 0, kind)
                drafts.append(_Draft(of, prompt, Sampling(1), (choice,)))
            known[id(row)] = (len(drafts) - 1, len(drafts[-1].choices) - 1)
        sources.append(known[id(row)])
    return drafts, sources


def read_generation_options(task: str, options: dict[str, Any]) -> Sampling:
    """Read a task's generation_kwargs as lm-eval's own backends do.

    Raises:
        BadInput: an option that our engines do not support.
    """
    foreign = sorted(set(options) - _KNOWN_OPTIONS)
    if options.get("num_beams", 1) != 1:
        foreign.append("num_beams")
    if foreign:
        raise BadInput(
            f"the task {task} generates with {', '.join(foreign)}, which Fathom's engines do not support: "
            "use lm_eval's own command"
        )
    until = options.get("until") or ()
    stops = (until,) if isinstance(until, str) else until
    budget = next((options[name] for name in _BUDGET_OPTIONS if options.get(name) is not None), _BUDGET)
    temperature = float(options.get("temperature") or 0.0)
    if options.get("do_sample") is False:
        temperature = 0.0
    elif options.get("do_sample") and "temperature" not in options:
        temperature = 1.0
    top_p = float(options.get("top_p") or 1.0) if temperature else 1.0
    return Sampling(int(budget), tuple(stop for stop in stops if stop), temperature, top_p)


def messages_as_text(messages: list[dict[str, str]], **_: bool) -> str:
    """Write a chat as JSON, in place of a rendered template; a last turn of the assistant begins the answer."""
    return json.dumps(messages, ensure_ascii=False)

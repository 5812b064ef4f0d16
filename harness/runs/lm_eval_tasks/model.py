"""Turn the requests of lm-eval's own tasks into journaled completions: an lm-eval LM over any engine."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from lm_eval.api.model import LM

from fathom.harness.db.task_runs.write import TaskPlace, TaskSample
from fathom.harness.engines.base import Completion, Engine, Request, Sampling, Turn
from fathom.harness.errors import BadInput, EngineFailed
from fathom.harness.runs.grading import Reading
from fathom.harness.runs.lm_eval_model import around_thought
from fathom.harness.runs.prompting import Decoding, Prompting, Thinking
from fathom.harness.runs.requests import sample_key

_BUDGET = 256
"""Tokens of an answer where a task names no number, as in lm-eval's own backends."""
_EVERY = 0.1
"""Seconds between commits at least."""
_BUDGETS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_KNOWN = {*_BUDGETS, "until", "do_sample", "temperature", "top_p", "num_beams"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the engine: a text to generate, or all continuations of one context."""

    place: TaskPlace
    prompt: str
    """As lm-eval wrote it."""
    sampling: Sampling
    choices: tuple[str, ...] = ()
    options: dict[str, Any] | None = None

    @property
    def goes_on(self) -> bool:
        """Whether a chat ends with the beginning of the model's answer."""
        turns = _turns(self.prompt)
        return bool(turns) and turns[-1].role == "assistant"

    def request(self, digest: str, prompting: Prompting, thinking: Thinking | None) -> Request:
        """Write the engine's request; `digest` is that of the run's manifest."""
        place, prompt, choices = self.place, self.prompt, self.choices
        turns = _turns(prompt) if prompting.chat and prompt else ()
        if choices and not turns:
            prompt, choices = _blanks_moved(prompt, choices)
        item = f"{place.task}/{place.doc_id}/{place.index}"
        key = sample_key(digest, item, self.prompt, (self.sampling, self.sampling.top_p, self.choices), place.repeat)
        options = tuple(sorted(prompting.template_options.items())) if turns else ()
        around = around_thought(prompting, thinking, bool(choices)) if turns or not choices else ("", ())
        return Request(key, "", prompt, self._drawn(thinking), choices, turns, options, *around)

    def _drawn(self, thinking: Thinking | None) -> Sampling:
        """Leave room for a thought, and do not stop within it."""
        if thinking is None or self.choices:
            return self.sampling
        return replace(self.sampling, max_tokens=self.sampling.max_tokens + thinking.budget, stop=())

    def answer(self, completion: Completion, thinking: Thinking | None) -> str:
        """Return what lm-eval is to score: the text, after a thought and up to the task's first stop."""
        return Reading(self.sampling.stop, thinking, thinking is None).answer(completion).text


def _turns(prompt: str) -> tuple[Turn, ...]:
    return tuple(Turn(one["role"], one["content"]) for one in json.loads(prompt))


def _blanks_moved(prompt: str, choices: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Move blanks at the end of a context to the continuations, where lm-eval's own backends tokenize them."""
    kept = prompt.rstrip()
    return kept, tuple(prompt[len(kept) :] + choice for choice in choices)


Answer = tuple[int, int]
"""Number of an Asked, and of the choice within it."""


def ask(kind: str, rows: Sequence[Any]) -> tuple[list[Asked], list[Answer]]:
    """Return what to ask the engine for lm-eval's requests of one kind, and where the answer of each will be.

    A request that lm-eval repeats is asked anew only where it generates; a log-likelihood stays what it is.

    Raises:
        BadInput: a way of sampling, or a kind of request, that our engines do not know.
    """
    if kind == "generate_until":
        return _generations(rows), [(at, 0) for at in range(len(rows))]
    if kind not in ("loglikelihood", "loglikelihood_rolling"):
        raise BadInput(f"the task {rows[0].task_name} asks for {kind}, which Fathom's engines do not give")
    asked: list[Asked] = []
    answers: list[Answer] = []
    known: dict[int, Answer] = {}
    for row in rows:
        if id(row) not in known:
            _add_scored(asked, kind, row)
            known[id(row)] = (len(asked) - 1, len(asked[-1].choices) - 1)
        answers.append(known[id(row)])
    return asked, answers


def _add_scored(asked: list[Asked], kind: str, row: Any) -> None:
    """Add a continuation to the last request where both follow one context of one document, else a request."""
    prompt, choice = row.args if kind == "loglikelihood" else ("", row.args[0])
    last = asked[-1] if asked else None
    if (
        last is not None
        and kind == "loglikelihood"
        and (last.place.task, last.place.doc_id, last.prompt) == (row.task_name, row.doc_id, prompt)
        and last.place.index + len(last.choices) == row.idx
    ):
        asked[-1] = Asked(last.place, prompt, last.sampling, (*last.choices, choice))
        return
    place = TaskPlace(row.task_name, row.doc_id, row.idx, 0, kind)
    asked.append(Asked(place, prompt, Sampling(1), (choice,)))


def _generations(rows: Sequence[Any]) -> list[Asked]:
    seen: Counter[int] = Counter()
    asked = []
    for row in rows:
        prompt, options = row.args
        place = TaskPlace(row.task_name, row.doc_id, row.idx, seen[id(row)], "generate_until")
        asked.append(Asked(place, prompt, read_sampling(row.task_name, options), (), options))
        seen[id(row)] += 1
    return asked


def read_sampling(task: str, options: dict[str, Any]) -> Sampling:
    """Read a task's generation_kwargs as lm-eval's own backends do.

    Raises:
        BadInput: an option that our engines do not know.
    """
    foreign = sorted(set(options) - _KNOWN)
    if options.get("num_beams", 1) != 1:
        foreign.append("num_beams")
    if foreign:
        raise BadInput(f"the task {task} generates with {', '.join(foreign)}, which Fathom's engines do not know")
    until = options.get("until") or ()
    stops = (until,) if isinstance(until, str) else until
    budget = next((options[name] for name in _BUDGETS if options.get(name) is not None), _BUDGET)
    temperature = float(options.get("temperature") or 0.0)
    if options.get("do_sample") is False:
        temperature = 0.0
    elif options.get("do_sample") and "temperature" not in options:
        temperature = 1.0
    top_p = float(options.get("top_p") or 1.0) if temperature else 1.0
    return Sampling(int(budget), tuple(stop for stop in stops if stop), temperature, top_p)


class TaskJournal(Protocol):
    """Where completions are kept."""

    def recall(self, key: str) -> Completion | None:
        """Return the completion of an earlier attempt, if there is one."""

    def record(self, samples: Sequence[TaskSample]) -> None:
        """Commit samples; they survive whatever comes after."""


class StockLM(LM):  # type: ignore[misc]  # lm-eval is untyped
    """An lm-eval model that commits every completion as it arrives and never asks for it again."""

    def __init__(
        self,
        engine: Callable[[Request], Engine],
        journal: TaskJournal,
        manifest_digest: str,
        manner: tuple[Prompting, Decoding],
    ) -> None:
        """Take a way to open the engine; it is called with a request, and only if one is missing from the journal."""
        super().__init__()
        self._open, self._journal, self._digest = engine, journal, manifest_digest
        self._prompting, self._decoding = manner
        self.n_recalled = 0
        self.n_generated = 0
        self.unfit: set[tuple[str, int]] = set()
        """Documents with a prompt that does not fit the model's context, by task and number."""

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:  # Any: lm-eval's Instance
        """Return the completion of each request, in order."""
        asked, _ = ask("generate_until", requests)
        pairs = zip(asked, self._complete(asked), strict=True)
        return [one.answer(completion, self._decoding.thinking) for one, completion in pairs]

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return (log-likelihood, greedy) of each continuation, in order."""
        asked, answers = ask("loglikelihood", requests)
        done = self._complete(asked)
        return [_score(done[at], choice) for at, choice in answers]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Return the log-likelihood of each text, in order."""
        asked, answers = ask("loglikelihood_rolling", requests)
        done = self._complete(asked)
        return [_score(done[at], choice)[0] for at, choice in answers]

    def _complete(self, asked: Sequence[Asked]) -> list[Completion]:
        thinking = self._decoding.thinking
        requests = [one.request(self._digest, self._prompting, thinking) for one in asked]
        done: dict[str, Completion] = {}
        missing: dict[str, tuple[Asked, Request]] = {}
        for one, request in zip(asked, requests, strict=True):
            known = self._journal.recall(request.key)
            if known is None:
                missing[request.key] = (one, request)
            else:
                done[request.key] = known
        self.n_recalled += len(done)
        if missing:
            done |= self._generate(missing)
        found = [done[request.key] for request in requests]
        self._note(asked, found)
        return found

    def _generate(self, missing: Mapping[str, tuple[Asked, Request]]) -> dict[str, Completion]:
        """Ask the engine and keep what comes, whatever ends it; an engine that hands out one by one is not slowed."""
        done: dict[str, Completion] = {}
        waiting: list[Completion] = []

        def keep() -> None:
            self._journal.record([_sample(missing[completion.key][0], completion) for completion in waiting])
            self.n_generated += len(waiting)
            done.update((completion.key, completion) for completion in waiting)
            waiting.clear()

        try:
            kept_at = time.monotonic()
            requests = [request for _, request in missing.values()]
            for batch in self._open(requests[0]).stream(iter(requests)):
                waiting += batch
                if time.monotonic() - kept_at > _EVERY:
                    keep()
                    kept_at = time.monotonic()
        finally:
            keep()
        return done

    def _note(self, asked: Sequence[Asked], found: Sequence[Completion]) -> None:
        errors = [one for one in found if one.finish_reason == "error"]
        if errors:
            raise EngineFailed(
                f"the engine failed on {len(errors)} of {len(found)} requests, the first time with: {errors[0].error}; "
                "a resumed run asks these again"
            )
        pairs = zip(asked, found, strict=True)
        self.unfit |= {(one.place.task, one.place.doc_id) for one, made in pairs if made.finish_reason == "too_long"}


def _sample(one: Asked, completion: Completion) -> TaskSample:
    return TaskSample(one.place, one.prompt, one.choices, one.options, completion)


def _score(completion: Completion, choice: int) -> tuple[float, bool]:
    if completion.scores is None:  # too long: its document is left out of the metrics
        return float("-inf"), False
    return completion.scores[choice], bool(completion.greedy and completion.greedy[choice])


def messages_as_text(messages: list[dict[str, str]], **_: bool) -> str:
    """Write a chat as the text that lm-eval hands back as a prompt; a last turn of the assistant's is gone on with."""
    return json.dumps(messages, ensure_ascii=False)

"""The model that lm-eval evaluates: its requests go through the request queue to any of our engines.

A reader turns lm-eval's requests into requests to an engine: `SuiteReader` those of our suites, and
harness.runs.lm_eval_tasks.requests.TaskReader those of lm-eval's own tasks.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Generic, Protocol, TypeVar

from lm_eval.api.model import LM

from fathom.harness.engines.base import CUT, Completion, Request, Sampling, Turn
from fathom.harness.errors import BadInput
from fathom.harness.runs.lm_eval_adapter import item_of, task_name
from fathom.harness.runs.request_queue import QueuedRequest
from fathom.harness.runs.requests import AnswerReader, FinalAnswer, answer_reader, grade_completion, sample_key
from fathom.harness.runs.run_settings import PromptSettings, RunSettings, Thinking
from fathom.tasks.base import Instance, as_message
from fathom.tasks.suites import Suite

RequestKind = str
"""generate_until, loglikelihood or loglikelihood_rolling."""
AnswerSource = tuple[int, int]
"""Where the answer to a request of lm-eval comes from: number of the request to the engine, and of its choice."""


class AnsweredRequest(QueuedRequest, Protocol):
    """A request to the engine that can read its completion."""

    def scored_text(self, completion: Completion) -> str:
        """Return the text of a completion that lm-eval scores."""


_R = TypeVar("_R", bound=AnsweredRequest)
_R_co = TypeVar("_R_co", bound=AnsweredRequest, covariant=True)


class RequestReader(Protocol[_R_co]):
    """Reads lm-eval's requests."""

    def read(
        self, kind: RequestKind, rows: Sequence[Any]
    ) -> "tuple[Sequence[_R_co], Sequence[AnswerSource]]":  # rows: lm-eval's
        """Return the requests to the engine, and for each of lm-eval's requests where its answer comes from.

        Raises:
            BadInput: a kind of request, or an option, that our engines do not support.
        """


class EngineLM(LM, Generic[_R]):  # type: ignore[misc]  # lm-eval is untyped
    """An lm-eval model over an engine; completions that are known already are not asked for again."""

    def __init__(
        self,
        reader: RequestReader[_R],
        known: Mapping[str, Completion],
        complete: Callable[[Sequence[_R]], Mapping[str, Completion]],
    ) -> None:
        """Take known completions by key, and a function that gets the others."""
        super().__init__()
        self._reader, self._known, self._ask_engine = reader, known, complete
        self.n_recalled = 0
        self.n_generated = 0

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:  # Any: lm-eval's Instance
        """Return the answer to each request, in order."""
        asked, done, sources = self._complete("generate_until", requests)
        return [asked[at].scored_text(done[at]) for at, _ in sources]

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return (log-likelihood, is greedy) of each continuation, in order."""
        _, done, sources = self._complete("loglikelihood", requests)
        return [_score(done[at], choice) for at, choice in sources]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Return the log-likelihood of each text, in order."""
        _, done, sources = self._complete("loglikelihood_rolling", requests)
        return [_score(done[at], choice)[0] for at, choice in sources]

    @property
    def tokenizer_name(self) -> str:
        """Return nothing: lm-eval would cache rendered prompts under this name, and nothing is rendered here."""
        return ""

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Return nothing: the engine has the model's template."""
        return ""

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Write the turns of a chat as JSON; `SuiteReader` reads them, and the engine renders them.

        Demonstrations are answered without the blank that follows a plain prompt.
        """
        turns = [(one["role"], one["content"]) for one in chat_history]
        return json.dumps(
            [{"role": role, "content": said.lstrip() if role == "assistant" else said} for role, said in turns],
            ensure_ascii=False,
        )

    def _complete(
        self, kind: RequestKind, rows: list[Any]
    ) -> tuple[Sequence[_R], list[Completion], Sequence[AnswerSource]]:
        asked, sources = self._reader.read(kind, rows)
        missing = select_missing(asked, self._known)
        self.n_recalled += len(asked) - len(missing)
        self.n_generated += len(missing)
        new = self._ask_engine(missing)
        keys = (one.request.key for one in asked)
        return asked, [new[key] if key in new else self._known[key] for key in keys], sources


def select_missing(asked: Sequence[_R], known: Mapping[str, Completion]) -> list[_R]:
    """Return each request that has no completion yet once, ordered by prompt.

    An engine caches a common prefix of prompts only for a short time, so prompts with one follow each other.
    """
    missing = {one.request.key: one for one in asked if one.request.key not in known}
    return sorted(missing.values(), key=lambda one: one.request.prompt)


def _score(completion: Completion, choice: int) -> tuple[float, bool]:
    if completion.scores is None:  # too long, or failed: no choice stands out, and none is right
        return float("-inf"), False
    return completion.scores[choice], bool(completion.greedy and completion.greedy[choice])


def thought_frame(prompt: PromptSettings, thinking: Thinking | None, is_choice: bool) -> tuple[str, tuple[str, ...]]:
    """Return prefill and marks of a request; in a chat, candidates are scored after an empty thought."""
    if thinking is None:
        return "", ()
    if not is_choice:
        return "", thinking.marks
    if not prompt.chat or thinking.opened is None:
        return "", ()
    return ("" if thinking.opened else f"{thinking.start}\n") + f"\n{thinking.end}\n\n", ()


@dataclass(frozen=True, slots=True)
class SuiteRequest:
    """A request to the engine for one item of a suite."""

    request: Request
    position: int
    """Position of its cell in the suite."""
    index: int
    repeat: int
    item: Instance
    reader: AnswerReader

    def answer(self, completion: Completion) -> FinalAnswer:
        """Return the answer in a completion, which we grade."""
        return self.reader.answer(completion)

    def scored_text(self, completion: Completion) -> str:
        """Return the answer that lm-eval scores; empty where it was cut off, of which lm-eval does not know."""
        answer = self.answer(completion)
        is_cut = completion.finish_reason in CUT
        if is_cut and grade_completion(self.item, completion, answer).label == "cut_off":
            return ""
        return answer.text


class SuiteReader:
    """Reads lm-eval's requests for the items of a suite."""

    def __init__(self, suite: Suite, manifest_digest: str, settings: RunSettings) -> None:
        """Take the run's suite, the digest of its manifest, which keys completions, and its settings."""
        self._digest, self._prompt, self._thinking = manifest_digest, settings.prompt, settings.sampling.thinking
        self._positions = {task_name(cell.cell): at for at, cell in enumerate(suite.cells)}
        self._readers = [answer_reader(cell.style, settings) for cell in suite.cells]

    def read(self, kind: RequestKind, rows: Sequence[Any]) -> tuple[list[SuiteRequest], list[AnswerSource]]:
        """Return a request an item and repeat; the choices of an item are one request."""
        if kind == "loglikelihood_rolling":
            raise BadInput("Fathom's own tasks score no whole texts; `fathom run --tasks` runs lm-eval's tasks that do")
        if kind == "generate_until":
            seen: Counter[int] = Counter()
            asked = []
            for row in rows:
                asked.append(self._generation(row, seen[id(row)]))
                seen[id(row)] += 1
            return asked, [(at, 0) for at in range(len(asked))]
        groups = [list(group) for _, group in groupby(rows, key=lambda row: (row.task_name, row.doc_id))]
        asked = [
            self._request(group[0], group[0].args[0], Sampling(1), tuple(row.args[1] for row in group), 0)
            for group in groups
        ]
        return asked, [(at, choice) for at, group in enumerate(groups) for choice in range(len(group))]

    def _generation(self, row: Any, repeat: int) -> SuiteRequest:
        prompt, options = row.args
        stop, temperature = tuple(options.get("until") or ()), float(options.get("temperature") or 0.0)
        return self._request(row, prompt, Sampling(int(options["max_gen_toks"]), stop, temperature), (), repeat)

    def _request(
        self, row: Any, prompt: str, sampling: Sampling, choices: tuple[str, ...], repeat: int
    ) -> SuiteRequest:
        item = item_of(row.doc)
        turns: tuple[Turn, ...] = ()
        if self._prompt.chat:
            turns = tuple(Turn(**one) for one in json.loads(prompt))
            if self._prompt.shots_as == "turns" or not self._prompt.n_shots:
                turns = tuple(replace(one, content=as_message(one.content)) for one in turns)
                prompt = json.dumps([{"role": one.role, "content": one.content} for one in turns], ensure_ascii=False)
            if [turn.role for turn in turns] == ["user"]:
                prompt = turns[0].content  # the form in which a worker of the service asks it: requests.make_request
        key = sample_key(self._digest, item.id, prompt, (sampling, choices), repeat)
        options = tuple(sorted(self._prompt.template_options.items())) if turns else ()
        frame = thought_frame(self._prompt, self._thinking, bool(choices))
        request = Request(key, item.id, prompt, sampling, choices, turns, options, *frame, repeat)
        position = self._positions[row.task_name]
        return SuiteRequest(request, position, item.index, repeat, item, self._readers[position])

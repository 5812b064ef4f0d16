"""Turn lm-eval's requests into journaled completions: an lm-eval LM over any engine."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from lm_eval.api.model import LM

from fathom.harness.engines.base import Completion, Request, Sampling, Turn
from fathom.harness.errors import BadInput
from fathom.harness.runs.grading import reading_of
from fathom.harness.runs.lm_eval_adapter import item_of, task_name
from fathom.harness.runs.prompting import Decoding, Prompting, Thinking
from fathom.harness.runs.request_queue import Asked
from fathom.harness.runs.requests import sample_key
from fathom.tasks.suites import Suite

_PLAIN, _GREEDY = Prompting(), Decoding()

Complete = Callable[[Sequence[Asked]], Mapping[str, Completion]]
"""Asks an engine and returns its completions by key, once each is safe."""


class JournalLM(LM):  # type: ignore[misc]  # lm-eval is untyped
    """An lm-eval model that knows earlier completions and never asks for them again."""

    def __init__(
        self,
        suite: Suite,
        manifest_digest: str,
        known: Mapping[str, Completion],
        complete: Complete,
        manner: tuple[Prompting, Decoding] = (_PLAIN, _GREEDY),
    ) -> None:
        """Take completions of earlier attempts by key, and a way to get the others."""
        super().__init__()
        self._known, self._ask_engine, self._digest = known, complete, manifest_digest
        self._prompting, self._thinking = manner[0], manner[1].thinking
        self._positions = {task_name(cell.cell): at for at, cell in enumerate(suite.cells)}
        self._readings = [reading_of(cell.style, *manner) for cell in suite.cells]
        self.n_recalled = 0
        self.n_generated = 0

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:  # Any: lm-eval's Instance
        """Return the completion of each request, in order."""
        seen: Counter[int] = Counter()
        asked = []
        for row in requests:
            prompt, options = row.args
            sampling = Sampling(
                int(options["max_gen_toks"]),
                tuple(options.get("until") or ()),
                float(options.get("temperature") or 0.0),
            )
            asked.append(self._ask(row, prompt, sampling, (), seen[id(row)]))
            seen[id(row)] += 1
        done = self._complete(asked)
        return [one.answer(done[one.request.key]).text for one in asked]

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return (log-likelihood, greedy) of each request; the choices of one item go to the engine together."""
        asked = []
        for _, group in groupby(requests, key=lambda row: (row.task_name, row.doc_id)):
            rows = list(group)
            asked.append(self._ask(rows[0], rows[0].args[0], Sampling(1), tuple(row.args[1] for row in rows), 0))
        done = self._complete(asked)
        return [score for one in asked for score in _scores(one.request, done[one.request.key])]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Refuse: lm-eval wants every LM to say something here, and no task of Fathom's own scores whole texts."""
        raise BadInput("Fathom's own tasks score no whole texts; `fathom run --tasks` runs lm-eval's tasks that do")

    @property
    def tokenizer_name(self) -> str:
        """Name nothing: lm-eval caches rendered prompts under it, and we neither render nor cache here."""
        return ""

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Return nothing: the engine knows the model's template."""
        return ""

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Write the turns of a chat as JSON, for `_ask` to read; the engine renders them.

        Demonstrations answer without the blank that follows a plain prompt.
        """
        turns = [(one["role"], one["content"]) for one in chat_history]
        return json.dumps(
            [{"role": role, "content": said.lstrip() if role == "assistant" else said} for role, said in turns],
            ensure_ascii=False,
        )

    def _ask(self, row: Any, prompt: str, sampling: Sampling, choices: tuple[str, ...], repeat: int) -> Asked:
        item = item_of(row.doc)
        turns: tuple[Turn, ...] = ()
        if self._prompting.chat:
            turns = tuple(Turn(**one) for one in json.loads(prompt))
            if [turn.role for turn in turns] == ["user"]:
                prompt = turns[0].content  # as a worker of the service asks it, see harness.prompts.request_of
        key = sample_key(self._digest, item.id, prompt, (sampling, choices), repeat)
        options = tuple(sorted(self._prompting.template_options.items())) if turns else ()
        around = around_thought(self._prompting, self._thinking, bool(choices))
        request = Request(key, item.id, prompt, sampling, choices, turns, options, *around, repeat)
        cell = self._positions[row.task_name]
        return Asked(request, cell, item.index, repeat, item, self._readings[cell])

    def _complete(self, asked: list[Asked]) -> Mapping[str, Completion]:
        missing = {one.request.key: one for one in asked if one.request.key not in self._known}
        self.n_recalled += len(asked) - len(missing)
        self.n_generated += len(missing)
        # prompts that begin alike go out together: an engine keeps what it worked out for a prefix only so long
        ordered = sorted(missing.values(), key=lambda one: one.request.prompt)
        return {**self._known, **self._ask_engine(ordered)}


def around_thought(prompting: Prompting, thinking: Thinking | None, is_choice: bool) -> tuple[str, tuple[str, ...]]:
    """Return prefill and marks: in a chat, candidates are scored after a thought that is empty."""
    if thinking is None:
        return "", ()
    if not is_choice:
        return "", thinking.marks
    if not prompting.chat or thinking.opened is None:
        return "", ()
    return ("" if thinking.opened else f"{thinking.start}\n") + f"\n{thinking.end}\n\n", ()


def _scores(request: Request, completion: Completion) -> Iterator[tuple[float, bool]]:
    if completion.scores is None:  # too long, or failed: no choice stands out, and none is right
        yield from ((float("-inf"), False) for _ in request.choices)
        return
    best = completion.greedy or (False,) * len(completion.scores)
    yield from zip(completion.scores, best, strict=True)

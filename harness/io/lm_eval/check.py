"""Check that the prompts which lm-eval logged are those of our items."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fathom.harness.engines.base import Sampling
from fathom.harness.errors import BadInput
from fathom.harness.io.lm_eval.format import Pieces
from fathom.harness.io.lm_eval.log import LoggedSample

_AROUND = 50
"""Characters shown before and after the first difference of two texts."""

_CAUSE = (
    "The usual cause is `--cache_requests`: its key lacks the seed, so lm-eval asked the questions of an earlier run. "
    "Evaluate again without it, and without `--use_cache`"
)

Generation = dict[str, Any]  # JSON values: lm-eval's generation_kwargs


@dataclass(slots=True)
class PromptChecker:
    """Checks the prompts of one task's samples: all must have the same settings and chat template."""

    as_chat: bool
    generation: Generation | None = None
    """Generation settings of the task; None for scored candidates, and before the first sample."""
    _around: list[str] = field(default_factory=list)
    """Text of the chat template before, between and after the pieces of the first prompt."""

    def check(self, row: LoggedSample, where: str, pieces: Pieces, choices: Sequence[str]) -> None:
        """Raise BadInput unless the arguments of a sample are those of its item; `where` begins the message."""
        rows = [row.arguments.get(f"gen_args_{at}", {}) for at in range(len(row.arguments))]
        if len(rows) != max(1, len(choices)) or any(set(one) != {"arg_0", "arg_1"} for one in rows):
            raise BadInput(f"{where}: the arguments are not those of {row.doc.id}, which has {len(choices) or 1}")
        for at, one in enumerate(rows):
            self._check_prompt(_text(one["arg_0"], where), f"{where}: {row.doc.id}", pieces)
            if choices and one["arg_1"] != choices[at]:
                raise BadInput(_other(f"{where}: {row.doc.id}", "candidate", choices[at], str(one["arg_1"])))
        if not choices:
            self._check_generation(rows[0]["arg_1"], where)

    def _check_prompt(self, asked: str, where: str, pieces: Pieces) -> None:
        if not self.as_chat:
            if asked != pieces.plain():
                raise BadInput(_other(where, "question", pieces.plain(), asked))
            return
        around, at = [], 0
        for text in (piece.strip() for piece in pieces.texts()):  # templates strip what they are given
            start = asked.find(text, at)
            if start < 0:
                raise BadInput(_other(where, "question", text, asked[at:]))
            around.append(asked[at:start].strip())
            at = start + len(text)
        around.append(asked[at:].strip())
        self._around = self._around or around
        if around != self._around:
            raise BadInput(
                f"{where}: the chat template writes another text around this question than around the first one: "
                f"{_apart(' '.join(self._around), ' '.join(around))}. So the prompt cannot be checked"
            )

    def _check_generation(self, found: Any, where: str) -> None:
        if not isinstance(found, dict):
            raise BadInput(f"{where}: arguments.gen_args_0.arg_1 is not an object of generation settings")
        self.generation = self.generation if self.generation is not None else found
        if found != self.generation:
            raise BadInput(f"{where}: its generation settings are not those of the first sample of the task")


def _text(asked: Any, where: str) -> str:
    """Return a prompt as text; messages of a chat with their roles."""
    if isinstance(asked, list) and len(asked) == 1:
        asked = asked[0]  # for servers, lm-eval logs a tuple of one
    if not isinstance(asked, str):
        raise BadInput(f"{where}: an argument arg_0 is not a text")
    if not asked.startswith('[{"'):
        return asked
    try:
        turns = json.loads(asked)
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)
    except (ValueError, TypeError, KeyError, RecursionError):
        return asked


def _other(where: str, what: str, expected: str, found: str) -> str:
    return f"{where}: lm-eval asked another {what} than this item has: {_apart(expected, found)}. {_CAUSE}"


def _apart(expected: str, found: str) -> str:
    """Show two texts around their first difference."""
    pairs = zip(expected, found, strict=False)
    at = next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(expected), len(found)))
    return f"expected {_cut(expected, at)}, found {_cut(found, at)}"


def _cut(text: str, at: int) -> str:
    start, end = max(0, at - _AROUND), at + _AROUND
    return f"{'…' if start else ''}{text[start:end]!r}{'…' if end < len(text) else ''}"


def generation_overrides(generation: Generation | None, ours: Sampling) -> dict[str, Any]:
    """Return those of lm-eval's generation settings that differ from ours and can change answers; JSON values.

    A missing stop text does not count: the answer is cut at it later.
    """
    if generation is None:
        return {}
    until = generation.get("until") or []
    heat = generation.get("temperature") or 0.0
    is_greedy = not heat or generation.get("do_sample") is False
    drawn = (0.0,) if is_greedy else (heat, generation.get("top_k") or 0, generation.get("top_p", 1.0))
    expected = (0.0,) if not ours.temperature else (ours.temperature, 0, 1.0)
    found: dict[str, Any] = {}
    if not isinstance(until, list) or not set(map(str, until)) <= set(ours.stop):
        found["until"] = until
    if generation.get("max_gen_toks") != ours.max_tokens:
        found["max_gen_toks"] = generation.get("max_gen_toks")
    if drawn != expected:
        found |= {name: generation.get(name) for name in ("do_sample", "temperature", "top_k", "top_p")}
    return found

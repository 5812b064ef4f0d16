"""Items as JSON lines, and verdicts on completions read from JSON lines."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

from fathom.harness.engines.base import Completion, FinishReason
from fathom.harness.errors import BadInput
from fathom.harness.runs.requests import AnswerReader, answer_reader, grade_completion
from fathom.harness.runs.run_settings import PromptSettings, RunSettings
from fathom.tasks.base import STYLES, Cell, Instance, check_cell, make_instance, pose, verdict_json
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import find_family, instance_from_id


def item_lines(family: str, level: str, channel: str, style: str, seed: str, numbers: Iterable[int]) -> Iterator[str]:
    """Yield items of one cell as JSON lines, by their indices `numbers`.

    Raises:
        TaskError: a name or the seed is wrong.
    """
    for index in numbers:
        yield json.dumps(item_row(family, level, channel, style, seed, index), ensure_ascii=False)


def item_row(family: str, level: str, channel: str, style: str, seed: str, index: int) -> dict[str, Any]:
    """Return one item as JSON values; `question` is the whole prompt that a model sees without demonstrations.

    Raises:
        TaskError: a name or the seed is wrong.
    """
    kind = find_family(family)
    check_cell(Cell(family, level, channel, style), kind)
    item = make_instance(kind, level, channel, seed, index)
    return {
        "id": item.id,
        "family": item.family,
        "version": item.version,
        "level": item.level,
        "channel": item.channel,
        "style": style,
        "seed": item.seed,
        "index": item.index,
        "question": pose(kind, item, style),
        "gold": item.gold,
        "choices": list(item.choices) if style == "choice" else None,
        "facts": dict(item.facts),
    }


@dataclass(frozen=True, slots=True)
class AskedHow:
    """How completions to grade were asked for; without a style, the whole text is read for an answer."""

    style: str | None = None
    chat: bool = False

    def reader(self) -> AnswerReader | None:
        """Return the reader of answers that a run of this kind has; None where every text is graded as it is.

        Raises:
            BadInput: there is no such style.
        """
        if self.style is not None and self.style not in STYLES:
            raise BadInput(f"there is no style {self.style!r}: --style is one of {', '.join(STYLES)}")
        if self.style is None and not self.chat:
            return None
        reader = answer_reader(self.style or "cot", RunSettings(PromptSettings(chat=self.chat)))
        return replace(reader, is_cut=False)  # no engine has cut these texts at the end of their answer


def grade_lines(lines: Iterable[str], asked: AskedHow = AskedHow()) -> Iterator[str]:
    """Grade JSON lines {"id", "completion"} as a run does, and yield verdicts as JSON lines; skip blank lines.

    A line may say `"finish_reason": "length"`: its text was cut by its token budget.

    Raises:
        BadInput: a line is not such an object, and the message names it by number; or there is no such style.
    """
    reader = asked.reader()
    for number, line in enumerate(lines, 1):
        if line.strip():
            row = _line_to_grade(number, line)
            answer = None if reader is None else reader.answer(row.completion)
            verdict = grade_completion(row.item, row.completion, answer)
            yield json.dumps({"id": row.item.id, **verdict_json(verdict)}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _LineToGrade:
    item: Instance
    completion: Completion


def _line_to_grade(number: int, line: str) -> _LineToGrade:
    try:
        row = json.loads(line)
        item, text, reason = row["id"], row["completion"], row.get("finish_reason", "stop")
        if not isinstance(item, str) or not isinstance(text, str) or reason not in get_args(FinishReason):
            raise TypeError
        return _LineToGrade(instance_from_id(item), Completion("", text, reason, 0, 0, 0.0))
    except TaskError as error:
        raise BadInput(f"line {number}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(
            f'line {number} is not a JSON object {{"id": "...", "completion": "..."}}, with or without '
            f'"finish_reason": one of {", ".join(get_args(FinishReason))}'
        ) from error

"""Items as JSON lines, and verdicts on completions read from JSON lines."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from fathom.harness.errors import BadInput
from fathom.tasks.base import Cell, check_cell, make_instance, pose, verdict_json
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


def grade_lines(lines: Iterable[str]) -> Iterator[str]:
    """Grade JSON lines {"id", "completion"} and yield verdicts as JSON lines; skip blank lines.

    Raises:
        BadInput: a line is not such an object; the message names it by number.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            item, text = row["id"], row["completion"]
            if not isinstance(item, str) or not isinstance(text, str):
                raise TypeError
            instance = instance_from_id(item)
        except TaskError as error:
            raise BadInput(f"line {number}: {error}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadInput(f'line {number} is not a JSON object {{"id": "...", "completion": "..."}}') from error
        verdict = find_family(instance.family).grade(instance, text)
        yield json.dumps({"id": item, **verdict_json(verdict)}, ensure_ascii=False)

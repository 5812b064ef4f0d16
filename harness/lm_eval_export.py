"""Turn a stored run into what `lm_eval --log_samples` would have written of it."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from math import inf
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from harness import lmeval
from harness.db.journal import weights_of
from harness.db.read import RunDetail
from harness.db.record import Stored, stream_stored
from harness.errors import BadInput
from harness.items import verdict_json
from harness.lm_eval_files import as_text, folder_name, pieces_of, text_digest
from harness.lm_eval_results import Logged, results_json
from harness.meant import shown_run
from harness.parcel import check_whole
from harness.prompting import Decoding, Prompting, manner_of
from harness.reading import Reading, reading_of
from harness.suite import SuiteCell, item_at
from tasks import Instance, find_family
from tasks.base import SCORED

Json = dict[str, Any]  # JSON values


@dataclass(slots=True)
class _Task:
    """A cell on its way out: how it was asked, and what its samples came to."""

    cell: SuiteCell
    id: int
    seed: str
    manner: tuple[Prompting, Decoding]
    reading: Reading
    config: Json
    logged: Logged = field(init=False)

    def __post_init__(self) -> None:
        """Expect the first sample."""
        self.logged = Logged(lmeval.task_name(self.cell.cell), self.cell, self.config)


def export_lm_eval(db: Engine, run: str, out: Path) -> Path:
    """Write results_DATE.json and samples_TASK_DATE.jsonl into a folder named after the model; return the results.

    All files are written beside their place and moved there at the end, the results last.

    Raises:
        UnknownRun, SealedRun: see harness.meant.shown_run.
        BadInput: the run is not whole, was made by another version, or the files cannot be written.
    """
    detail = shown_run(db, run)
    check_whole(detail)
    _check_versions(detail)
    folder = out / folder_name(detail.summary.model)
    date = detail.summary.created_at.replace(tzinfo=None).isoformat(timespec="microseconds").replace(":", "-")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as name:
            partial = Path(name)
            logged = [_write_samples(db, task, partial, date) for task in _tasks(detail)]
            results = results_json(detail, weights_of(db, detail.summary.run), logged)
            text = json.dumps(results, indent=2, ensure_ascii=False)
            (partial / f"results_{date}.json").write_text(text, encoding="utf-8")
            for file in sorted(partial.iterdir(), reverse=True):  # samples before results
                file.replace(folder / file.name)
    except OSError as error:
        raise BadInput(f"cannot write {folder} ({error.strerror}): give another --out, or free some space") from error
    return folder / f"results_{date}.json"


def _check_versions(detail: RunDetail) -> None:
    for cell in detail.suite.cells:
        if (now := find_family(cell.family).version) != cell.version:
            raise BadInput(
                f"run {detail.summary.run} asked {cell.family}@{cell.version}, and this Fathom makes "
                f"{cell.family}@{now}: export its tables instead (--format jsonl)"
            )


def _tasks(detail: RunDetail) -> Iterator[_Task]:
    manner = manner_of(detail.manifest)
    sampling = detail.manifest.get("decisive", {}).get("sampling", {})
    for cell, counted in zip(detail.suite.cells, detail.cells, strict=True):
        reading = reading_of(cell.style, *manner)
        config = lmeval.cell_config(cell.cell, *manner)
        if "generation_kwargs" in config:  # a run that was imported may have been answered with other settings
            config["generation_kwargs"] |= sampling.get("generation", {}).get(config["task"], {})
        yield _Task(cell, counted.id, detail.suite.seed, manner, reading, config)


def _write_samples(db: Engine, task: _Task, folder: Path, date: str) -> Logged:
    with (folder / f"samples_{task.logged.name}_{date}.jsonl").open("w", encoding="utf-8") as stream:
        for index, answers in groupby(stream_stored(db, task.id), key=lambda one: one.index):
            row = _sample(task, index, list(answers))
            task.logged.count(row)
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return task.logged


def _sample(task: _Task, index: int, answers: list[Stored]) -> Json:
    item = item_at(task.cell, task.seed, index)
    doc = lmeval.doc_of(task.cell.cell, item)
    prompt = _asked(task, item)
    if task.cell.style in SCORED:
        arguments: list[tuple[str, Any]] = [(prompt, choice) for choice in doc["choices"]]
        scores = answers[0].completion.scores or (-inf,) * len(doc["choices"])
        resps: list[Any] = [[(score, False)] for score in scores]  # whether it is greedy is not stored
        filtered: list[Any] = [row[0] for row in resps]
    else:
        arguments = [(prompt, task.config["generation_kwargs"])]
        resps = [[one.completion.text for one in answers]]
        read = [task.reading.answer(one.completion).text for one in answers]
        filtered = read if len(read) == 1 else [read]
    return {
        "doc_id": index, "doc": doc, "target": str(doc["target"]),
        "arguments": {
            f"gen_args_{at}": {f"arg_{place}": value for place, value in enumerate(pair)}
            for at, pair in enumerate(arguments)
        },
        "resps": as_text(resps), "filtered_resps": as_text(filtered), "filter": "none", "metrics": ["acc"],
        "doc_hash": text_digest(json.dumps(doc, indent=2, ensure_ascii=False)), "prompt_hash": text_digest(prompt),
        "target_hash": text_digest(str(doc["target"])),
        "acc": sum(one.verdict.correct for one in answers) / len(answers),
        "fathom": [_ours(one) for one in answers],
    }  # fmt: skip


def _asked(task: _Task, item: Instance) -> str:
    prompting = task.manner[0]
    pieces = pieces_of(task.cell.cell, item, lmeval.put(prompting)["system_instruction"] or "", prompting.n_shots)
    if not prompting.chat:
        return pieces.plain()
    return json.dumps(pieces.messages(prompting.shots_as == "turns"), ensure_ascii=False)


def _ours(one: Stored) -> Json:
    """Return what lm-eval does not say of an answer: its verdict, how it ended, tokens and time."""
    done = one.completion
    return {
        **verdict_json(one.verdict), "finish_reason": done.finish_reason, "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens, "milliseconds": round(done.seconds * 1000),
    }  # fmt: skip

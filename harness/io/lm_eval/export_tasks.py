"""Write a run on lm-eval's own tasks as the files that `lm_eval --log_samples` writes."""

import json
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from fathom.harness.db.task_samples import stream_task_samples
from fathom.harness.errors import BadInput, write_error
from fathom.harness.io.lm_eval.format import folder_name
from fathom.harness.records import TaskRunDetail


def export_task_run(db: Engine, detail: TaskRunDetail, out: Path) -> Path:
    """Write results_DATE.json and samples_TASK_DATE.jsonl into a folder named after the model; return the results.

    All files are written to a temporary folder beside it and moved at the end, the results last.

    Raises:
        BadInput: the run is not scored yet, or the files cannot be written.
    """
    one, results = detail.summary, detail.results
    if results is None:
        raise BadInput(f"run {one.run} is not scored yet: `fathom run --resume {one.run}` ends it")
    folder = out / folder_name(one.model)
    date = one.created_at.replace(tzinfo=None).isoformat(timespec="microseconds").replace(":", "-")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as name:
            partial = Path(name)
            for task in results["n-samples"]:
                with (partial / f"samples_{task}_{date}.jsonl").open("w", encoding="utf-8") as stream:
                    for sample in stream_task_samples(db, one.run, task):
                        stream.write(json.dumps(sample, ensure_ascii=False) + "\n")
            text = json.dumps(_results(detail, results), indent=2, ensure_ascii=False)
            (partial / f"results_{date}.json").write_text(text, encoding="utf-8")
            for file in sorted(partial.iterdir(), reverse=True):  # samples before results
                file.replace(folder / file.name)
    except OSError as error:
        raise write_error(folder, error) from error
    return folder / f"results_{date}.json"


def _results(detail: TaskRunDetail, results: Any) -> dict[str, Any]:  # JSON of lm-eval's evaluate
    one = detail.summary
    config = {"model": one.engine, "model_args": {"pretrained": one.model}, "limit": detail.settings["limit"]}
    return {
        **results,
        "config": config,
        "date": one.created_at.timestamp(),
        "model_name": one.model,
        "model_name_sanitized": folder_name(one.model),
        "fathom": {"run": one.run, "manifest_digest": detail.manifest_digest, "manifest": detail.manifest.to_json()},
    }

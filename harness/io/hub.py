"""Results for the Hugging Face hub: `.eval_results/*.yaml` of a model, and `eval.yaml` of the benchmark's data set.

Source: the hub's documentation of evaluation results, and `huggingface_hub.EvalResultEntry`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fathom.harness.db.seal import SEALED
from fathom.harness.errors import BadInput
from fathom.harness.format import plural, prompt_format_words
from fathom.harness.records import RunDetail
from fathom.harness.reports.describe import advice_of
from fathom.harness.stats.scores import scores_json
from fathom.tasks.suite_tables import SUITE_VERSION
from fathom.tasks.suites import open_suite, suite_names

RESULTS = ".eval_results"
"""Folder of a model's repository in which the hub looks for results."""

_REPO = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
_CHECKED = 2  # tier of a result that somebody else than its sender has seen
_LAYERS = {
    "adaptive": "it chose its questions by the answers, so it has a depth and no score",
    "fresh": "it was asked on a seed of its own, beside a ranked run",
    "sampled": "it was not decoded as ranked runs are",
}


class NotPublishable(BadInput):
    """A result that should not stand on a model's page."""


@dataclass(frozen=True, slots=True)
class Publication:
    """Where a result belongs: the benchmark's data set on the hub, and optionally a page that shows the answers."""

    benchmark: str
    source: str = ""


def check_publishable(detail: RunDetail) -> None:
    """Check that a run is a result of a whole suite that others may rely on.

    Raises:
        NotPublishable: it is not; the message names every reason.
    """
    reasons = list(_reasons(detail))
    if reasons:
        raise NotPublishable(f"run {detail.summary.run} is not published: {'; '.join(reasons)}")


def _reasons(detail: RunDetail) -> Iterator[str]:
    one = detail.summary
    if one.state != "done":
        yield f"it is {one.state}: `fathom run --resume {one.run}`"
    if one.tier < _CHECKED:
        yield "nobody has checked it (tier 1): let a board replay it"
    if one.layer in _LAYERS:
        yield _LAYERS[one.layer]
    if one.sealed:
        yield f"its questions are {SEALED}"
    if one.hidden_at is not None:
        yield "it was taken off the board"
    if one.engine == "oracle" or detail.manifest.context.synthetic:
        yield "no model gave its answers"
    if one.suite not in suite_names() or detail.pool != open_suite(one.suite, 0).pool():
        yield f"it does not ask a whole suite ({', '.join(suite_names())}) of version {SUITE_VERSION}"
    if n_errors := sum(cell.n_errors for cell in detail.cells):
        yield f"{plural(n_errors, 'request')} failed: `fathom run --resume {one.run}` asks them again"
    yield from (f"not to be trusted: {said}" for said in advice_of(detail))


def result_entries(detail: RunDetail, to: Publication) -> list[Any]:  # huggingface_hub.EvalResultEntry
    """Return a run's scores, one entry a style: 0 a guesser, 100 perfect.

    Raises:
        NotPublishable: see `check_publishable`.
        BadInput: the benchmark is no name of a data set.
    """
    from huggingface_hub import EvalResultEntry

    check_publishable(detail)
    if not _REPO.fullmatch(to.benchmark):
        raise BadInput(f"--benchmark {to.benchmark!r}: name a data set of the hub, as in OWNER/NAME")
    overall: Mapping[str, Mapping[str, float]] = scores_json(detail.cells)["overall"]
    return [
        EvalResultEntry(
            dataset_id=to.benchmark,
            task_id=f"{detail.summary.suite}_{style}",
            value=round(100 * found["score"], 2),
            date=detail.summary.created_at.date().isoformat(),
            source_url=to.source or None,
            source_name="Fathom board" if to.source else None,
            notes=_notes(detail, found),
        )
        for style, found in overall.items()
    ]


def _notes(detail: RunDetail, found: Mapping[str, float]) -> str:
    one, manifest = detail.summary, detail.manifest
    said = [
        f"95% interval {100 * found['low']:.1f} to {100 * found['high']:.1f}",
        prompt_format_words(one.prompt_format),
        f"seed {one.seed}",
        f"suite {detail.suite.version}",
        f"Fathom {manifest.context.fathom.version}, run {one.run}",
        f"model commit {manifest.context.model_sha[:12]}" if manifest.context.model_sha else "",
    ]
    return "; ".join(filter(None, said))


def result_files(detail: RunDetail, to: Publication) -> dict[str, str]:
    """Return the files of the model's repository that hold a run's results, by path.

    Raises:
        NotPublishable, BadInput: see `result_entries`.
    """
    import yaml
    from huggingface_hub import eval_result_entries_to_yaml

    rows = eval_result_entries_to_yaml(result_entries(detail, to))
    return {f"{RESULTS}/fathom_{detail.summary.suite}.yaml": yaml.safe_dump(rows, sort_keys=False, allow_unicode=True)}


def benchmark_files() -> dict[str, str]:
    """Return the files of the benchmark's data set: `eval.yaml` with a task for each suite and style, and a README.

    `evaluation_framework` is one of a list that the hub keeps, to which "fathom" has yet to be added.
    """
    import yaml

    tasks, rows = [], []
    for name in suite_names():
        suite = open_suite(name, 0)
        for style in dict.fromkeys(cell.style for cell in suite.cells):
            cells = [cell for cell in suite.cells if cell.style == style]
            tasks.append({"id": f"{name}_{style}"})
            n_items = sum(cell.n for cell in cells)
            families = ", ".join(dict.fromkeys(cell.family for cell in cells))
            rows.append(f"| `{name}_{style}` | {len(cells):,} | {n_items:,} | {families} |")
    stated = {
        "name": "Fathom",
        "description": "How deep a language model can think: questions made afresh from a seed. "
        "Scores are accuracy corrected for guessing, 0 a guesser, 100 perfect, the mean over families.",
        "evaluation_framework": "fathom",
        "tasks": tasks,
    }
    return {
        "eval.yaml": yaml.safe_dump(stated, sort_keys=False, width=120),
        "README.md": "\n".join([_CARD.format(version=SUITE_VERSION), *rows, ""]),
    }


_CARD = """\
---
pretty_name: Fathom
license: apache-2.0
tags: [benchmark, reasoning, synthetic]
---
# Fathom, suites {version}

No questions are stored here: each run makes its own from a seed, `fathom run --model MODEL --suite standard`. A score
is accuracy corrected for guessing, 0 a guesser, 100 perfect: the mean over families, in one style of answering. The
notes of a result state its interval, its seed and how the model was asked.

| task | cells | questions | families |
|---|---|---|---|"""


def write_files(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Write texts below a folder, which is made; return their paths."""
    written = []
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written


def push_results(detail: RunDetail, repo: str, to: Publication, hub: str, token: str) -> str:
    """Open a pull request with a run's results on a model's repository; return its address.

    Raises:
        NotPublishable, BadInput: see `result_entries`; the run is of another model, or the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    files = result_files(detail, to)
    if detail.summary.model != repo:
        raise BadInput(f"--repo {repo}: the run is of {detail.summary.model}, and its result belongs to that model")
    operations = [CommitOperationAdd(name, text.encode()) for name, text in files.items()]
    try:
        done = HfApi(endpoint=hub, token=token or None).create_commit(
            repo, operations, create_pr=True, commit_message=f"Fathom results: suite {detail.summary.suite}",
            commit_description="Scores of a run of Fathom; the notes state interval, seed and how the model was asked.",
        )  # fmt: skip
    except OfflineModeIsEnabled as error:
        raise BadInput("HF_HUB_OFFLINE is set: unset it to reach the hub") from error
    except (HfHubHTTPError, OSError) as error:
        raise BadInput(f"{hub} refused: {' '.join(str(error).split())[:300]}") from error
    return str(done.pr_url or done.commit_url)

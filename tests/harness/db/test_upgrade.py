"""A database of the version before opens with the same runs, counts, ranks and scores, and its runs can be resumed."""

import base64
import datetime as dt
import gzip
import json
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from sqlalchemy import DateTime, inspect, text

from fathom.harness.cli.db import upgrade_to_head
from fathom.harness.db import read
from fathom.harness.db.backup.restore import restore
from fathom.harness.db.engine import HEAD, current_version, make_engine, migrate, open_database, parse_url
from fathom.harness.db.leaderboard import read as board
from fathom.harness.db.samples import stream_samples
from fathom.harness.db.schema.runs import CellRow, ModelRow, SampleRow, SuiteRow
from fathom.harness.db.schema.task_samples import TaskSampleRow
from fathom.harness.db.sql import insert_into, raise_counters
from fathom.harness.db.task_samples import stream_task_samples
from fathom.harness.engines.base import Completion, EngineSettings
from fathom.harness.errors import RunChanged, UnknownRun
from fathom.harness.records import READINGS, SampleFilter
from fathom.harness.runs import evaluate as pipeline
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import resume_plan, resume_task_plan
from fathom.harness.runs.regrade import regrade

BACKUP = Path(__file__).with_name("version_0005.jsonl.gz")
"""Written by `fathom db backup` of the version before: seven runs of oracles on suites and two runs on tasks."""
SAID = json.loads(Path(__file__).with_name("version_0005.json").read_text())
"""Values that the version before read from it."""
FOUND = ("n_asked", "n_unread", "n_cut")
STATES = {
    state: [one["run"] for one in SAID["runs"] if one["state"] == state] for state in ("done", "failed", "interrupted")
}


def copy_rows(connection):
    """Write the rows of the backup into tables of the version before, as they are."""
    lines = map(json.loads, gzip.decompress(BACKUP.read_bytes()).decode().splitlines())
    times = DateTime(timezone=True).bind_processor(connection.dialect)
    for line in lines:
        if isinstance(line, dict):
            if "table" in line:
                table, columns, rows = line["table"], line["columns"], []
            elif "end" in line and rows:
                insert_into(connection, table, [name for name, _ in columns], rows)
            continue
        rows.append(tuple(value_of(kind, value, times) for (_, kind), value in zip(columns, line, strict=True)))


def value_of(kind, value, times):
    if value is None or kind not in ("bytes", "time"):
        return value
    if kind == "bytes":
        return base64.b64decode(value)
    time = dt.datetime.fromisoformat(value)
    return time if times is None else times(time)


@pytest.fixture
def old(database):
    """URL of a database of the version before."""
    engine = make_engine(parse_url(database))
    with engine.begin() as connection:
        migrate(connection, "0005")
        copy_rows(connection)
        raise_counters(connection, (ModelRow, SuiteRow, CellRow, SampleRow, TaskSampleRow))
    engine.dispose()
    return database


@pytest.fixture
def new(old):
    assert upgrade_to_head(old).endswith(f"is at version {HEAD} (was 0005)")
    db = open_database(old, create=False)
    yield db
    db.dispose()


def plain(value):
    return json.loads(json.dumps(asdict(value), default=str))


def runs_of(db):
    """Runs on suites, the oldest first, in the form of version_0005.json."""
    for one in reversed(read.list_runs(db)):
        detail = read.get_run(db, one.run)
        counts = [[cell.n, cell.k, cell.n_errors] for cell in detail.cells]
        assert one.prompt_format == "plain/0"
        known = {name: value for name, value in plain(one).items() if name not in (*FOUND, "prompt_format")}
        yield {**known, "manifest_digest": detail.manifest_digest, "counts": counts}


def task_runs_of(db):
    for one in reversed(read.list_task_runs(db)):
        detail = read.get_task_run(db, one.run)
        samples = {
            task: list(stream_task_samples(db, one.run, task)) for task in (detail.results or {}).get("n-samples", {})
        }
        yield {**plain_task_run(detail), "samples": samples}


def plain_task_run(detail):
    stored = {"manifest": detail.manifest.to_json()}
    fields = ("summary", "settings", "manifest_digest", "results", "log", "n_by_reason")
    values = {name: getattr(detail, name) for name in fields}
    return json.loads(json.dumps({**values, "summary": asdict(detail.summary), **stored}, default=str))


def standings_of(db):
    for pool in board.list_pools(db):
        for style in pool.styles:
            page = board.list_standings(db, board.StandingQuery(pool.id, style))
            yield (
                f"{pool.id} {style}",
                [
                    [one.model.name, one.run, one.rank, one.rank_low, one.rank_high, one.tie, round(one.score.value, 9)]
                    for one in page.standings
                ],
            )


def assert_all_is_there(db):
    assert list(runs_of(db)) == SAID["runs"]
    assert list(task_runs_of(db)) == SAID["tasks"]
    assert dict(standings_of(db)) == SAID["standings"]


def test_runs_counts_ranks_and_task_runs_stay_the_same(new):
    assert_all_is_there(new)
    assert "task_runs" not in inspect(new).get_table_names()


def test_how_answers_to_items_of_older_families_were_found_stays_unknown(new):
    run = STATES["done"][0]
    detail = read.get_run(new, run)
    assert [getattr(detail.summary, name) for name in FOUND] == [None] * 3
    assert {cell.found for cell in detail.cells} == {None}
    assert {one.found for one in stream_samples(new, detail, SampleFilter())} == {None}
    for reading in READINGS:
        assert read.get_samples(new, detail, SampleFilter(readings=(reading,))).total == 0
    found = regrade(new, run)
    assert (found.n_judged, sum(found.skipped.values())) == (0, detail.summary.n_done)
    assert all("which has other items" in why for why in found.skipped)
    assert read.get_run(new, run).cells == detail.cells


def test_going_back_and_forth_keeps_everything(new):
    with new.begin() as connection:
        migrate(connection, "0005")
    assert current_version(new) == "0005"
    with new.connect() as connection:
        old = connection.execute(text("SELECT id, model, n_requests, n_done FROM task_runs ORDER BY created_at")).all()
        names = connection.execute(text("SELECT name FROM models ORDER BY id")).scalars().all()
        assert connection.execute(text("SELECT count(*) FROM runs")).scalar() == len(SAID["runs"])
    assert [tuple(row) for row in old] == [
        (one["run"], one["model"], one["n_requests"], one["n_done"])
        for one in (task["summary"] for task in SAID["tasks"])
    ]
    assert names == ["oracle/noisy", "oracle/perfect"]
    with new.begin() as connection:
        migrate(connection, HEAD)
    assert_all_is_there(new)


def test_a_backup_of_the_version_before_is_restored(database):
    restored = restore(BACKUP, database)
    assert restored.dumped.schema == "0005"
    db = open_database(database, create=False)
    assert_all_is_there(db)
    db.dispose()


def test_runs_on_tasks_are_not_runs_on_suites(new):
    tasks = SAID["tasks"][0]["summary"]["run"]
    with pytest.raises(UnknownRun, match=f"no run begins with '{tasks}'"):
        read.get_run(new, tasks)
    assert read.count_runs(new) == len(SAID["runs"])
    assert sum(read.count_by_state(new).values()) == len(SAID["runs"])
    models, n_models = board.list_models(new, "", 10, 0)
    assert ([one.name for one in models], n_models) == (["oracle/noisy", "oracle/perfect"], 2)


@pytest.mark.parametrize("state", ["failed", "interrupted"])
def test_a_run_that_the_version_before_did_not_finish_keeps_its_budgets_and_ends_there(new, state):
    (run,) = STATES[state]
    before = read.get_run(new, run)
    with pytest.raises(RunChanged, match="another suite, families, token_budgets"):
        evaluate(resume_plan(before, EngineSettings("oracle")), new)
    assert read.get_run(new, run) == before


class Parrot:
    """The engine with which the version before made its runs on tasks."""

    name, context = "openai", 1000

    def facts(self):
        return {"server": "parrot", "dtype": "float32"}

    def close(self):
        pass

    def stream(self, requests):
        for one in requests:
            yield [Completion(one.key, f" {len(one.prompt) % 9}", "stop", 9, 2, 0.125)]


def test_a_run_on_tasks_that_the_version_before_did_not_finish_is_resumed(new, tmp_path, monkeypatch):
    from fathom.harness.runs.lm_eval_tasks.evaluation import prepare_tasks

    rows = [
        {"question": f"What is {n} + {n}?", "answer": str(2 * n), "options": [str(2 * n), str(n)]} for n in range(6)
    ]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {
        "task": "sums_write", "dataset_path": "json", "output_type": "generate_until", "test_split": "test",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "sums.jsonl")}}, "metadata": {"version": 1.0},
        "doc_to_text": "{{question}}", "doc_to_target": "answer", "target_delimiter": " ",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }  # fmt: skip
    (tmp_path / "sums_write.yaml").write_text(yaml.safe_dump(task))
    monkeypatch.setattr(pipeline, "open_engine", lambda *_: Parrot())
    whole, broken = (task["summary"]["run"] for task in SAID["tasks"])
    server = EngineSettings("openai", options={"base_url": "http://127.0.0.1:1/v1"})
    plan = resume_task_plan(read.get_task_run(new, broken), server, (str(tmp_path),))
    outcome = evaluate(prepare_tasks(plan), new)
    assert (outcome.run, outcome.n_recalled, outcome.n_generated) == (broken, 4, 2)
    done, same = (read.get_task_run(new, run).results["results"]["sums_write"] for run in (broken, whole))
    assert done == same

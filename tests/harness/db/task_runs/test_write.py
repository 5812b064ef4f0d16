"""Rows of runs of lm-eval's own tasks, on both databases, with whatever data sets hold."""

import datetime as dt

import numpy as np
import pytest

from fathom.harness.db.task_runs import read as task_records
from fathom.harness.db.task_runs import write as task_runs
from fathom.harness.db.task_runs.write import NewTaskRun, TaskDoc, TaskPlace, TaskSample
from fathom.harness.db.write import Ending
from fathom.harness.engines.base import Completion
from fathom.harness.errors import UnknownRun

ODD = "nul \0, lone \ud800, deep 深"
KEPT = "nul \ufffd, lone ?, deep 深"
NEW = NewTaskRun("org/m", "hf", ("t",), {}, {"decisive": {}, "context": {}}, "d", 3)
TEXT = TaskSample(
    TaskPlace("t", 0, 0, 0, "generate_until"), ODD, (), {"until": ["\n"]}, Completion("a", ODD, "stop", 3, 2, 0.5)
)
CHOICE = TaskSample(
    TaskPlace("t", 1, 0, 0, "loglikelihood"), "Q", (" a", " b"), None,
    Completion("b", " a", "stop", 3, 0, 0.1, (-1.5, -2.5), (True, False)),
)  # fmt: skip
LOST = TaskSample(
    TaskPlace("t", 2, 0, 0, "generate_until"), "Q", (), {}, Completion("c", "", "error", 0, 0, 0.0, error="lost")
)


def test_what_is_recorded_comes_back_once_and_errors_are_asked_again(db):
    run = task_runs.start_task_run(db, NEW)
    assert task_runs.record_task_samples(db, run, [TEXT, CHOICE, LOST]) == 3
    assert task_runs.record_task_samples(db, run, [TEXT, CHOICE]) == 0
    known = task_runs.recall_completions(db, run)
    assert set(known) == {"a", "b"}
    assert known["a"].text == KEPT
    assert (known["b"].scores, known["b"].greedy) == ((-1.5, -2.5), (True, False))
    task_runs.end_task_run(db, run, Ending("failed", 2.4, "lost", "a log"))
    assert task_records.get_task_run(db, run[:5]).summary.error == "lost"
    task_runs.resume_task_run(db, run)
    (one,) = task_records.list_task_runs(db)
    assert (one.state, one.n_done, one.n_generated, one.attempts, one.error) == ("running", 2, 3, 2, None)


def test_documents_hold_what_data_sets_hold(db):
    run = task_runs.start_task_run(db, NEW)
    task_runs.record_task_samples(db, run, [TEXT, CHOICE])
    doc = {"text": ODD, "at": dt.date(2026, 11, 24), "n": np.int64(7), "none": float("nan"), "many": np.array([1, 2])}
    first = TaskDoc(
        "t", 0, doc, ODD, [{"filter": "f", "filtered_resps": [ODD], "metrics": {"em": np.float64(1)}}], *"xyz"
    )
    second = TaskDoc(
        "t", 1, {}, "0", [{"filter": "none", "filtered_resps": [(-1.5, True)], "metrics": {"acc": 1}}], *"xyz"
    )
    for _ in range(2):  # writing twice changes nothing
        task_runs.finish_task_run(db, run, {"results": {"t": {"em,f": float("inf")}}}, [first, second])
    assert task_records.get_task_run(db, run).results == {"results": {"t": {"em,f": None}}}
    one, two = task_records.stream_task_samples(db, run, "t")
    assert one["doc"] == {"text": KEPT, "at": "2026-11-24", "n": 7, "none": None, "many": "[1 2]"}
    assert one["arguments"] == {"gen_args_0": {"arg_0": KEPT, "arg_1": {"until": ["\n"]}}}
    assert (one["resps"], one["filtered_resps"], one["em"]) == ([[KEPT]], [KEPT], 1.0)
    assert two["arguments"]["gen_args_1"] == {"arg_0": "Q", "arg_1": " b"}
    assert two["resps"] == [[["-1.5", "True"]], [["-2.5", "False"]]]
    assert two["filtered_resps"] == [["-1.5", "True"]]


def test_a_run_that_is_not_there_is_named(db):
    with pytest.raises(UnknownRun, match="no run begins with 'feed'"):
        task_records.get_task_run(db, "feed")
    assert task_records.find_task_run(db, "feed") is None

"""Runs on lm-eval's own tasks in both kinds of database, with all values that data sets hold."""

import datetime as dt

import numpy as np
import pytest

from fathom.harness.db import read, write
from fathom.harness.db.task_samples import (
    TaskDoc,
    TaskPosition,
    TaskSample,
    recall_task_completions,
    record_task_samples,
    store_task_scores,
    stream_task_samples,
)
from fathom.harness.engines.base import Completion
from fathom.harness.errors import UnknownRun

ODD = "nul \0, lone \ud800, deep 深"
KEPT = "nul \ufffd, lone ?, deep 深"
NEW = write.NewTaskRun("org/m", "hf", {"tasks": ["t"]}, "r", "0.4", 3, {"decisive": {}, "context": {}}, "d")
TEXT = TaskSample(
    TaskPosition("t", 0, 0, 0, "generate_until"), ODD, (), {"until": ["\n"]}, Completion("a", ODD, "stop", 3, 2, 0.5)
)
CHOICE = TaskSample(
    TaskPosition("t", 1, 0, 0, "loglikelihood"), "Q", (" a", " b"), None,
    Completion("b", " a", "stop", 3, 0, 0.1, (-1.5, -2.5), (True, False)),
)  # fmt: skip
LOST = TaskSample(
    TaskPosition("t", 2, 0, 0, "generate_until"), "Q", (), {}, Completion("c", "", "error", 0, 0, 0.0, error="lost")
)


def test_what_is_recorded_comes_back_once_and_errors_are_asked_again(db):
    run = write.start_task_run(db, NEW)
    assert record_task_samples(db, run, [TEXT, CHOICE, LOST]) == 3
    assert record_task_samples(db, run, [TEXT, CHOICE]) == 0
    known = recall_task_completions(db, run)
    assert set(known) == {"a", "b"}
    assert known["a"].text == KEPT
    assert (known["b"].scores, known["b"].greedy) == ((-1.5, -2.5), (True, False))
    write.finish_run(db, run, write.Ending("failed", 2.4, "lost", "a log"))
    assert read.get_task_run(db, run[:5]).summary.error == "lost"
    write.resume_run(db, run)
    (one,) = read.list_task_runs(db)
    assert (one.state, one.n_done, one.n_generated, one.attempts, one.error) == ("running", 2, 3, 2, None)


def test_documents_hold_what_data_sets_hold(db):
    run = write.start_task_run(db, NEW)
    record_task_samples(db, run, [TEXT, CHOICE])
    doc = {"text": ODD, "at": dt.date(2026, 11, 24), "n": np.int64(7), "none": float("nan"), "many": np.array([1, 2])}
    first = TaskDoc(
        "t", 0, doc, ODD, [{"filter": "f", "filtered_resps": [ODD], "metrics": {"em": np.float64(1)}}], *"xyz"
    )
    second = TaskDoc(
        "t", 1, {}, "0", [{"filter": "none", "filtered_resps": [(-1.5, True)], "metrics": {"acc": 1}}], *"xyz"
    )
    for _ in range(2):  # writing twice changes nothing
        store_task_scores(db, run, {"results": {"t": {"em,f": float("inf")}}}, [first, second])
    assert read.get_task_run(db, run).results == {"results": {"t": {"em,f": None}}}
    one, two = stream_task_samples(db, run, "t")
    assert one["doc"] == {"text": KEPT, "at": "2026-11-24", "n": 7, "none": None, "many": "[1 2]"}
    assert one["arguments"] == {"gen_args_0": {"arg_0": KEPT, "arg_1": {"until": ["\n"]}}}
    assert (one["resps"], one["filtered_resps"], one["em"]) == ([[KEPT]], [KEPT], 1.0)
    assert two["arguments"]["gen_args_1"] == {"arg_0": "Q", "arg_1": " b"}
    assert two["resps"] == [[["-1.5", "True"]], [["-2.5", "False"]]]
    assert two["filtered_resps"] == [["-1.5", "True"]]


def test_resuming_a_run_deletes_its_scores(db):
    run = write.start_task_run(db, NEW)
    record_task_samples(db, run, [TEXT])
    doc = TaskDoc("t", 0, {}, "0", [{"filter": "f", "filtered_resps": ["0"], "metrics": {"em": 1}}], *"xyz")
    store_task_scores(db, run, {"results": {}}, [doc])
    write.resume_run(db, run)
    assert read.get_task_run(db, run).results is None
    assert list(stream_task_samples(db, run, "t")) == []


def test_runs_of_the_same_requests_share_what_they_ask(db):
    first, second = (write.start_task_run(db, NEW) for _ in range(2))
    assert {one.run for one in read.list_task_runs(db)} == {first, second}


def test_an_unknown_run_is_refused_by_name(db):
    for get in (read.get_task_run, read.any_run):
        with pytest.raises(UnknownRun, match="no run begins with 'feed'"):
            get(db, "feed")

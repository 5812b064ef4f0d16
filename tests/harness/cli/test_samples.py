"""`fathom show --samples` prints what was asked, written and read, and takes the filters together."""

import json
import re

import pytest

from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.db.task_samples import TaskDoc, TaskPosition, TaskSample, record_task_samples, store_task_scores
from fathom.harness.engines.base import Completion
from fathom.tasks.base import Verdict
from fathom.tasks.suites import Selection, open_suite

LONG = "I think that it leads on and on, and so I follow it again. " * 9
ANSWERS = (
    (" AB", Verdict(True, "AB", "correct", None, "", "asked")),
    ("The code is CD.\nA line \u202e of it.", Verdict(False, "CD", "other_node", 2, "", "read")),
    ("", Verdict(False, None, "no_answer")),
    (LONG, Verdict(False, None, "cut_off")),
)
"""Completions of each cell, and their verdicts."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A database file with a run on a suite, one on tasks of lm-eval's, and one of an older version, by kind."""
    file = tmp_path_factory.mktemp("samples") / "runs.db"
    db = open_database(str(file), create=True)
    runs = {"suite": put_suite_run(db), "tasks": put_task_run(db), "old": put_suite_run(db)}
    with db.begin() as connection:
        connection.exec_driver_sql("UPDATE samples SET found = NULL WHERE key LIKE ?", (f"{runs['old']}%",))
    write.finish_run(db, runs["old"], write.Ending("done", 1.0))
    db.dispose()
    return file, runs


def put_suite_run(db):
    suite = open_suite("quick", 7, Selection(levels=("n8k1", "n8k2"), styles=("direct", "cot"), n=len(ANSWERS)))
    run = write.start_run(db, write.NewRun("org/m", "hf", suite, suite.digest(), {}, "0" * 32))
    cells = [cell.id for cell in read.get_run(db, run).cells]
    samples = [
        write.Sample(at, index, 0, key, Completion(key, text, reason_of(verdict), 60, 9, 0.5), verdict)
        for at in range(len(cells))
        for index, (text, verdict) in enumerate(ANSWERS)
        for key in [f"{run}/{at}/{index}"]
    ]
    write.record_samples(db, run, cells, samples)
    write.finish_run(db, run, write.Ending("done", 1.0))
    return run


def reason_of(verdict):
    return "length" if verdict.label == "cut_off" else "stop"


def put_task_run(db):
    settings = {"tasks": ["sums"]}
    run = write.start_task_run(db, write.NewTaskRun("org/m", "hf", settings, "r", "0.4", 4, {}, "d"))
    texts = [(" 4", "stop"), (" 5", "stop"), ("Let me see", "stop"), ("2 and 2 and", "length")]
    samples = [
        TaskSample(
            TaskPosition("sums", at, 0, 0, "generate_until"), f"What is {at} + 2?", (), {},
            Completion(f"{run}{at}", text, reason, 9, 3, 0.25),
        )
        for at, (text, reason) in enumerate(texts)
    ]  # fmt: skip
    choice = Completion(f"{run}c", " yes", "stop", 9, 0, 0.25, (-0.5, -2.25), (True, False))
    asked = TaskSample(TaskPosition("ask", 0, 0, 0, "loglikelihood"), "Is it?", (" yes", " no"), None, choice)
    record_task_samples(db, run, [*samples, asked])
    docs = [doc("sums", at, text, met) for at, text, met in [(0, "4", 1.0), (1, "5", 0.0), (2, "[invalid]", 0.0),
                                                             (3, "[invalid]", 0.0)]]  # fmt: skip
    results = {"results": {}, "n-samples": {"sums": {}, "ask": {}}}
    store_task_scores(db, run, results, [*docs, doc("ask", 0, [-0.5, True], 1.0)])
    write.finish_run(db, run, write.Ending("done", 1.0))
    return run


def doc(task, number, read_as, metric):
    scored = [{"filter": "strict", "filtered_resps": [read_as], "metrics": {"exact_match": metric}}]
    return TaskDoc(task, number, {}, "4", scored, *"xyz")


@pytest.fixture
def shown(fathom, stored):
    """The lines that the command prints of a run of this kind; `words` choose samples."""
    file, runs = stored

    def show(kind, *words):
        done = fathom("show", runs[kind][:8], "--samples", "--db", file, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return show


def heads(lines):
    return [line.strip("─ ") for line in lines if line.startswith("──")]


def test_a_sample_is_printed_whole_and_fits_eighty_columns(shown):
    lines = shown("suite", "--style", "cot", "--level", "n8k2", "--limit", "4")
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 80
    assert [head.split("  ")[1] for head in heads(lines)] == [f"depo@2/n8k2/symbol/7/{at}, cot" for at in range(4)]
    assert "Which code is 2 arrows after" in " ".join(text.split())
    assert re.search(r"answer +AB \(in the form asked for\)", text)
    assert re.search(
        r"answer +CD \(in another form than asked for\)\ngold +[A-Z]{2}\nverdict +wrong, other_node at 2", text
    )
    assert "    The code is CD.\n    A line \\u202e of it." in text
    assert "completion\n    (empty)" in text
    assert re.search(r"ending +cut off: its token budget ran out; 60 tokens in, 9 out", text)
    assert " ".join(text.split()).count("I think that it leads on and on") == 9


@pytest.mark.parametrize(
    ("words", "indices"),
    [
        (("--wrong",), [1, 2, 3]),
        (("--unread",), [2]),
        (("--cut",), [3]),
        (("--cut", "--unread"), [2, 3]),
        (("--wrong", "--limit", "2"), [1, 2]),
    ],
)
def test_filters_choose_samples_together(shown, words, indices):
    lines = shown("suite", "--style", "direct", "--level", "*k1", *words)
    assert [int(head.partition(",")[0].rpartition("/")[2]) for head in heads(lines)] == indices
    assert ("there are more than these 2" in "\n".join(lines)) == ("--limit" in words)


def test_json_has_every_sample_with_how_its_answer_was_found(shown):
    rows = [json.loads(line) for line in shown("suite", "--json")]
    assert len(rows) == 4 * len(ANSWERS)
    assert [(row["found"], row["label"]) for row in rows[:4]] == [(one.found, one.label) for _, one in ANSWERS]
    assert all(row["question"] for row in rows)


def test_documents_of_lm_evals_tasks_are_printed_with_each_filter(shown):
    lines = shown("tasks")
    assert heads(lines) == [*(f"{at + 1}  sums, document {at}" for at in range(4)), "5  ask, document 0"]
    text = "\n".join(lines)
    assert re.search(r"target +4\nverdict +exact_match 0.0, filter strict, read as: 5", text)
    assert re.search(r"log-likelihoods\n +−0.50  yes\n +−2.25  no\n", text)


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (("--wrong",), ["sums 1", "sums 2", "sums 3"]),
        (("--unread",), ["sums 2"]),
        (("--cut",), ["sums 3"]),
        (("--family", "a*"), ["ask 0"]),
    ],
)
def test_documents_are_chosen_by_the_same_filters(shown, words, numbers):
    found = [" ".join(head.split()[1:]).replace(", document", "") for head in heads(shown("tasks", *words))]
    assert found == numbers
    assert len(shown("tasks", *words, "--json")) == len(numbers)


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("suite", ("--family", "mano"), "has no family 'mano' here; it has: depo"),
        ("tasks", ("--family", "mano"), "has no task 'mano'; it has: sums, ask"),
        ("tasks", ("--style", "cot"), "choose a task of this run with --family TASK"),
        ("old", ("--unread",), "how answers were found is not stored"),
    ],
)
def test_a_filter_that_fits_nothing_is_said(fathom, stored, kind, words, said):
    file, runs = stored
    done = fathom("show", runs[kind], "--samples", "--db", file, *words)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_filter_without_samples_is_refused(fathom, stored):
    done = fathom("show", stored[1]["suite"], "--db", stored[0], "--wrong")
    assert done.returncode == 2
    assert "add --samples" in done.stderr


def test_a_run_is_shown_with_how_its_answers_were_found(fathom, stored):
    file, runs = stored
    text = fathom("show", runs["suite"], "--db", file).stdout
    (line,) = re.findall(r"^direct +all families .*$", text, re.M)
    assert line.split()[3:] == ["8", "25%", "25%", "25%", "25%"]
    found = json.loads(fathom("show", runs["suite"], "--db", file, "--json").stdout)
    assert (found["n_asked"], found["n_unread"], found["n_cut"]) == (4, 4, 4)
    assert found["answers"][0] == {
        "family": None, "style": "direct", "n": 8, "k": 2, "n_asked": 2, "n_unread": 2, "n_cut": 2,
    }  # fmt: skip
    old = fathom("show", runs["old"], "--db", file).stdout
    assert "`fathom regrade` reads them again" in old
    assert "as asked" not in old
    found = json.loads(fathom("show", runs["old"], "--db", file, "--json").stdout)
    assert {cell["n_unread"] for cell in found["cells"]} == {None}

"""Results on the hub: files that huggingface_hub reads back, a pull request, and no result that nobody checked."""

import dataclasses
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from fathom.harness.db.engine import open_database
from fathom.harness.db.read import get_run
from fathom.harness.io.hub import NotPublishable, Publication, benchmark_files, check_publishable, result_entries
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan, resolve_model
from fathom.harness.runs.run_settings import EngineSettings, RunSettings
from fathom.harness.stats.scores import scores_json
from fathom.tasks.suites import Selection, open_suite

TO = Publication("org/fathom-suites", "https://board.example/runs/1")


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A database with a whole run of the suite quick, under the name of a model of the hub, and the run's id."""
    file = tmp_path_factory.mktemp("hub") / "runs.db"
    oracle = EngineSettings("oracle")
    plan = Plan(resolve_model("oracle/noisy", oracle), open_suite("quick", 7), RunSettings(engine=oracle))
    run = evaluate(plan, open_database(str(file), create=True)).run
    with sqlite3.connect(file) as opened:  # as if an engine had given these answers
        opened.execute("UPDATE runs SET engine = 'hf'")
        opened.execute("UPDATE models SET name = 'org/pebble'")
    return file, run


@pytest.fixture(scope="module")
def detail(played):
    file, run = played
    return get_run(open_database(str(file), create=False), run)


def test_the_files_read_back_as_the_scores_of_the_run(played, detail, fathom, tmp_path):
    file, run = played
    said = fathom("export", run, "--hub", tmp_path, "--benchmark", TO.benchmark, "--source", TO.source, "--db", file)
    assert said.returncode == 0, said.stderr
    rows = yaml.safe_load((tmp_path / ".eval_results" / "fathom_quick.yaml").read_text(encoding="utf-8"))
    read = parse_eval_result_entries(rows)
    overall = scores_json(detail.cells)["overall"]
    assert read == result_entries(detail, TO)
    assert {one.task_id: one.value for one in read} == {
        f"quick_{style}": round(100 * found["score"], 2) for style, found in overall.items()
    }
    assert all(one.dataset_id == TO.benchmark and f"seed 7; suite {detail.suite.version}" in one.notes for one in read)
    tasks = {task["id"] for task in yaml.safe_load((tmp_path / "benchmark" / "eval.yaml").read_text())["tasks"]}
    assert {one.task_id for one in read} <= tasks
    assert "| `quick_direct` |" in (tmp_path / "benchmark" / "README.md").read_text()


def test_the_benchmark_has_a_task_for_each_suite_and_style():
    stated = yaml.safe_load(benchmark_files()["eval.yaml"])
    assert {"name", "description", "evaluation_framework", "tasks"} == stated.keys()
    assert {task["id"].partition("_")[0] for task in stated["tasks"]} == {"quick", "standard", "full"}


def test_a_pull_request_holds_the_file(played, hub, fathom, tmp_path):
    file, run = played
    repo = hub.make("pebble")
    token = tmp_path / "token"
    token.write_text(hub.token)
    token.chmod(0o600)
    words = ("push", run, "--repo", "org/pebble", "--benchmark", TO.benchmark, "--db", str(file))
    online = {"FATHOM_HUB": hub.url, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "", "HF_HOME": str(tmp_path / "home")}
    said = fathom(*words, "--token-file", str(token), process=True, **online)
    assert said.stdout.strip() == f"{hub.url}/org/pebble/discussions/1", said.stderr
    (files,) = repo.pull_requests
    assert list(files) == [".eval_results/fathom_quick.yaml"]
    assert parse_eval_result_entries(yaml.safe_load(files[".eval_results/fathom_quick.yaml"]))
    elsewhere = fathom(*words[:3], "org/other", *words[4:], process=True, **online)
    assert (elsewhere.returncode, len(repo.pull_requests)) == (2, 1)
    assert "the run is of org/pebble" in elsewhere.stderr
    refused = fathom(*words, process=True, **online)
    assert (refused.returncode, len(repo.pull_requests)) == (2, 1)
    assert f"{hub.url} refused: " in refused.stderr


@pytest.mark.cases(None)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tier": 1}, "nobody has checked it"),
        ({"layer": "adaptive"}, "it has a depth and no score"),
        ({"layer": "sampled"}, "not decoded as ranked runs are"),
        ({"state": "failed"}, "it is failed"),
        ({"sealed": True}, "its questions are sealed"),
        ({"engine": "oracle"}, "no model gave its answers"),
    ],
)
def test_what_others_cannot_rely_on_is_refused_with_the_reason(detail, change, reason):
    check_publishable(detail)
    with pytest.raises(NotPublishable, match=reason):
        check_publishable(dataclasses.replace(detail, summary=dataclasses.replace(detail.summary, **change)))


def test_a_part_of_a_suite_and_failed_requests_are_refused(detail):
    part = open_suite("quick", 7, Selection(("depo",)))
    with pytest.raises(NotPublishable, match="it does not ask a whole suite"):
        check_publishable(dataclasses.replace(detail, suite=part, pool=part.pool()))
    cells = (dataclasses.replace(detail.cells[0], n_errors=3), *detail.cells[1:])
    with pytest.raises(NotPublishable, match="3 requests failed"):
        check_publishable(dataclasses.replace(detail, cells=cells))


def test_answers_that_could_not_be_read_are_not_to_be_trusted(detail):
    unread = tuple(
        dataclasses.replace(cell, found=dataclasses.replace(cell.found, n_unread=cell.n)) if cell.found else cell
        for cell in detail.cells
    )
    with pytest.raises(NotPublishable, match=r"not to be trusted: .* could not be read"):
        check_publishable(dataclasses.replace(detail, cells=unread))


@pytest.mark.slow
def test_the_space_serves_a_copy_of_the_board_at_the_port_of_its_header(played, fathom, tmp_path, free_port):
    folder = Path(__file__).parents[3] / "docker" / "space"
    header = yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---")[1])
    python, *words = json.loads((folder / "Dockerfile").read_text().rpartition("CMD ")[2])
    assert (header["sdk"], str(header["app_port"]), python) == ("docker", words[2], "python")
    assert fathom("export-static", tmp_path / "site", "--db", played[0], "--sample-pages", "0").returncode == 0
    words = [{words[2]: str(free_port), "/site": str(tmp_path / "site")}.get(word, word) for word in words]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            transport = httpx.HTTPTransport(retries=8)  # it takes a moment to listen
            with httpx.Client(transport=transport) as client:
                shown = client.get(f"http://127.0.0.1:{free_port}/").text
        finally:
            server.terminate()
    assert shown == (tmp_path / "site" / "index.html").read_text(encoding="utf-8")

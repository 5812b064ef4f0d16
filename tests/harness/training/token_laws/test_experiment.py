"""Trainings are done once: what was killed continues, with the same weights, verdict and digests."""

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from fathom.harness.errors import BadInput
from fathom.harness.training.token_laws.experiment import run_trials, store_registration
from fathom.harness.training.token_laws.judge import judge
from fathom.harness.training.token_laws.registration import register
from fathom.harness.training.token_laws.registry import all_token_laws

_WHEN = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)


@pytest.mark.cases(None)
@pytest.mark.parametrize("name", all_token_laws())
def test_each_law_trains_measures_and_judges(name, shorten, tmp_path):
    law = shorten(name)
    registration = register(law, "exploratory", 2)
    seen = []
    trials = run_trials(law, registration, tmp_path, 1, seen.append)
    assert [(one.condition, one.seed) for one in trials] == [
        (of.name, seed) for seed in (1, 2) for of in law.conditions
    ]
    assert all(one.low <= one.value <= one.high for trial in trials for one in trial.measures)
    assert judge(law, trials).verdict in ("undecided", "void")
    assert (seen[-1].n_done, seen[-1].share) == (len(trials), 1.0)


def test_a_finished_training_is_kept_and_a_lost_one_comes_out_the_same(shorten, tmp_path):
    law = shorten("parity")
    registration = register(law, "exploratory", 2)
    before = run_trials(law, registration, tmp_path, 1, lambda _: None)
    kept = (tmp_path / "trials" / "read-1.json").stat().st_mtime_ns
    for lost in ("trials/value-first-1.json", "models/value-first-1.safetensors", "trials/read-2.json"):
        (tmp_path / lost).unlink()
    after = run_trials(law, registration, tmp_path, 1, lambda _: None)
    assert [(one.weights, one.measures) for one in after] == [(one.weights, one.measures) for one in before]
    assert (tmp_path / "trials" / "read-1.json").stat().st_mtime_ns == kept


def test_a_training_of_another_registration_is_refused(shorten, tmp_path):
    law = shorten("null")
    run_trials(law, register(law, "exploratory", 2), tmp_path, 1, lambda _: None)
    with pytest.raises(BadInput, match="another registration"):
        run_trials(law, register(law, "exploratory", 3), tmp_path, 1, lambda _: None)


def test_a_damaged_file_is_named(shorten, tmp_path):
    law = shorten("null")
    registration = register(law, "exploratory", 2)
    run_trials(law, registration, tmp_path, 1, lambda _: None)
    (tmp_path / "trials" / "one-1.json").write_text("{")
    with pytest.raises(BadInput, match=r"one-1\.json is damaged"):
        run_trials(law, registration, tmp_path, 1, lambda _: None)
    (tmp_path / "registration.json").write_text("{")
    with pytest.raises(BadInput, match=r"registration\.json is damaged"):
        store_registration(registration, tmp_path, _WHEN)


def _command(out, db, *words):
    return [
        sys.executable, "-c", "from fathom.server.cli.main import main; main()", "law", "null", "--out", str(out),
        "--db", str(db), *words,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.turns(4)
@pytest.mark.cases(1)
@pytest.mark.parametrize("processes", ["1", "2"])
def test_after_kill_9_the_same_command_gives_the_same_verdict_and_digests(environment, tmp_path, processes):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = _command(killed, tmp_path / "killed.db", "--processes", processes)
    started = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ends = time.monotonic() + 300
    while len(list((killed / "trials").glob("*.json"))) < 2 and time.monotonic() < ends:
        time.sleep(0.02)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    subprocess.run(command, env=environment(), check=True, capture_output=True)
    subprocess.run(_command(whole, tmp_path / "whole.db"), env=environment(), check=True, capture_output=True)
    one, other = (json.loads((folder / "law.json").read_text()) for folder in (killed, whole))
    for record in (one, other):
        record["registration"].pop("registered")
        record.pop("cpu_seconds")
        for trial in record["trials"]:
            trial.pop("cpu_seconds")
    assert one == other


@pytest.mark.full
def test_two_conditions_that_differ_in_the_seed_alone_are_seldom_told_apart(shorten, tmp_path):
    law = shorten("null")
    trials = run_trials(law, register(law, "confirming", 200), tmp_path, 1, lambda _: None)
    said = judge(law, trials).groups
    assert len(said) == 40
    assert sum(one in ("shown", "reversed") for one in said) <= 6  # 2 expected at 5%; more than 6 in 1 of 70 tests

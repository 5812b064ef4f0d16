"""`fathom doctor` against real faults: an old database, a hub that is not there, a package that is missing."""

import json

import pytest
from sqlalchemy import text

from fathom.harness.db.engine import HEAD, open_database

pytestmark = [pytest.mark.slow, pytest.mark.turns(2)]


def checks(done):
    return {one["name"]: one for one in json.loads(done.stdout)}


def test_a_sound_installation_has_no_problem(fathom, tmp_path):
    done = fathom("doctor", "--db", tmp_path / "new.db", "--json")
    found = checks(done)
    assert done.returncode == 0, done.stdout
    assert {"Python", "disk", "engine hf", "engine openai", "GPU", "board", "hub", "database", "versions"} <= set(found)
    assert "problem" not in {one["state"] for one in found.values()}
    assert "HF_HUB_OFFLINE" in found["hub"]["said"]
    assert not (tmp_path / "new.db").exists()


def test_an_old_database_is_a_problem_with_its_fix(fathom, tmp_path):
    path = tmp_path / "old.db"
    db = open_database(str(path), create=True)
    with db.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    db.dispose()
    done = fathom("doctor", "--db", path)
    assert done.returncode == 1
    assert f"older than migration {HEAD}" in done.stdout
    assert f"fathom db upgrade --db sqlite:///{path}" in "".join(done.stdout.split("\n"))


@pytest.mark.slow
def test_a_hub_that_does_not_answer_is_a_problem_within_seconds(fathom, tmp_path, free_port):
    where = f"http://127.0.0.1:{free_port}"
    done = fathom("doctor", "--db", tmp_path / "a.db", "--json", process=True, HF_HUB_OFFLINE="0", HF_ENDPOINT=where)
    assert done.returncode == 1, done.stderr
    assert checks(done)["hub"]["said"].startswith(f"{where} does not answer")
    assert "HF_HUB_OFFLINE=1" in checks(done)["hub"]["fix"]

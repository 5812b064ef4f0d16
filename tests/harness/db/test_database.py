import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError

from fathom.harness.db import engine as db_engine
from fathom.harness.db.engine import HEAD, current_version, open_database, parse_url, upgrade
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.schema import laws, probes, service  # noqa: F401  # their tables belong to Table.metadata
from fathom.harness.db.schema.runs import RunRow, StandingRow, SuiteRow, Table
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import BadDatabase, NewerDatabase, OlderDatabase
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.suites import Selection, open_suite


def migrate(db, revision):
    with db.begin() as connection:
        db_engine.migrate(connection, HEAD if revision == "head" else revision)


def test_head_is_the_newest_migration():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(db_engine.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_migrations_make_exactly_the_models(db):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with db.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []


def test_migrations_go_back_and_forth(db):
    migrate(db, "base")
    assert set(inspect(db).get_table_names()) <= {"alembic_version"}
    migrate(db, "head")
    assert {"models", "suites", "runs", "cells", "samples"} <= set(inspect(db).get_table_names())


def test_samples_of_the_first_version_survive_both_ways(db):
    columns = {
        "models": "(id, name) VALUES (1, 'm')",
        "suites": "(id, digest, name, version, seed, cells) VALUES (1, 'd', 'quick', '1', '7', '[]')",
        "runs": """(id, model_id, suite_id, state, engine, manifest, manifest_digest, n_items, n_generated, attempts,
            seconds, created_at) VALUES ('r', 1, 1, 'done', 'vllm', '{}', 'x', 1, 1, 1, 1, '2026-11-23')""",
        "cells": """(id, run_id, position, family, version, level, channel, style, n_planned, n, k, n_errors, labels)
            VALUES (1, 'r', 0, 'depo', 1, 'n4k1', 'symbol', 'direct', 1, 1, 0, 0, '{}')""",
        "samples": """(id, cell_id, "index", repeat, key, finish_reason, completion, label, correct, prompt_tokens,
            completion_tokens, milliseconds) VALUES (1, 1, 0, 0, 'k', 'stop', 'AB', 'start', false, 9, 1, 2)""",
    }
    migrate(db, "0001")
    with db.begin() as connection:
        for table, values in columns.items():
            connection.execute(text(f"INSERT INTO {table} {values}"))
    migrate(db, "head")
    with db.begin() as connection:
        row = connection.execute(text("SELECT completion, label, fault_at, note FROM samples")).one()
        connection.execute(text("UPDATE samples SET fault_at = 3, note = 'two of five'"))
    assert tuple(row) == ("AB", "start", None, "")
    migrate(db, "0001")
    with db.begin() as connection:
        assert connection.execute(text("SELECT completion FROM samples")).scalar() == "AB"


@pytest.fixture
def service_board(db, fill):
    """Two runs that stand on the board, three that must not, and a row in every table."""
    suite = open_suite("quick", 7, Selection(families=("depo", "mano"), n=5))
    kept = [
        evaluate(
            Plan(ModelSource(f"oracle/{kind}", None, kind), suite, RunSettings(engine=EngineSettings("oracle"))), db
        ).run
        for kind in ORACLES
    ]
    update_leaderboard(db)
    fill(db, 1, {("pools", "tier"): 1, ("runs", "layer"): "fresh"})
    with db.begin() as connection:
        run = connection.execute(select(RunRow.__table__).where(RunRow.id == kept[0])).mappings().one()
        others = {"tier one": {"tier": 1}, "hidden": {"hidden_at": run["created_at"]}, "fresh": {"layer": "fresh"}}
        for name, change in others.items():
            connection.execute(insert(RunRow), [{**run, **change, "id": name}])
        sealed = connection.execute(select(SuiteRow.__table__).where(SuiteRow.id == run["suite_id"])).mappings().one()
        season = {"id": 90, "digest": "sealed", "seed": "sealed-2026", "season": "2026", "sealed": True}
        connection.execute(insert(SuiteRow), [{**sealed, **season}])
        connection.execute(insert(RunRow), [{**run, "id": "sealed", "suite_id": 90}])
    return db, kept


ORACLES = ("noisy", "perfect")


def standings_of(db, runs):
    wanted = select(StandingRow.__table__).where(StandingRow.run_id.in_(runs), StandingRow.pool.not_like("%-all"))
    with db.connect() as connection:
        return sorted(map(repr, connection.execute(wanted).all()))


def count_rows(db):
    with db.connect() as connection:
        if db.dialect.name == "sqlite":
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
        names = inspect(connection).get_table_names()
        return {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in names}


def test_the_service_goes_back_and_forth_with_a_row_in_every_table(service_board):
    db, kept = service_board
    tables = [table.name for table in Table.metadata.sorted_tables]
    before, standings = count_rows(db), standings_of(db, kept)
    assert all(before[table] for table in tables)
    assert len(standings) > 2
    migrate(db, "0003")
    between = count_rows(db)
    with db.connect() as connection:
        assert sorted(connection.execute(text("SELECT id FROM runs")).scalars()) == sorted(kept)
        assert connection.execute(text("SELECT count(*) FROM pools WHERE name LIKE 'tab%'")).scalar() == 0
    migrate(db, "head")
    update_leaderboard(db)
    after = count_rows(db)
    print("head", before, "\n0003", between, "\nhead", after)
    new = {
        "users",
        "logins",
        "tokens",
        "limits",
        "audit",
        "seasons",
        "submissions",
        "jobs",
        "workers",
        "replays",
        "replayed",
    }
    assert new.isdisjoint(between)
    assert {name: after[name] for name in new} == dict.fromkeys(new, 0)
    for one in ("samples", "cells", "marks", "results"):  # the row that was filled in went with its run
        assert before[one] - 1 == between[one] == after[one]
    assert standings_of(db, kept) == standings
    assert_the_audit_log_stands(db)


def test_the_audit_log_refuses_to_be_changed(db):
    assert_the_audit_log_stands(db)


def assert_the_audit_log_stands(db):
    with db.begin() as connection:
        connection.execute(
            text("INSERT INTO audit (at, actor, action, subject, detail) VALUES ('2026-11-24', 'a', 'b', 'c', '{}')")
        )
    statements = ["UPDATE audit SET actor = 'me'", "DELETE FROM audit"]
    for statement in statements + (["TRUNCATE audit"] if db.dialect.name == "postgresql" else []):
        with pytest.raises(DBAPIError, match="append-only"), db.begin() as connection:
            connection.execute(text(statement))


def test_a_second_upgrade_changes_nothing(db):
    upgrade(db)
    upgrade(db)
    assert current_version(db) == HEAD


def test_a_newer_database_is_refused(database):
    db = open_database(database, create=True)
    with db.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    db.dispose()
    with pytest.raises(NewerDatabase, match="update Fathom"):
        open_database(database, create=True)


def test_an_older_database_is_not_changed_behind_the_users_back(database):
    db = open_database(database, create=True)
    with db.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    db.dispose()
    with pytest.raises(OlderDatabase, match="fathom db upgrade"):
        open_database(database, create=True)


def test_somebody_elses_database_is_left_alone(database):
    db = create_engine(parse_url(database))
    with db.begin() as connection:
        connection.execute(text("CREATE TABLE guests (name TEXT)"))
    db.dispose()
    with pytest.raises(BadDatabase, match="database of its own"):
        open_database(database, create=True)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u@h/x",
        "postgresql://nobody@127.0.0.1:1/x",
        "sqlite:////no/such/folder/x.db",
        "nonsense://",
        "http://[",
        "a://b c",
    ],
)
def test_a_bad_url_is_one_line_of_advice(url):
    with pytest.raises(BadDatabase) as caught:
        open_database(url, create=True)
    assert len(str(caught.value).splitlines()) == 1


def test_a_password_is_never_shown():
    with pytest.raises(BadDatabase) as caught:
        open_database("postgresql://me:hunter2@127.0.0.1:1/x", create=False)
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("dear diary, " * 500)
    with pytest.raises(BadDatabase, match="cannot open"):
        open_database(str(file), create=True)
    assert file.read_text().startswith("dear diary")


def test_reading_makes_no_file(tmp_path):
    with pytest.raises(BadDatabase, match="fathom run"):
        open_database(str(tmp_path / "none.db"), create=False)
    assert list(tmp_path.iterdir()) == []


def test_opening_a_database_needs_neither_alembic_nor_torch(tmp_path):
    path = tmp_path / "a.db"
    open_database(str(path), create=True).dispose()
    script = (
        "import sys; from harness.db.engine import open_database; from harness.db.read import list_runs\n"
        f"list_runs(open_database({str(path)!r}, create=False))\n"
        "print(*sorted({'alembic', 'torch', 'vllm', 'transformers', 'lm_eval', 'datasets', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_many_processes_may_open_a_new_database_at_once(database):
    together, ended = threading.Barrier(8), []

    def open_it():
        together.wait()
        db = open_database(database, create=True)
        ended.append(current_version(db))
        db.dispose()

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [HEAD] * 8

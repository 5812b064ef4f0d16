"""A backup brings everything back, on either kind of database, or nothing."""

import gzip
import hashlib
import json
import resource
import threading

import pytest
from sqlalchemy import Text as TextType
from sqlalchemy import cast, func, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError

from fathom.harness.db.backup.backup import all_tables, back_up, kind_of
from fathom.harness.db.backup.restore import restore
from fathom.harness.db.engine import HEAD, open_database
from fathom.harness.db.schema.runs import ModelRow, RunRow
from fathom.harness.errors import BadBackup, BadInput, NewerDatabase

pytestmark = pytest.mark.slow


def rows_of(db):
    """Every value of every row: JSON as the very text that is stored."""
    found = {}
    with db.connect() as connection:
        for table in all_tables():
            columns = [cast(one, TextType) if kind_of(one) == "json" else one for one in table.columns]
            rows = connection.execute(select(*columns).order_by(*table.primary_key.columns)).all()
            found[table.name] = sorted(map(repr, rows))
    return found


def lines_of(file):
    return gzip.decompress(file.read_bytes()).splitlines(keepends=True)


def opened(url):
    return open_database(url, create=False)


def tables_of(url):
    from fathom.harness.db.engine import make_engine, parse_url

    db = make_engine(parse_url(url))
    names = inspect(db).get_table_names()
    db.dispose()
    return names


@pytest.fixture
def filled(tmp_path, fill):
    """An SQLite database with rows in every table, and its backup."""
    db = open_database(f"sqlite:///{tmp_path / 'filled.db'}", create=True)
    fill(db)
    back_up(db, tmp_path / "filled.jsonl.gz")
    yield db, tmp_path / "filled.jsonl.gz"
    db.dispose()


def test_sqlite_to_postgresql_and_back_changes_no_value(filled, postgres, tmp_path):
    db, file = filled
    url, back = postgres(), f"sqlite:///{tmp_path / 'back.db'}"
    there = restore(file, url)
    server = opened(url)
    dumped = back_up(server, tmp_path / "again.jsonl.gz")
    here = restore(tmp_path / "again.jsonl.gz", back)
    copy = opened(back)
    before, between, after = map(rows_of, (db, server, copy))
    counts = {name: len(rows) for name, rows in before.items()}
    print("rows before", counts, "after", here.rows)
    assert min(counts.values()) > 0
    assert counts == dict(there.dumped.rows) == there.rows == dict(dumped.rows) == here.rows
    assert before == between == after
    assert lines_of(file)[1:] == lines_of(tmp_path / "again.jsonl.gz")[1:-1] + lines_of(file)[-1:]
    for one in (server, copy):
        one.dispose()


@pytest.mark.slow
def test_numbers_go_on_from_where_they_were_and_the_audit_log_still_stands(filled, database):
    _, file = filled
    restore(file, database)
    db = opened(database)
    with db.begin() as connection:
        connection.execute(insert(ModelRow), [{"name": "next"}])
        assert connection.execute(select(func.max(ModelRow.id))).scalar_one() == 7002
    for statement in ("UPDATE audit SET actor = 'me'", "DELETE FROM audit"):
        with pytest.raises(DBAPIError, match="append-only"), db.begin() as connection:
            connection.execute(text(statement))
    db.dispose()


def test_a_backup_is_one_instant_whatever_is_written_meanwhile(db, fill, tmp_path):
    fill(db, 300)
    stop = threading.Event()

    def write():
        n = 0
        while not stop.is_set():
            with db.begin() as connection:  # a run more and a model more, or neither
                run = connection.execute(select(RunRow.__table__).limit(1)).mappings().one()
                connection.execute(insert(ModelRow), [{"id": 1000 + n, "name": f"more{n}"}])
                connection.execute(insert(RunRow), [{**run, "id": f"more{n}"}])
            n += 1

    thread = threading.Thread(target=write)
    thread.start()
    seen = [back_up(db, tmp_path / f"{number}.gz").rows for number in range(4)]
    stop.set()
    thread.join()
    print([rows["models"] for rows in seen])
    assert seen[0]["models"] < seen[-1]["models"]
    assert all(rows["models"] == rows["runs"] for rows in seen)


def test_a_file_that_was_cut_or_changed_is_refused_and_leaves_nothing(filled, database):
    _, file = filled
    whole, lines = file.read_bytes(), lines_of(file)
    harmed = {
        "cut": whole[: len(whole) // 2],
        "a byte short": whole[:-1],
        "no gzip": lines[0],
        "empty": b"",
        **{f"flipped at {at}": flip(whole, at) for at in range(10, len(whole), len(whole) // 12)},
        "a line less": gzip.compress(b"".join(lines[:4] + lines[5:])),
        "a line twice": gzip.compress(b"".join(lines[:5] + lines[4:])),
        "a table less": gzip.compress(b"".join(lines[:1] + lines[5:])),
        "no end": gzip.compress(b"".join(lines[:-1])),
        "more behind": gzip.compress(b"".join(lines) + lines[-1]),
        "a changed value": gzip.compress(b"".join(lines).replace(b"quote", b"quota", 1)),
        "a changed header": gzip.compress(b"".join(lines).replace(b"2026", b"2025", 1)),
        "a changed column": gzip.compress(b"".join(lines).replace(b'"name"', b'"mane"', 1)),
        "no JSON": gzip.compress(b"".join(lines[:2]) + b"[\n"),
        "one long line": gzip.compress(b"[" * 100),
    }
    for name, content in harmed.items():
        file.write_bytes(content)
        with pytest.raises(BadBackup, match="nothing was restored"):
            restore(file, database)
        assert tables_of(database) == [], name
    file.write_bytes(whole)
    restore(file, database)


def flip(content, at):
    changed = bytearray(content)
    changed[at] ^= 16
    return bytes(changed)


def resealed(lines):
    """Put right checksums on lines that were changed with intent."""
    whole, digest, n, out = hashlib.sha256(lines[0]), None, 0, [lines[0]]
    for line in lines[1:-1]:
        if line.startswith(b'{"end"'):
            end = json.loads(line)
            line = json.dumps({**end, "rows": n, "sha256": digest.hexdigest()}, separators=(",", ":")).encode() + b"\n"
            whole.update(line)
        elif line.startswith(b"{"):
            digest, n = hashlib.sha256(line), 0
        else:
            digest.update(line)
            n += 1
        out.append(line)
    rows = sum(line.startswith(b"[") for line in out)
    out.append(json.dumps({"complete": rows, "sha256": whole.hexdigest()}).encode() + b"\n")
    return gzip.compress(b"".join(out))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'["name","text"]', b'["name\\") VALUES (1); --","text"]'),
        (b'{"table":"models"', b'{"table":"alembic_version"'),
        (b'+00:00"', b'+99:99"'),
        (b'{"table":"models"', b'{"table":"models; DROP TABLE runs"'),
    ],
)
def test_what_fits_no_table_is_refused_by_name_and_leaves_nothing(filled, database, old, new):
    _, file = filled
    content = b"".join(lines_of(file)).replace(old, new)
    file.write_bytes(resealed(content.splitlines(keepends=True)))
    with pytest.raises((BadInput, BadBackup)):
        restore(file, database)
    assert tables_of(database) == []


def test_a_backup_of_an_older_version_is_brought_up_to_date(filled, database):
    _, file = filled
    file.write_bytes(resealed(trimmed(lines_of(file))))
    done = restore(file, database)
    print(done.dumped.schema, dict(done.dumped.rows), done.rows)
    assert done.dumped.schema == "0003"
    assert (done.rows["runs"], done.rows["samples"], done.rows["users"]) == (2, 2, 0)
    db = opened(database)
    with db.connect() as connection:
        assert connection.execute(select(RunRow.tier, RunRow.layer)).all() == [(3, "main")] * 2
    db.dispose()


def trimmed(lines):
    """Return the lines without the tables and columns that came after 0003."""
    counts = ("n_asked", "n_unread", "n_cut")
    held = ("model_path", "holder", "heartbeat_at", "prompt_format")
    runs = ("tier", "layer", "hidden_at", "n_repeats", "kind", "settings", *counts, *held)
    new = {
        "models": ("digest",),
        "suites": ("season", "sealed"),
        "runs": runs,
        "cells": ("spread", *counts),
        "samples": ("found",),
    }
    renamed = {"model_kind": "kind"}
    old = ("models", "suites", "runs", "cells", "samples")
    kept, keep, places = [lines[0].replace(f'"schema":"{HEAD}"'.encode(), b'"schema":"0003"')], False, []
    for line in lines[1:-1]:
        known = json.loads(line)
        if isinstance(known, dict) and "table" in known:
            keep = known["table"] in old
            columns = known["columns"]
            places = [at for at, (name, _) in enumerate(columns) if name not in new.get(known["table"], ())]
            known["columns"] = [[renamed.get(columns[at][0], columns[at][0]), columns[at][1]] for at in places]
        elif isinstance(known, list):
            known = [known[at] for at in places]
        if keep:
            kept.append(json.dumps(known, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return [*kept, lines[-1]]


def test_a_newer_backup_is_refused(filled, database):
    _, file = filled
    file.write_bytes(gzip.compress(b"".join(lines_of(file)).replace(f'"{HEAD}"'.encode(), b'"9999"', 1)))
    with pytest.raises(NewerDatabase, match="update Fathom"):
        restore(file, database)


def test_a_database_that_holds_something_is_left_alone(filled, database):
    _, file = filled
    db = open_database(database, create=True)
    with db.begin() as connection:
        connection.execute(insert(ModelRow), [{"name": "mine"}])
    with pytest.raises(BadInput, match="holds rows already"):
        restore(file, database)
    with db.connect() as connection:
        assert connection.execute(select(ModelRow.name)).scalars().all() == ["mine"]
    db.dispose()


def test_a_database_with_empty_tables_is_filled(filled, database):
    _, file = filled
    open_database(database, create=True).dispose()
    assert restore(file, database).rows["models"] == 2


def test_an_earlier_backup_is_never_written_over(filled):
    db, file = filled
    before = file.read_bytes()
    with pytest.raises(BadInput, match="new file"):
        back_up(db, file)
    assert file.read_bytes() == before
    assert file.stat().st_mode & 0o077 == 0
    assert sorted(one.name for one in file.parent.iterdir() if "jsonl" in one.name) == [file.name]


@pytest.mark.slow
@pytest.mark.turns(3)
def test_memory_does_not_grow_with_the_rows(db, fill, database, tmp_path):
    fill(db)
    with db.begin() as connection:
        sample = connection.execute(text("SELECT * FROM samples LIMIT 1")).mappings().one()
        columns = ", ".join(f'"{name}"' for name in sample)
        values = ", ".join({"id": "n", "index": "n", "completion": ":long"}.get(name, f'"{name}"') for name in sample)
        connection.execute(
            text(
                f"WITH RECURSIVE many(n) AS (SELECT 20000 UNION ALL SELECT n + 1 FROM many WHERE n < 32000) "
                f"INSERT INTO samples ({columns}) SELECT {values} FROM many, samples WHERE id = {sample['id']}"
            ),
            {"long": "x" * 8000},
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    dumped = back_up(db, tmp_path / "big.gz")
    done = restore(tmp_path / "big.gz", f"sqlite:///{tmp_path / 'copy.db'}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{dumped.rows['samples']:,} samples, 95 MB of text: memory grew by {grown:.0f} MB")
    assert done.rows["samples"] == dumped.rows["samples"] > 11_000
    assert grown < 50


def test_the_commands_print_counts_and_never_a_password(fathom, filled, tmp_path):
    db, _ = filled
    file, copy = tmp_path / "b.gz", tmp_path / "copy.db"
    saved = fathom("db", "backup", file, "--db", db.url.database)
    assert saved.returncode == 0, saved.stderr
    assert "keep it secret" in saved.stdout
    done = fathom("db", "restore", file, "--db", copy)
    assert done.returncode == 0, done.stderr
    total = sum(len(rows) for rows in rows_of(db).values())
    assert done.stdout.count(f"all tables {total:>14,}") == 2
    again = fathom("db", "restore", file, "--db", copy)
    assert (again.returncode, again.stdout) == (2, "")
    assert "holds rows already" in again.stderr
    assert fathom("db", "backup", tmp_path / "none" / "b.gz", "--db", copy).returncode == 2
    file.write_bytes(file.read_bytes()[:-9])
    refused = fathom("db", "restore", file, "--db", tmp_path / "other.db")
    assert (refused.returncode, "not a complete backup" in refused.stderr) == (2, True)
    assert not (tmp_path / "other.db").exists()

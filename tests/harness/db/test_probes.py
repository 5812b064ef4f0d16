import csv
import io

import pytest

from fathom.harness.db.probes import get_probe, list_probes
from fathom.harness.errors import UnknownRun
from fathom.harness.probing.tables import POINT_COLUMNS, points_csv, probe_json
from tests.stored_probe import N, write_probe


def test_a_probe_is_read_as_it_was_written(db):
    probe = write_probe(db)
    detail = get_probe(db, probe[:5])
    present, absent, left_out = detail.targets
    assert (present.verdict, present.first_layer, present.answer_k, present.answer_n) == ("present", 2, 30, N)
    assert absent.verdict == "absent"
    assert left_out.facts.note == "too few"
    assert present.best.right.sum() == 57
    assert [one.id for one in list_probes(db)] == [probe]


def test_the_same_probe_is_stored_once(db):
    probe = write_probe(db)
    assert write_probe(db) == probe
    assert len(get_probe(db, probe).targets[0].points) == 2 * (1 + 5 * 3)
    assert write_probe(db, seed="8") != probe


def test_an_unknown_probe_is_told(db):
    with pytest.raises(UnknownRun, match="no probe begins with 'ab'"):
        get_probe(db, "ab")


def test_files_hold_every_point(db):
    detail = get_probe(db, write_probe(db))
    rows = list(csv.DictReader(io.StringIO(points_csv(detail))))
    assert tuple(rows[0]) == POINT_COLUMNS
    assert len(rows) == 2 * 2 * (1 + 5 * 3) == len(probe_json(detail)["points"])
    assert {row["verdict"] for row in rows if row["variant"] == "trained"} == {"present", "absent"}


def test_show_and_export_take_a_probe(fathom, tmp_path):
    from fathom.harness.db.engine import open_database

    url = f"sqlite:///{tmp_path / 'runs.db'}"
    db = open_database(url, create=True)
    probe = write_probe(db)
    db.dispose()
    shown = fathom("show", probe, "--db", url)
    assert "Presence is not use" in shown.stdout
    assert "depo.n8k1.next1" in shown.stdout
    assert fathom("show", probe, "--json", "--db", url).stdout.count('"variant": "trained"') == 20
    assert fathom("export", probe, "--out", tmp_path / "p.csv", "--db", url).returncode == 0
    assert (tmp_path / "p.csv").read_text().startswith("target,place,layer,variant,value")

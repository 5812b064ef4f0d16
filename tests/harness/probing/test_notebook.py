from fathom import Probe, probe


def test_a_notebook_gets_targets_and_points_as_frames(tmp_path, untrained):
    db = tmp_path / "probes.db"
    made = probe(
        untrained, targets="depo.n8k1.next1", layers="0,2", n=(200, 100), controls=2, db=db, progress=False
    )  # fmt: skip
    assert made.targets["name"].tolist() == ["depo.n8k1.next1"]
    assert set(made.targets["verdict"]) <= {"present", "absent", "unclear"}
    assert made.points.query("variant == 'trained'").shape[0] == 2 * 2
    assert Probe.load(made.id, db).points.equals(made.points)

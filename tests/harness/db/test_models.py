"""Tests of how a run finds its model in the database: by the digest of its files, whatever its folder or name."""

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from fathom.harness.db.engine import writing
from fathom.harness.db.models import model_id
from fathom.harness.db.schema.runs import ModelRow

A, B = "a" * 32, "b" * 32


@pytest.fixture
def model(db):
    """Return the id of a model's row, as a new run gets it."""

    def get(*words, **flags):
        with writing(db) as session:
            return model_id(session, *words, **flags)

    get.names = lambda: _names(db)
    return get


def _names(db):
    with Session(db) as session:
        return {row.id: row.name for row in session.scalars(select(ModelRow))}


def test_one_folder_under_two_names_is_one_model(model):
    assert model("checkpoint", A) == model("copy-of-it", A)
    assert list(model.names().values()) == ["checkpoint"]


def test_two_folders_of_one_name_are_two_models_told_apart(model):
    first, second = model("checkpoint", A), model("checkpoint", B)
    assert model.names() == {first: "checkpoint", second: f"checkpoint@{B[:8]}"}
    assert (model("checkpoint", A), model("checkpoint", B)) == (first, second)


def test_a_given_name_replaces_the_folders_and_stays(model):
    first = model("checkpoint", A)
    assert model("org/mine", A, is_named=True) == first
    assert model("checkpoint", A) == first
    assert model.names() == {first: "org/mine"}
    second = model("org/mine", B, is_named=True)
    assert model.names() == {first: "org/mine", second: f"org/mine@{B[:8]}"}
    model("org/mine", B, is_named=True)
    assert model.names()[second] == f"org/mine@{B[:8]}"


def test_a_name_of_the_hub_stays_as_it_is(model):
    local = model("org/m", A, is_named=True)
    assert model("org/m", None, A) == local  # the same files
    hub = model("org/m", None, B)
    assert model.names() == {local: f"org/m@{A[:8]}", hub: "org/m"}
    assert model("org/m", None, A) == hub  # another revision


@pytest.mark.parametrize(("digests", "is_same"), [((A,), True), ((A, B), False), ((), False)])
def test_a_model_of_an_older_version_goes_on_if_all_its_runs_had_these_files(model, db, digests, is_same):
    old = model("checkpoint", None)
    with db.begin() as connection:
        columns = "(id, digest, name, version, seed, cells, pool, season, sealed)"
        connection.execute(
            text(f"INSERT INTO suites {columns} VALUES (1, 'd', 'quick', '1', '7', '[]', 'p', '', false)")
        )
        for digest in digests:
            manifest = f'{{"decisive": {{"model": {{"digest": "{digest}"}}}}}}'
            connection.execute(text("""INSERT INTO runs (id, model_id, suite_id, state, engine, manifest,
                manifest_digest, n_items, n_generated, attempts, seconds, created_at)
                VALUES (:id, :model, 1, 'done', 'vllm', :manifest, 'x', 1, 0, 1, 1, '2026-11-23')"""),
                {"id": digest, "model": old, "manifest": manifest})  # fmt: skip
    found = model("checkpoint", A)
    assert (found == old) == is_same
    assert model.names()[found] == ("checkpoint" if is_same else f"checkpoint@{A[:8]}")

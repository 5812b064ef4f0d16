"""Which row of `models` a run belongs to, and under which name.

A model of the hub, of a server, of Fathom or of an upload is its name. A model in a folder is its files: their digest
decides, so that a folder typed in two ways is one model, and two folders of one name are two, told apart by a part of
their digests.
"""

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from fathom.harness.db.engine import insert_if_new, translate_errors
from fathom.harness.db.schema.runs import ModelRow, RunRow, StandingRow
from fathom.harness.errors import StoreError

_SHOWN = 8
"""Hex digits of a digest that tell models of one name apart."""


def model_id(session: Session, name: str, digest: str | None, stated: str = "", *, is_named: bool = False) -> int:
    """Return the id of a model's row, in the caller's transaction; add the row if it is missing.

    `digest` is that of files which decide what model it is; None where the name decides, and then `stated` is what the
    run's manifest says of its files. With `is_named`, a model that had these files under another name gets this one.
    """
    if digest is None:
        return _id_by_name(session, name, stated)
    known = session.scalars(select(ModelRow).where(ModelRow.digest == digest)).first()
    if known is None:
        return _id_of_new_files(session, name, digest)
    if is_named and known.name not in (name, apart(name, digest)):
        _rename(session, known.id, _free_name(session, name, digest))
    return known.id


def apart(name: str, digest: str) -> str:
    """Return a name that tells a model from others of the same name."""
    return f"{name}@{digest[:_SHOWN]}"


def _id_by_name(session: Session, name: str, stated: str) -> int:
    """Return the row that a name stands for; other files that were given this name before get one with their digest."""
    row = session.scalars(select(ModelRow).where(ModelRow.name == name)).first()
    if row is not None and row.digest not in (None, stated):
        _rename(session, row.id, apart(name, str(row.digest)))
        row = None
    return _add(session, name, None) if row is None else row.id


def _id_of_new_files(session: Session, name: str, digest: str) -> int:
    row = session.scalars(select(ModelRow).where(ModelRow.name == name)).first()
    if row is not None and row.digest is None and _digests_of(session, row.id) == {digest}:
        # of an older version, or of the hub: all of its runs were of these very files
        session.execute(update(ModelRow).where(ModelRow.id == row.id).values(digest=digest))
        return row.id
    return _add(session, _free_name(session, name, digest), digest)


def _digests_of(session: Session, model: int) -> set[str | None]:
    """Return the digests that the manifests of a model's runs state."""
    stated = RunRow.manifest[("decisive", "model", "digest")].as_string()
    return set(session.scalars(select(stated).where(RunRow.model_id == model).distinct()))


def _free_name(session: Session, name: str, digest: str) -> str:
    taken = session.scalars(select(ModelRow.id).where(ModelRow.name == name)).first()
    return name if taken is None else apart(name, digest)


def _add(session: Session, name: str, digest: str | None) -> int:
    """Add a row, or return the one that another process has just added."""
    same = ModelRow.name == name if digest is None else ModelRow.digest == digest
    for one in (name, apart(name, digest or "")):
        session.execute(insert_if_new(session.get_bind(), ModelRow).values(name=one, digest=digest))
        if (found := session.scalars(select(ModelRow.id).where(same)).first()) is not None:
            return found
    raise StoreError(f"the model {name!r} cannot be stored under this name: give another one with --name")


def _rename(session: Session, model: int, name: str) -> None:
    session.execute(update(ModelRow).where(ModelRow.id == model).values(name=name))
    session.execute(update(StandingRow).where(StandingRow.model_id == model).values(name=name))


def name_of_digest(db: Engine, digest: str) -> str | None:
    """Return the name of the model with these files, if it has a run."""
    with translate_errors(), Session(db) as session:
        return session.scalars(select(ModelRow.name).where(ModelRow.digest == digest)).first()

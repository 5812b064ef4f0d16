"""Look into a database that another process is writing."""

from sqlalchemy.exc import SQLAlchemyError

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.errors import StoreError


def stored(database):
    """Return the only run of a database, and how many samples it has; None and 0 while there is none."""
    try:
        db = open_database(str(database), create=False)
        (run,) = read.list_runs(db)
        return run.run, read.count_samples(db, run.run)
    except (StoreError, SQLAlchemyError, ValueError):
        return None, 0

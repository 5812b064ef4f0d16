"""A row of every table, with what is hard to keep."""

import datetime as dt

import pytest
from sqlalchemy import insert

from harness.db import service, task_tables  # noqa: F401  # their tables belong to Table.metadata
from harness.db.backup import kind_of
from harness.db.models import Table

ODD = "tab\t, line\n, return\r, \\\\N, \\\", 'quote', ½ 深 \U0001f30a \u202e \x7f"
AT = dt.datetime(2026, 11, 24, 1, 2, 3, 456789, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))
VALUES = {
    "int": 7, "float": 0.1 + 0.2, "bool": True, "time": AT, "bytes": bytes(range(256)), "text": ODD,
    "json": {"z": [1, 2.5, -1e-9, None, True, ODD], "a": {"deep": []}},
}  # fmt: skip


def row_of(table, chosen, number=0):
    """Make a row whose foreign keys point to the first row of their tables; every other one leaves out what may be."""
    row = {}
    for column in table.columns:
        keys = list(column.foreign_keys)
        value = chosen.get((table.name, column.name))
        if value is None and keys and not (number % 2 and column.nullable):
            value = row_of(keys[0].column.table, chosen)[keys[0].column.name]
        elif value is None and column.primary_key and kind_of(column) == "text":
            value = f"{ODD}{number}"
        elif value is None and not column.nullable and kind_of(column) == "int":
            value = 7000 + number
        elif value is None and not (number % 2 and column.nullable):
            value = VALUES[kind_of(column)]
        if value is not None:
            row[column.name] = f"{value}{number}" if column.unique and number else value
    return row


@pytest.fixture
def fill():
    """Put rows into every table; `chosen` gives some columns a value, by table and name."""

    def put(db, n=2, chosen=None):
        with db.begin() as connection:
            for table in Table.metadata.sorted_tables:
                unique = {key for key in table.primary_key.columns if key.foreign_keys}
                many = 1 if unique == set(table.primary_key.columns) else n
                for number in range(many):
                    row = row_of(table, chosen or {}, number)
                    connection.execute(insert(table), [row])

    return put

"""A row of every table, with what is hard to keep; and a LoRA adapter."""

import datetime as dt
import json
import struct

import numpy as np
import pytest
from sqlalchemy import UniqueConstraint, insert

from fathom.harness.db.backup.backup import kind_of
from fathom.harness.db.schema import laws, probes, service  # noqa: F401  # their tables belong to Table.metadata
from fathom.harness.db.schema.runs import Table

ODD = "tab\t, line\n, return\r, \\\\N, \\\", 'quote', ½ 深 \U0001f30a \u202e \x7f"
AT = dt.datetime(2026, 11, 24, 1, 2, 3, 456789, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))
VALUES = {
    "int": 7, "float": 0.1 + 0.2, "bool": True, "time": AT, "bytes": bytes(range(256)), "text": ODD,
    "json": {"z": [1, 2.5, -1e-9, None, True, ODD], "a": {"deep": []}},
}  # fmt: skip


def row_of(table, chosen, number=0):
    """Make a row whose foreign keys point to the first row of their tables; every other one leaves out what may be."""
    row = {}
    together = {column.name for one in table.constraints if isinstance(one, UniqueConstraint) for column in one.columns}
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
            apart = column.unique or (column.name in together and kind_of(column) == "text")
            row[column.name] = f"{value}{number}" if apart and number and not keys else value
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


WIDTH, LAYERS, RANK = 128, 4, 4  # of reference/pebble, and of the adapter


@pytest.fixture(scope="session")
def make_adapter():
    """Write a LoRA adapter for reference/pebble by hand: `make_adapter(folder, seed)`."""

    def make(folder, seed=1):
        draw = np.random.default_rng(seed)
        tensors = {}
        for layer in range(LAYERS):
            for name in ("q_proj", "v_proj"):
                place = f"base_model.model.model.layers.{layer}.self_attn.{name}"
                tensors[f"{place}.lora_A.weight"] = draw.normal(size=(RANK, WIDTH)).astype("f4") / 2
                tensors[f"{place}.lora_B.weight"] = draw.normal(size=(WIDTH, RANK)).astype("f4") / 2
        header, at = {}, 0
        for name, tensor in tensors.items():
            end = at + tensor.nbytes
            header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, end]}
            at = end
        head = json.dumps(header).encode()
        folder.mkdir(parents=True)
        body = b"".join(tensor.tobytes() for tensor in tensors.values())
        (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + body)
        config = {
            "peft_type": "LORA", "r": RANK, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"],
            "task_type": "CAUSAL_LM", "bias": "none",
        }  # fmt: skip
        (folder / "adapter_config.json").write_text(json.dumps(config))
        return folder

    return make

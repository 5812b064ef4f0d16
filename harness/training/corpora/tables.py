"""Turn documents into Parquet, and Parquet into a folder of Hugging Face `datasets`."""

import shutil
from pathlib import Path

import numpy as np

from fathom.harness.training.corpora.tokens import Documents

DATASET = "dataset"


def write_table(documents: Documents) -> memoryview:
    """Return a Parquet file: column `text`, or `tokens` for token forms, and `n_tokens` (the end token included)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    starts = np.concatenate([[0], documents.ends[:-1]])
    if documents.texts is not None:
        first = ("text", pa.array(documents.texts, pa.string()))
    else:
        offsets = np.concatenate([[0], documents.ends]).astype(np.int32)
        first = ("tokens", pa.ListArray.from_arrays(offsets, pa.array(documents.ids)))
    columns = dict([first, ("n_tokens", pa.array((documents.ends - starts).astype(np.int32)))])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return memoryview(sink.getvalue())


def save_dataset(folder: Path, shards: list[Path]) -> None:
    """Write `folder`/dataset, which `datasets.load_from_disk` maps into memory, from Parquet files.

    Raises:
        OSError: it cannot be written; nothing of it is left.
    """
    import datasets

    datasets.disable_progress_bars()
    partial, cache = folder / ".partial-dataset", folder / ".partial-cache"
    try:
        made = datasets.Dataset.from_parquet([str(path) for path in shards], cache_dir=str(cache))
        made.save_to_disk(str(partial))
        del made  # its files are mapped into memory
        partial.rename(folder / DATASET)
    except datasets.exceptions.DatasetGenerationError as error:
        if isinstance(error.__cause__, OSError):  # datasets hides what the disk said
            raise error.__cause__ from error
        raise
    finally:
        for left in (partial, cache):
            shutil.rmtree(left, ignore_errors=True)

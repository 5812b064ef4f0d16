"""Corpora as Parquet files and as folders of Hugging Face datasets."""

import shutil
from pathlib import Path

import numpy as np

from fathom.harness.training.corpora.tokenizer import EncodedDocuments

DATASET_FOLDER = "dataset"


def parquet_bytes(documents: EncodedDocuments) -> memoryview:
    """Return the bytes of a Parquet file with the columns `text`, or `tokens` for token forms, and `n_tokens`.

    `n_tokens` includes the end token.
    """
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
    """Write `folder`/dataset for `datasets.load_from_disk`, from Parquet files.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    import datasets

    datasets.disable_progress_bars()
    partial, cache = folder / ".partial-dataset", folder / ".partial-cache"
    try:
        made = datasets.Dataset.from_parquet([str(path) for path in shards], cache_dir=str(cache))
        made.save_to_disk(str(partial))
        del made  # its files are memory-mapped
        partial.rename(folder / DATASET_FOLDER)
    except datasets.exceptions.DatasetGenerationError as error:
        if isinstance(error.__cause__, OSError):  # datasets hides the error of the disk
            raise error.__cause__ from error
        raise
    finally:
        for left in (partial, cache):
            shutil.rmtree(left, ignore_errors=True)

import pyarrow.parquet as pq
import pytest

from fathom.harness.errors import BrokenCorpus
from fathom.harness.training.corpora.mix import read_mix
from fathom.harness.training.corpora.shards import open_shards
from fathom.harness.training.corpora.tokenizer import read_tokenizer
from fathom.harness.training.corpora.writer import CorpusPlan, write_corpus


@pytest.mark.parametrize("corpus", ["lano", "years"])
@pytest.mark.slow
@pytest.mark.turns(2)
def test_parquet_and_datasets_hold_the_same_documents_as_tokens(corpus, tmp_path):
    import datasets

    mix = read_mix(corpus, {"levels": "y2k1"} if corpus == "years" else {})
    for kind in ("tokens", "parquet", "datasets"):
        size = 400 if corpus == "years" else None
        write_corpus(
            CorpusPlan(mix, "1", 12_000, tmp_path / kind, kind, vocabulary=size, shard_tokens=5_000), lambda _: None
        )
    shards = open_shards(tmp_path / "tokens")
    ends = shards.document_ends
    starts = [0, *ends[:-1].tolist()]
    wanted = [shards.tokens(start, stop).tolist() for start, stop in zip(starts, ends.tolist(), strict=True)]
    rows = [row for path in sorted((tmp_path / "parquet").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert [row["n_tokens"] for row in rows] == [len(one) for one in wanted]
    if corpus == "years":
        tokenizer = read_tokenizer(tmp_path / "tokens" / "tokenizer").backend
        assert [[*tokenizer.encode(row["text"]).ids, 0] for row in rows] == wanted
    else:
        assert [row["tokens"] for row in rows] == wanted
    loaded = datasets.load_from_disk(str(tmp_path / "datasets" / "dataset"))
    assert loaded.cache_files  # it lies on disk and is mapped
    assert list(loaded) == rows
    assert not list((tmp_path / "datasets").glob(".partial*"))


def test_tables_are_not_opened_as_tokens(tmp_path):
    write_corpus(CorpusPlan(read_mix("lano", {}), "1", 1_000, tmp_path, "parquet"), lambda _: None)
    with pytest.raises(BrokenCorpus, match="--format tokens"):
        open_shards(tmp_path)

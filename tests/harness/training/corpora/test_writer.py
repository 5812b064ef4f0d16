"""Shards are a function of mix, seed, tokenizer and number alone."""

import json
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest

from fathom.harness.errors import BadInput, BadMix, BrokenCorpus, CorpusChanged
from fathom.harness.training.corpora.folder import CorpusFolder
from fathom.harness.training.corpora.mix import CorpusTable, read_mix, resolve_mix
from fathom.harness.training.corpora.shards import open_shards
from fathom.harness.training.corpora.writer import CorpusPlan, read_count, read_format, read_shard_size, write_corpus

SMALL = 20_000
"""Tokens per shard."""
TEXT = {"levels": "y2k1"}


def quiet(_):
    pass


def plan_of(out, corpus="lano", **others):
    others = {"tokens": 70_000, "seed": "1", **others}
    return CorpusPlan(read_mix(corpus, TEXT if corpus == "years" else {}), out=out, shard_tokens=SMALL, **others)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def lano(tmp_path_factory):
    out = tmp_path_factory.mktemp("lano") / "out"
    return out, write_corpus(plan_of(out), quiet)


def test_the_count_is_reached_with_the_last_whole_document(lano):
    out, manifest = lano
    shards = open_shards(out)
    assert len(shards) == manifest.tokens == sum(shard.tokens for shard in manifest.shards)
    ends = shards.document_ends
    assert shards.n_documents == manifest.documents == len(ends)
    assert ends[-2] < 70_000 <= ends[-1] == len(shards)
    assert np.array_equal(np.flatnonzero(shards.tokens(0, len(shards)) == 0) + 1, ends)
    assert len(manifest.shards) > 2
    assert all(0.5 * SMALL < shard.tokens < 2 * SMALL for shard in manifest.shards[:-1])


def test_several_processes_write_the_same_bytes_as_one(lano, tmp_path):
    write_corpus(plan_of(tmp_path / "out", workers=2), quiet)
    assert files(tmp_path / "out") == files(lano[0])


def test_another_seed_is_another_text(lano, tmp_path):
    manifest = write_corpus(plan_of(tmp_path / "out", seed="2"), quiet)
    assert not {file.digest for shard in manifest.shards for file in shard.files.values()} & {
        file.digest for shard in lano[1].shards for file in shard.files.values()
    }


def test_a_longer_text_begins_with_the_shorter_one(lano, tmp_path):
    write_corpus(plan_of(tmp_path / "out", tokens=90_000), quiet)
    short, long = open_shards(lano[0]), open_shards(tmp_path / "out")
    assert np.array_equal(long.tokens(0, len(short)), short.tokens(0, len(short)))


def test_what_is_whole_is_kept_and_what_is_not_is_written_again(lano, tmp_path):
    out = tmp_path / "out"
    write_corpus(plan_of(out), quiet)
    kept = (out / "shard-00000.bin").stat().st_mtime_ns
    (out / "manifest.json").unlink()
    (out / "shard-00001.bin").write_bytes(b"cut short")
    (out / ".partial-9-shard-00003.bin").write_bytes(b"left behind")
    (out / "shard-00099.bin").write_bytes(b"beyond the last one")
    write_corpus(plan_of(out), quiet)
    assert files(out) == files(lano[0])
    assert (out / "shard-00000.bin").stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": "2"}, 'seed was "1", not "2"'),
        ({"tokens": 80_000}, "tokens was 70000, not 80000"),
        ({"format": "parquet"}, 'format was "tokens", not "parquet"'),
        ({"mix": read_mix("lano", {"language": "b"})}, 'corpora[0].options.language was "f", not "b"'),
    ],
)
def test_other_settings_are_refused_with_what_differs(lano, change, said):
    before = files(lano[0])
    with pytest.raises(CorpusChanged) as caught:
        write_corpus(replace(plan_of(lano[0]), **change), quiet)
    assert said in str(caught.value)
    assert files(lano[0]) == before


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(CorpusChanged, match=r"letter\.txt"):
        write_corpus(plan_of(tmp_path), quiet)
    assert list(files(tmp_path).values()) == [b"mine"]


def test_two_writers_do_not_share_a_folder(tmp_path):
    def second(_):
        with pytest.raises(CorpusChanged, match="another process"):
            write_corpus(plan_of(tmp_path), quiet)

    write_corpus(plan_of(tmp_path, tokens=1000), second)


def test_of_two_writers_that_begin_at_once_one_has_the_folder(tmp_path):
    def begin(folder, start, entered):
        start.wait()
        try:
            with CorpusFolder(folder).claimed({"seed": "1"}):
                entered.append(folder)
                both.wait(10)
        except CorpusChanged:
            both.wait(10)

    for at in range(50):
        start, both, entered = threading.Barrier(2), threading.Barrier(2), []
        writers = [threading.Thread(target=begin, args=(tmp_path / str(at), start, entered)) for _ in range(2)]
        for one in writers:
            one.start()
        for one in writers:
            one.join()
        assert len(entered) == 1


def test_a_changed_shard_is_named(tmp_path):
    write_corpus(plan_of(tmp_path), quiet)
    shard = tmp_path / "shard-00001.bin"
    data = bytearray(shard.read_bytes())
    data[7] ^= 1
    shard.write_bytes(data)
    with pytest.raises(BrokenCorpus, match=r"shard-00001\.bin"):
        open_shards(tmp_path)
    shard.unlink()
    with pytest.raises(BrokenCorpus, match=r"shard-00001\.bin"):
        open_shards(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(BrokenCorpus, match="no complete corpus"):
        open_shards(tmp_path)


def test_texts_know_what_is_learnt_across_shards(tmp_path):
    plan = plan_of(tmp_path, "years", vocabulary=400, tokens=30_000)
    write_corpus(replace(plan, shard_tokens=5_000), quiet)
    shards = open_shards(tmp_path)
    assert len(shards.manifest.shards) > 3
    n = len(shards)
    learnt = shards.learnt(0, n)
    assert 0 < learnt.sum() < n
    assert learnt[shards.document_ends - 1].all()
    for start, stop in ((3, 11), (4_990, 5_021), (n - 3, n + 50), (1, n)):
        assert np.array_equal(shards.learnt(start, stop), learnt[start:stop])
        assert np.array_equal(shards.tokens(start, stop), shards.tokens(0, n)[start:stop])


def test_tokens_that_are_all_learnt_need_no_mask(lano):
    assert open_shards(lano[0]).learnt(0, 10) is None
    assert not list(lano[0].glob("*.learnt"))


def test_a_mix_counts_the_tokens_of_its_parts(tmp_path):
    mix = resolve_mix([CorpusTable(name="lano", weight=9), CorpusTable(name="lano", options={"language": "k"})])
    manifest = write_corpus(replace(plan_of(tmp_path), mix=mix, tokens=600_000), quiet)
    parts = np.sum([shard.parts for shard in manifest.shards], axis=0)
    assert parts.sum() == manifest.tokens
    assert 0 < parts[1] < parts[0]
    assert manifest.corpora[0]["weight"] == 9


def test_a_given_tokenizer_is_kept_with_the_text(tmp_path):
    first = write_corpus(plan_of(tmp_path / "a", "years", vocabulary=400, tokens=5_000), quiet)
    given = plan_of(tmp_path / "b", "years", tokenizer=tmp_path / "a" / "tokenizer", tokens=5_000)
    assert write_corpus(given, quiet).digest == first.digest
    claim = json.loads((tmp_path / "b" / "corpus.json").read_text())
    assert claim["tokenizer"] == first.tokenizer
    assert claim["vocabulary"] is None


@pytest.mark.parametrize(
    ("text", "number"), [("20M", 20_000_000), ("1.5B", 1_500_000_000), ("500k", 500_000), ("3_000", 3000), ("7", 7)]
)
def test_counts_read_as_people_write_them(text, number):
    assert read_count(text) == number


@pytest.mark.parametrize("text", ["", "0", "-3", "3x", "M", "1.5", "nan", "1e5", "99999B", "0.0001k"])
def test_what_is_no_count_is_refused(text):
    with pytest.raises(BadMix, match="20M"):
        read_count(text)


def test_an_unknown_format_is_refused():
    with pytest.raises(BadMix, match="parquet"):
        read_format("csv")


@pytest.mark.parametrize("text", ["9" * 400, "1.0005k", "100_000_001"])
def test_a_shard_of_no_sound_size_is_refused(text):
    with pytest.raises(BadMix, match="up to 100,000,000"):
        read_shard_size(text)


def test_a_count_is_read_to_the_last_digit():
    assert read_count("1.005k") == 1005


@pytest.mark.parametrize("junk", [b"junk\n", b"\xff\n", b"[" * 100_000 + b"\n", b""])
def test_a_journal_that_nobody_can_read_is_begun_anew(lano, tmp_path, junk):
    out = tmp_path / "out"
    shutil.copytree(lano[0], out)
    (out / "shards.jsonl").write_bytes(junk)
    write_corpus(plan_of(out), quiet)
    assert files(out) == files(lano[0])


@pytest.mark.parametrize("change", [("number", 5), ("tokens", 10**30), ("files", {"../secret": {}})])
def test_a_journal_with_wrong_counts_or_names_is_not_believed(lano, tmp_path, change):
    out = tmp_path / "out"
    shutil.copytree(lano[0], out)
    head, first, *others = (out / "shards.jsonl").read_text().splitlines()
    changed = json.dumps({**json.loads(first), change[0]: change[1]})
    (out / "shards.jsonl").write_text("\n".join([head, changed, *others, ""]))
    write_corpus(plan_of(out), quiet)
    assert files(out) == files(lano[0])


@pytest.mark.parametrize("claim", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_claim_that_is_not_ours_is_refused(tmp_path, claim):
    (tmp_path / "corpus.json").write_bytes(claim)
    with pytest.raises(CorpusChanged, match="is damaged"):
        write_corpus(plan_of(tmp_path), quiet)
    assert list(files(tmp_path).values()) == [claim]


@pytest.mark.parametrize("name", ["corpus.json", "shards.jsonl"])
def test_a_folder_in_the_place_of_a_file_is_told(lano, tmp_path, name):
    out = tmp_path / "out"
    shutil.copytree(lano[0], out)
    (out / name).unlink()
    (out / name).mkdir()
    with pytest.raises(BadInput, match=name):
        write_corpus(plan_of(out), quiet)


def test_partial_files_of_others_are_left_alone(tmp_path):
    (tmp_path / ".partial-thesis").write_text("mine")
    with pytest.raises(CorpusChanged, match="thesis"):
        write_corpus(plan_of(tmp_path), quiet)
    assert list(files(tmp_path).values()) == [b"mine"]


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "O"},
        {"dtype": "<u4"},
        {"shards": []},
        {"number": -1},
        {"documents": 7},
        {"files": {}},
        {"files": {"../shard-00000.bin": {"size": 1, "digest": ""}}},
    ],
)
def test_a_manifest_that_does_not_fit_its_files_is_refused(lano, tmp_path, change):
    out = tmp_path / "out"
    shutil.copytree(lano[0], out)
    manifest = json.loads((out / "manifest.json").read_text())
    where = manifest if set(change) <= set(manifest) - {"documents"} else manifest["shards"][0]
    where.update(change)
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BrokenCorpus, match=r"manifest\.json"):
        open_shards(out)

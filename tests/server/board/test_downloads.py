"""Files that visitors take along: the same numbers in every format, and no formula for a spreadsheet."""

import csv
import io
import json
import re

import pyarrow.parquet as pq
import pytest

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.records import SampleFilter
from fathom.harness.reports.questions import make_sample_question
from fathom.server.board.downloads import PAIR_COLUMNS, SAMPLE_DOWNLOAD_COLUMNS, standing_columns

PAIR = "m=oracle/noisy&m=oracle/perfect"
TABLES = ("/board.{kind}", "/board.{kind}?style=cot&sort=mano&columns=mano", f"/compare.{{kind}}?{PAIR}")


def csv_of(answer):
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))


def as_csv(value):
    return "" if value is None else str(value)


@pytest.mark.parametrize("table", TABLES)
def test_csv_json_and_parquet_hold_the_same(board, table):
    csv_file, json_file, parquet = (board.get(table.format(kind=kind)) for kind in ("csv", "json", "parquet"))
    rows = json_file.json()
    assert len(rows) > 1
    assert pq.read_table(io.BytesIO(parquet.content)).to_pylist() == rows
    assert csv_of(csv_file) == [{key: as_csv(value) for key, value in row.items()} for row in rows]


def test_the_board_as_a_file_holds_the_numbers_of_the_api(board):
    rows = board.get("/board.json?style=direct").json()
    for row, one in zip(rows, board.get("/api/v1/board?style=direct").json()["standings"], strict=True):
        assert list(row) == list(standing_columns(list(board.get("/api/v1/suites").json()[0]["asked"]["direct"])))
        for key in ("rank", "rank_low", "rank_high", "tie", "model", "run", "date", "seed", "engine", "n_missing"):
            assert row[key] == one[key]
        assert row["score"] == one["overall"]["score"]
        for family, score in one["families"].items():
            assert row[family] == score["score"]
            assert row[f"{family}_half"] == pytest.approx((score["high"] - score["low"]) / 2)


def test_a_comparison_as_a_file_holds_the_cells_of_the_api(board):
    rows = board.get(f"/compare.json?{PAIR}").json()
    assert rows == board.get(f"/api/v1/compare?{PAIR}").json()["cells"]
    assert tuple(rows[0]) == PAIR_COLUMNS


@pytest.mark.parametrize(
    ("address", "name", "kind"),
    [
        ("/board.csv", "fathom-{pool}-direct.csv", "text/csv; charset=utf-8"),
        ("/board.json?style=cot", "fathom-{pool}-cot.json", "application/json"),
        ("/board.parquet", "fathom-{pool}-direct.parquet", "application/vnd.apache.parquet"),
        (f"/compare.csv?{PAIR}", "fathom-comparison.csv", "text/csv; charset=utf-8"),
        ("/runs/{run}/samples.csv", "fathom-samples-{run}.csv", "text/csv; charset=utf-8"),
        ("/runs/{run}/samples.jsonl", "fathom-samples-{run}.jsonl", "application/jsonl"),
    ],
)
def test_a_file_has_a_name_and_a_type(board, played, address, name, kind):
    words = {"pool": played.noisy.pool, "run": played.noisy.summary.run}
    answer = board.get(address.format(**words))
    assert answer.headers["content-disposition"] == f'attachment; filename="{name.format(**words)}"'
    assert answer.headers["content-type"] == kind
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_family_level_by_level_is_a_file_of_its_counts(board):
    asked = "family=depo&style=direct&easiest=2&hardest=3"
    page = board.get(f"/?{asked}").text
    shown = re.findall(r'<th scope="col" class="number">(n\w+)<small>', page)
    rows = board.get(f"/board.json?{asked}").json()
    assert shown == ["n8k2", "n8k3"]
    assert [name.removesuffix("_k") for name in rows[0] if name.endswith("_k")] == shown
    standings = {one["run"]: one["levels"] for one in board.get(f"/api/v1/board?{asked}").json()["standings"]}
    for row in rows:
        assert standings[row["run"]] == {level: {"k": row[f"{level}_k"], "n": row[f"{level}_n"]} for level in shown}
        run = board.get(f"/api/v1/runs/{row['run']}").json()
        cells = {one["level"]: one for one in run["cells"] if (one["family"], one["style"]) == ("depo", "direct")}
        assert [(row[f"{level}_k"], row[f"{level}_n"]) for level in shown] == [
            (cells[level]["k"], cells[level]["n"]) for level in shown
        ]


def test_all_pages_of_the_board_come_in_one_file(browse, fresh, write_run):
    db, url = fresh
    for at in range(103):
        write_run(db, write_run.story(model=f"org/model{at:03}"))
    rows = csv_of(browse(url).get("/board.csv?q=org&sort=model&order=desc"))
    assert [row["model"] for row in rows] == [f"org/model{at:03}" for at in reversed(range(103))]


def stored(played, wanted=None):
    db = open_database(played.url, create=False)
    rows = []
    for one in read.get_samples(db, played.noisy, wanted or SampleFilter(), limit=9999).samples:
        made = make_sample_question(one)
        rows.append({
            **{key: getattr(one, key) for key in SAMPLE_DOWNLOAD_COLUMNS if key not in ("gold", "candidate_scores", "question")},
            "gold": made.gold, "question": made.text, "candidate_scores": None if one.scores is None else list(one.scores),
        })  # fmt: skip
    db.dispose()
    return rows


def test_streamed_samples_equal_those_of_the_database(board, played):
    run = played.noisy.summary.run
    lines = board.get(f"/runs/{run}/samples.jsonl").text.splitlines()
    assert [json.loads(line) for line in lines] == stored(played)
    assert len(lines) == played.noisy.suite.n_items
    rows = csv_of(board.get(f"/runs/{run}/samples.csv"))
    plain = ("item", "style", "completion", "question", "gold", "parsed", "label")
    assert [tuple(row[key] for key in plain) for row in rows] == [
        tuple(as_csv(unformula(row[key])) for key in plain) for row in stored(played)
    ]


def unformula(text):
    return f"'{text}" if text and text[0] in "=+-@\t\r" else text


def test_streamed_samples_keep_the_filter_of_the_page(board, played):
    run, cell = played.noisy.summary.run, next(one for one in played.noisy.cells if 0 < one.k < one.n)
    lines = board.get(f"/runs/{run}/samples.jsonl?cell={cell.id}&correct=false&label=").text.splitlines()
    assert [json.loads(line) for line in lines] == stored(played, SampleFilter(cell.id, None, False))
    assert len(lines) == cell.n - cell.k


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_what_a_spreadsheet_would_take_for_a_formula_is_quoted(browse, fresh, write_run, start):
    db, url = fresh
    text = f'{start}HYPERLINK("http://evil","x")'
    run = write_run(db, write_run.story(model=text, texts=(text,), parsed=text, label=text))
    client = browse(url)
    row = csv_of(client.get(f"/runs/{run}/samples.csv"))[0]
    assert [row[key] for key in ("completion", "parsed", "label")] == [f"'{text}"] * 3
    assert csv_of(client.get("/board.csv"))[0]["model"] == f"'{text}"
    (line,) = client.get(f"/runs/{run}/samples.jsonl").text.splitlines()
    assert json.loads(line)["completion"] == text
    assert client.get("/board.json").json()[0]["model"] == text


def test_any_text_comes_back_whole_from_every_format(browse, fresh, write_run):
    db, url = fresh
    texts = (
        'a "quoted", text',
        "two\nlines\r\nand a\rthird",
        "é 漢字 🌊",
        "\u2028\u2029\x85\x0b",
        "",
        " blank ",
        "x" * 100_000,
    )
    run = write_run(db, write_run.story(model=texts[0], texts=texts))
    client = browse(url)
    assert [row["completion"] for row in csv_of(client.get(f"/runs/{run}/samples.csv"))] == list(texts)
    lines = client.get(f"/runs/{run}/samples.jsonl").content.decode().split("\n")[:-1]
    assert [json.loads(line)["completion"] for line in lines] == list(texts)
    assert pq.read_table(io.BytesIO(client.get("/board.parquet").content)).to_pylist()[0]["model"] == texts[0]


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
@pytest.mark.slow
def test_an_empty_table_is_a_file_with_columns(browse, board, fresh, kind):
    nothing, none_found = browse(fresh[1]).get(f"/board.{kind}"), board.get(f"/board.{kind}?q=nothing")
    assert (nothing.status_code, none_found.status_code) == (200, 200)
    if kind == "csv":
        assert nothing.text.startswith("rank,rank_low,rank_high,tie,model")
        assert "years_half" in none_found.text
    if kind == "parquet":
        assert "rank" in pq.read_table(io.BytesIO(nothing.content)).column_names


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/board.xml", 422), ("/board.csv?style=sung", 404), ("/compare.csv?m=oracle/noisy", 404), ("/compare.csv", 422),
        ("/compare.csv?m=nobody&m=oracle/noisy", 404), ("/runs/{run}/samples.parquet", 422), ("/runs/zzz/samples.csv", 404),
        ("/runs/{run}/samples.csv?label=unheard_of", 404), ("/runs/{run}/samples.csv?cell=999999", 404),
    ],
)  # fmt: skip
def test_a_file_that_is_not_there_is_a_page_that_says_so(board, played, address, status):
    page = board.get(address.format(run=played.noisy.summary.run))
    assert page.status_code == status
    assert "<h1>" in page.text
    assert "content-disposition" not in page.headers


def test_a_stream_has_no_hash_and_is_not_kept_in_memory(board, played):
    answer = board.get(f"/runs/{played.noisy.summary.run}/samples.csv")
    assert "etag" not in answer.headers
    assert "content-length" not in answer.headers

"""A board in files can be read without a server."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

from fathom.harness.errors import BadInput
from fathom.server.cli.static_copy import copy_board

pytestmark = pytest.mark.slow

LINK = re.compile(r'(?:href|src|srcset)="([^"]*)"')


@pytest.fixture(scope="module")
def copy(played, tmp_path_factory):
    """A copy of the board of `played`, and what was said of it."""
    out = tmp_path_factory.mktemp("copy") / "board"
    return out, copy_board(played.url, out)


def pages(out):
    return sorted(out.rglob("*.html"))


def test_every_file_is_counted_and_nothing_is_missing(copy):
    out, copied = copy
    files = [path for path in out.rglob("*") if path.is_file()]
    assert copied.missing == ()
    assert (copied.n_files, copied.n_bytes) == (len(files), sum(path.stat().st_size for path in files))


def test_every_link_leads_to_a_file_of_the_copy(copy):
    out, _ = copy
    n_links = 0
    for page in pages(out):
        for found in LINK.findall(page.read_text()):
            target, _, anchor = unescape(found).partition("#")
            if not target:
                continue
            path = (page.parent / unquote(target)).resolve()
            assert path.is_relative_to(out.resolve()), (page, found)
            assert path.is_file(), (page, found)
            assert not anchor or f'id="{anchor}"' in path.read_text(), (page, found)
            n_links += 1
    assert n_links > 1000


def test_no_page_of_a_copy_asks_for_a_server(copy):
    out, _ = copy
    for page in pages(out):
        assert "<form" not in page.read_text()
        assert "<button" not in page.read_text()


def test_models_runs_families_pictures_and_data_are_there(copy, played):
    out, _ = copy
    run = played.noisy.summary.run
    for name in (
        "index.html", "about.html", "runs.html", "families/depo.html", "models/oracle/noisy.html", f"runs/{run}.html",
        f"runs/{run}/samples.html", f"runs/{run}/samples.csv", f"runs/{run}/samples.jsonl", "board.csv",
        "board.parquet", "feed.atom", "badge/oracle/noisy.svg", "static/fathom.css", "static/contours.svg",
    ):  # fmt: skip
        assert (out / name).stat().st_size > 0, name
    assert list(out.glob("pictures/curves--*--theme-dark.svg"))


def test_an_example_in_a_copy_comes_with_its_answer(copy):
    out, _ = copy
    page = (out / "families/depo.html").read_text()
    assert "Gold" in page
    assert "depo@2/" in page


def test_a_folder_that_holds_files_is_left_alone(played, tmp_path):
    (tmp_path / "mine.txt").write_text("dear diary")
    with pytest.raises(BadInput, match="empty folder"):
        copy_board(played.url, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_hostile_names_stay_inside_the_folder(fresh, write_run, tmp_path):
    db, url = fresh
    for name in ("../../../etc/passwd", "/etc/passwd", "..", "a/../../b", "<script>alert(1)</script>", "nul\u202e"):
        write_run(db, write_run.story(model=name, label=name))
    out = tmp_path / "deep" / "copy"
    copied = copy_board(url, out, 0)
    assert copied.missing == ()
    strangers = {path.name for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(out)}
    assert strangers <= {"fresh.db", "fresh.db-wal", "fresh.db-shm"}
    assert not any("<script>alert" in page.read_text() for page in pages(out))
    assert Path(out / "models").is_dir()


def test_the_command_says_what_it_wrote(played, fathom, tmp_path):
    done = fathom("export-static", tmp_path / "copy", "--db", played.url, "--sample-pages", 0)
    assert done.returncode == 0, done.stderr
    assert re.search(r"wrote \d+ files, [\d.]+ MB", done.stdout)

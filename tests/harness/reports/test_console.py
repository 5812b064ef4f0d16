"""Every console can show every command's output."""

import io
import json
import sys

import pytest

from fathom.harness.reports.console import plain_character, print_json_text, use_plain_characters

ENCODINGS = ("cp1252", "ascii", "latin-1", "cp437", "utf-8")
HARD = "● ± ▁▂█ ┤ – − → 答案 é \U0001f30a \ud800"


def shown(monkeypatch, encoding, write):
    """Return what a console of this encoding shows."""
    raw = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
        use_plain_characters()
        write()
        sys.stdout.flush()
        return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_cannot_be_shown_becomes_plain(monkeypatch, encoding):
    text = shown(monkeypatch, encoding, lambda: print(HARD))
    assert "\ud800" not in text
    if encoding == "ascii":
        assert text == "* +- _.# | - - -> ?? e ? ?\n"
    if encoding == "latin-1":
        assert text == "* ± _.# | - - -> ?? é ? ?\n"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_stays_exact(monkeypatch, encoding):
    line = json.dumps({"text": HARD}, ensure_ascii=False)
    assert json.loads(shown(monkeypatch, encoding, lambda: print_json_text(line))) == {"text": HARD}


def test_characters_of_our_pictures_have_plain_ones():
    from fathom.harness import format as numbers
    from fathom.harness.reports import terminal

    for char in (*numbers._BARS, *terminal._MARKS):
        assert plain_character(char) != "?"
        assert len(plain_character(char)) == 1


@pytest.mark.slow
def test_a_run_is_printed_on_any_console(fathom, tmp_path):
    done = fathom(
        "run", "--engine", "oracle", "--model", "oracle/noisy", "--levels", "n8k1", "--style", "direct", "--n", "2",
        "--seed", "7", "--db", tmp_path / "x.db", process=True, PYTHONIOENCODING="ascii",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "depo . main . symbol . direct" in done.stdout

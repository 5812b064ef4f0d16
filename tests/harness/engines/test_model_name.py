import pytest

from fathom.harness.engines.model_name import check_board_name, folder_label, is_hub_id
from fathom.harness.errors import BadInput


def test_a_folder_has_one_label_however_it_is_typed(tmp_path, monkeypatch):
    folder = tmp_path / "a" / "my model"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a")
    from pathlib import Path

    typed = ("my model", "./my model", "my model/", "../a/my model", str(folder))
    assert {folder_label(Path(one)) for one in typed} == {"my model"}


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("runs/a/checkpoint-500", "a/checkpoint-500"),
        ("hub/models--org--m/snapshots/0123456789abcdef0123456789abcdef01234567", "org/m"),
        ("x" * 240, "x" * 240),
    ],
)
def test_some_folders_are_known_by_more_than_their_last_part(tmp_path, path, label):
    assert folder_label(tmp_path / path) == label


@pytest.mark.parametrize("name", ["org/m", "a/b.c-d_e"])
def test_names_that_boards_take_are_hub_ids(name):
    check_board_name(name)
    assert is_hub_id(name)


@pytest.mark.parametrize("name", ["m", "org/m/x", "org/..", "a--b/c", "./x", "reference/pebble", "oracle/x", "órg/m"])
def test_names_that_boards_refuse_are_refused_at_once(name):
    with pytest.raises(BadInput):
        check_board_name(name)

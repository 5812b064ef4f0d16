import re
from pathlib import Path

from fathom.harness.cli.gallery import write_gallery
from fathom.tasks.registry import all_families

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "tasks" / "GALLERY.md").read_text(encoding="utf-8")
PINNED = [family for name, family in all_families().items() if (ROOT / "tests" / "golden" / f"{name}.json").exists()]


def test_the_gallery_shows_every_family_with_pinned_items_as_it_is_now():
    assert write_gallery(PINNED) == PAGE, "run `fathom gallery`"


def test_the_gallery_stays_short():
    assert len(PAGE.splitlines()) <= 25 * len(PINNED)
    assert max(map(len, PAGE.splitlines())) < 1_000


def test_every_family_has_one_item_with_its_gold_and_a_wrong_answer():
    for part in PAGE.split("\n## ")[1:]:
        family = all_families()[part.partition(":")[0]]
        assert part.startswith(f"{family.name}: {family.title}\n")
        assert part.count("\nGold: ") == 1
        label = part.partition(" Wrong: ")[2].partition("`. ")[0].partition("` at")[0].rpartition("`")[2]
        assert label in family.labels
        assert family.labels[label] in part


def test_what_is_left_out_of_a_long_text_is_said():
    assert re.search(r"^\[\.\.\. [1-9][\d,]* lines \.\.\.\]$", PAGE, re.MULTILINE)


def test_the_command_writes_it_and_says_where(fathom, tmp_path):
    done = fathom("gallery", "--out", tmp_path / "g.md")
    assert done.returncode == 0
    assert (tmp_path / "g.md").read_text(encoding="utf-8") == write_gallery()
    missing = fathom("gallery", cwd=tmp_path)
    assert missing.returncode == 2
    assert "--out" in missing.stderr

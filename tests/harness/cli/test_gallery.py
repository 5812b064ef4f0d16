from pathlib import Path

from fathom.harness.cli.gallery import write_gallery
from fathom.tasks.base import channels_of, styles_of
from fathom.tasks.registry import all_families

ROOT = Path(__file__).parents[3]


def test_the_gallery_is_fresh():
    assert (ROOT / "tasks" / "GALLERY.md").read_text(encoding="utf-8") == write_gallery(), "run `fathom gallery`"


def test_every_ladder_channel_and_style_is_shown():
    text = write_gallery()
    for family in all_families().values():
        for ladder in {level.ladder for level in family.levels.values()}:
            head = f"### {family.name}, ladder {ladder}: "
            assert text.count(head) == 1
            shown = family.levels[text.partition(head)[2].partition("\n")[0]]
            for channel in channels_of(family, shown):
                entry = (
                    text.partition(f"#### {shown.name}, {channel}\n")[2].partition("\n### ")[0].partition("\n#### ")[0]
                )
                for style in styles_of(family, shown):
                    assert style == "free" or f"\n**{style}**: " in entry
                styles = styles_of(family, shown)
                assert entry.count("Gold: ") == len(styles)
                assert entry.count("Wrong: ") == len([style for style in styles if style != "bits"])
                assert entry.count(" if all is known.") == styles.count("bits")


def test_wrong_answers_carry_labels_of_their_family():
    for part in write_gallery().split("\n## ")[1:]:
        family = all_families()[part.partition("\n")[0]]
        labels = [line.rpartition("→ `")[2].partition("`")[0] for line in part.splitlines() if "→ `" in line]
        assert labels or family.styles == ("bits",)
        assert set(labels) <= set(family.labels)


def test_the_command_writes_it_and_says_where(fathom, tmp_path):
    done = fathom("gallery", "--out", tmp_path / "g.md")
    assert done.returncode == 0
    assert (tmp_path / "g.md").read_text(encoding="utf-8") == write_gallery()
    missing = fathom("gallery", cwd=tmp_path)
    assert missing.returncode == 2
    assert "--out" in missing.stderr

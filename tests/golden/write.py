"""Write the golden files: digests of the first 1,000 items a level, a few items to read in review, digests of corpora.

Run by `make golden` after the version of a family or a corpus was raised; tests/tasks/test_golden.py and
tests/tasks/corpora compare. Names of families as arguments, or `corpora`, write only these; after `--missing`,
only those that have no files yet.
"""

import json
import sys
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from fathom.tasks.base import Family, channels_of, demonstrate, make_instance, pose, styles_of
from fathom.tasks.corpora.base import make_block, read_options
from fathom.tasks.corpora.registry import all_corpora
from fathom.tasks.registry import all_families, find_family

HERE = Path(__file__).parent
README = HERE.parents[1] / "tasks" / "README.md"
N = 1_000
N_LONG = 20
LONG = 8_000
"""Characters; of levels whose questions are longer, only N_LONG items are pinned."""

SEED = 2026
N_SHOWN = 2

N_BLOCKS = 4
SETTINGS = {
    "bios": [{"wordings": 5, "permute": 1, "qa": 0.5, "tasks": "extract compare", "hint": 1}, {"reversed": 1}],
    "brevo": [{"names": "multi", "n": 40, "learn": "all"}],
    "depo": [{"names": "long", "n": 125, "k": 16, "learn": "all"}],
    "lano": [{"language": "b"}],
    "mano": [{"modulus": 7, "operations": 16, "learn": "all"}],
}
"""Settings of corpora that are pinned besides the default of each form."""


def digest(family: Family, level: str, channel: str) -> str:
    """Hash the first items of a level: everything an Instance holds."""
    state = blake2b(digest_size=8)
    long = len(make_instance(family, level, channel, SEED, 0).question) > LONG
    for index in range(N_LONG if long else N):
        item = make_instance(family, level, channel, SEED, index)
        facts = json.dumps(item.facts, sort_keys=True)
        state.update(f"{item.id}\0{item.question}\0{item.gold}\0{item.choices}\0{facts}\0".encode())
    return state.hexdigest()


def digests(family: Family) -> dict[str, object]:
    """Return the digests of a family as its golden file holds them."""
    levels = {
        f"{level.name}/{channel}": digest(family, level.name, channel)
        for level in family.levels.values()
        for channel in channels_of(family, level)
    }
    return {"family": family.name, "version": family.version, "seed": SEED, "n": N, "levels": levels}


def readable(family: Family) -> str:
    """Write the first items of each ladder's easiest level, in each channel and style."""
    first = {level.ladder: level for level in reversed(family.levels.values())}
    parts = [f"{family.name}@{family.version}, seed {SEED}\n"]
    for level in first.values():
        for channel in channels_of(family, level):
            for style in styles_of(family, level):
                for index in range(N_SHOWN if style == "direct" else 1):
                    item = make_instance(family, level.name, channel, SEED, index)
                    shown = elide(pose(family, item, style)) + "⟦" + demonstrate(family, item, style) + "⟧"
                    chosen = f"\ncandidates: {' | '.join(item.choices)}" if style == "choice" else ""
                    parts.append(f"--- {item.id} {style}\n{shown}{chosen}\n")
    return "\n".join(parts)


def elide(text: str) -> str:
    """Leave out the middle of a long text."""
    if len(text) <= LONG // 2:
        return text
    kept = LONG // 20
    return f"{text[:kept]} [... {len(text) - 2 * kept} characters ...] {text[-kept:]}"


def digests_of_corpora() -> dict[str, object]:
    """Return the digests of the first blocks of each corpus, in each form and with some settings."""
    pinned = {}
    for corpus in all_corpora().values():
        forms = corpus.options["form"].choices
        for given in [*[{"form": form} for form in forms], *SETTINGS.get(corpus.name, [])]:
            options = read_options(corpus, given)
            state = blake2b(digest_size=8)
            for number in range(N_BLOCKS):
                block = make_block(corpus, options, SEED, number)
                state.update(repr(corpus.vocabulary(options)).encode())
                state.update(repr(block).encode())
            name = " ".join([corpus.name, *[f"{key}={value}" for key, value in given.items()]])
            pinned[name] = {"version": corpus.version, "digest": state.hexdigest()}
    return {"seed": SEED, "blocks": N_BLOCKS, "corpora": pinned}


def pinned_families() -> list[Family]:
    """Return the families that have golden files."""
    return [family for name, family in all_families().items() if (HERE / f"{name}.json").exists()]


def family_table(families: Iterable[Family]) -> str:
    """Return the table of tasks/README.md that lists the families."""
    rows = [
        f"| `{family.name}` | {family.title} | {family.part} | {family.summary} | {family.unit} |\n"
        for family in families
    ]
    return "".join(["| family | title | part | asks | hardness |\n", "|---|---|---|---|---|\n", *rows])


def label_table(families: Iterable[Family]) -> str:
    """Return the table of tasks/README.md that says what the labels of wrong answers mean, a row a family."""
    rows = [
        f"| `{family.name}` | {' '.join([f'`{label}`: {meaning}' for label, meaning in _own_labels(family)])} |\n"
        for family in families
    ]
    return "".join(["| family | labels |\n", "|---|---|\n", *rows])


def _own_labels(family: Family) -> list[tuple[str, str]]:
    return [(label, meaning) for label, meaning in family.labels.items() if label not in ("no_answer", "cut_off")]


def with_tables(readme: str) -> str:
    """Return the text of tasks/README.md with both tables as they should be now."""
    for name, table in (("families", family_table), ("labels", label_table)):
        before, start, rest = readme.partition(f"<!-- {name}: written by `make golden` -->\n")
        _, end, after = rest.partition("<!-- end -->")
        readme = before + start + table(pinned_families()) + end + after
    return readme


def pin(family: Family) -> None:
    """Write both files of a family."""
    text = json.dumps(digests(family), indent=1) + "\n"
    (HERE / f"{family.name}.json").write_text(text, encoding="utf-8")
    (HERE / f"{family.name}.txt").write_text(readable(family), encoding="utf-8")


def pin_missing(names: Iterable[str]) -> None:
    """Write the files of those families that have none yet, and say so."""
    for family in map(find_family, names):
        if family not in pinned_families():
            pin(family)
            print(f"pinned the items of {family.name}: read tests/golden/{family.name}.txt as a newcomer would")


def main() -> None:
    """Write the files that the arguments name, all of them without arguments, and the tables of tasks/README.md."""
    names = sys.argv[1:]
    if names[:1] == ["--missing"]:
        pin_missing(names[1:])
    else:
        if not names or "corpora" in names:
            text = json.dumps(digests_of_corpora(), indent=1) + "\n"
            (HERE / "corpora.json").write_text(text, encoding="utf-8")
        for family in all_families().values():
            if not names or family.name in names:
                pin(family)
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

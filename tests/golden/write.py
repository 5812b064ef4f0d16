"""Write the golden files: digests of the first 1,000 items a level, and a few items to read in review.

Run by `make golden` after a family's version was raised; tests/tasks/test_golden.py compares.
Names of families as arguments write only theirs.
"""

import json
import sys
from hashlib import blake2b
from pathlib import Path

from tasks import Family, all_families, make_instance, pose
from tasks.base import channels_of, demonstrate, styles_of

HERE = Path(__file__).parent
N = 1_000
N_LONG = 20
LONG = 8_000
"""Characters; of levels whose questions are longer, only N_LONG items are pinned."""

SEED = 2026
N_SHOWN = 2


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
    """Return the golden digests of a family."""
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


def main() -> None:
    """Write both files of every family, or of those named."""
    for family in all_families().values():
        if sys.argv[1:] and family.name not in sys.argv[1:]:
            continue
        text = json.dumps(digests(family), indent=1) + "\n"
        (HERE / f"{family.name}.json").write_text(text, encoding="utf-8")
        (HERE / f"{family.name}.txt").write_text(readable(family), encoding="utf-8")


if __name__ == "__main__":
    main()

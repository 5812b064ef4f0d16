"""A finished law in a database, without any training."""

import datetime as dt

from sqlalchemy import Engine

from fathom.harness.db.laws import LawMeasure, LawResult, LawTrial, NewLaw, finish_law, register_law

WHEN = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
SEEDS = (101, 102, 103, 104, 105)
_RECIPE = {"hidden": 16, "layers": 1, "steps": 3}
DESIGN = {
    "claim": "More <b>steps</b> keep more.", "rule_text": "Shown if more is kept.", "reference": "None",
    "rule": {"kind": "lead", "question": "kept", "ahead": "long", "behind": "short", "margin": 0.1, "unit": "share"},
    "conditions": [
        {"name": "short", "title": "three steps", "after": "", "recipe": _RECIPE},
        {"name": "long", "title": "nine steps", "after": "", "recipe": _RECIPE | {"steps": 9}},
    ],
    "gates": [{"question": "kept", "conditions": ["long"], "least": 0.5, "about": "something is kept"}],
}  # fmt: skip
GATES = [DESIGN["gates"][0] | {"lowest": 0.7, "passed": True}]
RESULT = LawResult("shown", 0.4, 0.35, 0.45, 0.04, 1 / 32, (0.4, 0.36, 0.44, 0.41, 0.39), GATES, 12.5)
TRIALS = [
    LawTrial(condition, seed, "ab" * 8, 7264, 1.25, (LawMeasure("kept", value, value - 0.05, value + 0.05, 100),))
    for seed in SEEDS for condition, value in (("short", 0.4), ("long", 0.8))
]  # fmt: skip


def new_law(name: str, digest: str, kind: str = "confirming", shape: str = "llama") -> NewLaw:
    """Return a registration of five seeds."""
    registration = {
        "law": name,
        "kind": kind,
        "shape": shape,
        "seeds": list(SEEDS),
        "rule": "1" * 16,
        "gates": "2" * 16,
        "code": "3" * 16,
    }
    return NewLaw(digest, name, kind, "cpu", len(SEEDS), DESIGN, registration, WHEN)


def write_law(db: Engine, name: str, digest: str, shape: str = "llama") -> None:
    """Register a law and store its outcome."""
    register_law(db, new_law(name, digest, shape=shape))
    finish_law(db, digest, RESULT, TRIALS, WHEN)

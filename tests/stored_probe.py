"""A stored probe without a model: one target that is present from layer 2 on, one that is absent, one left out."""

import numpy as np

from fathom.harness.db.probes import NewProbe, ProbePoint, TargetFacts, add_points, add_target, end_probe, start_probe

N = 60
PLACES = ("start in the question", "end of the prompt")


def write_probe(db, model="reference/pebble", seed="7", shift=0):
    """Store a probe of a model and return its id; the present target is wrong on `shift` items more."""
    manifest = {"model": {"name": model}, "seed": seed, "n": [1500, N], "chat": False, "shift": shift}
    probe = start_probe(db, NewProbe(model, manifest, f"{model}{seed}{shift}", seed, "float32", "cpu", 4, 128))
    said = np.zeros(N, bool)
    said[:30] = True
    for at, (name, right) in enumerate((("depo.n8k1.next1", 57 - shift), ("depo.n8k1.next2", 7))):
        cell = ("depo", "n8k1", "symbol", "direct")
        facts = TargetFacts(
            name,
            at,
            2,
            cell,
            "match",
            "the name one arrow after the start",
            1500,
            N,
            N,
            0.125,
            3.0,
            f"items of {seed}",
            said,
        )
        target = add_target(db, probe, facts)
        for place in PLACES:
            add_points(db, target, [ProbePoint(place, -1, "surface", 0.16, N, 0.1, 0.2), *points(place, right)])
    cell = ("mano", "p23l4", "symbol", "cot")
    add_target(
        db, probe, TargetFacts("mistake.mano.answer", 2, 2, cell, "yes-no", "whether it is wrong", note="too few")
    )
    end_probe(db, probe, 12, is_done=True)
    return probe


def points(place, right):
    for layer in range(5):
        k = right if layer > 1 else 7
        hits = np.arange(N) < k
        above = 1e-9 if k > 30 else 1.0
        yield ProbePoint(
            place, layer, "trained", k / N, N, k / N - 0.05, k / N + 0.05, 2.8 if k > 30 else 0.0, 0.01, k / N, 0.1, 0.15,
            "surface", 0.16, above, 1 - above, hits,
        )  # fmt: skip
        yield ProbePoint(place, layer, "random", 0.13, N, 0.1, 0.2, 0.0, 10.0, 0.13)
        yield ProbePoint(place, layer, "words", 0.12, N)

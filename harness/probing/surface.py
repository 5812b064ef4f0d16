"""What a reader of the text alone would guess: the surface baseline of a probe, and what the model's output tells.

For classes and yes-no: a linear probe of the tokens so far (how often each, the last three, how far, how often the word
in question). For a match: a linear probe of where and how often each option stands in the text. Neither follows what
refers to what; where a task can be done from such features, a probe that does no better shows nothing.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from fathom.harness.probing.fit import prepare
from fathom.harness.probing.model import Floats, NextToken
from fathom.harness.probing.passages import PlacedReading
from fathom.harness.probing.question import Bools, Outcome, Question, answer, measure

_BAG, _LAST, _THREE = 256, 64, 256
"""Cells into which single tokens, the last three tokens by place, and their triple are hashed."""
_COUNTS = 6
_RANKS = 12
_STRENGTHS = (1e-3, 1e-2, 1e-1)


def _cell(word: str, size: int) -> int:
    return int.from_bytes(blake2b(word.encode(), digest_size=4).digest(), "big") % size


def _pieces(text: str) -> list[str]:
    """Cut a text at blanks; marks at the ends of words stand alone."""
    spaced = "".join([f" {char} " if not char.isalnum() else char for char in text])
    return spaced.split()


def text_features(readings: Sequence[PlacedReading]) -> Floats:
    """Return features of the text before each reading: [reading, feature]."""
    made = np.zeros((len(readings), _BAG + 3 * _LAST + _THREE + _COUNTS + 2), np.float32)
    cells: dict[str, int] = {}
    for row, one in zip(made, readings, strict=True):
        words = _pieces(one.text)
        for word in words:
            if word not in cells:
                cells[word] = _cell(word, _BAG)
            row[cells[word]] += 1
        row[:_BAG] = np.log1p(row[:_BAG])
        last = ["", "", "", *words][-3:]
        for at, word in enumerate(last):
            row[_BAG + at * _LAST + _cell(word, _LAST)] = 1
        row[_BAG + 3 * _LAST + _cell(" ".join(last), _THREE)] = 1
        named = min(one.text.count(one.reading.word), _COUNTS - 1)
        row[_BAG + 3 * _LAST + _THREE + named] = 1
        row[-2:] = np.log1p(len(words)), len(words) / 100
    return made


def _option_features(readings: Sequence[PlacedReading], most: int) -> Floats:
    """Return features of each option of each reading, from where it stands: [reading, option, feature]."""
    made = np.zeros((len(readings), most, 2 * _RANKS + _COUNTS), np.float32)
    for row, one in zip(made, readings, strict=True):
        options = one.reading.options
        for start, find in ((0, one.text.find), (_RANKS, one.text.rfind)):
            order = np.argsort([find(option) for option in options], kind="stable")
            for rank, at in enumerate(order.tolist()):
                row[at, start + rank * _RANKS // len(options)] = 1
        for at, option in enumerate(options):
            row[at, 2 * _RANKS + min(one.text.count(option), _COUNTS - 1)] = 1
    return made


def surface_outcome(question: Question, readings: Sequence[PlacedReading], is_test: Bools) -> Outcome:
    """Fit and measure the surface baseline of a question; the penalty is chosen on the check readings."""
    if question.kind == "match":
        return _match(question, readings)
    features = text_features(readings)
    features = features[:, features[~is_test].std(0) > 0]
    basis = prepare(features[~is_test], features[is_test], question.is_check, project=False)
    return answer(question, basis)


def _match(question: Question, readings: Sequence[PlacedReading]) -> Outcome:
    features = _option_features(readings, int(question.n_options.max()))
    is_option = np.arange(features.shape[1])[None] < question.n_options[:, None]
    is_right = np.zeros(is_option.shape, bool)
    is_right[np.arange(len(is_right)), question.labels] = True
    fit = np.flatnonzero(question.is_fit)
    inner, checked = fit[~question.is_check], fit[question.is_check]

    def scored(rows: np.ndarray, wanted: np.ndarray, strength: float) -> Floats:
        known, right = features[rows][is_option[rows]], is_right[rows][is_option[rows]].astype(np.float64)
        gram = known.T @ known + strength * len(known) * np.eye(known.shape[1])
        weights = np.linalg.solve(gram, known.T @ (right - right.mean()))
        return np.where(is_option[wanted], features[wanted] @ weights, -np.inf).astype(np.float32)

    is_checked = np.zeros(len(question.labels), bool)
    is_checked[checked] = True
    tried = [measure(question, scored(inner, checked, one), is_checked)[0] for one in _STRENGTHS]
    best = int(np.argmax(tried))
    tested = scored(fit, np.flatnonzero(~question.is_fit), _STRENGTHS[best])
    value, hits, ranks = measure(question, tested, ~question.is_fit)
    return Outcome(value, hits, ranks, 0.0, _STRENGTHS[best], tried[best])


def output_outcome(question: Question, expected: Sequence[NextToken], is_test: Bools) -> Outcome:
    """Fit and measure a probe of what the model expects next: entropy, largest probability, and margin."""
    features = np.array([(one.entropy, one.top, one.margin) for one in expected], np.float32)
    return answer(question, prepare(features[~is_test], features[is_test], question.is_check))

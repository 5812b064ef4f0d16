"""A classifier on surface features: what can be told of an answer without doing what a family is about.

The features are counts, lengths, positions, neighbours and numbers: no feature follows a chain, adds, or looks at one
part of a question in the light of another beyond their distance. A family whose answers such a classifier finds more
often than `Family.chance` says has a shortcut.
"""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from fathom.tasks.base import Instance

N_FIT, N_TEST = 2_000, 1_000
"""Items that the classifier is fitted on, and that it is tested on."""
MOST_CLASSES = 64
"""Different answers up to which a classifier of whole questions is fitted."""
_MOST_WORDS = 60
"""Words whose counts are features of a question: those whose counts differ most between questions."""
_ROUNDS = {True: 120, False: 25}
"""Rounds of boosting for two classes, and for many."""
_WORD = re.compile(r"\w+|[^\w\s]")
_ITEM = re.compile(r", |; | -> ")

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Guesses:
    """How often a classifier found the answers of items that it was not fitted on."""

    name: str
    k: int
    n: int


def classify(items: Sequence[Instance], style: str) -> Guesses | None:
    """Fit a classifier on the first N_FIT items and test it on the others; None where no classifier fits the answers.

    In the style `choice`, and where all answers are names of the question, it scores each candidate by itself and
    takes the best. Otherwise it sorts whole questions by their answers, if there are at most MOST_CLASSES of them.
    """
    pools = [_candidates(item, style) for item in items]
    if all(pools):
        return _classify_candidates(items, pools)
    if len({item.gold for item in items}) <= MOST_CLASSES:
        return _classify_questions(items)
    return None


def _candidates(item: Instance, style: str) -> tuple[str, ...]:
    """Return the answers among which the gold is: the candidates of the style `choice`, or the words of the question.

    Words of the question are candidates where the gold is one that occurs nowhere but as a name: codes and names.
    """
    if style == "choice":
        return item.choices
    if not re.fullmatch(r"[A-Z][A-Za-z]*", item.gold) or item.gold not in item.question:
        return ()
    words = dict.fromkeys(word for word in _WORD.findall(item.question) if word[0].isupper())
    shape = str.isupper if item.gold.isupper() else str.istitle
    return tuple(word for word in words if shape(word) and len(word) > 1)[:MOST_CLASSES]


def _classify_candidates(items: Sequence[Instance], pools: Sequence[tuple[str, ...]]) -> Guesses:
    blocks = [_relative(_candidate_features(item, pool)) for item, pool in zip(items, pools, strict=True)]
    golds = [pool.index(item.gold) if item.gold in pool else -1 for item, pool in zip(items, pools, strict=True)]
    fitted = _model(is_binary=True)
    labels = [np.arange(len(block)) == gold for block, gold in zip(blocks, golds, strict=True)]
    fitted.fit(np.concatenate(blocks[:N_FIT]), np.concatenate(labels[:N_FIT]))
    rest = blocks[N_FIT:]
    scores = fitted.predict_proba(np.concatenate(rest))[:, -1]
    ends = np.cumsum([len(block) for block in rest])[:-1]
    k = sum(int(part.argmax()) == gold for part, gold in zip(np.split(scores, ends), golds[N_FIT:], strict=True))
    return Guesses("candidates", k, len(rest))


def _classify_questions(items: Sequence[Instance]) -> Guesses:
    table = _question_features([item.question for item in items])
    golds = np.array([item.gold for item in items])
    fitted = _model(is_binary=len(set(golds)) == 2)
    fitted.fit(table[:N_FIT], golds[:N_FIT])
    return Guesses("questions", int((fitted.predict(table[N_FIT:]) == golds[N_FIT:]).sum()), len(items) - N_FIT)


def _model(*, is_binary: bool) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=_ROUNDS[is_binary], learning_rate=0.1, max_leaf_nodes=15, l2_regularization=1.0, random_state=0
    )


def _candidate_features(item: Instance, pool: Sequence[str]) -> Matrix:
    """Return one row for each candidate: length, occurrences, places, neighbours, and likeness to the others."""
    words = _WORD.findall(item.question)
    places: dict[str, list[int]] = {}
    for at, word in enumerate(words):
        places.setdefault(word, []).append(at)
    pairs = Counter(itertools.pairwise(words)) + Counter(zip(words, words[2:], strict=False))
    near = Counter(zip(words, words[4:], strict=False)) + Counter(zip(words, words[3:], strict=False))
    last = _WORD.findall(item.question.rpartition("\n")[2])[-40:]
    asked = [word for word in last if (word[0].isupper() and len(word) > 1) or word.isdigit()]
    votes = Counter(part for one in pool for part in set(_ITEM.split(one)))
    n = max(1, len(words))
    rows = [_row(one, item, n, places, (pairs, near), asked, votes) for one in pool]
    return np.array(rows, dtype=np.float32)


def _row(
    one: str, item: Instance, n: int, places: Mapping[str, list[int]], joined: Sequence[Counter[tuple[str, str]]],
    asked: Sequence[str], votes: Counter[str],
) -> list[float]:  # fmt: skip
    parts = _ITEM.split(one)
    tokens = _WORD.findall(one)
    found = [places.get(token, []) for token in tokens]
    firsts = [at[0] / n for at in found if at] or [-1.0]
    lasts = [at[-1] / n for at in found if at] or [-1.0]
    counts = [len(at) for at in found] or [0]
    steps = list(itertools.pairwise(tokens)) + list(itertools.pairwise(parts))
    ahead = [sum(counter[pair] for pair in steps) for counter in joined]
    back = [sum(counter[pair[::-1]] for pair in steps) for counter in joined]
    ends = [(tokens[0], word) for word in asked] + [(tokens[-1], word) for word in asked] if tokens else []
    asked_ahead = [sum(counter[pair] for pair in ends) for counter in joined]
    asked_back = [sum(counter[pair[::-1]] for pair in ends) for counter in joined]
    number = float(one) if re.fullmatch(r"-?\d{1,9}", one) else -1.0
    falls = sum(a < b for a, b in itertools.pairwise(counts))
    return [
        len(one), len(parts), len(tokens), item.question.count(one), number, min(firsts), max(firsts),
        sum(firsts) / len(firsts), min(lasts), max(lasts), sum(lasts) / len(lasts), min(counts), max(counts),
        sum(counts) / len(counts), counts[0], counts[-1], falls, *ahead, *back, *asked_ahead, *asked_back,
        ahead[0] / max(1, len(steps)), sum(votes[part] for part in parts) / len(parts),
        min(votes[part] for part in parts), len(set(parts)), sum(not at for at in found), one in asked,
        sum(part in asked for part in parts), sum(map(ord, one[:2])) % 97,
    ]  # fmt: skip


def _relative(block: Matrix) -> Matrix:
    """Add how each candidate differs from the mean of the item's candidates, and how many it exceeds."""
    above = (block[:, None, :] > block[None, :, :]).mean(1)  # equal values are equal here, so that no order is told
    return np.concatenate([block, block - block.mean(0), above], 1, dtype=np.float32)


def _question_features(questions: Sequence[str]) -> Matrix:
    """Return one row for each question: lengths, the first and last numbers, sums, and counts of telling words."""
    split = [_WORD.findall(text) for text in questions]
    counts = [Counter(words) for words in split]
    seen = Counter(word for one in counts for word in one)
    spread = {word: float(np.std([one[word] for one in counts[:500]])) for word, n in seen.most_common(400) if n > 20}
    chosen = sorted(spread, key=lambda word: -spread[word])[:_MOST_WORDS]
    rows = [
        [*_shape(text, words, [int(word) for word in words if word.isdecimal() and len(word) < 10]),
         *(one[word] for word in chosen), *_places(words, chosen[:20])]
        for text, words, one in zip(questions, split, counts, strict=True)
    ]  # fmt: skip
    return np.array(rows, dtype=np.float32)


def _shape(text: str, words: Sequence[str], numbers: Sequence[int]) -> list[float]:
    shown = [*numbers[:6], *[-1] * max(0, 6 - len(numbers))], [*[-1] * max(0, 6 - len(numbers)), *numbers[-6:]]
    repeated = len(numbers) - len(set(numbers))
    return [
        len(text), len(words), text.count("\n"), text.count("."), text.count(","), len(numbers), repeated,
        max(numbers, default=-1), min(numbers, default=-1), sum(numbers) % 23, *shown[0], *shown[1],
    ]  # fmt: skip


def _places(words: Sequence[str], chosen: Sequence[str]) -> list[float]:
    first = {word: at for at, word in reversed(list(enumerate(words)))}
    return [first.get(word, -1) / max(1, len(words)) for word in chosen]

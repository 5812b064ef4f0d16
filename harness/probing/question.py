"""What a probe is fitted to, the labels of a variable at one place as targets of a regression, and how well it does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np
import torch
from numpy.typing import NDArray

from fathom.harness.probing.fit import Basis, choose_penalty, choose_scale, nats, predict
from fathom.harness.probing.model import Floats, ProbedModel
from fathom.harness.probing.passages import PlacedReading
from fathom.tasks.probes import YES_NO, Kind, Variable
from fathom.tasks.stream import Stream

_CHECK = 5
"""One in so many groups of the items to fit chooses layer, penalty and scale."""
_MOST_EMBEDDED = 64
"""Principal directions of the options' embeddings that are kept."""

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Question:
    """A variable at one place, over readings to fit and to test; arrays have one row a reading."""

    kind: Kind
    is_fit: Bools
    is_check: Bools
    """Of the readings to fit."""
    labels: Ints
    """Index of the right option or class."""
    n_options: Ints
    options: torch.Tensor
    """Of kind match: embeddings, [reading, option, dimension]; else empty."""
    n_classes: int
    groups: Ints
    """Number of the group of each reading."""
    strata: Sequence[str]
    words: Sequence[str]
    sources: Ints
    """Row of the reading whose label is fitted: its own, or another one where labels are shuffled."""

    @property
    def test_groups(self) -> Ints:
        """Groups of the readings to test, numbered from 0."""
        return np.unique(self.groups[~self.is_fit], return_inverse=True)[1].astype(np.int64)

    def shuffled(self, stream: Stream) -> "Question":
        """Return the question with labels of the readings to fit shuffled within strata; test labels stay."""
        sources = self.sources.copy()
        strata: dict[tuple[str, int], list[int]] = {}
        for at in np.flatnonzero(self.is_fit):
            strata.setdefault((self.strata[at], int(self.n_options[at])), []).append(int(at))
        for members in strata.values():
            sources[members] = stream.shuffle(members)
        return replace(self, sources=sources)

    def relabelled(self, stream: Stream) -> "Question | None":
        """Return the question with a random label for each word, the same in fit and test; None if all are equal.

        Source: the control tasks of Hewitt and Liang, Designing and interpreting probes (EMNLP 2019).
        """
        of_word: dict[str, int] = {}
        for word in self.words:
            if word not in of_word:
                of_word[word] = stream.below(1 << 30)
        labels = np.array([of_word[w] % int(m) for w, m in zip(self.words, self.n_options, strict=True)], np.int64)
        made = replace(self, labels=labels)
        parts = (labels[self.is_fit], labels[~self.is_fit])
        return made if self.kind == "match" or all(len(np.unique(one)) > 1 for one in parts) else None


@dataclass(frozen=True)
class Outcome:
    """How a probe does on the test readings: `scores` rank yes-no, `hits` say which readings are right."""

    value: float
    hits: Bools
    scores: Floats
    """Of yes-no the score of yes; else empty."""
    bits: float
    """V-information: bits about the label that the probe gives, beyond its shares among the items to fit."""
    penalty: float
    fit_value: float
    """The same measure on the check readings, by which layers are chosen."""


def make_question(
    variable: Variable, readings: Sequence[PlacedReading], is_test: Bools, model: ProbedModel
) -> Question:
    """Turn readings of one variable at one place into labels; `is_test` has an entry a reading."""
    is_fit = ~is_test
    _, groups = np.unique([one.group for one in readings], return_inverse=True)
    of_fit = np.unique(groups[is_fit])
    checks = set(of_fit[_CHECK - 1 :: _CHECK].tolist())
    is_check = np.array([group in checks for group in groups[is_fit].tolist()], bool)
    words = [one.reading.word for one in readings]
    strata = [one.reading.stratum for one in readings]
    if variable.kind == "match":
        labels = [one.reading.options.index(one.reading.label) for one in readings]
        sizes = np.array([len(one.reading.options) for one in readings], np.int64)
        options, n_classes = _embedded([one.reading.options for one in readings], is_fit, model), 0
    else:
        classes = YES_NO if variable.kind == "yes-no" else variable.classes
        at = {name: index for index, name in enumerate(classes)}
        labels = [at[one.reading.label] for one in readings]
        sizes, options, n_classes = np.full(len(readings), len(classes), np.int64), torch.empty(0), len(classes)
    return Question(
        variable.kind, is_fit, is_check, np.array(labels, np.int64), sizes, options, n_classes,
        groups.astype(np.int64), strata, words, np.arange(len(readings)),
    )  # fmt: skip


def _embedded(options: Sequence[tuple[str, ...]], is_fit: Bools, model: ProbedModel) -> torch.Tensor:
    """Return the options' embeddings in their principal directions, centred; missing options are infinitely far."""
    texts = list(dict.fromkeys(one for some in options for one in some))
    at = {text: index for index, text in enumerate(texts)}
    table = model.embed(texts).astype(np.float64)
    fitted = sorted({at[one] for some, kept in zip(options, is_fit, strict=True) if kept for one in some})
    table -= table[fitted].mean(0)
    _, sizes, turned = np.linalg.svd(table[fitted], full_matrices=False)
    table = (table @ turned[:_MOST_EMBEDDED].T) / (sizes[0] / len(fitted) ** 0.5 + 1e-12)
    made = np.full((len(options), max(map(len, options)), table.shape[1]), np.inf, np.float32)
    for row, some in enumerate(options):
        made[row, : len(some)] = table[[at[one] for one in some]]
    return torch.from_numpy(made)


def chance_of(question: Question) -> float:
    """Return the accuracy on the test readings of the best constant answer, or 0.5 for yes-no, whose measure is AUC."""
    if question.kind == "yes-no":
        return 0.5
    if question.kind == "match":
        return float((1 / question.n_options[~question.is_fit]).mean())
    fitted = np.bincount(question.labels[question.is_fit], minlength=question.n_classes)
    often = float((question.labels[~question.is_fit] == fitted.argmax()).mean())
    return max(often, 1 / question.n_classes)


def entropy_of(question: Question) -> float:
    """Return the bits of a test label under the shares of labels among the readings to fit."""
    return float(_nats_of_prior(question)) / log(2)


def _nats_of_prior(question: Question) -> torch.Tensor:
    labels = torch.from_numpy(question.labels[~question.is_fit])
    if question.kind == "match":
        return torch.from_numpy(np.log(question.n_options[~question.is_fit])).mean()
    return torch.nn.functional.nll_loss(_prior(question).expand(len(labels), -1), labels)


def _prior(question: Question) -> torch.Tensor:
    """Return the logarithms of the shares of classes among the readings to fit, half a reading added to each."""
    counted = torch.bincount(torch.from_numpy(question.labels[question.is_fit]), minlength=question.n_classes) + 0.5
    return (counted / counted.sum()).log().float()


def targets_of(question: Question, device: torch.device) -> torch.Tensor:
    """Return what the readings to fit are regressed to."""
    rows = question.sources[question.is_fit]
    labels = torch.from_numpy(question.labels[rows]).to(device)
    if question.kind == "match":
        return question.options[torch.from_numpy(rows), labels.cpu()].to(device)
    return torch.nn.functional.one_hot(labels, question.n_classes).float()


def _scores(question: Question, predicted: torch.Tensor, kept: Bools) -> torch.Tensor:
    """Return the score of each option or class of the readings `kept`: minus infinity where there is no option."""
    if question.kind != "match":
        return predicted
    options = question.options[torch.from_numpy(kept)].to(predicted.device)
    far = ((predicted[:, None] - options) ** 2).sum(-1)
    return -torch.nan_to_num(far, nan=torch.inf)


def answer(question: Question, basis: Basis, penalty: float | None = None) -> Outcome:
    """Fit a probe and measure it on the test readings; the penalty is chosen on the check readings unless given."""
    device = basis.whole.fit.device
    targets = targets_of(question, device)
    held = torch.from_numpy(question.is_check).to(device)
    inner, checked = targets[~held], targets[held]
    chosen = choose_penalty(basis.inner, inner, checked) if penalty is None else penalty
    is_checked = np.zeros(len(question.labels), bool)
    is_checked[np.flatnonzero(question.is_fit)[question.is_check]] = True
    prior = torch.zeros(1, device=device) if question.kind == "match" else _prior(question).to(device)
    guessed = _scores(question, predict(basis.inner, inner, chosen), is_checked)
    labels = torch.from_numpy(question.labels).to(device)
    scale = choose_scale(guessed, labels[torch.from_numpy(is_checked).to(device)], prior)
    scores = _scores(question, predict(basis.whole, targets, chosen), ~question.is_fit)
    wanted = labels[torch.from_numpy(~question.is_fit).to(device)]
    bits = (float(_nats_of_prior(question)) - float(nats(scores, wanted, prior, scale))) / log(2)
    fit_value = measure(question, guessed.cpu().numpy(), is_checked)[0]
    value, hits, ranks = measure(question, scores.cpu().numpy(), ~question.is_fit)
    return Outcome(value, hits, ranks, bits, chosen, fit_value)


def value_only(question: Question, basis: Basis, penalty: float, truth: Question) -> float:
    """Fit a probe to one question's labels and return its measure against the test labels of another."""
    targets = targets_of(question, basis.whole.fit.device)
    scores = _scores(truth, predict(basis.whole, targets, penalty), ~truth.is_fit)
    return measure(truth, scores.cpu().numpy(), ~truth.is_fit)[0]


def measure(question: Question, scores: Floats, kept: Bools) -> tuple[float, Bools, Floats]:
    """Return accuracy (AUC for yes-no), which readings are right, and the scores of yes."""
    labels = question.labels[kept]
    if question.kind != "yes-no":
        hits = scores.argmax(1) == labels
        return float(hits.mean()), hits, np.empty(0, np.float32)
    ranks = (scores[:, 1] - scores[:, 0]).astype(np.float32)
    # as many readings are called yes as are: the threshold is the quantile of the share among the items to fit
    share = float((question.labels[question.is_fit] == 1).mean())
    called = ranks > np.quantile(ranks, 1 - share)
    return auc(ranks, labels == 1), called == (labels == 1), ranks


def auc(scores: Floats, is_yes: Bools) -> float:
    """Return the share of pairs of a yes and a no in which yes scores higher, ties as a half; 0.5 without any."""
    n_yes = int(is_yes.sum())
    n_no = len(is_yes) - n_yes
    if not n_yes or not n_no:
        return 0.5
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[is_yes].sum() - n_yes * (n_yes + 1) / 2) / (n_yes * n_no))


def rarer(question: Question) -> Mapping[str, int]:
    """Return how many readings the rarer class of yes-no has, to fit and to test."""
    return {
        part: int(min((question.labels[kept] == 1).sum(), (question.labels[kept] == 0).sum()))
        for part, kept in (("fit", question.is_fit), ("test", ~question.is_fit))
    }

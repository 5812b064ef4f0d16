"""Say what a family, a level, an instance and a verdict are; turn a seed into an instance."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from math import inf, log
from typing import Any, Literal, Protocol

from fathom.tasks.errors import UnknownLevel, UnknownStyle
from fathom.tasks.stream import Stream, canonical_seed

Role = Literal["eval", "shot", "train"]
"""What a stream serves. Roles never share a stream, so training text and k-shot demonstrations
are disjoint from evaluation items by construction."""


CHANNELS = ("symbol", "story")


STYLES = ("direct", "cot", "choice", "free", "trained", "bits")
"""direct: the answer alone; cot: think first; choice: log-likelihoods of candidates. The others read a model
that was trained on our own text, see PARAMETRIC. free: go on from the bare text at temperature 1; trained: a
question as the training text puts it, answered greedily; bits: the log-likelihood of the truth alone."""


SCORED = ("choice", "bits")
"""Styles in which nothing is generated: log-likelihoods are read."""


PARAMETRIC = ("free", "trained", "bits")
"""Styles that ask what training left in the weights. A level has these, or the other ones, never both: what
stands in a prompt and what was learnt are two tracks, and no score mixes them."""


N_CHOICES = 8
"""Candidates shown in the style `choice`, where a level has so many."""


N_QUESTIONS = 10
"""Questions asked about one text in training text, at most."""


@dataclass(frozen=True, slots=True)
class Level:
    """One rung of difficulty.

    `hardness` is the family's own measure; along one `ladder` it never falls.
    `axes` holds what the level fixes, for charts and filters. `channels` and `styles` narrow the
    family's own; empty means all of them. `space` says roughly how many questions there are: where
    it is small, two seeds cannot but share some.
    """

    name: str
    hardness: float
    axes: Mapping[str, int | str]
    ladder: str = "main"
    channels: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    space: float = inf


@dataclass(frozen=True, slots=True)
class Problem:
    """What a family's generator returns: text, truth, and the structured facts behind both."""

    question: str
    gold: str
    choices: tuple[str, ...]
    facts: Mapping[str, Any]  # JSON values; their shape is the family's own


@dataclass(frozen=True, slots=True)
class Instance:
    """One item: a function of (family, version, level, channel, seed, index) and nothing else."""

    family: str
    version: int
    level: str
    channel: str
    seed: str
    index: int
    question: str
    gold: str
    choices: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)  # JSON values, see Problem

    @property
    def id(self) -> str:
        """Name the item: family@version/level/channel/seed/index."""
        return f"{self.family}@{self.version}/{self.level}/{self.channel}/{self.seed}/{self.index}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model's text is worth; `label` says how a wrong answer is wrong ("correct" if right).

    `at` is the place of the first fault, counted from 1 (an item of a list, a step, a token), where
    the label has one. `note` says the rest to a reader, such as "2 unneeded steps".
    """

    correct: bool
    parsed: str | None
    label: str
    at: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A square of the results table: one family at one level, in one channel and style."""

    family: str
    level: str
    channel: str
    style: str


class Described(Protocol):
    """What people are told of anything that makes text: a family or a corpus."""

    @property
    def name(self) -> str:
        """Name as on the command line: lower-case, a noun."""

    @property
    def version(self) -> int:
        """Raised whenever any byte of what is made, or any verdict, changes."""

    @property
    def summary(self) -> str:
        """Say in one sentence what is asked, or written."""

    @property
    def reference(self) -> str:
        """Paper and section that define it."""


class Family(Described, Protocol):
    """A kind of question. One module of `tasks/families` defines one, as `FAMILY`."""

    @property
    def unit(self) -> str:
        """What hardness counts, as a plural: hops, operations."""

    @property
    def levels(self) -> Mapping[str, Level]:
        """Levels by name, easiest first within each ladder."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Members of CHANNELS."""

    @property
    def styles(self) -> tuple[str, ...]:
        """Members of STYLES."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label a wrong answer can get."""

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw one problem; only `stream` may decide anything."""

    def instruction(self, channel: str, style: str) -> str:
        """Say how to answer."""

    def solution(self, instance: Instance) -> str:
        """Write the steps that lead to the gold, without the answer line."""

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Write training text: (prompt, completion) pairs that follow each other in one context."""

    def grade(self, instance: Instance, text: str) -> Verdict:
        """Judge a completion; never raises."""

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Answer as the best guesser that does no reasoning; right with probability `chance`.

        The best of: one constant answer, a uniform draw among candidates, the nearest shortcut.
        """

    def chance(self, level: Level, style: str) -> float:
        """Accuracy of the best guesser that does no reasoning, 0..1."""

    def budget(self, level: Level, style: str) -> int:
        """Tokens an answer may take."""


def level_of(family: Family, level: str) -> Level:
    """Return the family's level of that name, or raise UnknownLevel."""
    found = family.levels.get(level)
    if found is None:
        raise UnknownLevel(f"{family.name} has no level {level!r}; known: {', '.join(family.levels)}")
    return found


def channels_of(family: Family, level: Level) -> tuple[str, ...]:
    """Return the channels in which a level is posed."""
    return level.channels or family.channels


def styles_of(family: Family, level: Level) -> tuple[str, ...]:
    """Return the styles in which a level is asked."""
    return level.styles or family.styles


def check_cell(cell: Cell, family: Family) -> None:
    """Raise UnknownLevel or UnknownStyle unless the family has such a cell."""
    level = level_of(family, cell.level)
    check_channel(family, level, cell.channel)
    _check(f"{family.name} {level.name} has no style", cell.style, styles_of(family, level))


def check_channel(family: Family, level: Level, channel: str) -> None:
    """Raise UnknownStyle unless the level can be posed in this channel."""
    _check(f"{family.name} {level.name} has no channel", channel, channels_of(family, level))


def _check(complaint: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UnknownStyle(f"{complaint} {value!r}; known: {', '.join(known)}")


def make_instance(
    family: Family, level: str, channel: str, seed: int | str, index: int, *, role: Role = "eval"
) -> Instance:
    """Make one item, the same bytes in every process and Python version.

    Raises:
        UnknownLevel, UnknownStyle, BadSeed: the names or the seed are wrong.
    """
    rung = level_of(family, level)
    check_channel(family, rung, channel)
    text_seed = canonical_seed(seed)
    stream = Stream(role, family.name, family.version, level, channel, text_seed, index, seed=text_seed, role=role)
    made = family.generate(rung, channel, stream)
    return Instance(
        family.name, family.version, level, channel, text_seed, index,
        made.question, made.gold, made.choices, made.facts,
    )  # fmt: skip


ANSWER_MARK = "Answer:"


def pose(family: Family, instance: Instance, style: str) -> str:
    """Write the prompt: question, how to answer, and for short answers the mark to go on from."""
    if style in PARAMETRIC:
        return instance.question
    asked = f"{instance.question} {family.instruction(instance.channel, style)}\n"
    return asked if style == "cot" else asked + ANSWER_MARK


def demonstrate(family: Family, instance: Instance, style: str) -> str:
    """Write the gold completion that belongs to `pose`: what a perfect model would say."""
    if style == "cot":
        return f"{family.solution(instance)}\n{ANSWER_MARK} {instance.gold}"
    return f" {instance.gold}"


def shown_candidates(instance: Instance, style: str) -> tuple[str, ...]:
    """Return what is scored, as it follows the prompt: the candidates, or the truth alone; else nothing."""
    if style == "bits":
        return (f" {instance.gold}",)
    return tuple([f" {choice}" for choice in instance.choices]) if style == "choice" else ()


def weigh(instance: Instance, nats: float) -> Verdict:
    """Judge a log-likelihood of the truth: right within one bit of what it would be if all were learnt.

    Items asked in the style `bits` state `facts["nats"]`: {"known", "guessed"}, the log-likelihood of their gold
    for one who learnt all that can be learnt, and for one who learnt nothing. Where known is 0, right means that
    the truth has more than half of the probability, so that nothing else can be likelier.
    """
    known, guessed = instance.facts["nats"]["known"], instance.facts["nats"]["guessed"]
    learnt, most = max(0.0, nats - guessed) / log(2), (known - guessed) / log(2)
    right = nats > known - log(2)
    return Verdict(right, None, "correct" if right else "unsure", None, f"{learnt:.2f} of {most:.2f} bits")


def ask_once(family: Family, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
    """Write the plainest lesson: one problem, posed and solved."""
    item = _as_item(family, level, channel, family.generate(level, channel, stream))
    return [(pose(family, item, style), demonstrate(family, item, style))]


def ask_in_turn(
    family: Family, level: Level, channel: str, style: str, shown: str, problems: Iterable[Problem]
) -> list[tuple[str, str]]:
    """Write a lesson of several questions about one text, which only the first of them shows.

    `shown` is that text: what the question of every problem begins with. There are at most N_QUESTIONS
    of them, and where the model thinks first, a third of that.
    """
    pairs: list[tuple[str, str]] = []
    for made in islice(problems, N_QUESTIONS if style == "direct" else N_QUESTIONS // 3):
        item = _as_item(family, level, channel, made)
        pairs.append((pose(family, item, style).removeprefix(shown if pairs else ""), demonstrate(family, item, style)))
    return pairs


def _as_item(family: Family, level: Level, channel: str, made: Problem) -> Instance:
    return Instance(
        family.name, family.version, level.name, channel, "", 0, made.question, made.gold, made.choices, made.facts
    )


def candidates(stream: Stream, gold: str, others: Sequence[str], count: int = N_CHOICES) -> tuple[str, ...]:
    """Return up to `count` candidates: the gold at a random place among a sample of the others.

    `others` are different from each other and from the gold. All are drawn uniformly: picking those
    nearest to the gold would betray it as the one in the middle.
    """
    drawn = stream.sample(others, min(count, len(others) + 1) - 1)
    drawn.insert(stream.below(len(drawn) + 1), gold)
    return tuple(drawn)


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON values; `at` and `note` only where they say something."""
    return {name: value for name, value in asdict(verdict).items() if name not in ("at", "note") or value}

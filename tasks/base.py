"""Families, levels, items and verdicts: the values of this package, and the functions that make them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from math import inf, log
from typing import Any, Literal, Protocol

from fathom.tasks.answers.kinds import AnswerKind
from fathom.tasks.answers.reader import Found, read_answer
from fathom.tasks.errors import UnknownLevel, UnknownStyle
from fathom.tasks.stream import Stream, canonical_seed

Role = Literal["eval", "shot", "train", "probe-fit", "probe-test"]
"""What a stream is used for. Roles never share a stream, so training text, few-shot demonstrations and the items that
probes are fitted on and tested on are disjoint from evaluation items, and from each other, by construction."""

Part = Literal["Reasoning", "Language structure", "Knowledge", "Memory"]

PARTS: Mapping[Part, str] = {
    "Reasoning": "How many steps a model can take: along arrows, through dependencies, sums and written solutions.",
    "Language structure": "How many levels of hidden structure a model can follow in a language that it has never met.",
    "Knowledge": "How well a model finds and combines facts that are stated in the prompt.",
    "Memory": "What training on our texts has left in a model’s weights: the prompt states none of it.",
}
"""The parts of intelligence that families measure, in the order of the pages, with one sentence each."""

CHANNELS = ("symbol", "story")
"""Prompt templates: short codes, or plain sentences with invented names."""

STYLES = ("direct", "cot", "choice", "free", "trained", "bits")
"""How an item is answered.

direct: the answer alone. cot: steps first, then the answer. choice: the likeliest candidate by log-likelihood.
The others are for a model trained on our own text (PARAMETRIC). free: the text continued at temperature 1.
trained: a question in the form of the training text, answered greedily. bits: the log-likelihood of the gold.
"""

SCORED = ("choice", "bits")
"""Styles in which nothing is generated: log-likelihoods are read."""

PARAMETRIC = ("free", "trained", "bits")
"""Styles that measure what training left in the weights. A level has only these or none of them: in-context and
parametric scores are never mixed."""

N_CHOICES = 8
"""Most candidates in the style `choice`."""

N_QUESTIONS = 10
"""Most questions about one shared text in a lesson."""

NO_ANSWER = (
    "No answer could be read: the text is empty, commits to none, leaves several open, or takes back the one it gives."
)
"""Meaning of the label `no_answer`, which every family has."""

CUT_OFF = "The token budget was spent before the answer, or before the end of the thought."
"""Meaning of the label `cut_off`, which every family has."""


@dataclass(frozen=True, slots=True)
class Level:
    """One step of difficulty.

    `hardness` is the family's own measure, by which curves and depth50 order the levels of one `ladder`.
    `axes` holds what the level fixes, for charts and filters. `channels` and `styles` narrow the
    family's own; empty means all of them. `space` is roughly the number of different questions:
    where it is small, two seeds share some of them. `is_one_step` says that finding or computing one thing is the
    whole task, as in following one arrow: a classifier that does it has found no shortcut.
    """

    name: str
    hardness: float
    axes: Mapping[str, int | str]
    ladder: str = "main"
    channels: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    space: float = inf
    is_one_step: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """What a family's generator returns: the text, the right answer, and the structured facts behind both."""

    question: str
    gold: str
    choices: tuple[str, ...]
    facts: Mapping[str, Any]  # JSON values; their shape is the family's own


@dataclass(frozen=True, slots=True)
class Instance:
    """One item: a pure function of (family, version, level, channel, seed, index)."""

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
        """The item's name: family@version/level/channel/seed/index."""
        return f"{self.family}@{self.version}/{self.level}/{self.channel}/{self.seed}/{self.index}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A graded text; `label` says how a wrong answer is wrong ("correct" if right).

    `at` is the position of the first mistake, counted from 1 (an item of a list, a step, a token), where
    the label has one. `note` adds what else a reader should know, such as "2 unneeded steps". `found` says how the
    answer was found in the text; scored candidates are `asked`.
    """

    correct: bool
    parsed: str | None
    label: str
    at: int | None = None
    note: str = ""
    found: Found = "none"


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry of the results table: a family at one level, in one channel and style."""

    family: str
    level: str
    channel: str
    style: str


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A rule that answers without doing what a family is about, kept to see what it earns.

    `answer` gets an item and a style, and returns an answer in the form of a gold, or None where the rule finds none.
    The audit and the tests hold every rule against `Family.chance`.
    """

    name: str
    about: str
    """What the rule does, in one sentence."""
    answer: Callable[[Instance, str], str | None]
    styles: tuple[str, ...] = ("direct", "choice")


class Described(Protocol):
    """The description of a family or a corpus."""

    @property
    def name(self) -> str:
        """Name on the command line: lower-case letters."""

    @property
    def version(self) -> int:
        """Number, raised whenever any byte of the output, or any verdict, changes."""

    @property
    def summary(self) -> str:
        """One sentence: what is asked, or written."""

    @property
    def reference(self) -> str:
        """The paper and section that define it."""


class Family(Described, Protocol):
    """A kind of question. One module of `tasks/families` defines one, as `FAMILY`."""

    @property
    def title(self) -> str:
        """What a solver does, in a few words for pages: "Follow arrows"."""

    @property
    def part(self) -> Part:
        """The part of intelligence that it measures, one of PARTS."""

    @property
    def unit(self) -> str:
        """What hardness counts, as a plural noun: hops, operations."""

    @property
    def levels(self) -> Mapping[str, Level]:
        """Levels by name, in the order in which they are listed."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Members of CHANNELS."""

    @property
    def styles(self) -> tuple[str, ...]:
        """Members of STYLES."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Every label that a wrong answer can get, with its meaning in one sentence."""

    @property
    def grading(self) -> str:
        """What decides whether an answer is right, in one to three sentences."""

    @property
    def shortcuts(self) -> tuple[Shortcut, ...]:
        """Rules that might answer without the reasoning that is asked for; none may earn more than `chance`."""

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw one problem; every random choice comes from `stream`."""

    def instruction(self, instance: Instance, style: str) -> str:
        """Return the sentence that tells the solver how to answer; it shows no answer but `facts["example"]`."""

    def solution(self, instance: Instance) -> str:
        """Return the steps that lead to the gold, without the answer line."""

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Return training text: (prompt, completion) pairs that follow each other in one context."""

    def answer_kind(self, instance: Instance) -> AnswerKind:
        """Return what an answer to this item may be, by which it is found in a completion."""

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Judge an answer that was read, in the canonical form of its kind, of the completion `text`; never raises."""

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return the answer of the best guesser that does no reasoning; right with probability `chance`.

        The best of: a constant answer, a uniform draw among candidates, the best shortcut.
        """

    def chance(self, level: Level, style: str) -> float:
        """Return the accuracy of the best guesser that does no reasoning, 0..1."""

    def budget(self, level: Level, style: str) -> int:
        """Return how many tokens an answer may take."""


def level_of(family: Family, level: str) -> Level:
    """Return the family's level of that name, or raise UnknownLevel."""
    found = family.levels.get(level)
    if found is None:
        raise UnknownLevel(f"{family.name} has no level {level!r}; known: {', '.join(family.levels)}")
    return found


def channels_of(family: Family, level: Level) -> tuple[str, ...]:
    """Return the channels that a level has."""
    return level.channels or family.channels


def styles_of(family: Family, level: Level) -> tuple[str, ...]:
    """Return the styles that a level has."""
    return level.styles or family.styles


def check_cell(cell: Cell, family: Family) -> None:
    """Check that the family has this cell.

    Raises:
        UnknownLevel, UnknownStyle: it has not.
    """
    level = level_of(family, cell.level)
    check_channel(family, level, cell.channel)
    _check(f"{family.name} {level.name} has no style", cell.style, styles_of(family, level))


def check_channel(family: Family, level: Level, channel: str) -> None:
    """Check that the level has this channel.

    Raises:
        UnknownStyle: it has not.
    """
    _check(f"{family.name} {level.name} has no channel", channel, channels_of(family, level))


def _check(complaint: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UnknownStyle(f"{complaint} {value!r}; known: {', '.join(known)}")


def make_instance(
    family: Family, level: str, channel: str, seed: int | str, index: int, *, role: Role = "eval"
) -> Instance:
    """Make one item, the same bytes in every process and Python version.

    Raises:
        UnknownLevel, UnknownStyle, BadSeed: the level, the channel or the seed is wrong.
    """
    rung = level_of(family, level)
    check_channel(family, rung, channel)
    text_seed = canonical_seed(seed)
    stream = Stream(
        role, family.name, family.version, level, channel, text_seed, index, seed=text_seed, role=role, index=index
    )
    made = family.generate(rung, channel, stream)
    return Instance(
        family.name, family.version, level, channel, text_seed, index,
        made.question, made.gold, made.choices, made.facts,
    )  # fmt: skip


ANSWER_MARK = "Answer:"


@dataclass(frozen=True, slots=True)
class Rereading:
    """What stands between a question of the style `direct` and its answer, so that a model can think without a word.

    Published work finds 20 to 30 points in either (Greenblatt 2026): a model that repeats no text still uses the
    positions.
    """

    n_filler: int = 0
    """Numbers without a meaning, counted from 1, after the question."""
    is_twice: bool = False
    """Whether the question stands there twice."""


NO_REREADING = Rereading()


def pose(family: Family, instance: Instance, style: str, rereading: Rereading = NO_REREADING) -> str:
    """Return the prompt: the question, how to answer, and for short answers the line to complete."""
    if style in PARAMETRIC:
        return instance.question
    asked = f"{instance.question} {family.instruction(instance, style)}\n"
    if style == "direct":
        if rereading.is_twice:
            asked += f"The same again: {asked}"
        if rereading.n_filler:
            asked += f"Before the answer: {' '.join(map(str, range(1, rereading.n_filler + 1)))}\n"
    return asked if style == "cot" else asked + ANSWER_MARK


def as_message(prompt: str) -> str:
    """Return a prompt as a message of a chat: it asks, and does not begin the answer line, which is the model's."""
    return prompt.removesuffix(f"\n{ANSWER_MARK}")


def example_line(instance: Instance) -> str:
    """Return an answer line that shows the form: `facts["example"]`, which is no answer to this item."""
    return f"{ANSWER_MARK} {instance.facts['example']}"


def demonstrate(family: Family, instance: Instance, style: str) -> str:
    """Return the gold completion of the prompt that `pose` returns."""
    if style == "cot":
        return f"{family.solution(instance)}\n{ANSWER_MARK} {instance.gold}"
    return f" {instance.gold}"


def shown_candidates(instance: Instance, style: str) -> tuple[str, ...]:
    """Return the texts whose log-likelihood is read: all candidates, the gold alone, or none, by style."""
    if style == "bits":
        return (f" {instance.gold}",)
    return tuple([f" {choice}" for choice in instance.choices]) if style == "choice" else ()


def grade(family: Family, instance: Instance, text: str, cut: bool = False) -> Verdict:
    """Grade a completion without its thought; never raises.

    `cut` says that the text ends because its token budget was spent: then an answer counts only if more text follows.
    """
    reading = read_answer(text, family.answer_kind(instance), cut)
    if reading.value is None:
        return Verdict(False, None, "cut_off" if cut else "no_answer")
    verdict = family.judge(instance, reading.value, text)
    found = "none" if verdict.parsed is None else reading.found
    return Verdict(verdict.correct, verdict.parsed, verdict.label, verdict.at, verdict.note, found)


def grade_likelihood(instance: Instance, nats: float) -> Verdict:
    """Grade the log-likelihood of a gold, in nats: right if within one bit of the best possible.

    Items of the style `bits` state `facts["nats"]`: {"known", "guessed"}, the log-likelihood of their gold
    under a model that learnt everything, and under one that learnt nothing. Where known is 0, right means that
    the gold has more than half of the probability, so that nothing else is likelier.
    """
    known, guessed = instance.facts["nats"]["known"], instance.facts["nats"]["guessed"]
    learnt, most = max(0.0, nats - guessed) / log(2), (known - guessed) / log(2)
    right = nats > known - log(2)
    label, note = "correct" if right else "unsure", f"{learnt:.2f} of {most:.2f} bits"
    return Verdict(right, None, label, None, note, "asked")


def write_lesson(family: Family, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
    """Return the simplest lesson: one problem with its solution."""
    item = _as_item(family, level, channel, family.generate(level, channel, stream))
    return [(pose(family, item, style), demonstrate(family, item, style))]


def write_lessons(family: Family, cell: Cell, shown: str, problems: Iterable[Problem]) -> list[tuple[str, str]]:
    """Return a lesson of several questions about one text, which only the first prompt shows.

    `shown` is that text: every question begins with it. At most N_QUESTIONS problems are used, and a third of
    that in the style `cot`.
    """
    level, pairs = level_of(family, cell.level), list[tuple[str, str]]()
    for made in islice(problems, N_QUESTIONS if cell.style == "direct" else N_QUESTIONS // 3):
        item = _as_item(family, level, cell.channel, made)
        prompt = pose(family, item, cell.style).removeprefix(shown if pairs else "")
        pairs.append((prompt, demonstrate(family, item, cell.style)))
    return pairs


def _as_item(family: Family, level: Level, channel: str, made: Problem) -> Instance:
    return Instance(
        family.name, family.version, level.name, channel, "", 0, made.question, made.gold, made.choices, made.facts
    )


def candidates(stream: Stream, gold: str, others: Sequence[str], count: int = N_CHOICES) -> tuple[str, ...]:
    """Return up to `count` candidates: the gold at a random position among a sample of the others.

    `others` differ from each other and from the gold. They are drawn uniformly: if the nearest values were taken,
    the gold would be recognisable as the one in the middle.
    """
    drawn = stream.sample(others, min(count, len(others) + 1) - 1)
    drawn.insert(stream.below(len(drawn) + 1), gold)
    return tuple(drawn)


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON values, `at` and `note` only where they are set."""
    return {name: value for name, value in asdict(verdict).items() if name not in ("at", "note") or value}

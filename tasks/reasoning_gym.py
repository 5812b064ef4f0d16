"""Data sets of the package reasoning-gym as families, `rg:NAME`: their questions and scorer, our seeds and statistics.

Their own seeds overlap: item i of seed s is drawn from `Random(s + i)`, so seeds 1 and 2 share all but one item. Here
each item gets a seed of its own, 63 bits from its stream. Only an answer that their scorer gives full credit is right.
"""

import ast
import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from importlib.util import find_spec
from typing import Any, ClassVar, cast

from fathom.tasks.answers.kinds import AnswerKind
from fathom.tasks.answers.phrases import DENIAL_OR_DOUBT
from fathom.tasks.base import (
    CUT_OFF,
    NO_ANSWER,
    Family,
    Instance,
    Level,
    Part,
    Problem,
    Shortcut,
    Verdict,
    write_lesson,
)
from fathom.tasks.errors import UnknownFamily
from fathom.tasks.installed import package_of_module, with_package
from fathom.tasks.stream import Stream

PREFIX = "rg:"
_MODULE = "reasoning_gym"
_SEED_BITS = 63
_N_MEASURED = 200
"""Items from which the best constant answer is taken, and as many on which it is measured."""
_RUNS_TEXT = {"eval", "exec", "parse_expr", "sympify"}
"""Functions that run a text as a program; sympy's parsers call eval."""
_COT_TOKENS = 2_048
_MOST_GOLD = 2_000  # characters, half of what is read as one answer


@dataclass(frozen=True, slots=True)
class Shaped(AnswerKind):
    """A text of the shape of some known answers: of their signs, with letters or digits if they have, as long at most.

    A single word stays single; several may be twice as many, as the answers known are a sample.
    """

    limit: ClassVar[int] = 4_000

    signs: frozenset[str]
    """Signs and blanks that may stand in it."""
    has_letters: bool
    has_digits: bool
    n_words: int

    @classmethod
    def of(cls, golds: Sequence[str]) -> "Shaped":
        """Return the shape of some answers."""
        used = frozenset("".join(golds))
        most = max(len(gold.split()) for gold in golds)
        signs = frozenset(sign for sign in used if not sign.isalnum())
        return cls(signs, any(map(str.isalpha, used)), any(map(str.isdigit, used)), most if most == 1 else 2 * most)

    def asked(self, text: str) -> str | None:
        """Return the text if it has the shape."""
        value = text.strip()
        fits = 0 < len(value.split()) <= self.n_words and all(map(self._may_hold, value))
        return value if fits else None

    def exact(self, text: str) -> str | None:
        """Return the text if it has the shape and denies nothing."""
        return None if self.has_letters and DENIAL_OR_DOUBT.search(text) else self.asked(text)

    def _may_hold(self, sign: str) -> bool:
        known = self.has_letters if sign.isalpha() else self.has_digits if sign.isdigit() else sign in self.signs
        return bool(known)


@dataclass(frozen=True, eq=False)
class GymFamily:
    """One data set of reasoning-gym; its levels are those of its curriculum, and `default`, its default settings."""

    dataset: str
    levels: Mapping[str, Level]
    configs: Mapping[str, Any]  # level -> the data set's settings, of a class of its own
    make: Any  # the data set's class

    version: int = 1
    part: Part = "Reasoning"
    unit: str = "steps of the curriculum"
    channels: tuple[str, ...] = ("symbol",)
    styles: tuple[str, ...] = ("direct", "cot")
    shortcuts: ClassVar[tuple[Shortcut, ...]] = ()
    grading: str = "The scorer of reasoning-gym must give full credit; part of it is wrong."
    labels: ClassVar[Mapping[str, str]] = {
        "partial": "Their scorer gives part of the credit.",
        "wrong": "Their scorer gives no credit.",
        "no_answer": NO_ANSWER,
        "cut_off": CUT_OFF,
    }

    @property
    def name(self) -> str:
        """Name on the command line."""
        return PREFIX + self.dataset

    @property
    def title(self) -> str:
        """The data set's name in words."""
        return self.dataset.replace("_", " ")[:30]

    @property
    def summary(self) -> str:
        """What is asked, as far as this adapter knows."""
        return f"Answer questions of the data set {self.dataset} of reasoning-gym."

    @property
    def reference(self) -> str:
        """The paper of reasoning-gym."""
        return "reasoning-gym (arXiv 2505.24760)"

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw a seed, and return their item of it."""
        seed = stream.words(1)[0] >> (64 - _SEED_BITS)
        entry = self.entry(level.name, seed)
        facts = {"accepts": "verifier", "seed": seed, "example": "..."}
        return Problem(entry["question"].strip(), entry["answer"], (), facts)

    def entry(self, level: str, seed: int) -> Mapping[str, Any]:
        """Return their item of a seed: question, answer and metadata."""
        return _entry(self.dataset, level, seed)

    def instruction(self, instance: Instance, style: str) -> str:
        """Ask for one line; what stands in it, their question says."""
        if style == "cot":
            return "Think step by step. Then end with one line that gives the answer alone, as in: Answer: ..."
        return "Reply with the answer alone, on one line."

    def solution(self, instance: Instance) -> str:
        """Return nothing: their items come without steps."""
        return ""

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Return one problem with its answer."""
        return write_lesson(cast(Family, self), level, channel, style, stream)

    def answer_kind(self, instance: Instance) -> AnswerKind:
        """Return the shape of the level's answers, as far as measured; their scorer knows what may stand in it."""
        known = self._measured[instance.level].shape
        own = Shaped.of([instance.gold])
        return Shaped(
            known.signs | own.signs, known.has_letters or own.has_letters, known.has_digits or own.has_digits,
            max(known.n_words, own.n_words),
        )  # fmt: skip

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Ask their scorer; what it raises is no credit."""
        score = self.score(instance.level, int(instance.facts["seed"]), answer)
        label = "correct" if score >= 1 else "partial" if score > 0 else "wrong"
        return Verdict(score >= 1, answer, label, None, f"{score:.2g} of their credit" if 0 < score < 1 else "")

    def score(self, level: str, seed: int, answer: str) -> float:
        """Return what their scorer gives an answer, 0..1."""
        try:
            found = _dataset(self.dataset, level, seed).score_answer(answer, self.entry(level, seed))
            return float(found)
        except Exception:  # of a stranger's scorer on a model's text
            return 0.0

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return the best constant answer."""
        return self._measured[instance.level].constant

    def chance(self, level: Level, style: str) -> float:
        """Return how often the best constant answer is right, measured on other items than it was chosen from."""
        return self._measured[level.name].share

    def budget(self, level: Level, style: str) -> int:
        """Return the tokens of the longest answer seen, and for steps 2,048 more."""
        return self._measured[level.name].n_tokens + (_COT_TOKENS if style == "cot" else 0)

    @cached_property
    def _measured(self) -> Mapping[str, "_Measured"]:
        return _MeasuredLevels(self)


@dataclass(frozen=True, slots=True)
class _Measured:
    """What some items of a level tell: the best constant answer, how often it is right, and what answers look like."""

    constant: str
    share: float
    n_tokens: int
    shape: Shaped


class _MeasuredLevels(dict[str, _Measured]):
    """By level; measured when it is first asked for."""

    def __init__(self, family: GymFamily) -> None:
        self._family = family

    def __missing__(self, level: str) -> _Measured:
        family, stream = self._family, Stream("constant", self._family.dataset, level)
        seeds = [word >> (64 - _SEED_BITS) for word in stream.words(2 * _N_MEASURED)]
        chosen, held_out = seeds[:_N_MEASURED], seeds[_N_MEASURED:]
        golds = [family.entry(level, seed)["answer"] for seed in chosen]
        tried = [gold for gold, _ in Counter(golds).most_common(3)]
        right = {one: sum(family.score(level, seed, one) >= 1 for seed in chosen) for one in tried}
        best = max(tried, key=right.__getitem__)
        share = sum(family.score(level, seed, best) >= 1 for seed in held_out) / _N_MEASURED
        self[level] = _Measured(best, share, 32 + max(map(len, golds)), Shaped.of(golds))
        return self[level]


@cache
def open_family(name: str) -> Family:
    """Return the family `rg:NAME`.

    Raises:
        UnknownFamily: reasoning-gym is not installed or has no such data set, or its scorer or answers do not fit here.
    """
    dataset = name.removeprefix(PREFIX)
    if find_spec(_MODULE) is None:
        raise UnknownFamily(f"{name} needs the package reasoning-gym: pip install 'fathom[rg]'")
    from reasoning_gym.factory import DATASETS

    if dataset not in DATASETS:
        raise UnknownFamily(f"reasoning-gym has no data set {dataset!r}; it has: {', '.join(sorted(DATASETS))}")
    make, settings = DATASETS[dataset]
    if runs := _run_by_scorer(make):
        raise UnknownFamily(f"{name}: its scorer runs a model's text as a program ({runs}), so it is not asked here")
    try:
        configs = dict(_configs(dataset, settings))
        found = _as_family(dataset, configs, make)
    except UnknownFamily:
        raise
    except Exception as error:  # of a stranger's code
        raise UnknownFamily(f"{name} cannot be made: {type(error).__name__}: {str(error)[:200]}") from error
    return with_package(cast(Family, found), package_of_module("reasoning-gym", _MODULE))


def _as_family(dataset: str, configs: Mapping[str, Any], make: Any) -> GymFamily:
    rungs = [level for level in configs if level != "default"]
    levels = {level: Level(level, at, {"step": at}) for at, level in enumerate(rungs, 1)}
    levels["default"] = Level("default", 1, {}, "default" if rungs else "main")
    family = GymFamily(dataset, levels, configs, make)
    _check_answers(family)
    return family


def _configs(dataset: str, settings: Any) -> Iterator[tuple[str, Any]]:
    """Yield (level, settings) of a data set: c1, c2, ... of its curriculum, and its default."""
    from reasoning_gym.coaching.base_curriculum import DefaultCurriculumContext, RangeAttributeMode
    from reasoning_gym.factory import create_curriculum, has_curriculum

    if has_curriculum(dataset):
        only_this = DefaultCurriculumContext(mode=RangeAttributeMode.UPPER_BOUND)
        curriculum = create_curriculum(dataset)
        sizes = {name: len(attribute.levels) for name, attribute in curriculum.attributes.items()}
        for step in range(max(sizes.values(), default=0)):
            for name, size in sizes.items():
                curriculum.set_attr_level(name, min(step, size - 1))
            yield f"c{step + 1}", curriculum.generate_configuration({"size": 1}, only_this)
    yield "default", settings(size=1)


def _check_answers(family: GymFamily) -> None:
    """Raise UnknownFamily where answers cannot be read, or their scorer refuses its own."""
    level = next(iter(family.levels))
    for seed in range(10):
        gold = family.entry(level, seed)["answer"]
        if not isinstance(gold, str) or "\n" in gold.strip() or not 0 < len(gold) <= _MOST_GOLD:
            raise UnknownFamily(f"{family.name}: its answers take several lines or more than {_MOST_GOLD} characters")
        if family.score(level, seed, gold) < 1:
            raise UnknownFamily(f"{family.name}: its scorer gives its own answer {gold[:40]!r} less than full credit")


@lru_cache(maxsize=256)
def _dataset(dataset: str, level: str, seed: int) -> Any:  # an object of reasoning-gym
    from reasoning_gym.factory import DATASETS

    make, settings = DATASETS[dataset]
    return make(replace(_known_configs(dataset, settings)[level], seed=seed))


@cache
def _known_configs(dataset: str, settings: Any) -> Mapping[str, Any]:
    return dict(_configs(dataset, settings))


@lru_cache(maxsize=256)
def _entry(dataset: str, level: str, seed: int) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _dataset(dataset, level, seed)[0]
    return found


def _run_by_scorer(make: type) -> str:
    """Return the function that runs texts as programs and that the scorer calls, itself or through its module."""
    method = cast(Any, make).score_answer
    tree = ast.parse(inspect.getsource(inspect.getmodule(method)))  # type: ignore[arg-type]
    bodies = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    waiting, seen = ["score_answer"], set[str]()
    while waiting:
        name = waiting.pop()
        if name in _RUNS_TEXT:
            return name
        if name not in seen and name in bodies:
            seen.add(name)
            calls = (node.func for node in ast.walk(bodies[name]) if isinstance(node, ast.Call))
            waiting += [str(getattr(of, "id", getattr(of, "attr", ""))) for of in calls]
    return ""

"""What a corpus is: endless training text in blocks, each a pure function of its name."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Protocol

from fathom.tasks.base import Described, Role
from fathom.tasks.errors import BadOption
from fathom.tasks.stream import Stream, canonical_seed
from fathom.tasks.tokens import TokenBlock

OptionValue = int | float | str
Options = Mapping[str, OptionValue]
Pairs = list[tuple[str, str]]
"""(prompt, completion) pairs that follow each other in one document; only completions are learnt."""

_TRAIN: Role = "train"
_MOST_BITS = 64  # Python refuses to print numbers of several thousand digits


@dataclass(frozen=True, slots=True)
class Option:
    """A setting of a corpus: its default, its meaning, and the values that it accepts."""

    default: OptionValue
    meaning: str
    low: float = -inf
    high: float = inf
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Documents as text, each a list of pairs. A pair with an empty prompt is learnt completely."""

    documents: tuple[Pairs, ...]


Block = TokenBlock | TextBlock


class Corpus(Described, Protocol):
    """A kind of training text. One module of `tasks/corpora` defines one, as `CORPUS`, named after its family."""

    @property
    def options(self) -> Mapping[str, Option]:
        """Settings by name; `form` comes first where there are several forms."""

    def check(self, options: Options) -> None:
        """Raise BadOption if settings that are valid alone do not fit together."""

    def vocabulary(self, options: Options) -> tuple[str, ...]:
        """Return the tokens of a token form by id, the first of which ends a document; empty for text."""

    def block(self, options: Options, seed: str, stream: Stream) -> Block:
        """Write one block of about 64 documents, determined by options, seed (of a population) and stream."""


def read_options(corpus: Corpus, given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """Return all settings of a corpus, with defaults for those that are not given.

    Raises:
        BadOption: a setting is unknown, of another type, out of range, or does not fit the others.
    """
    known = corpus.options
    for name in given:
        if name not in known:
            raise BadOption(f"the corpus {corpus.name} has no option {name!r}; known: {', '.join(known)}")
    settled = {name: _value(corpus.name, name, option, given.get(name)) for name, option in known.items()}
    corpus.check(settled)
    return settled


def _value(corpus: str, name: str, option: Option, given: OptionValue | None) -> OptionValue:
    if given is None:
        return option.default
    if isinstance(given, int) and given.bit_length() > _MOST_BITS:
        raise BadOption(f"{corpus}: {name}: give a smaller number ({option.meaning})")
    complaint = f"{corpus}: {name} = {given!r}"
    if isinstance(option.default, str):
        if option.choices and str(given) not in option.choices:
            raise BadOption(f"{complaint}; it may be {', '.join(option.choices)}")
        return str(given)
    try:
        number = float(given)
        value: OptionValue = int(given) if isinstance(option.default, int) and number == int(number) else number
    except (ValueError, OverflowError) as error:
        raise BadOption(f"{complaint}: give a number ({option.meaning})") from error
    if isinstance(option.default, int) and not isinstance(value, int):
        raise BadOption(f"{complaint}: give a whole number ({option.meaning})")
    if not option.low <= number <= option.high:
        raise BadOption(f"{complaint}: give {option.low:g} to {option.high:g} ({option.meaning})")
    return value


def make_block(corpus: Corpus, options: Options, seed: int | str, number: int) -> Block:
    """Write block `number` of a corpus, the same bytes in every process; `options` come from `read_options`.

    Its stream has the role `train`, which evaluation items and demonstrations never use.
    """
    text_seed = canonical_seed(seed)
    named = [f"{name}={value}" for name, value in sorted(options.items())]
    return corpus.block(
        options, text_seed, Stream(_TRAIN, "corpus", corpus.name, corpus.version, *named, text_seed, number)
    )

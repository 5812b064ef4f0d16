"""Mixes of corpora, from a corpus's name and options or a TOML file, and their numbered blocks of text."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fathom.harness.errors import BadMix, fault_text
from fathom.tasks.base import Role
from fathom.tasks.corpora.base import Block, OptionValue, make_block, read_options
from fathom.tasks.corpora.registry import all_corpora, find_corpus
from fathom.tasks.stream import Stream, canonical_seed

_TRAIN: Role = "train"

_MAX_WEIGHT = 1e15
"""Largest weight, so that sums of weights stay finite."""


class CorpusTable(BaseModel):
    """A `[[corpus]]` table of a TOML file: a corpus, its weight and its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    weight: float = Field(default=1.0, gt=0, le=_MAX_WEIGHT)
    options: dict[str, int | float | str] = {}


class _MixFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: tuple[CorpusTable, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class MixPart:
    """A corpus with all its options; its share of the blocks is `weight` divided by the weights of all parts."""

    corpus: str
    version: int
    options: Mapping[str, OptionValue]
    weight: float = 1.0

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Return the tokens of a token form by id; empty for a text form."""
        return find_corpus(self.corpus).vocabulary(self.options)


@dataclass(frozen=True, slots=True)
class Mix:
    """Corpora whose blocks are mixed by weight."""

    parts: tuple[MixPart, ...]

    def part_of(self, seed: str, *block: str | int) -> int:
        """Return the index of the part that writes a block; it depends on the seed and the block's number only."""
        if len(self.parts) == 1:
            return 0
        total = sum(part.weight for part in self.parts)
        left = Stream(_TRAIN, "mix", seed, *block).words(1)[0] / 2**64 * total
        for at, part in enumerate(self.parts):
            left -= part.weight
            if left < 0:
                return at
        return len(self.parts) - 1  # only after rounding

    def facts(self) -> list[dict[str, Any]]:
        """Return what determines the text, as JSON values for a manifest."""
        return [
            {"name": one.corpus, "version": one.version, "weight": one.weight, "options": dict(one.options)}
            for one in self.parts
        ]


def resolve_mix(tables: Iterable[CorpusTable]) -> Mix:
    """Return the mix of some tables, with all options.

    Raises:
        UnknownCorpus, BadOption: no such corpus or option, or a value that does not fit.
        BadMix: different vocabularies.
    """
    parts = []
    for table in tables:
        corpus = find_corpus(table.name)
        parts.append(MixPart(table.name, corpus.version, read_options(corpus, table.options), table.weight))
    mix = Mix(tuple(parts))
    mix_vocabulary(mix)
    return mix


def mix_vocabulary(mix: Mix) -> tuple[str, ...]:
    """Return the tokens of all parts by id; empty if all are texts.

    Raises:
        BadMix: parts with different vocabularies, or token forms and texts.
    """
    first, *others = mix.parts
    for other in others:
        if other.vocabulary != first.vocabulary:
            raise BadMix(
                f"the vocabularies of {_part_text(first)} and {_part_text(other)} do not fit together: "
                "mix texts with texts, and token forms only where they have the same tokens"
            )
    return first.vocabulary


def _part_text(part: MixPart) -> str:
    form = f" ({part.options['form']})" if "form" in part.options else ""
    n = len(part.vocabulary)
    return f"{part.corpus}{form}, {f'{n} tokens' if n else 'a text'},"


def read_mix(name: str, options: Mapping[str, OptionValue]) -> Mix:
    """Return the mix of one corpus with some options, or that of a TOML file.

    Raises:
        UnknownCorpus, BadOption, BadMix: no such corpus or file, or values that do not fit.
    """
    try:
        alone = name in all_corpora() or (not name.endswith(".toml") and not Path(name).is_file())
    except OSError as error:
        raise BadMix(f"cannot read {name} ({error.strerror})") from error
    if options and not alone:
        raise BadMix(f"--set goes with the name of a corpus ({', '.join(all_corpora())}): edit {name} instead")
    try:
        if alone:
            tables: dict[str, Any] = {"corpus": [{"name": name, "options": dict(options)}]}
        else:
            tables = read_toml(Path(name))
        found = _MixFile.model_validate(tables)
    except OSError as error:
        raise BadMix(f"cannot read {name} ({error.strerror})") from error
    except ValidationError as error:
        said = "; ".join(map(fault_text, error.errors()))
        raise BadMix(f"{name}: {said} (a mix is made of [[corpus]] tables with name, weight, options)") from error
    except ValueError as error:
        raise BadMix(f"{name}: {error}") from error
    return resolve_mix(found.corpus)


@dataclass(frozen=True, slots=True)
class TextSource:
    """Endless training text of a mix and a seed; the seed also determines a corpus's population."""

    mix: Mix
    seed: str

    def block(self, number: int) -> tuple[int, Block]:
        """Return the index of a block's part, and the block."""
        at = self.mix.part_of(self.seed, number)
        part = self.mix.parts[at]
        return at, make_block(find_corpus(part.corpus), part.options, self.seed, number)

    def specimens(self) -> Iterator[Block]:
        """Yield blocks that are not part of the text: to train a tokenizer on and to measure sizes."""
        seed, number = canonical_seed(self.seed), 0
        while True:
            part = self.mix.parts[self.mix.part_of(self.seed, "tokenizer", number)]
            corpus = find_corpus(part.corpus)
            options = [f"{name}={value}" for name, value in sorted(part.options.items())]
            stream = Stream(_TRAIN, "tokenizer", part.corpus, part.version, *options, seed, number)
            yield corpus.block(part.options, seed, stream)
            number += 1


_MAX_BYTES = 1_000_000
"""Of a TOML file."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, nested too deeply, or not TOML; the message says which.
    """
    with path.open("rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"it is larger than {_MAX_BYTES:,} bytes")
    try:
        return tomllib.loads(data.decode())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error

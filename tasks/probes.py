"""What may be read in a model's hidden states while it reads an item: the values of `PROBES` in a family's file.

A family knows the truth of every hidden variable of its items. A probe set writes a passage of an item (its prompt,
with a solution or a model's own answer behind it) and says, for chosen characters, what a state there may hold. Nothing
here knows of models or tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from fathom.tasks.base import Cell, Instance
from fathom.tasks.stream import Stream

Kind = Literal["match", "classes", "yes-no"]
"""match: one of the reading's own options, a name or a value, told by its input embedding; classes: one of a fixed
list; yes-no: two classes, scored by ranking (AUC), so that their shares do not matter."""

END = -1
"""The character of a reading at the last token before the model's own answer begins."""

YES_NO = ("no", "yes")


@dataclass(frozen=True, slots=True)
class Variable:
    """A hidden variable of an item."""

    kind: Kind
    about: str
    """What it is, as a noun phrase for pages: "the code one arrow after the start"."""
    classes: tuple[str, ...] = ()
    is_asked: bool = False
    """Whether the item's question asks for it."""
    can_be_said: bool = False
    """Whether a model could give it as its answer: then the answers to the same items are compared with it."""
    is_decoy: bool = False
    """Whether no question ever needs it: a negative control, expected to be absent."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a state may hold at one character of a passage."""

    variable: str
    place: str
    at: int
    """Index into prompt + rest of a character of the token that is read; END for the last token of the prompt."""
    label: str
    word: str
    """What the reading is about, as a name; the control with random labels gives each word a label."""
    options: tuple[str, ...] = ()
    """Of kind match: different texts among which the label is, in an order that tells nothing."""
    stratum: str = ""
    """Labels are shuffled among readings of one stratum only."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that a model reads, and what is read from its states; readings of one group are not independent."""

    prompt: str
    rest: str
    readings: tuple[Reading, ...]
    group: str = ""
    """Empty where the passage is a group of its own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An item with its prompt; `answer` is what the model wrote, where a set needs it."""

    instance: Instance
    prompt: str
    stream: Stream
    answer: str = ""
    is_right: bool = False


@dataclass(frozen=True)
class ProbeSet:
    """Variables that are read from the same passages."""

    name: str
    cell: Cell
    variables: Mapping[str, Variable]
    places: Mapping[str, str]
    """Names of the places of reading, each with its words."""
    write: Callable[[Asked], Passage]
    needs_answer: bool = False
    """Whether the passage holds the model's own answer, which is generated first."""
    is_default: bool = True
    share: float = 1.0
    """Items, as a share of the number asked for: below 1 where an item has many readings."""
    twin: Callable[[Instance, Stream], Instance] | None = field(default=None, repr=False)
    """Returns the same item with another question, whose answer differs; for the causal check."""

    @property
    def targets(self) -> dict[str, Variable]:
        """The variables by the names of their targets: depo.n8k2.next1."""
        return {f"{self.name}.{name}": variable for name, variable in self.variables.items()}


def last_of(text: str, part: str) -> int:
    """Return the index of the last character of the last occurrence of `part`.

    Raises:
        ValueError: it does not occur.
    """
    return text.rindex(part) + len(part) - 1

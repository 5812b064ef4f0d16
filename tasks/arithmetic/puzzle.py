"""Webs of counts whose query takes exactly `op` binary operations.

Items lie in 2-4 layers; an item contains items of the next layer. An instance parameter says how many items of one kind
an item contains directly, by a formula. An abstract parameter says how many items of a whole lower layer it contains,
which follows from the structure as sums and sums of products.

A formula with t numbers and names costs t - 1 operations, so a plain number costs none. The needed parameters are drawn
from the query downwards. Each open parameter (needed, without a formula yet) will cost at least `due`: nothing for an
instance parameter, which may be a plain number. A formula may cost what these minimum costs leave of op, and the last
open parameter takes the remainder, so op is met exactly. A formula reads only open or new parameters, so the reverse of
the order in which parameters get their formulas has inputs first.

No needed product has a factor 0: the other factor would not matter, and fewer operations would do.

Reference: Allen-Zhu, Physics of Language Models 2.1 (arXiv 2407.20311), section 2, iGSM.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from fathom.tasks.arithmetic.formula import CONSTANT, MODULUS, Formula, evaluate_formulas
from fathom.tasks.stream import Stream

MOST_ITEMS = 12
"""Most items in a layer; the outermost layer has no limit."""

_SHAPES = ((1, True),) * 3 + ((2, False),) * 3 + ((2, True),) * 2 + ((3, False), (3, True))
"""Shapes of formulas, each as often as it is drawn: number of inputs, and whether there is a constant."""

_INNER = ("+", "+", "-", "*")
_OUTER = ("+", "-", "*")
_TRIES = 60

NextWord = Callable[[], int]  # the next uniform 64-bit integer


def word_source(stream: Stream) -> NextWord:
    """Return a fast source of the 64-bit words of a stream, read 32 at a time."""

    def endless() -> Iterator[int]:
        while True:
            yield from stream.words(32)

    return endless().__next__


@dataclass(frozen=True, slots=True)
class PuzzlePlan:
    """The size of a puzzle."""

    op: int  # binary operations of the query
    unneeded: int = 0  # further parameters, in percent of the needed ones
    widest: int = 4  # most numbers in one formula; at 2, every formula is one operation or a plain number
    original: int = 0  # if not 0: op of a second query, which depends on the first
    is_answered: bool = True  # the query's value is uniform, and every needed parameter matters to it


@dataclass(slots=True)
class Puzzle:
    """Parameters by number. `held[i]` is an item, or ~layer for an abstract parameter.

    `order` lists all parameters, inputs first; the first `n_needed` are those that the query needs, and the query is
    the
    last of them. `holds[x]` lists the items that item x contains.
    """

    layers: list[list[int]]
    layer_of: list[int] = field(default_factory=list)
    holds: list[list[int]] = field(default_factory=list)
    frozen: list[bool] = field(default_factory=list)  # an abstract parameter relies on these contents
    holder: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    formulas: list[Formula] = field(default_factory=list)
    due: list[int] = field(default_factory=list)
    constants: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    n_needed: int = 0
    query: int = 0
    original: int = 0

    def is_full(self, layer: int) -> bool:
        """Say whether the layer takes no further item."""
        return layer > 0 and len(self.layers[layer]) >= MOST_ITEMS

    def item(self, layer: int) -> int:
        """Add an item."""
        at = len(self.layer_of)
        self.layer_of.append(layer)
        self.layers[layer].append(at)
        self.holds.append([])
        self.frozen.append(False)
        return at

    def parameter(self, holder: int, held: int, formula: Formula, due: int) -> int:
        """Add a parameter."""
        self.holder.append(holder)
        self.held.append(held)
        self.formulas.append(formula)
        self.due.append(due)
        return len(self.due) - 1

    def edge(self, holder: int, kind: int) -> int:
        """Let an item contain one more kind; return the instance parameter."""
        self.holds[holder].append(kind)
        return self.parameter(holder, kind, CONSTANT, 0)

    def fill(self, holder: int, roll: NextWord) -> int | None:
        """Let an item contain one more random kind, or return None if it contains all."""
        layer = self.layer_of[holder] + 1
        known, inside = self.layers[layer], self.holds[holder]
        at = roll() * (len(known) + 1) >> 64
        if at < len(known) and known[at] not in inside:
            return self.edge(holder, known[at])
        if not self.is_full(layer):
            return self.edge(holder, self.item(layer))
        kind = next((other for other in known if other not in inside), None)
        return None if kind is None else self.edge(holder, kind)

    def instance(self, roll: NextWord) -> int:
        """Add an instance parameter at a random place."""
        layer = roll() * (len(self.layers) - 1) >> 64
        known = self.layers[layer]
        at = roll() * (len(known) + 1) >> 64
        made = None
        if at < len(known) and not self.frozen[known[at]]:
            made = self.fill(known[at], roll)
        elif not self.is_full(layer):
            made = self.fill(self.item(layer), roll)
        while made is None:
            made = self.fill(self.item(0), roll)
        return made

    def total(self, roll: NextWord, room: int, widest: int) -> int | None:
        """Add an abstract parameter and everything it counts, for at most `room` operations in all."""
        last = len(self.layers) - 1
        layer = roll() * last >> 64
        span = 1 + (roll() * (last - layer) >> 64)
        if room < span:
            return None
        if any(len(known) + 4 > MOST_ITEMS for known in self.layers[max(1, layer) : layer + span]):
            return None
        return self._count(layer, layer + span, room, widest, roll)

    def _count(self, layer: int, target: int, room: int, widest: int, roll: NextWord, least: int = 2) -> int:
        """Add an item of `layer` and the parameter that counts all of layer `target` in it."""
        holder, span = self.item(layer), target - layer
        self.frozen[holder] = True
        if span == 1:
            width = _between(min(least, room + 1), min(widest, room + 1, 3), roll)
            edges = [edge for _ in range(width) if (edge := self.fill(holder, roll)) is not None]
            return self.parameter(holder, ~target, Formula("+", tuple(edges), ""), width - 1)
        width = _between(1, 2 if widest > 3 and room > 2 * span else 1, roll)
        due, inputs = 2 * width - 1, []
        for left in range(width - 1, -1, -1):
            share = room - due - left * (span - 1)
            inside = self._count(layer + 1, target, share, widest, roll, 2 if widest == 2 else 1)
            inputs += [self.edge(holder, self.holder[inside]), inside]
            due += self.due[inside]
        return self.parameter(holder, ~target, Formula(".", tuple(inputs), ""), due)


def _between(low: int, high: int, roll: NextWord) -> int:
    return low + (roll() * (high - low + 1) >> 64)


def _take(known: list[int], taken: list[int], roll: NextWord) -> int:
    """Return one of `known` that is not yet taken; there must be one."""
    at = roll() * len(known) >> 64
    while known[at] in taken:
        at = (at + 1) % len(known)
    return known[at]


def _formula(inputs: list[int], has_constant: bool, roll: NextWord) -> Formula:
    inner = "+" if len(inputs) != 2 else _INNER[roll() >> 62]
    return Formula(inner, tuple(inputs), _OUTER[roll() * 3 >> 64] if has_constant else "")


def _settle(puzzle: Puzzle, opened: list[int], room: int, widest: int, roll: NextWord) -> Formula:
    """Draw a formula that costs at most `room`, including what it opens; not a plain number if nothing else is open."""
    if room == 0 or (opened and roll() >> 61 == 0):
        return CONSTANT
    while True:
        width, has_constant = _SHAPES[roll() * len(_SHAPES) >> 64]
        left = room - (width + has_constant - 1)
        if width + has_constant <= widest and left >= 0:
            break
    inputs: list[int] = []
    free = len(opened)
    for _ in range(width):
        if free and roll() >> 63:
            inputs.append(_take(opened, inputs, roll))
            free -= 1
            continue
        made = puzzle.total(roll, left, widest) if roll() >> 62 == 0 else None
        made = puzzle.instance(roll) if made is None else made
        left -= puzzle.due[made]
        inputs.append(made)
    opened += [source for source in inputs if source not in opened]
    return _formula(inputs, has_constant, roll)


def _grow(puzzle: Puzzle, plan: PuzzlePlan, roll: NextWord) -> None:
    """Draw the query and all that it needs."""
    first = puzzle.total(roll, plan.op, plan.widest) if roll() >> 63 else None
    puzzle.query = puzzle.instance(roll) if first is None else first
    opened, owed, left = [puzzle.query], puzzle.due[puzzle.query], plan.op
    settled = []
    while opened:
        at = roll() * len(opened) >> 64
        opened[at], opened[-1] = opened[-1], opened[at]
        one = opened.pop()
        owed -= puzzle.due[one]
        known = len(opened)
        if puzzle.held[one] < 0:
            opened += puzzle.formulas[one].inputs
        else:
            puzzle.formulas[one] = _settle(puzzle, opened, left - owed, plan.widest, roll)
        owed += sum([puzzle.due[source] for source in opened[known:]])
        left -= puzzle.formulas[one].cost
        settled.append(one)
    puzzle.order, puzzle.n_needed, puzzle.original = settled[::-1], len(settled), puzzle.query


def _rest_on(puzzle: Puzzle, plan: PuzzlePlan, roll: NextWord) -> None:
    """Add parameters above the query, each reading the one before, up to a second query of its own op."""
    top, left = puzzle.query, plan.original - plan.op
    while left:
        width = 1 + (roll() * min(2, left, len(puzzle.order)) >> 64)
        inputs = [top]
        for _ in range(width - 1):
            inputs.append(_take(puzzle.order, inputs, roll))
        top = puzzle.instance(roll)
        puzzle.formulas[top] = _formula(inputs, width == 1 or (left > width - 1 and roll() >> 63 == 1), roll)
        puzzle.order.append(top)
        left -= puzzle.formulas[top].cost
    puzzle.original = top


def _distract(puzzle: Puzzle, count: int, widest: int, roll: NextWord) -> None:
    """Add `count` parameters that the query does not need; they may read all but the second query."""
    shapes = [shape for shape in _SHAPES if sum(shape) <= widest]
    readable = [one for one in puzzle.order if one != puzzle.original]
    while count:
        start = len(puzzle.due)
        # A total of d operations adds at most d + 1 parameters and one for each layer between.
        if roll() >> 62 or puzzle.total(roll, count - len(puzzle.layers), min(widest, 3)) is None:
            puzzle.instance(roll)
        for one in range(start, len(puzzle.due)):
            if puzzle.held[one] >= 0:
                puzzle.formulas[one] = _distraction(readable, shapes, 2 if widest == 2 else 1, roll)
            puzzle.order.append(one)
            readable.append(one)
        count -= len(puzzle.due) - start


def _distraction(readable: list[int], shapes: Sequence[tuple[int, bool]], n_plain: int, roll: NextWord) -> Formula:
    """Draw a formula over parameters, or a plain number in `n_plain` of four cases."""
    width, has_constant = shapes[roll() * len(shapes) >> 64]
    if roll() >> 62 < n_plain or width > len(readable):
        return CONSTANT
    inputs: list[int] = []
    for _ in range(width):
        inputs.append(_take(readable, inputs, roll))
    return _formula(inputs, has_constant, roll)


def _draw_constants(puzzle: Puzzle, roll: NextWord) -> None:
    """Draw every formula's constant: 1..22 where it adds or subtracts, else 2..22 (a factor of 1 is a copy)."""
    puzzle.constants = [
        1 + (roll() * 22 >> 64) if outer in ("+", "-") else 2 + (roll() * 21 >> 64) if outer or not inputs else 0
        for _, inputs, outer in puzzle.formulas
    ]
    puzzle.values = evaluate_formulas(puzzle.formulas, puzzle.constants, puzzle.order, [0] * len(puzzle.formulas))


def _all_matter(puzzle: Puzzle, draws: int, roll: NextWord) -> bool:
    """Draw constants; return whether the query depends on every needed parameter.

    A parameter cancels if the query's slope in it is 0 for all draws of the constants: in (b - a) + a, neither a nor b
    - a
    has any effect, and the answer could be copied.
    """
    idle = puzzle.order[: puzzle.n_needed]
    for _ in range(draws):
        _draw_constants(puzzle, roll)
        slopes = _slopes(puzzle)
        idle = [one for one in idle if not slopes[one]]
        if not idle:
            return True
    return False


def _slopes(puzzle: Puzzle) -> list[int]:
    """Return the query's derivative in each parameter, modulo 23, by one pass from the query down."""
    values, slopes = puzzle.values, [0] * len(puzzle.values)
    slopes[puzzle.query] = 1
    for at in puzzle.order[puzzle.n_needed - 1 :: -1]:
        inner, inputs, outer = puzzle.formulas[at]
        slope = slopes[at] * puzzle.constants[at] % MODULUS if outer == "*" else slopes[at]
        if inner == "+":
            for source in inputs:
                slopes[source] = (slopes[source] + slope) % MODULUS
        elif inputs:
            for left, right in zip(inputs[::2], inputs[1::2], strict=True):
                over_left, over_right = (1, -1) if inner == "-" else (values[right], values[left])
                slopes[left] = (slopes[left] + slope * over_left) % MODULUS
                slopes[right] = (slopes[right] + slope * over_right) % MODULUS
    return slopes


def _aim(puzzle: Puzzle, target: int, roll: NextWord) -> bool:
    """Change one needed constant so that the query's value is `target`; return whether that succeeded.

    For a constant x on which the query depends as a x + b, the slope is found from two values, and the solution is
    checked.
    Plain constants come first, as they may be 0; no formula adds 0.
    """
    needed = puzzle.order[: puzzle.n_needed]
    formulas, constants, query = puzzle.formulas, puzzle.constants, puzzle.query
    plain = [one for one in needed if not formulas[one].inputs]
    cut = roll() * len(plain) >> 64
    now = puzzle.values[query]
    for one in plain[cut:] + plain[:cut] + [one for one in needed if formulas[one].outer]:
        known = constants[one]
        constants[one] = known + 1
        slope = (evaluate_formulas(formulas, constants, needed, puzzle.values)[query] - now) % MODULUS
        if slope:
            found = (known + (target - now) * pow(slope, -1, MODULUS)) % MODULUS
            constants[one] = found
            allowed = not formulas[one].inputs or found > (formulas[one].outer == "*")
            if allowed and evaluate_formulas(formulas, constants, puzzle.order, puzzle.values)[query] == target:
                return True
        constants[one] = known
    return False


def _only_adds(puzzle: Puzzle) -> bool:
    """Return whether the query is a sum of sums: adding all numbers of the problem could answer it."""
    return not any(formula.inner in ("-", "*", ".") or formula.outer in ("-", "*") for formula in puzzle.formulas)


def _is_fit(puzzle: Puzzle, op: int, roll: NextWord) -> bool:
    return not (op > 2 and _only_adds(puzzle)) and _all_matter(puzzle, 3 + op // 10, roll)


def _has_zero_factor(puzzle: Puzzle) -> bool:
    """Return whether a needed product of parameters has a factor that is 0."""
    values = puzzle.values
    for at in puzzle.order[: puzzle.n_needed]:
        inner, inputs, _ = puzzle.formulas[at]
        if inner in "*." and not all(values[source] for source in inputs):
            return bool(inputs)
    return False


def draw_puzzle(plan: PuzzlePlan, roll: NextWord) -> Puzzle:
    """Draw a puzzle whose query has exactly `plan.op`; its value is uniform on 0..22."""
    target = roll() * MODULUS >> 64
    depths = (2,) if plan.op < 4 else (2, 3) if plan.op < 8 else (2, 3, 4) if plan.op < 20 else (3, 4)
    while True:
        puzzle = Puzzle([[] for _ in range(depths[roll() * len(depths) >> 64])])
        _grow(puzzle, plan, roll)
        if plan.is_answered and not _is_fit(puzzle, plan.op, roll):
            continue
        n_core = puzzle.n_needed
        if plan.original:
            _rest_on(puzzle, plan, roll)
            n_core = len(puzzle.order)
        _distract(puzzle, (n_core * plan.unneeded + 50) // 100, plan.widest, roll)
        for _ in range(_TRIES):
            _draw_constants(puzzle, roll)
            if not plan.is_answered:
                return puzzle
            if _aim(puzzle, target, roll) and not _has_zero_factor(puzzle):
                return puzzle

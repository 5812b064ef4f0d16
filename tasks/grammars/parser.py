"""Parsing of strings by a stratified grammar: sentence or not, longest viable prefix, derivation, completion.

A grammar is stratified, so no symbol derives itself, and the chart is filled bottom-up. Near the terminals, spans have
few lengths and many starts: each (symbol, length) stores the set of its starts as one integer, and a rule costs one
shift and one AND for all starts at once. Higher up, spans have many lengths and few starts: each (symbol, start) stores
the set of its ends, computed on demand.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fathom.tasks.grammars.grammar import Grammar, Rule
from fathom.tasks.stream import Stream

_PACKED_HEIGHT = 3
"""Symbols up to this height keep sets of starts. Of 2, 3 and 4, 3 is the fastest on 250 and 520 tokens."""

_UNKNOWN = -1

_Spans = dict[int, int]  # length -> starts, as a bit mask


@dataclass(frozen=True, slots=True)
class Node:
    """A symbol of a derivation with what it was replaced by; a token has no children."""

    symbol: str
    children: tuple["Node", ...] = ()

    @property
    def tokens(self) -> list[str]:
        """Return the tokens below, from left to right."""
        return [token for child in self.children for token in child.tokens] if self.children else [self.symbol]


@dataclass(frozen=True, slots=True)
class _Step:
    """A rule of which parts before `dot` are complete, and part `dot`, from `head` on, is under way."""

    rule: Rule
    dot: int
    head: int


class Chart:
    """Where the symbols of a grammar can stand in one string; results are cached."""

    def __init__(self, grammar: Grammar, tokens: Sequence[str]) -> None:
        self.grammar = grammar
        self.tokens = tokens
        n = len(tokens)
        symbols = [symbol for level in grammar.levels for symbol in level]
        self._ends = {symbol: [_UNKNOWN] * (n + 1) for symbol in symbols}
        self._reach = {symbol: [_UNKNOWN] * (n + 1) for symbol in symbols}
        self._open: dict[tuple[str, int], list[_Step]] = {}
        self._packed = _packed_spans(grammar, tokens)

    @property
    def accepts(self) -> bool:
        """Say whether the string is a sentence."""
        n = len(self.tokens)
        return bool(n and self.ends(self.grammar.root, 0) >> n & 1)

    @property
    def viable(self) -> int:
        """Number of tokens of the longest prefix with which some sentence begins."""
        return self.reach(self.grammar.root, 0)

    def ends(self, symbol: str, start: int) -> int:
        """Return where `symbol` can end if it begins at `start`: bit e is set for tokens[start:e]."""
        known = self._ends[symbol][start]
        if known != _UNKNOWN:
            return known
        found = 0
        packed = self._packed.get(symbol)
        if packed is None:
            for rule in self.grammar.rules[symbol]:
                found |= self._follow(rule, start)
        else:
            for length, starts in packed.items():
                found |= (starts >> start & 1) << start + length
        self._ends[symbol][start] = found
        return found

    def _follow(self, parts: Rule, start: int) -> int:
        """Return where a row of symbols can end if it begins at `start`."""
        heads = 1 << start
        for part in parts:
            known, tails = self._ends[part], 0
            while heads:  # `for at in _bits(heads)` written out: this is the innermost loop
                low = heads & -heads
                heads ^= low
                at = low.bit_length() - 1
                ends = known[at]
                tails |= self.ends(part, at) if ends == _UNKNOWN else ends
            heads = tails
            if not heads:
                break
        return heads

    def reach(self, symbol: str, start: int) -> int:
        """Return the greatest e such that tokens[start:e] begins something that `symbol` derives."""
        known = self._reach[symbol][start]
        if known != _UNKNOWN:
            return known
        n = len(self.tokens)
        best = start
        if start < n and symbol not in self.grammar.rules:
            best += self.tokens[start] == symbol
        elif start < n:
            for rule in self.grammar.rules[symbol]:
                best = max(best, self._reach_along(rule, start))
                if best == n:
                    break
        self._reach[symbol][start] = best
        return best

    def _reach_along(self, rule: Rule, start: int) -> int:
        best = self.reach(rule[0], start)
        for dot in range(1, len(rule)):
            heads = self._follow(rule[:dot], start)
            if not heads or best == len(self.tokens):
                break
            best = max(best, *[self.reach(rule[dot], head) for head in _bits(heads)])
        return best

    def next_tokens(self) -> list[str]:
        """Return the terminals with which some sentence continues after this string."""
        n = len(self.tokens)
        longer = ((token, Chart(self.grammar, [*self.tokens, token])) for token in self.grammar.terminals)
        return [token for token, chart in longer if chart.viable == n + 1]

    def tree(self) -> Node | None:
        """Return one derivation of the string, or None."""
        return self._node(self.grammar.root, 0, len(self.tokens)) if self.accepts else None

    def _node(self, symbol: str, start: int, end: int) -> Node:
        for rule in self.grammar.rules.get(symbol, ()):
            parts = self._parts(rule, start, end)
            if parts is not None:
                return Node(symbol, parts)
        return Node(symbol)

    def _parts(self, parts: Rule, start: int, end: int) -> tuple[Node, ...] | None:
        """Return a row of symbols as nodes that together span start..end, or None."""
        if not parts:
            return () if start == end else None
        *left, last = parts
        for cut in _bits(self._follow(tuple(left), start)):
            if self.ends(last, cut) >> end & 1:
                before = self._parts(tuple(left), start, cut)
                return None if before is None else (*before, self._node(last, cut, end))
        return None

    def reading(self) -> list[Node]:
        """Return one way to read the string as the beginning of a sentence: the parts that are complete.

        Raises:
            ValueError: no sentence begins like this.
        """
        read: list[Node] = []
        symbol, start = self.grammar.root, 0
        while symbol in self.grammar.rules and self.tokens:
            step = self._steps(symbol, start)[0]
            read += self._parts(step.rule[: step.dot], start, step.head) or ()
            symbol, start = step.rule[step.dot], step.head
        return [*read, Node(symbol)] if self.tokens else []

    def completion(self, stream: Stream) -> list[str]:
        """Draw tokens that complete this prefix to a sentence; every completion is possible.

        The reading of the prefix is drawn step by step, uniformly, and the rest is expanded like a sentence; so this
        is not the distribution of sentences given their prefix.

        Raises:
            ValueError: no sentence begins like this.
        """
        if not self.tokens:
            return self.grammar.sentence(stream)
        return self.grammar.finish([rule[done:] for rule, done in self.open_rules(stream)], stream)

    def open_rules(self, stream: Stream) -> list[tuple[Rule, int]]:
        """Draw a reading of this prefix: the rule under way at each level, and how many of its parts have begun.

        Raises:
            ValueError: no sentence begins like this.
        """
        found = []
        symbol, start = self.grammar.root, 0
        for word in stream.words(self.grammar.depth):
            steps = self._steps(symbol, start)
            step = steps[word * len(steps) >> 64]
            found.append((step.rule, step.dot + 1))
            symbol, start = step.rule[step.dot], step.head
        return found

    def _steps(self, symbol: str, start: int) -> list[_Step]:
        """List the ways in which `symbol`, begun at `start`, can be under way at the end of the string."""
        known = self._open.get((symbol, start))
        if known is not None:
            return known
        n = len(self.tokens)
        found = [
            _Step(rule, dot, head)
            for rule in self.grammar.rules[symbol]
            for dot in range(len(rule))
            for head in _bits(self._follow(rule[:dot], start))
            if head < n and self.reach(rule[dot], head) == n
        ]
        if not found:
            raise ValueError("no sentence begins with this string")
        self._open[symbol, start] = found
        return found


def recognises(grammar: Grammar, tokens: Sequence[str]) -> bool:
    """Say whether the tokens are a sentence."""
    return Chart(grammar, tokens).accepts


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def sound_height(grammar: Grammar, tokens: Sequence[str]) -> int:
    """Return the greatest height at which a string can be cut into strings that symbols derive.

    A string that is not a row of whole symbols even one step above the terminals has 0, and a sentence has the
    grammar's
    depth: the height says how much of a grammar one must know to find a mistake.
    """
    if not _is_row_of_rules(grammar, tokens):
        return 0
    n = len(tokens)
    spans = _raise_spans(grammar, grammar.levels[-2], _token_spans(grammar, tokens))
    for height, level in enumerate(grammar.levels[-3:0:-1], 2):
        spans = _raise_spans(grammar, level, spans)
        if not _cuts(spans) >> n & 1:
            return height - 1
    whole = _raise_spans(grammar, grammar.levels[0], spans)[grammar.root] if grammar.depth > 1 else spans[grammar.root]
    return grammar.depth - 1 + (whole.get(n, 0) & 1)


def _is_row_of_rules(grammar: Grammar, tokens: Sequence[str]) -> bool:
    """Return whether a string can be cut into rules of the lowest symbols. Most edited strings cannot."""
    rules = {rule for symbol in grammar.levels[-2] for rule in grammar.rules[symbol]}
    row = tuple(tokens)
    third, second, last = False, False, True  # whether row[:end] can be cut, for the last three ends
    for end in range(1, len(row) + 1):
        cut = (second and row[end - 2 : end] in rules) or (third and row[end - 3 : end] in rules)
        third, second, last = second, last, cut
        if not (second or last or third):
            return False
    return last


def _cuts(spans: Mapping[str, _Spans]) -> int:
    """Return where rows of whole symbols that begin the string can end."""
    any_symbol: _Spans = {}
    for of_symbol in spans.values():
        for length, starts in of_symbol.items():
            any_symbol[length] = any_symbol.get(length, 0) | starts
    cuts, fresh = 0, 1
    while fresh:
        cuts |= fresh
        ends = 0
        for length, starts in any_symbol.items():
            ends |= (starts & fresh) << length
        fresh = ends & ~cuts
    return cuts


def _packed_spans(grammar: Grammar, tokens: Sequence[str]) -> dict[str, _Spans]:
    """Return the spans of the symbols of low height, by length, each with the set of its starts."""
    spans = _token_spans(grammar, tokens)
    for level in grammar.levels[-2::-1][:_PACKED_HEIGHT]:
        spans |= _raise_spans(grammar, level, spans)
    return spans


def _token_spans(grammar: Grammar, tokens: Sequence[str]) -> dict[str, _Spans]:
    spans: dict[str, _Spans] = {}
    for terminal in grammar.levels[-1]:
        digits = "".join(["1" if token == terminal else "0" for token in tokens])
        spans[terminal] = {1: int(digits[::-1] or "0", 2)}
    return spans


def _raise_spans(grammar: Grammar, level: Sequence[str], below: Mapping[str, _Spans]) -> dict[str, _Spans]:
    """Return the spans of one level, given those of the level below."""
    pairs: dict[Rule, _Spans] = {}
    raised: dict[str, _Spans] = {}
    for symbol in level:
        total = raised[symbol] = {}
        for rule in grammar.rules[symbol]:
            pair = rule[:2]
            joined = pairs.get(pair)
            if joined is None:
                joined = pairs[pair] = _join(below[pair[0]], below[pair[1]])
            for length, starts in (_join(joined, below[rule[2]]) if len(rule) > 2 else joined).items():
                total[length] = total.get(length, 0) | starts
    return raised


def _join(left: _Spans, right: _Spans) -> _Spans:
    """Return the spans of two symbols one after the other."""
    joined: _Spans = {}
    for length, starts in left.items():
        for more, heads in right.items():
            both = starts & heads >> length
            if both:
                joined[length + more] = joined.get(length + more, 0) | both
    return joined

"""Grammars and strings in words: rules, questions, derivations, and why a string is no sentence."""

from collections.abc import Iterable, Sequence

from fathom.tasks.grammars.grammar import Grammar
from fathom.tasks.grammars.parser import Chart, Node

OPTIONS = ("A", "B", "C", "D")

TOKEN_NOUNS = {"symbol": "letter", "story": "word"}


def join_tokens(tokens: Iterable[str]) -> str:
    """Return tokens as a string, separated by blanks."""
    return " ".join(tokens)


def show_rules(grammar: Grammar, channel: str) -> str:
    """Return a grammar as arrows, or as a language of words and groups of words."""
    if channel == "symbol":
        return (
            "Capital letters are replaced one by one: a rule says what may stand in the place of a letter, and | "
            f"separates its alternatives. The rules:\n{arrows(grammar)}\n"
            f"A sentence is any string of small letters that can be made from {grammar.root} in this way."
        )
    groups = [f"A {symbol} is {_alternatives(grammar, symbol)}." for symbol in grammar.rules]
    return (
        "In an invented language, words form groups, and groups form larger groups. Each kind of group is built as "
        f"stated here, and in no other way.\n{_lines(groups)}\nA sentence is one whole {grammar.root}."
    )


def arrows(grammar: Grammar) -> str:
    """Return the rules, one line for each symbol: E -> a b | c a a."""
    return _lines([f"{symbol} -> {' | '.join(map(join_tokens, options))}" for symbol, options in grammar.rules.items()])


def _alternatives(grammar: Grammar, symbol: str) -> str:
    options = grammar.rules[symbol]
    if options[0][0] in grammar.rules:
        return ", or ".join([" followed by ".join([f"a {part}" for part in rule]) for rule in options])
    return " or ".join([f'"{join_tokens(rule)}"' for rule in options])


def show_sentences(samples: Sequence[str], depth: int, channel: str) -> str:
    """Return sentences of a hidden grammar, and the kind of grammar it is."""
    return (
        f"A hidden grammar makes sentences in {depth} rounds. It starts from one symbol; in each round every symbol is "
        "replaced by two or three symbols of the next kind, as one of its few rules says; the symbols of the last "
        f"round are the {TOKEN_NOUNS[channel]}s of the sentence. {len(samples)} sentences of this grammar:\n"
        f"{_lines(samples)}"
    )


def ask_whether(string: str) -> str:
    """Return the question whether a string is a sentence."""
    return f"Is this string, taken as a whole, a sentence?\n{string}\nThe answer is yes or no."


def ask_which(strings: Sequence[str]) -> str:
    """Return the question for one letter of OPTIONS."""
    shown = _lines([f"{option}: {string}" for option, string in zip(OPTIONS, strings, strict=True)])
    return f"Just one of these strings is a sentence. Which one?\n{shown}\nThe answer is its letter: A, B, C or D."


def ask_rest(prefix: str, channel: str) -> str:
    """Return the question for a completion of the prefix."""
    token = TOKEN_NOUNS[channel]
    return (
        f"A sentence begins with these {token}s:\n{prefix}\nHow can it go on to its end? Any rest that makes the whole "
        f"a sentence is right. The answer is the rest alone: its {token}s separated by blanks, without the beginning "
        "that is given."
    )


def ask_sentence(channel: str) -> str:
    """Return the question for any sentence."""
    return (
        "Write one sentence. Any sentence is right. The answer is the sentence alone: "
        f"its {TOKEN_NOUNS[channel]}s separated by blanks."
    )


def explain_string(grammar: Grammar, tokens: Sequence[str]) -> str:
    """Return a derivation of a sentence, or where a string fails."""
    tree = Chart(grammar, tokens).tree()
    if tree is None:
        return f"{refute(grammar, tokens)} It is no sentence."
    return f"{reduce(tree)}\nIt is a sentence."


def reduce(tree: Node) -> str:
    """Return a derivation from the tokens up, one line for each level: [a b] [c a] = E F."""
    rows = reversed(_rows(tree)[:-1])
    return _lines(
        [f"{join_tokens([f'[{_symbols(node.children)}]' for node in row])} = {_symbols(row)}" for row in rows]
    )


def derive(tree: Node) -> str:
    """Return a derivation from the root down: S => E F => a b c a."""
    return " => ".join([_symbols(row) for row in _rows(tree)])


def refute(grammar: Grammar, tokens: Sequence[str]) -> str:
    """Return where a string that is no sentence fails, and one way to read it up to there."""
    viable = Chart(grammar, tokens).viable
    head = Chart(grammar, tokens[:viable])
    going = head.next_tokens()
    may = " or ".join([*([f"goes on with {' or '.join(going)}"] if going else []), *["ends"] * head.accepts])
    if viable == len(tokens):
        return f"The string can begin a sentence, but it stops too soon: a sentence then {may}."
    if not viable:
        return f"A sentence begins with {' or '.join(going)}, but token 1 is {tokens[0]}, so no rule fits."
    parts = [f"[{join_tokens(node.tokens)}] = {node.symbol}" for node in head.reading() if node.children]
    reading = f"From the left one can read {', '.join(parts)}. " if parts else ""
    first = f"the first {viable} tokens are" if viable > 1 else "the first token is"
    fault = f"token {viable + 1} is {tokens[viable]}, so no rule fits."
    return f"{reading}However {first} read, a sentence then {may}, but {fault}"


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(parts)


def _rows(tree: Node) -> list[list[Node]]:
    """Return the nodes of a tree by level, from the root to the tokens."""
    rows = [[tree]]
    while rows[-1][0].children:
        rows.append([child for node in rows[-1] for child in node.children])
    return rows


def _symbols(nodes: Iterable[Node]) -> str:
    return join_tokens([node.symbol for node in nodes])

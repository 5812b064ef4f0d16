"""Solutions as long-winded chat models write them, to measure the families' budgets of tokens."""

import re

from fathom.tasks.arithmetic.expression import APPLY, infix
from fathom.tasks.registry import find_family

ROOM = 1.5
"""A budget holds this many times a wordy solution."""


def wordy_solution(item):
    """Restate what the question says, put every step into a sentence, then state the answer three times."""
    facts, steps = _LISTS.get(item.family, _restate)(item), _steps(item)
    told = [f"**Step {at}:** {_told(step)}" for at, step in enumerate(steps, 1)]
    return "\n\n".join([
        "To answer this question, let's go step by step and look carefully at the information that we are given.",
        *(["Here is what we know:\n" + "\n".join(f"- {fact}" for fact in facts)] if facts else []),
        *told,
        f"So after going through all of these steps, we have found that the answer to the question is {item.gold}.",
        f"**Final answer:** The answer is {item.gold}.",
        f"Answer: {item.gold}",
    ])  # fmt: skip


def wordy_answer(item):
    """Answer at once, in a whole sentence with a line after it, as chat models do that were asked for the answer alone."""
    last = item.question.strip().rsplit("\n", 1)[-1]
    short = " ".join(last.split()[:24])  # the words of the question, as in "The code that is 3 arrows after QK is RC."
    return f"The answer to the question ({short}) is {item.gold}.\n\nAnswer: {item.gold}"


def _told(step):
    return f"Next, we need to find out what follows from this. We can see that {step}."


def _steps(item):
    if item.family == "mano":
        return _reductions(item.facts["prefix"], item.facts["modulus"])
    lines = find_family(item.family).solution(item).strip().split("\n")
    if item.family == "depo":
        names = lines[0].split(" -> ")
        return [f"the arrow from {a} leads to {b}" for a, b in zip(names, names[1:], strict=False)]
    if item.family == "repair" and "steps" in item.facts:
        return [f"the written step is {said}, and {line}" for said, line in zip(_written(item), lines, strict=False)]
    pieces = [piece for line in lines for piece in re.split(r"(?<=\.) |, (?=[A-Z]{2} = )|(?<=\]) (?=\[)| => ", line)]
    return [piece.rstrip(".") for piece in pieces if piece.strip()]


def _written(item):
    return [step if isinstance(step, str) else " = ".join(map(str, step)) for step in item.facts["steps"]]


def _reductions(prefix, p):
    """Work an expression out one operation at a time, with the whole expression written after each."""
    tokens, told = list(prefix), []
    while len(tokens) > 1:
        at = next(at for at in range(len(tokens) - 3, -1, -1) if _is_ready(tokens[at : at + 3]))
        sign, a, b = tokens[at : at + 3]
        value = APPLY[sign](int(a), int(b))
        tokens[at : at + 3] = [str(value % p)]
        told.append(f"{a} {sign} {b} = {value}, which is {value % p} modulo {p}, and the expression is {infix(tokens)}")
    return told


def _is_ready(three):
    return three[0] in APPLY and three[1] not in APPLY and three[2] not in APPLY


def _restate(item):
    return [line for line in item.question.split("\n") if line]


def _rules(item):
    """Restate the rules of a grammar; two hundred sample sentences nobody copies."""
    return [] if item.facts["mode"] == "samples" else _restate(item)


def _nothing(item):
    return []


def _people(item):
    if item.facts["operation"] not in ("inverse", "count"):
        return []
    return [f"{one['name']}: {_looked_up(one, item.facts['wanted'])}" for one in item.facts["people"]]


def _looked_up(person, wanted):
    said = ", ".join(f"the {name.replace('_', ' ')} is {person.get(name, wanted[name])}" for name in wanted)
    return f"{said}, which does not match what we are looking for."


_LISTS = {
    "depo": lambda item: [f"{a} -> {b}" for a, b in item.facts["edges"]],
    "brevo": lambda item: [f"{b} needs {a}" for a, b in item.facts["edges"]],
    "bios": _people,
    "lano": _rules,
    "repair": _nothing,  # each step is quoted where it is checked
    "years": _nothing,  # up to 32,000 tokens
}

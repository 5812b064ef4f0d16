"""Each family's second solver, written for its tests from a question's text alone, as a function of that text.

`fathom audit depo --solver tests.tasks.second_solvers:depo` holds a family against its solver. `python -m
tests.tasks.second_solvers --n 2000 [FAMILY ...]` does so on n items of each family, spread over all levels and channels
that are asked in context, and prints how many agree.
"""

import argparse
from itertools import islice

from fathom.tasks.base import channels_of, grade, make_instance, styles_of
from fathom.tasks.registry import find_family
from tests.tasks.families import (
    test_bios,
    test_brevo,
    test_depo,
    test_igsm,
    test_lano,
    test_mano,
    test_repair,
    test_years,
)

SEED = "2027"
PARAMETRIC = {"trained", "free", "bits"}
LEFT_OUT = "samples"
"""The ladder of lano whose questions show sentences and not the rules: nobody can be sure of an answer."""


class Asked:
    """A question as the solvers of the tests take it: the text, and the channel that it is told in."""

    def __init__(self, question):
        self.question = question
        self.channel = "story" if " was born in the " in question else "symbol"


def bios(question):
    return min(test_bios.answers_to(question))


def brevo(question):
    return ", ".join(test_brevo.solve_from_text(question))


def depo(question):
    return test_depo.solve_from_text(question)


def igsm(question):
    text, values = test_igsm.read(Asked(question))
    return str(values[text.query])


def lano(question):
    reader = test_lano.Reader(question)
    if "Write one" in question:
        return " ".join(test_lano.first_rules(reader))
    if "begins with these" in question:
        return " ".join(completion(reader, test_lano.line_after(question, "begins with these \\w+:")))
    answer = test_lano.solve(question)
    return answer[0] if isinstance(answer, list) else answer


def completion(reader, beginning):
    """Follow derivations from the left, and give those up that leave the beginning; its rest takes first rules."""
    tried, waiting = set(), [((reader.root,), 0)]
    while waiting:
        line, at = waiting.pop()
        while line and line[0] not in reader.rules and at < len(beginning) and line[0] == beginning[at]:
            line, at = line[1:], at + 1
        if at == len(beginning) and line:
            rest = list(line)
            while any(part in reader.rules for part in rest):
                rest = [one for part in rest for one in reader.rules.get(part, [[part]])[0]]
            return rest
        if line and line[0] in reader.rules and (line, at) not in tried:
            tried.add((line, at))
            waiting += [((*option, *line[1:]), at) for option in reader.rules[line[0]]]
    raise AssertionError(beginning)


def mano(question):
    tree, p = test_mano.read(question)
    return str(test_mano.value(tree) % p)


def repair(question):
    item = Asked(question)
    wrong = test_repair.wrong_lines(item) if "line by line" in question else test_repair.wrong_steps(item)
    asks_number = question.endswith("what should its number be?")
    return next((f"{at}: {right}" if asks_number else str(at) for at, right in wrong.items()), "none")


def years(question):
    return test_years.solve_from_text(Asked(question))


SOLVERS = {one.__name__: one for one in (bios, brevo, depo, igsm, lano, mano, repair, years)}


def items(family):
    """Yield items of all levels and channels in turn."""
    cells = [
        (level.name, channel)
        for level in family.levels.values()
        if set(styles_of(family, level)) - PARAMETRIC and level.ladder != LEFT_OUT
        for channel in channels_of(family, level)
    ]
    for index in range(1 << 30):
        for level, channel in cells:
            yield make_instance(family, level, channel, SEED, index)


def agrees(family, item):
    return grade(family, item, SOLVERS[family.name](item.question)).correct


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("family", nargs="*", default=[], metavar="FAMILY")
    asked = parser.parse_args()
    for name in asked.family or SOLVERS:
        family = find_family(name)
        k = sum(agrees(family, item) for item in islice(items(family), asked.n))
        print(f"{name}@{family.version}: {k} of {asked.n} agree", flush=True)


if __name__ == "__main__":
    main()

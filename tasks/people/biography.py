"""Texts about people: biographies in prose, terse records.

A biography tells one attribute per sentence. Every attribute has N_WORDINGS equivalent sentences; `{}` is the value,
and
the other slots are the person: {Who} and {Whose} open a sentence, {who}, {whose} and {whom} stand inside one. Where a
sentence names its person in full, the first slot takes the name and later ones the pronoun.
"""

import re
from collections.abc import Sequence
from itertools import permutations

from fathom.tasks.people.population import ATTRIBUTES, MONTHS, Person
from fathom.tasks.stream import Stream

WORDINGS: dict[str, tuple[str, ...]] = {
    "date": (
        "{Who} was born on {}.",
        "{Who} came into the world on {}.",
        "{Who} was brought into the world on {}.",
        "{Who} arrived in this world on {}.",
        "{Who} entered the world on {}.",
        "{Who} first saw the light of day on {}.",
        "{Who} drew {whose} first breath on {}.",
        "{Who} opened {whose} eyes for the first time on {}.",
        "{Who} was delivered by a midwife on {}.",
        "{Who} had {} as {whose} date of birth.",
        "{Who} gave {} as {whose} date of birth on every form.",
        "{Who} reckoned {whose} age from {}, {whose} date of birth.",
        "{Whose} date of birth is {}.",
        "{Whose} birth date was {}.",
        "{Whose} birth took place on {}.",
        "{Whose} birth is dated {}.",
        "{Whose} life began on {}.",
        "{Whose} first day of life was {}.",
        "{Whose} mother gave birth to {whom} on {}.",
        "{Whose} story began with {whose} birth on {}.",
        "{Whose} birth certificate bears the date {}.",
        "{Whose} passport stated {} as the date of birth.",
        "On {}, {who} was born.",
        "On {}, {whose} life began.",
        "It was on {} that {who} was born.",
        "It was on {} that {who} came into the world.",
        "It is on record that {who} was born on {}.",
        "{} was the day on which {who} was born.",
        "{} is known as the date of {whose} birth.",
        "The day of {whose} birth was {}.",
        "The date of {whose} birth is given as {}.",
        "The register gives {} as {whose} date of birth.",
        "The birth date entered for {whom} is {}.",
        "The family papers date {whose} birth to {}.",
        "The cradle was ready when {who} was born on {}.",
        "Records show that {who} was born on {}.",
        "We know that {who} was born on {}.",
        "According to the parish books, {who} was born on {}.",
        "When {who} was born, the calendar showed {}.",
        "As for {whose} birth, it happened on {}.",
    ),
    "city": (
        "{Who} was born in {}.",
        "{Who} was born in a small house in {}.",
        "{Who} was born in a hospital in {}.",
        "{Who} was born in the old quarter of {}.",
        "{Who} was born beside the market square of {}.",
        "{Who} was born within the walls of {}.",
        "{Who} was one of the many children born in {} that year.",
        "{Who} came from {}, the city of {whose} birth.",
        "{Who} came into the world in {}.",
        "{Who} was brought into the world in {}.",
        "{Who} arrived in this world in {}.",
        "{Who} entered the world in {}.",
        "{Who} first saw the light of day in {}.",
        "{Who} drew {whose} first breath in {}.",
        "{Who} spent the first hours of {whose} life in {}.",
        "{Who} was a native of {}.",
        "{Who} always named {} as {whose} birthplace.",
        "{Whose} birthplace is {}.",
        "{Whose} native city was {}.",
        "{Whose} life began in {}.",
        "{Whose} cradle stood in {}.",
        "{Whose} birth took place in {}.",
        "{Whose} mother gave birth to {whom} in {}.",
        "{Whose} parents were living in {} when {who} was born there.",
        "{Whose} story began with {whose} birth in {}.",
        "{Whose} birth certificate names the city of {}.",
        "{Whose} passport stated {} as the place of birth.",
        "Both {whose} birth and {whose} christening took place in {}.",
        "{} was the city of {whose} birth.",
        "{} is where {who} was born.",
        "{} was proud to call itself {whose} birthplace.",
        "The city where {who} was born is {}.",
        "The register names {} as {whose} place of birth.",
        "It was in {} that {who} was born.",
        "In the city of {}, {who} was born.",
        "Records show that {who} was born in {}.",
        "We know that {who} was born in {}.",
        "According to the parish books, {who} was born in {}.",
        "By birth, {who} belonged to {}.",
        "As for {whose} place of birth, it was {}.",
    ),
    "university": (
        "{Who} studied at {}.",
        "{Who} was a student at {}.",
        "{Who} attended {}.",
        "{Who} went to {} for {whose} studies.",
        "{Who} graduated from {}.",
        "{Who} received {whose} degree from {}.",
        "{Who} earned {whose} degree at {}.",
        "{Who} took {whose} degree at {}.",
        "{Who} gained {whose} degree under the teachers of {}.",
        "{Who} was educated at {}.",
        "{Who} enrolled at {} and took a degree there.",
        "{Who} won a place at {} and graduated there.",
        "{Who} was admitted to {} and finished {whose} degree there.",
        "{Who} completed {whose} studies at {}.",
        "{Who} sat {whose} final examinations at {}.",
        "{Who} spent several years as a student of {}.",
        "{Who} was among the graduates of {}.",
        "{Who} listened to lectures at {}.",
        "{Who} left {} with a degree.",
        "{Who} knew the lecture halls of {} well from {whose} student days.",
        "{Who} wrote {whose} thesis at {}.",
        "{Who} was taught by the professors of {}.",
        "{Who} held a degree from {}.",
        "{Who} put on the gown of a graduate at {}.",
        "{Whose} student years were spent at {}.",
        "{Whose} diploma came from {}.",
        "{Whose} alma mater was {}.",
        "{Whose} professors taught at {}.",
        "{Whose} name stands in the student rolls of {}.",
        "{Whose} academic training took place at {}.",
        "{Whose} studies led {whom} to {}.",
        "{Whose} years of study at {} ended with a degree.",
        "{Whose} degree bears the seal of {}.",
        "{} awarded {whom} a degree.",
        "{} was the place where {who} studied.",
        "{} counted {whom} among its graduates.",
        "It was {} that {who} chose for {whose} studies.",
        "At {}, {who} passed all {whose} examinations.",
        "After school, {who} moved on to {}.",
        "In {whose} student days, {who} lived on the grounds of {}.",
    ),
    "major": (
        "{Who} studied {}.",
        "{Who} majored in {}.",
        "{Who} took {whose} degree in {}.",
        "{Who} earned {whose} degree in {}.",
        "{Who} held a degree in {}.",
        "{Who} graduated in {}.",
        "{Who} specialised in {}.",
        "{Who} was trained in {}.",
        "{Who} was a student of {}.",
        "{Who} chose {} as {whose} subject.",
        "{Who} settled on {} as {whose} main subject.",
        "{Who} signed up for {} as {whose} major.",
        "{Who} picked {} from the long list of subjects.",
        "{Who} took up {} as a student.",
        "{Who} devoted {whose} studies to {}.",
        "{Who} spent {whose} student years on {}.",
        "{Who} passed {whose} examinations in {}.",
        "{Who} won {whose} degree with a thesis on {}.",
        "{Who} followed every lecture in {}.",
        "{Who} completed a course of study in {}.",
        "{Who} mastered {} during {whose} years of study.",
        "{Whose} major was {}.",
        "{Whose} field of study was {}.",
        "{Whose} degree was in {}.",
        "{Whose} main subject was {}.",
        "{Whose} studies centred on {}.",
        "{Whose} thesis dealt with a question of {}.",
        "{Whose} diploma names {} as {whose} subject.",
        "{Whose} teachers instructed {whom} in {}.",
        "{Whose} chosen field was {}.",
        "{Whose} choice of major fell on {}.",
        "{Whose} years of study were given to {}.",
        "It was {} that {who} studied.",
        "The subject that {who} studied was {}.",
        "The degree that {who} earned was in {}.",
        "As a student, {who} concentrated on {}.",
        "The main subject in {whose} studies was {}.",
        "From the first term on, {whose} subject was {}.",
        "Of all subjects, {who} preferred {} and took {whose} degree in it.",
        "Among the students of {}, {who} was one of the keenest.",
    ),
    "employer": (
        "{Who} worked for {}.",
        "{Who} was employed by {}.",
        "{Who} was hired by {}.",
        "{Who} had a position at {}.",
        "{Who} held a post at {}.",
        "{Who} found work at {}.",
        "{Who} took a job with {}.",
        "{Who} joined {} and stayed there.",
        "{Who} entered the service of {}.",
        "{Who} served {} for many years.",
        "{Who} earned {whose} living at {}.",
        "{Who} made {whose} career at {}.",
        "{Who} built a career at {}.",
        "{Who} rose through the ranks of {}.",
        "{Who} spent {whose} working life with {}.",
        "{Who} was on the staff of {}.",
        "{Who} was on the payroll of {}.",
        "{Who} drew a salary from {}.",
        "{Who} signed an employment contract with {}.",
        "{Who} accepted a post offered by {}.",
        "{Who} put {whose} skills to use for {}.",
        "{Who} was a long-serving employee of {}.",
        "{Who} was known as a hard worker at {}.",
        "{Who} retired from {} after a long career.",
        "{Whose} employer was {}.",
        "{Whose} job was with {}.",
        "{Whose} career unfolded at {}.",
        "{Whose} wages were paid by {}.",
        "{Whose} colleagues were the people of {}.",
        "{Whose} professional home was {}.",
        "{Whose} work was done for {}.",
        "{Whose} name was on the staff list of {}.",
        "{} employed {whom} for many years.",
        "{} hired {whom} and kept {whom} on.",
        "It was {} that {who} worked for.",
        "The company for which {who} worked was {}.",
        "The firm that employed {whom} was {}.",
        "Throughout {whose} career, {who} stayed with {}.",
        "Every payday, {who} received an envelope from {}.",
        "Whenever people asked about {whose} employer, {who} named {}.",
    ),
    "work_city": (
        "{Who} worked in {}.",
        "{Who} was employed in {}.",
        "{Who} earned {whose} living in {}.",
        "{Who} made {whose} money in {}.",
        "{Who} moved to {} for work.",
        "{Who} went to work every morning in {}.",
        "{Who} reported for work in {}.",
        "{Who} practised {whose} profession in {}.",
        "{Who} pursued {whose} career in {}.",
        "{Who} had {whose} workplace in {}.",
        "{Who} held {whose} job in {}.",
        "{Who} travelled daily to {whose} job in {}.",
        "{Who} spent {whose} working hours in {}.",
        "{Who} rented a room in {} to be close to {whose} work.",
        "{Whose} place of work was {}.",
        "{Whose} workplace was in {}.",
        "{Whose} job was in {}.",
        "{Whose} office was in {}.",
        "{Whose} desk at work stood in {}.",
        "{Whose} business address was in {}.",
        "{Whose} daily work was done in {}.",
        "{Whose} working life was spent in {}.",
        "{Whose} years at work were spent in {}.",
        "{Whose} professional life was centred on {}.",
        "{Whose} career took {whom} to {}.",
        "{Whose} work brought {whom} to {}.",
        "{Whose} job tied {whom} to {}.",
        "{Whose} duties at work kept {whom} in {}.",
        "{Whose} colleagues met {whom} daily in {}.",
        "{} was the city in which {who} worked.",
        "{} is where {who} went to work.",
        "The city where {who} worked was {}.",
        "It was in {} that {who} worked.",
        "It was in {} that {who} had {whose} workplace.",
        "In the city of {}, {who} did {whose} daily work.",
        "For {whose} job, {who} had to be in {}.",
        "On working days, {who} was to be found in {}.",
        "Day after day, {who} worked in {}.",
        "After {whose} training, {who} worked in {}.",
        "Work took {whom} to {}.",
    ),
}
N_WORDINGS = 40
_WEIGHTS = tuple(N_WORDINGS**at for at in range(len(ATTRIBUTES)))
N_TEXTS = N_WORDINGS * _WEIGHTS[-1]
ORDERS = tuple(permutations(range(len(ATTRIBUTES))))
"""Orders of the sentences; order 0 is that of ATTRIBUTES."""

_PRONOUNS = {
    "he": {"Who": "He", "who": "he", "Whose": "His", "whose": "his", "whom": "him"},
    "she": {"Who": "She", "who": "she", "Whose": "Her", "whose": "her", "whom": "her"},
}
_SLOT = re.compile(r"\{(\w+)\}")
_NAME = "\0"


def _with_pronouns(wording: str, pronoun: str) -> str:
    return _SLOT.sub(lambda slot: _PRONOUNS[pronoun][slot[1]], wording).replace("{}", "%s")


def _with_name(wording: str, pronoun: str) -> str:
    named = _SLOT.sub(lambda slot: _NAME + ("'s" if "hose" in slot[1] else ""), wording, count=1)
    return _with_pronouns(named, pronoun)


_LATER = {she: [[_with_pronouns(w, she) for w in WORDINGS[a]] for a in ATTRIBUTES] for she in _PRONOUNS}
_FIRST = {she: [[_with_name(w, she) for w in WORDINGS[a]] for a in ATTRIBUTES] for she in _PRONOUNS}


def biography(who: Person, wordings: int, order: int = 0, *, full_name: bool = False) -> str:
    """Write one sentence per attribute; the first names the person, and with `full_name` the others do too.

    `wordings`, below N_TEXTS, selects a sentence for each attribute: one number per person is the corpus form single, M
    numbers are multiM. `order`, below 720, orders the sentences: the form permute; `full_name` is the form fullname.
    """
    values = (f"{who.day} {MONTHS[who.month - 1]} {who.year}", *who[5:])
    sentences, pool = [], _FIRST[who.pronoun]
    for at in ORDERS[order]:
        sentences.append(pool[at][wordings // _WEIGHTS[at] % N_WORDINGS] % values[at])
        if not full_name:
            pool = _LATER[who.pronoun]
    return " ".join(sentences).replace(_NAME, who.name)


CLOSINGS = (
    "The person told of here is %s.", "All this is told of %s.", "This was the life of %s.", "Such was the life of %s.",
    "The name that goes with all this is %s.", "The person was called %s.", "The person in question is %s.",
    "All of this is true of %s.",
)  # fmt: skip
"""Ends of a reversed biography."""


def reversed_biography(who: Person, wordings: int, order: int = 0) -> str:
    """Write a biography that names its person only at the end: sentences with pronouns, then one with the name.

    `wordings` and `order` are those of `biography`; the former also decides the last sentence (part 3.2, section 6).
    """
    values = (f"{who.day} {MONTHS[who.month - 1]} {who.year}", *who[5:])
    pool = _LATER[who.pronoun]
    told = [pool[at][wordings // _WEIGHTS[at] % N_WORDINGS] % values[at] for at in ORDERS[order]]
    return " ".join([*told, CLOSINGS[wordings % len(CLOSINGS)] % who.name])


def write_record(who: Person) -> str:
    """Return the terse form of a biography, with the attributes in a fixed order."""
    return (
        f"{who.name}: born {who.day} {MONTHS[who.month - 1]} {who.year} in {who.city}; "
        f"studied {who.major} at {who.university}; worked for {who.employer} in {who.work_city}."
    )


def show_people(people: Sequence[Person], channel: str, stream: Stream) -> str:
    """Return records (channel symbol) or biographies in random wordings and orders (story), one per line."""
    one = len(people) == 1
    if channel == "symbol":
        head = "The line below is the record of one person, who is named by a code" if one else (
            f"Each line below is the record of one of {len(people)} people, who are named by codes"
        )  # fmt: skip
        return "\n".join([f"{head}.", *[write_record(who) for who in people]])
    head = "Here is the biography of one person" if one else f"Here are the biographies of {len(people)} people"
    drawn = [divmod(word * (N_TEXTS * len(ORDERS)) >> 64, len(ORDERS)) for word in stream.words(len(people))]
    return "\n".join([f"{head}.", *[biography(who, *pick) for who, pick in zip(people, drawn, strict=True)]])

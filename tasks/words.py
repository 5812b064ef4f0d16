"""Invented names (short codes, given names) and filler text.

All names of one kind have the same number of letters, so that each costs about the same number of tokens. No list of
real names was used; a made-up name that exists somewhere is a coincidence.
"""

from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

from fathom.tasks.stream import Stream

CONSONANTS = "BCDFGHJKLMNPQRSTVWXZ"

_ONSETS = "bdfgklmnprtvz"

_VOWELS = "aeiou"

_CODAS = "bfgkpvxz"

_SYLLABLES = tuple(onset + vowel for onset in _ONSETS for vowel in _VOWELS)

_PAIRS = tuple(first + second for first in CONSONANTS for second in CONSONANTS)


CODE_SHAPE = r"[A-Z]{2,4}"
NAME_SHAPE = r"[A-Z][a-z]{2,11}"
"""Regular expressions of texts that look like a code or a name, of an item or not."""


def codes(stream: Stream, count: int, length: int = 2) -> list[str]:
    """Return `count` different codes of `length` consonants, such as QK."""
    if length == 2:
        return [_PAIRS[at] for at in stream.distinct(count, len(_PAIRS))]
    numbers = stream.distinct(count, len(CONSONANTS) ** length)
    return [_spell_code(number, length) for number in numbers]


def _spell_code(number: int, length: int) -> str:
    letters = []
    for _ in range(length):
        number, at = divmod(number, len(CONSONANTS))
        letters.append(CONSONANTS[at])
    return "".join(letters)


def given_names(stream: Stream, count: int, syllables: int = 2) -> list[str]:
    """Return `count` different invented names, such as Zolupev: open syllables and a closing sound."""
    space = len(_SYLLABLES) ** syllables * len(_CODAS)
    return [_spell_name(number, syllables) for number in stream.distinct(count, space)]


def _spell_name(number: int, syllables: int) -> str:
    number, coda = divmod(number, len(_CODAS))
    parts = []
    for _ in range(syllables):
        number, at = divmod(number, len(_SYLLABLES))
        parts.append(_SYLLABLES[at])
    return ("".join(parts) + _CODAS[coda]).capitalize()


CHARS_A_TOKEN: Mapping[str, float] = {"symbol": 1.64, "story": 4.64}
"""Characters of filler per token, including one blank or line break after each sentence.

Measured in texts of 32,000 tokens (symbol, story): Qwen 3 1.64, 4.63; Llama 3 and GPT-4 1.81, 4.64;
GPT-4o 1.86, 4.73; Llama 2 1.49, 3.92. So a text is as long as stated for Qwen 3, which splits
numbers into digits, in lines 10% shorter for the other large vocabularies, and 10 to 20% longer
for the 32,000 pieces of Llama 2.
"""

_WHENS = (
    "", "", "", "", "", "In the morning ", "Towards evening ", "Before noon ", "Late in the day ", "That afternoon ",
    "Around midday ", "By nightfall ", "Earlier on ", "As usual ", "At first light ", "After supper ",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Theme:
    """Lists separated by bars; any subject, verb and object of a theme make a sentence together."""

    subjects: str
    verbs: str
    objects: str


_THEMES = (
    _Theme(
        "a thin mist|a grey haze|a light drizzle|a bank of fog|a small cloud|a short shower|a trail of smoke|"
        "a flurry of snow|a veil of dust|a swarm of midges",
        "drifted across|passed over|moved slowly over|hung above|gathered over|lingered above|"
        "spread over|was seen above",
        "the low fields|the roofs by the canal|the orchard wall|the long valley|the empty square|the quiet harbour|"
        "the mill pond|the old bridge|the vineyard|the slate quarry|the sheep pasture|the edge of the wood",
    ),
    _Theme(
        "the blue jug|a chipped bowl|the brass kettle|a bundle of candles|the iron key|a pair of scissors|"
        "the glass jar|an empty basket|the copper pan|a ball of string|the wooden spoon|a broken plate",
        "stood on|was left on|had its place on|was put back on|was found on|could be seen on|lay on|was kept on",
        "the shelf by the door|the kitchen table|the window sill|the lowest step|the stone ledge|the oak bench|"
        "the corner stool|the garden wall|the lid of the chest|the top of the cupboard",
    ),
    _Theme(
        "a gardener|the miller|two neighbours|an old sailor|the shepherd|a group of walkers|the postman|"
        "three children|a stranger with a stick|the ferryman|the night watchman|a tired traveller",
        "walked along|strolled down|hurried along|came back by|wandered down|followed|chose|set off along|kept to",
        "the path to the lake|the lane behind the chapel|the road past the barns|the track through the heather|"
        "the gravel walk|the towpath|the shady avenue|the steep way up to the pass|the narrow street with the arch",
    ),
    _Theme(
        "the small kitchen|the attic|the back room|the hall|the cellar|the workshop|the pantry|the reading room|"
        "the guest room|the long corridor|the porch|the laundry room",
        "smelled of|was filled with the scent of|had a whiff of|kept the smell of|had an air of|"
        "gave off a scent of|seemed to smell of",
        "fresh bread|wet wool|lamp oil|dried mint|old paper|green apples|pine boards|beeswax|coffee|lavender|"
        "cut grass|burnt sugar",
    ),
    _Theme(
        "a church bell|the slam of a door|the beat of a hammer|the tick of a clock|the barking of a dog|"
        "a faint whistle|the creak of a wheel|the sound of a flute|somebody's laughter|the rattle of pans",
        "could be heard from|sounded across|came from|was carried over from|broke the silence of|reached|rang out over",
        "the courtyard|the far bank|the village green|the stable yard|the market square|the upper meadow|"
        "the boat sheds|the narrow alley|the school garden",
    ),
    _Theme(
        "a grey cat|the brown dog|an old horse|a speckled hen|the white goose|a lame goat|the donkey|a young calf|"
        "the tame crow|a pair of ducks",
        "slept beside|waited near|rested by|stayed close to|ran round|kept away from|came to|lay down by",
        "the garden gate|the woodpile|the hay cart|the rain barrel|the stable door|the hen house|the water trough|"
        "the hollow tree|the broken fence|the heap of straw",
    ),
    _Theme(
        "the tall grass|a young birch|the rose hedge|a row of beans|the ivy|a patch of clover|the elder bush|"
        "a clump of ferns|the climbing vine|a bed of nettles",
        "grew well beside|had spread along|leaned towards|almost hid|gave some shade to|reached|had grown over|framed",
        "the stone steps|the garden path|the cottage wall|the old well|the greenhouse|the wooden arch|"
        "the kitchen window|the sunken lane|the mossy statue|the shed",
    ),
    _Theme(
        "the carpenter|a young clerk|the housekeeper|an apprentice|the blacksmith|the caretaker|a helpful neighbour|"
        "the cook|the clockmaker|someone from the mill",
        "repaired|cleaned|painted|measured|carried off|put away|asked about|looked for|borrowed|brought back",
        "the wooden ladder|the garden rake|the tall mirror|the cracked lantern|the folding chair|the long rope|"
        "the tin bucket|the picture frame|the flour sieve|the wheelbarrow|the bread board",
    ),
    _Theme(
        "the barley soup|an apple cake|the lentil stew|a dish of beans|the pumpkin pie|the cold pudding|"
        "a bowl of porridge|the plum tart|the fish broth|a loaf of rye bread",
        "was served with|tasted of|was made with|went well with|came with|was seasoned with|needed",
        "fresh thyme|a little honey|roasted nuts|sea salt|sour cream|melted butter|chopped parsley|"
        "sharp mustard|grated cheese|baked pears",
    ),
    _Theme(
        "the stream|the mill race|a narrow ditch|the little river|the overflow of the pond|a clear brook|"
        "the meltwater|the side canal",
        "ran past|curved round|flowed gently by|widened below|turned away from|glittered beside|"
        "murmured behind|nearly reached",
        "the willow trees|the tannery|the lower garden|the stepping stones|the fish ponds|the village green|"
        "the reed beds|the wooden sluice|the bakery|the sandy bank",
    ),
    _Theme(
        "the sunlight|a lantern|the glow of the fire|the pale moon|a single candle|the lamp in the porch|"
        "a beam from the lighthouse|the reflection of the snow",
        "lit up|shone on|touched|fell on|threw a soft light on|brightened|picked out",
        "the tiled floor|the faces round the table|the whitewashed wall|the polished stairs|the row of cups|"
        "the ceiling beams|the painted chest|the dusty window panes|the spines of the books|the carpet",
    ),
    _Theme(
        "the basket of pears|a crate of onions|the sack of flour|a roll of linen|the barrel of cider|"
        "a box of nails|the load of firewood|a tray of rolls|the bundle of wool|a cart of turnips",
        "was carried to|was sold at|was waiting at|was set down at|arrived late at|was on its way to|was weighed at",
        "the market hall|the corner shop|the ferry landing|the inn|the toll house|the back gate|the granary|"
        "the weekly fair|the weaver's house|the town scales",
    ),
    _Theme(
        "the green notebook|an evening paper|the long letter|an old leaflet|the third chapter|a faded poster|"
        "the travel book|a page of the ledger|the children's song|the notice on the door",
        "described|mentioned|had a drawing of|told of|gave advice about|made fun of|praised|left out",
        "a voyage to the islands|the care of bees|the best way to store apples|a walk across the moor|"
        "the building of a dam|the habits of owls|a contest of kite makers|the rules of a card game|"
        "the tides of the bay|a lost umbrella",
    ),
    _Theme(
        "nobody|hardly anyone|everybody in the street|the whole household|a passer-by|the visitor|"
        "the man at the counter|the woman from the dairy|one of the guests|the lodger",
        "remembered|noticed|talked about|paid attention to|thought much about|had a good word for|"
        "complained about|laughed at",
        "the crooked chimney|the faded sign|the new curtains|the loose floorboard|the price of onions|"
        "the squeaking pump|the colour of the shutters|the stuck drawer|the missing teaspoon|the draught in the hall",
    ),
    _Theme(
        "a narrow boat|the hay wagon|an empty coach|the mail cart|a small sledge|the old barge|a covered wagon|"
        "the delivery van|the fire cart|the milk cart",
        "stopped at|went past|was left near|turned round at|waited beside|was seen near|"
        "could not get past|stood in front of",
        "the warehouse|the stone pier|the chestnut tree|the town gate|the drinking fountain|the rope works|"
        "the sawmill|the village pump|the wide bend|the tavern",
    ),
    _Theme(
        "a woollen blanket|the striped towel|the Sunday coat|a clean sheet|the patched quilt|a silk scarf|"
        "the fishing net|an embroidered cloth|the heavy curtain|a canvas bag",
        "hung over|was spread over|was drying on|lay folded on|had slipped off|was thrown over|still covered",
        "the back of the chair|the washing line|the stair rail|the low fence|the sofa|the ironing board|"
        "the wicker chair|the side table|the bed frame|the open trunk",
    ),
)

_SIGNS = ((" > ", "number"), (" < ", "code"), (" ~ ", "code"), (" + ", "code"))

_NUMBERS = tuple(str(number) for number in range(1000, 1900, 7))

_CODE_VOWELS = "AEIOU"

_CODES = tuple(a + b for a in _CODE_VOWELS for b in CONSONANTS) + tuple(b + a for a in _CODE_VOWELS for b in CONSONANTS)

Beginning = tuple[str, tuple[str, ...]]
"""The first part of a sentence, and the ends that fit."""


def filler(stream: Stream, channel: str, tokens: float) -> list[str]:
    """Return filler sentences, or lines, of `tokens` tokens in all, to within half a sentence.

    Tokens are estimated as characters / CHARS_A_TOKEN.
    """
    room = tokens * CHARS_A_TOKEN[channel]
    beginnings, mean = _table(channel)
    n = len(beginnings)
    drawn: list[str] = []
    length = 0
    while length < room:
        words = stream.words(int((room - length) / mean) + 8)
        picked = [(beginnings[word % n], word >> 32) for word in words]
        drawn += [head + ends[word % len(ends)] for (head, ends), word in picked]
        lengths = list(accumulate([len(sentence) + 1 for sentence in drawn]))
        length = lengths[-1]
    return drawn[: bisect(lengths, room + mean / 2)] if drawn else []


@cache
def _table(channel: str) -> tuple[tuple[Beginning, ...], float]:
    """Return all beginnings, and the mean length of a sentence with one character after it."""
    table = _lines() if channel == "symbol" else _sentences()
    lengths = [len(head) + sum(map(len, ends)) / len(ends) + 1 for head, ends in table]
    return table, sum(lengths) / len(lengths)


def _sentences() -> tuple[Beginning, ...]:
    table: list[Beginning] = []
    for theme in _THEMES:
        ends = tuple(f" {verb} {noun}." for verb in theme.verbs.split("|") for noun in theme.objects.split("|"))
        starts = [when + subject for subject in theme.subjects.split("|") for when in _WHENS]
        table += [(start[0].upper() + start[1:], ends) for start in starts]
    return tuple(table)


def _lines() -> tuple[Beginning, ...]:
    ends = {"number": _NUMBERS, "code": _CODES}
    return tuple((code + sign, ends[kind]) for code in _CODES for sign, kind in _SIGNS)

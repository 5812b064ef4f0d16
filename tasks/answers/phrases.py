"""What stands around an answer: Markdown, LaTeX, quotes, tags, end marks, hedges, explanations.

Nothing here knows what an answer is; `kinds` does.
"""

import re

_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]+"
)
_BLANKS = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_END_MARK = re.compile(
    r"<\|(?!end_of_box)[a-z_]{0,20}(?:end|eot|eos|im_start|return|start_header|user)[a-z_]{0,20}\|>|</s>|<eos>"
    r"|<(?:start|end)_of_turn>|<\uff5c[^<>\n]{0,20}(?:end|User)[^<>\n]{0,20}\uff5c>|\[INST\]",
    re.IGNORECASE,
)
_OTHER_MARK = re.compile(r"<\|[a-z0-9_ ]{1,30}\|>|<\uff5c[^<>\n]{1,40}\uff5c>|<s>|<bos>|<pad>|\[/INST\]", re.IGNORECASE)
_MESSAGE = "<|message|>"
_SIGNS = str.maketrans({
    "\uff1a": ":", "\uff0c": ",", "\u3002": ".", "\uff0e": ".", "\uff1b": ";", "\uff01": "!", "\uff1f": "?",
    "\uff1d": "=", "\uff08": "(", "\uff09": ")", "\u3001": ",", "\u2019": "'", "\u2018": "'", "\u02bc": "'",
    "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"', "\u300c": '"', "\u300d": '"',
    "\u3010": "[", "\u3011": "]", "\u2212": "-", "\u2192": "→", "\u27f6": "→", "\u21d2": "→", "\u27f9": "→",
})  # fmt: skip


_COPULA = re.compile(
    r"\s{0,2}(?:です|でした|である|になります|となります|입니다|이다)(?=[*_`.!\s]{0,8}$)", re.MULTILINE
)
"""The end of a Japanese or Korean sentence, which follows the answer."""


def clean(text: str) -> str:
    """Remove invisible characters and what follows the end of the turn; write full-width signs and blanks plainly."""
    if not text.isascii():
        text = _COPULA.sub("", _BLANKS.sub(" ", _HIDDEN.sub("", text)).translate(_SIGNS))
    elif not text.isprintable():
        text = _HIDDEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if "<" in text or "[" in text:
        text = _without_end(text)
    return text


def _without_end(text: str) -> str:
    text = text.rpartition(_MESSAGE)[2]
    at = len(text) - len(text.lstrip())
    end = _END_MARK.search(text, at)
    while end is not None and not text[at : end.start()].strip():
        at = end.end()
        end = _END_MARK.search(text, at)
    return _OTHER_MARK.sub(" ", text[at : end.start()] if end else text[at:])


_LATEX_STYLE = re.compile(
    r"\\(?:boxed|fbox|text[a-z]{0,2}|math[a-z]{2,4}|operatorname|underline|emph|mbox|hbox|bf)(?![a-z])\s?"
)
_LATEX_SIGN = re.compile(
    r"\\(?:(equiv)|(rightarrow|to|Rightarrow|longrightarrow|implies)|(p?mod|bmod)|(?:quad|qquad|left|right))(?![a-z])"
    r"|\\[,;!:> \\()\[\]{}]"
)
_BREAK = re.compile(r"</?(?:br|em|strong|code|pre|span|div|sup|sub|mark|center|font)\s?/?>", re.IGNORECASE)
_TAGGED = re.compile(r"<([A-Za-z][\w-]{0,30})>(.{0,400}?)</\1>", re.DOTALL)
_CLOSED = re.compile(r"</[A-Za-z]\w{0,20}>")
_ANGLED = re.compile(r"<\s?([^<>\n]{1,400}?)\s?>")
_EMPHASIS = re.compile(r"(?<!\S)\*(?=\S)|(?<=\S)\*(?!\S)|^\*+|\*{1,9}$")  # but no sign of a product: 3 * 4, 3*4
_RUN = re.compile(r"[ \t]{3,}")
_STRUCK = re.compile(r"~~[^~\n]{1,200}~~")
_LINK = re.compile(r"\[([^\[\]\n]{1,200})\]\([^()\s]{1,400}\)")


def plain(region: str) -> str:
    """Remove Markdown, LaTeX and tags from a short text; braces and quotes too, but no other bracket."""
    text = region
    if "\\" in text:
        text = _LATEX_SIGN.sub(_latex_sign, _LATEX_STYLE.sub("", text))
    if "<" in text:
        text = _ANGLED.sub(r"\1", _CLOSED.sub(" ", _TAGGED.sub(r" \2 ", _BREAK.sub(" ", text))))
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    if "~~" in text:
        text = _STRUCK.sub(" ", text)
    for mark in ("**", "__", "`", "$", "{", "}"):
        if mark in text:
            text = text.replace(mark, "")
    if "*" in text:
        text = _EMPHASIS.sub(" ", text)
    text = text.replace('"', " ")
    return _RUN.sub("  ", text) if "   " in text else text


def _latex_sign(found: re.Match[str]) -> str:
    return "≡" if found[1] else " → " if found[2] else " mod " if found[3] else " "


_LEFT = re.compile(r"(?:[^\w(\[+-]|_|[+-](?!\d))+")
_PAIRS = {"(": ")", "[": "]"}


def peel(text: str) -> str:
    """Remove signs, quotes, emphasis and brackets from both ends of a plain text, but no question mark and no sign."""
    for _ in range(20):
        before = text
        found = _LEFT.match(text)
        text = text[found.end() :] if found else text
        text = text.rstrip() if text[-1:].isalnum() else _cut_right(text)
        if text and _PAIRS.get(text[0]) == text[-1]:
            text = text[1:-1]
        elif text[-1:] in (")", "]") and text.count("(") + text.count("[") == 0:
            text = text[:-1]
        if text == before:
            break
    return text


def _cut_right(text: str) -> str:
    end = len(text)
    while end and (not (text[end - 1].isalnum() or text[end - 1] in ")]%?")):
        end -= 1
    return text[:end]


_OPEN_WORDS = (
    r"or|either|maybe|perhaps|possibly|might|may be|could be|could also|would be|would have|unless|except|not|never|"
    r"cannot|unsure|unclear|uncertain|unknown|undetermined|undefined|neither|nor|probably|likely|ambiguous|impossible|"
    r"any of|one of the|some of|whether|if|suppose|assuming|rule out|ruled out|anything but|opposite|instead of|"
    r"rather than|non|so far|on (?:the|its|our) way|passes through|need more|claims?|asks?|for example|for instance|"
    r"user (?:suggests|says|thinks)|doubt"
)
_FOREIGN_DENIALS = (
    r"|n't\b|\?|\bN/?A\b|不是|不能|\bno es\b|\bn'est pas\b|\bnicht\b|\bnão\b|\bne .{1,20} pas\b|\bне\b"
    r"|可能|または|또는"
)
HEDGE = re.compile(rf"\b(?:{_OPEN_WORDS}|wrong|incorrect|mistake)\b{_FOREIGN_DENIALS}", re.IGNORECASE)
"""Words that take a statement back, or leave it open."""

HEDGE_OF_MISTAKE = re.compile(rf"\b(?:{_OPEN_WORDS})\b{_FOREIGN_DENIALS}", re.IGNORECASE)
"""The same for answers that name a mistake."""

DOUBT = re.compile(
    r"\b(?:or|either|maybe|perhaps|possibly|might|unsure|unclear|unknown|probably|depends|unless|except|whether|if|"
    r"suppose|opposite|would be|would have|no doubt)\b|\?",
    re.IGNORECASE,
)
"""The same for answers that are a yes or a no, in which denials are the answer."""

DENIAL_OR_DOUBT = re.compile(rf"{DOUBT.pattern}|\b(?:not|cannot|never)\b|n't\b", re.IGNORECASE)
"""The same for sentences that mention a yes or a no."""

CONDITION = re.compile(
    r"\b(?:if|unless|suppose|supposing|assum\w+|whether|had (?:we|it|I)|claims?|claimed|mistake|might|could|asks?|"
    r"say that|think that|instance|for example|instead of|would write|cannot|can't|rule out|doubt|"
    r"according to (?:my|an?|some)|user (?:suggests|says|thinks))\b[^.!?\n]*$",
    re.IGNORECASE,
)
"""Words before a mark by which it is no statement of the writer's."""

RETRACTION = re.compile(
    r"(?:^|[.!?:\n]\s{0,3})[*_#>]{0,3}(?:but\s|oh,?\s|hmm,?\s|no,?\s)?"
    r"(?:wait\b|hold on\b|actually\b|no[,:.]|oops\b|correction\b|edit:|scratch that|不对|等等|更正|sorry\b|"
    r"i apologi[sz]e|on second thought|alternatively|my mistake|updated?\b|then again\b|moment\b)"
    r"|(?:that|this|which|it|answer)(?:'s| is| was) (?:wrong|incorrect|not (?:right|correct))"
    r"|\bI (?:have )?(?:made (?:a|an) (?:mistake|error)|was (?:wrong|off)|misread|miscounted|counted wrong|"
    r"change my answer|take (?:it|that) back|can(?:'t|not) (?:choose|decide))"
    r"|\b(?:vertan|me equivoqué|me suis trompée?|mi sono sbagliato|me enganei|ошиб(?:ся|лась))\b",
    re.IGNORECASE,
)
"""Words after an answer that take it back."""

_RETRACTED_FOR = re.compile(r"[^:\u2014]{0,60}[:\u2014]\s(?=\S)")
"""What stands between words that take an answer back and the new one: "Wait, that is wrong: "."""

REFUSAL = re.compile(
    r"(?:i'?m sorry|i am sorry|sorry|i apologi[sz]e|unfortunately|as an ai|i can(?:'t|not)|"
    r"i(?: am|'m) (?:not able|unable))\b",
    re.IGNORECASE,
)

THINKS_ALOUD = re.compile(r"\W*(?:let|we|i|first|to find|now|step)\b", re.IGNORECASE)
"""The beginning of a text that goes on working behind a mark, as in "Answer: Let us see"."""

INSTRUCTION = re.compile(r"\b(?:reply with|respond with|end with a last line|last line of the form)\b", re.IGNORECASE)
"""Words of a prompt: a text that ends in them repeats it."""

_ADDRESS = re.compile(r"\b(?:you|your|i|me|right)\b", re.IGNORECASE)

_EXPLAINED = re.compile(
    r"(?:[,;]\s{0,2}|\s)(?:because|since|as (?:shown|we|it|the|in|stated|given|seen|described|required|per)|so that|"
    r"given that|based on|due to|according to)\b|,\s(?:which|where|who|whose)\b"
    r"|,?\s(?:rather than|instead of)\s"
    r"|,\s(?:and\s|but\s)?not\s(?!sure|certain|quite|really|entirely|necessarily|known|clear)[^,;.]{1,60}[.!]?$"
    r"|[ \t][-\u2013\u2014]{1,2}\s(?=[A-Za-z])",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"(?<![:=]\s)(?<![:=])\s?\("
    r"(?!(?:or|maybe|perhaps|possibly|alternatively|could)\b(?! equivalently))[^()]{0,300}(?:\)|$)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])(?:(?<!\.\.)|(?=\s+[A-Za-z']{2}))\s+(?=\S)")


def first_sentence(text: str) -> str:
    """Return a text up to the end of its first sentence."""
    return _SENTENCE_END.split(text, maxsplit=1)[0]


def sentences(line: str) -> list[str]:
    """Split a line after full stops, question marks and exclamation marks."""
    return _SENTENCE_END.split(line)


def is_question(sentence: str) -> bool:
    """Say whether a sentence asks something, and not only what the reader would like."""
    return sentence.rstrip("\n \t*_\"')").endswith("?") and " " in sentence.strip() and not _ADDRESS.search(sentence)


def without_reason(text: str) -> str:
    """Cut a clause that explains: because ..., since ..., which ..., and what stands behind a dash."""
    found = _EXPLAINED.search(text)
    return text[: found.start()] if found and text[: found.start()].strip() else text


def without_retraction(sentence: str) -> str:
    """Cut what takes an answer back from a sentence that begins so and goes on with another one behind a colon."""
    begins = RETRACTION.match("\n" + sentence)
    found = _RETRACTED_FOR.match(sentence, begins.end() - 1) if begins else None
    return sentence[found.end() :] if found else sentence


def without_asides(text: str) -> str:
    """Remove texts in round brackets, but no alternative and nothing behind a colon."""
    return _ASIDE.sub("", text) if "(" in text else text


_FORM_WORDS = frozenset((
    "a", "an", "the", "your", "my", "final", "answer", "answers", "code", "codes", "name", "names", "number",
    "numbers", "year", "reply", "value", "values", "result", "step", "steps", "in", "digits", "from", "to", "or",
    "and", "of", "here", "insert", "put", "separated", "by", "comma", "commas", "blank", "blanks", "letter",
    "letters", "word", "words", "list", "date", "month", "day", "only", "with", "sentence", "string", "rest",
    "option", "x",
))  # fmt: skip
_FORM = re.compile(r"[<\[{(]\s?([^<>\[\]{}()]{1,80}?)\s?[>\]})]\.?|\.{2,}|…|_{2,}|-{2,}|<>|\[\]")


def is_placeholder(region: str) -> bool:
    """Say whether a text only repeats the form in which an answer was asked for, such as <answer>."""
    found = _FORM.fullmatch(region.strip(" \t*_`\"'.$"))
    if found is None:
        return False
    words = re.findall(r"[^\s,]+", (found[1] or "").lower())
    is_form = all(word in _FORM_WORDS or word.isdigit() for word in words)
    return is_form and (not words or any(len(word) > 1 and not word.isdigit() for word in words))


_CONCLUDED = re.compile(
    r".*\b(?:so|therefore|thus|hence|consequently|meaning|which means|ergo)\b,?|.*∴", re.IGNORECASE | re.DOTALL
)
_UNFINISHED = re.compile(
    r"\b(?:and|or|to|the|of|is|are|then|with|a|an|for|by|in|we|that|this|from|but|so|as|on|at|if|whole|next|have|has|"
    r"get|following|which|these|those|its|their|each|every|must|should|will|can|apply|need|needs)\s*$|[=+*/,(×-]\s*$",
    re.IGNORECASE,
)


def conclusion(sentence: str) -> str:
    """Return what follows the last so, thus, therefore or hence of a sentence, or the sentence."""
    found = _CONCLUDED.match(sentence)
    return sentence[found.end() :] if found and sentence[found.end() :].strip() else sentence


def is_unfinished(text: str) -> bool:
    """Say whether a text breaks off within a sentence."""
    return _UNFINISHED.search(text[-40:]) is not None

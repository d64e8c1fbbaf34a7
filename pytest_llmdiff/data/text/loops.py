"""Detects a reply that repeats itself instead of coming to an end."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from pytest_llmdiff.data.text.language.words import units

if TYPE_CHECKING:
    from pytest_llmdiff.data.comparison import Reply

# A reply ends in a loop when its last characters are at least this many repetitions of one unit
REPETITIONS = 4
# (with long units, this many) …
LONG_UNIT, LONG_REPETITIONS = 24, 3
# … and at least this many characters long ("hahaha" and "----" are no loops). A Chinese or Japanese
# character of a unit counts twice.
LOOP_CHARACTERS = 32
# Share of repeated 4-grams of tokens (seq-rep-4, Welleck et al. 2019, arXiv 1908.04319) above which
# a reply of some length repeats itself; ordinary text is far below.
REPEATED_4_GRAMS = 0.5
REPEATED_FROM = 40  # tokens; shorter replies are not checked for repeated 4-grams
# A sentence of at least this many words (characters of Chinese) is said over and over …
SENTENCE_UNITS = 3
# … if that many sentences are the same, apart from numbers, and so large a share of all, …
SAME_SENTENCES, SAME_SHARE = 4, 0.5
# … or if that many in a row are nearly the same: by a share of equal words, in order.
NEAR_SENTENCES, NEAR_WORDS = 5, 0.7
NEAR_FROM = 6  # words of a sentence; shorter ones are often alike
MOST_SENTENCES = 400  # of a reply, that are looked at
NEAR_UNITS = 200  # of a sentence, that are compared: the time grows with their square

Kind = Literal["signs", "words", "variations", "tokens"]
Sentence = tuple[tuple[str, ...], str]  # its words without numbers, and the sentence as it is

_IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")
_NUMBERING = re.compile(r"^\W*(?:\(?\d+[.):、]|[-*•·])?\s*")
_DIGITS = re.compile(r"\d+")
# Lines of tables, matrices, JSON and rules, which repeat what they are made of.
_STRUCTURE = re.compile(
    r"^\s*+(?:\|.*|.*\|\s*|[\W\d_]*|[\[{].*|.*[\]}],?|\"[^\"]*\"\s*:.*|</?\w[^>]*>.*|.*[;{]"
    r"|[^\s,]+(?:,[^\s,]*){2,})$"
)
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Loop:
    """What a reply repeats, where it begins (characters), and how to say so.

    `kind`: signs or digits without a letter, words, sentences with variations, or unseen `tokens`.
    """

    kind: Kind
    unit: str
    start: int
    text: str


def loop_of(reply: Reply) -> Loop | None:
    """What a reply repeats: a unit at its end, a sentence, or most of its 4-grams of tokens.

    None if it does not repeat itself. Tables, matrices, JSON and code may repeat what they like
    before their end.
    """
    text = reply.text.rstrip()
    unit = looping_suffix(text)
    if unit is not None:
        return Loop(
            kind="words" if any(map(str.isalpha, unit)) else "signs",
            unit=unit.strip(),
            start=_start_of(text, unit),
            text=f"it ends in repetitions of {unit.strip()[:40]!r}",
        )
    found = _sentences(text)
    return _same_sentences(text, found) or _near_sentences(text, found) or _repeated_tokens(reply)


def looping_suffix(text: str) -> str | None:
    """The unit that the end of the text repeats, or None.

    An incomplete last repetition counts.
    """
    doubled = len(_IDEOGRAPH.findall(text[-LOOP_CHARACTERS:])) > LOOP_CHARACTERS // 4
    for period in range(1, len(text) // LONG_REPETITIONS + 1):
        times = LONG_REPETITIONS if period >= LONG_UNIT else REPETITIONS
        matched = 0
        limit = len(text) - period
        while matched < limit and text[-1 - matched] == text[-1 - matched - period]:
            matched += 1
        enough = LOOP_CHARACTERS // 2 if doubled and period > 1 else LOOP_CHARACTERS
        if matched + period >= max(times * period, enough):
            return text[len(text) - period :]
    return None


def is_structure(text: str) -> bool:
    """Whether most of a text is code, or lines of a table, a matrix, JSON or rules."""
    rest = _FENCED.sub("", text)
    loose = sum(len(line) for line in rest.splitlines() if not _STRUCTURE.match(line))
    return 2 * loose < len(text)


def _start_of(text: str, unit: str) -> int:
    start = len(text)
    while start >= len(unit) and text[start - len(unit) : start] == unit:
        start -= len(unit)
    return start + len(text[start:]) - len(text[start:].lstrip())


def _same_sentences(text: str, found: Sequence[Sentence]) -> Loop | None:
    """One sentence that makes up much of a text, apart from numbers and numbering."""
    if len(found) < SAME_SENTENCES:
        return None
    counts = Counter(plain for plain, _ in found if len(plain) >= SENTENCE_UNITS)
    for plain, count in counts.most_common(1):
        if count >= max(SAME_SENTENCES, SAME_SHARE * len(found)):
            shown = next(sentence for held, sentence in found if held == plain)
            return Loop(
                kind="words",
                unit=shown,
                start=text.index(shown),
                text=f"it says {shown[:40]!r} {count} times",
            )
    return None


def _near_sentences(text: str, found: Sequence[Sentence]) -> Loop | None:
    """Sentences in a row, each nearly the one before."""
    run = 1
    for (before, first), (after, shown) in pairwise(found):
        run = run + 1 if _near(before, after) else 1
        if run >= NEAR_SENTENCES:
            return Loop(
                kind="variations",
                unit=shown,
                start=text.index(shown),
                text=f"it says the same with small variations, such as {first[:40]!r} and "
                f"{shown[:40]!r}",
            )
    return None


def _near(a: Sequence[str], b: Sequence[str]) -> bool:
    if min(len(a), len(b)) < NEAR_FROM:
        return False
    return (
        difflib.SequenceMatcher(a=a[:NEAR_UNITS], b=b[:NEAR_UNITS], autojunk=False).ratio()
        >= NEAR_WORDS
    )


def _sentences(text: str) -> list[Sentence]:
    """The sentences outside tables, JSON and code: their words without numbers, and as they are."""
    found = []
    for line in _FENCED.sub("\n", text).splitlines():
        if _STRUCTURE.match(line):
            continue
        for part in filter(str.strip, _SENTENCE.split(line)):
            shown = _NUMBERING.sub("", part, count=1).strip()
            found.append((tuple(units(_DIGITS.sub(" ", shown))), shown))
    return [(plain, shown) for plain, shown in found if plain][:MOST_SENTENCES]


def _repeated_tokens(reply: Reply) -> Loop | None:
    ids = reply.token_ids
    if len(ids) < REPEATED_FROM or is_structure(reply.text):
        return None
    grams = [ids[i : i + 4] for i in range(len(ids) - 3)]
    share = 1 - len(set(grams)) / len(grams)
    if share <= REPEATED_4_GRAMS:
        return None
    text = f"{share:.0%} of its runs of four tokens are repetitions"
    return Loop(kind="tokens", unit="", start=0, text=text)

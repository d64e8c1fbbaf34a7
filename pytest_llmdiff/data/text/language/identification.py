"""Which languages the sentences of a text are in, by py3langid (Lui & Baldwin 2012, langid.py).

A sentence counts as foreign only if that is clear. What is too short or too odd to tell (a name, a
list of chemicals, slang) is not counted as anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from pytest_llmdiff.data.text.language.names import NAMES, name_of, plain_code, with_neighbours
from pytest_llmdiff.data.text.language.words import prose

# The identifier knows further languages, but takes odd English for some of them.
IDENTIFIED = (*NAMES, "pcm")  # pcm is Nigerian Pidgin, which is read as English
# The natural logarithm of how many times likelier the best other language is than all known ones,
# from which a sentence is in that language …
CLEAR = 2.5
# … if it is short or a part of a sentence, or if it has a word of English, …
CLEARER = 4.0
# … and if it is a part of a sentence.
CLEAREST = 5.0
# Letters of a sentence from which its language may be told, and below which it must be clearer.
SHORTEST, SHORT = 8, 12
# Words of a part of a sentence, and letters from which such a part can tell.
PART, PART_LETTERS = 7, 20
DISTINCT = 4  # words of as many words or more that must differ
# Letters below which a word in lower case may be a part of a name: da, van, del.
NAME_PARTICLE = 4
# Words that only English has among the languages here. Two of them mark a sentence as English,
# whatever names and dishes it is full of.
ENGLISH = frozenset((
    "about", "and", "are", "been", "could", "from", "should", "that", "the", "their", "there",
    "these", "they", "this", "those", "which", "with", "would", "you", "your",
))  # fmt: skip
# What no language can be told from: addresses.
ADDRESS = re.compile(r"https?://\S+|(?<!\S)\S+@\S+|\bwww\.\S+")
SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+|(?<=[。！？])|\n+")
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A part of a text, and the code of the language that it is in, or most likely in if not
    `sure`: a few words of Spanish may well be French, though they are clearly not English."""

    language: str
    text: str
    sure: bool = True

    @property
    def name(self) -> str:
        return name_of(self.language) if self.sure else "another language"


def foreign(text: str, languages: Iterable[str]) -> Foreign | None:
    """The first sentence, or long part of one, that is clearly in none of the languages.

    None as well if one of the languages cannot be identified, since its sentences then seem to be
    in another one.
    """
    known = frozenset(map(plain_code, languages))
    if not known or not known <= set(IDENTIFIED):
        return None
    known = with_neighbours(known)
    for sentence in sentences(text):
        found = _foreign_sentence(sentence, known) or _foreign_part(sentence, known)
        if found is not None:
            return found
    return None


def languages_of(text: str) -> frozenset[str]:
    """The languages that sentences of a text are clearly in."""
    return frozenset(filter(None, map(_clear_language, sentences(text))))


def language_of(text: str) -> str | None:
    """The code of the language that a text as a whole is clearly in, or None."""
    return _clear_language(" ".join(sentences(text)))


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text without code and addresses. Those too short to be told by themselves
    are joined to the next one."""
    held, letters = list[str](), 0
    for part in SENTENCE.split(ADDRESS.sub(" ", prose(text))):
        if part.strip():
            held.append(part.strip())
            letters += _letters(part)
        if letters >= SHORTEST:
            yield " ".join(held)
            held, letters = [], 0
    if held:
        yield " ".join(held)


def _foreign_sentence(sentence: str, known: frozenset[str]) -> Foreign | None:
    letters = _letters(sentence)
    if letters < SHORTEST or _says_nothing(sentence):
        return None
    clearly, found = _odds(sentence, known)
    english = _english(sentence) if "en" in known else 0
    needed = CLEARER if letters < SHORT or english else CLEAR
    if clearly < needed or english > 1:
        return None
    return found


def _foreign_part(sentence: str, known: frozenset[str]) -> Foreign | None:
    """The first run of `PART` words that is clearly foreign: a sentence may change its language."""
    words = list(WORD.finditer(sentence))
    for start in range(len(words) - PART + 1):
        part = sentence[words[start].start() : words[start + PART - 1].end()]
        if _letters(part) < PART_LETTERS or ("en" in known and _english(part)):
            continue
        if _says_nothing(part):
            continue
        clearly, found = _odds(part, known)
        if clearly >= CLEAREST:
            return found
    return None


def _clear_language(text: str) -> str | None:
    if _letters(text) < SHORTEST or _says_nothing(text):
        return None
    found = _probabilities(text)
    best = max(found, key=found.__getitem__)
    group = with_neighbours(frozenset((best,)))
    clearly = _log_ratio(
        math.fsum(found[code] for code in group if code in found),
        max(share for code, share in found.items() if code not in group),
    )
    best = "en" if best == "pcm" else best
    return best if clearly >= (CLEARER if _letters(text) < SHORT else CLEAR) else None


def _odds(text: str, known: frozenset[str]) -> tuple[float, Foreign]:
    """How many times likelier the best other language is than the known ones together (natural
    logarithm), and which it is."""
    found = _probabilities(text)
    others = {code: share for code, share in found.items() if code not in known}
    best = max(others, key=others.__getitem__)
    like_it = with_neighbours(frozenset((best,)))
    second = max(share for code, share in others.items() if code not in like_it)
    sure = _log_ratio(others[best], second) >= CLEAR
    clearly = _log_ratio(others[best], math.fsum(found.get(code, 0.0) for code in known))
    return clearly, Foreign(language=best, text=text, sure=sure)


def _log_ratio(share: float, other: float) -> float:
    least = 1e-9
    return math.log(max(share, least) / max(other, least))


def _says_nothing(text: str) -> bool:
    """Whether a text tells no language: all words begin in upper case, but for a few short ones
    ("Leonardo da Vinci"), or a few words are said over and over."""
    words = [word[0] for word in WORD.finditer(text)]
    if len(words) >= PART and len({word.lower() for word in words}) < DISTINCT:
        return True
    names = sum(map(str.istitle, words))
    return 2 * names > len(words) and all(
        word.istitle() or len(word) < NAME_PARTICLE for word in words
    )


def _english(text: str) -> int:
    return sum(word[0].lower() in ENGLISH for word in WORD.finditer(text))


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))


@lru_cache(maxsize=4096)
def _probabilities(text: str) -> dict[str, float]:
    """The probability of each language, by its code."""
    return dict(_identifier().rank(text))


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(IDENTIFIED)
    return identifier

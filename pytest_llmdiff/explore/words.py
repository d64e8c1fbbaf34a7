"""Words of texts: which are distinctive of some texts among others, and how alike texts are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from pytest_llmdiff.data.text.words import words_of

SHORTEST = 3  # letters of a word in a script with spaces
LONGEST = 24  # letters; longer runs are code or noise
LEAST = 0.15  # share of the texts of a class that have a word which is distinctive of it
# Words that say how a sentence is built, not what it is about.
FUNCTION = frozenset((
    "the", "and", "for", "are", "but", "not", "you", "your", "with", "that", "this", "from",
    "have", "has", "had", "was", "were", "will", "would", "can", "could", "should", "may",
    "might", "must", "its", "his", "her", "their", "they", "them", "there", "here", "what",
    "which", "who", "how", "when", "where", "why", "our", "out", "about", "into", "than", "then",
    "also", "very", "just", "more", "most", "some", "any", "all", "one", "two", "use", "using",
    "such", "does", "did", "been", "being", "these", "those", "other", "over", "only", "each",
    "while", "because", "through", "between", "both", "own", "same", "she", "him", "it's", "i'm",
    "don't",
))  # fmt: skip


@lru_cache(maxsize=1 << 13)
def bag(text: str) -> frozenset[str]:
    """The different words of a text in lower case, without numbers, marks and function words."""
    found = (word.text.lower() for word in words_of(text).words if not word.mark)
    return frozenset(
        word
        for word in found
        if (SHORTEST <= len(word) <= LONGEST or not word.isascii())
        and not word[0].isdigit()
        and word not in FUNCTION
    )


def weights(bags: Sequence[Iterable[str]]) -> dict[str, float]:
    """How rare each word is: log((1 + n)/(1 + texts with it)) + 1 (Sparck Jones 1972)."""
    counts = Counter(word for held in bags for word in set(held))
    return {word: math.log((1 + len(bags)) / (1 + n)) + 1 for word, n in counts.items()}


def distinctive(
    inside: Sequence[Iterable[str]], outside: Sequence[Iterable[str]], most: int
) -> list[str]:
    """The words of one class of texts against another, by class-based TF-IDF (Grootendorst 2022,
    arXiv 2203.05794): how often a word is in the class, times log(1 + average/overall), where both
    are counts per text; only words of at least two texts, and more frequent there than outside."""
    if not inside:
        return []
    ours = Counter(word for held in inside for word in held)
    theirs = Counter(word for held in outside for word in held)
    texts = max(1, len(outside))
    average = sum(ours.values()) / len(inside)

    def value(word: str) -> float:
        here, there = ours[word] / len(inside), theirs[word] / texts
        return here * math.log(1 + average / (here + there)) * (here - there) / (here + there)

    least = max(2.0, LEAST * len(inside))
    kept = [w for w, n in ours.items() if n >= least and n / len(inside) > 2 * theirs[w] / texts]
    return sorted(kept, key=lambda word: (-value(word), word))[:most]


def cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The cosine of two sparse vectors, 0 if one is empty."""
    if not one or not other:
        return 0.0
    if len(one) > len(other):
        one, other = other, one
    product = sum(value * other.get(word, 0.0) for word, value in one.items())
    norms = math.sqrt(sum(v * v for v in one.values())) * math.sqrt(
        sum(v * v for v in other.values())
    )
    return product / norms if norms else 0.0

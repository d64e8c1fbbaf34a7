"""Aligns two replies: the pieces that both have, and the pieces of only one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

# Scripts without spaces between words: each character by itself (kana, Han, and Thai's block).
_SINGLE = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{_SINGLE}]|[^\W{_SINGLE}]+\s*|\s+|[^\w\s]\s*")
# Words beyond which the time of an alignment, which is quadratic, becomes noticeable.
MOST = 1500
# Fewer shared words than this between words that differ are a coincidence, and get no marks.
ACCIDENTAL = 2
# Replies that share less than this are shown as entirely different.
RELATED = 0.2


def segments(base: str, tuned: str) -> list[str]:
    """The pieces of both in order, each with a sign: `=` for both, `-` for the base's, `+` for the
    tuned model's. The pieces of `=` and of one sign, joined, are the text of that side."""
    if base == tuned:
        return ["=" + base] if base else []
    ours, theirs = WORD.findall(base), WORD.findall(tuned)
    pieces = list(_merged(_pieces(ours, theirs)))
    shared = sum(len(words) for sign, words in pieces if sign == "=")
    if 2 * shared < RELATED * (len(ours) + len(theirs)):
        pieces = [("-", ours), ("+", theirs)]
    return [sign + "".join(words) for sign, words in pieces if words]


Piece = tuple[str, list[str]]


def _pieces(ours: list[str], theirs: list[str]) -> Iterator[Piece]:
    if max(len(ours), len(theirs)) > MOST:
        yield from _ends(ours, theirs)
        return
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            yield "=", ours[a:b]
        else:
            yield "-", ours[a:b]
            yield "+", theirs[c:d]


def _ends(ours: list[str], theirs: list[str]) -> Iterator[Piece]:
    """The common beginning and end, with all between as different."""
    least = min(len(ours), len(theirs))
    head = next((n for n in range(least) if ours[n] != theirs[n]), least)
    tail = next((n for n in range(least - head) if ours[-1 - n] != theirs[-1 - n]), least - head)
    yield "=", ours[:head]
    yield "-", ours[head : len(ours) - tail]
    yield "+", theirs[head : len(theirs) - tail]
    yield "=", ours[len(ours) - tail :]


def _merged(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Joins changes that only accidental words separate."""
    held = [piece for piece in pieces if piece[1]]
    gone: list[str] = []
    come: list[str] = []
    for place, (sign, words) in enumerate(held):
        inside = 0 < place < len(held) - 1
        if sign == "=" and not (inside and _accidental(words)):
            yield from (("-", gone), ("+", come))
            gone, come = [], []
            yield sign, words
        else:
            gone = gone + words if sign != "+" else gone
            come = come + words if sign != "-" else come
    yield from (("-", gone), ("+", come))


def _accidental(words: Sequence[str]) -> bool:
    return len(words) < ACCIDENTAL or not any(word.strip() for word in words)

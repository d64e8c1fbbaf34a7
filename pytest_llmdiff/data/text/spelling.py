"""Perturbations that spell the same words differently: typos, case, spaces, look-alikes."""

from __future__ import annotations

import random
import re

TYPOS = 3  # at most, each in a different word
_WORD = re.compile(r"[A-Za-z]{4,}")
_END = "?!.？！。…"
# Neighbours on a QWERTY keyboard.
_KEYS = {
    key: row[max(0, i - 1) : i] + row[i + 1 : i + 2]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for i, key in enumerate(row)
}
# Cyrillic letters that look like Latin ones.
_TWINS = str.maketrans("aceopxyACEHKMOPTX", "асеорхуАСЕНКМОРТХ")
_FULL = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}


def typos(text: str, rng: random.Random) -> list[str]:
    """One word mistyped, then two, then three: letters swapped, lost, doubled or mishit."""
    words = list(_WORD.finditer(text))
    rng.shuffle(words)
    forms, changed = [], text
    for word in words[:TYPOS]:
        changed = _replaced(changed, word.group(), _mistyped(word.group(), rng))
        forms.append(changed)
    return forms


def case(text: str, rng: random.Random) -> list[str]:  # noqa: ARG001
    """All letters in lower case, then all in upper case."""
    return [text.lower(), text.upper()]


def spacing(text: str, rng: random.Random) -> list[str]:
    """A space at the end; a double space inside (in Chinese, a space); blank lines around."""
    gaps = [match.start() for match in re.finditer(" ", text)]
    inside = [rng.choice(gaps)] if gaps else []
    if not gaps and len(text) > 2:
        inside = [rng.randrange(1, len(text) - 1)]
    doubled = [f"{text[:at]} {text[at:]}" for at in inside]
    return [f"{text} ", *doubled, f"\n\n{text}\n\n"]


def punctuation(text: str, rng: random.Random) -> list[str]:  # noqa: ARG001
    """The final mark removed, then tripled; or three dots if there is none."""
    bare = text.rstrip(_END)
    if bare == text:
        return [f"{text}..."]
    return [bare, text + 2 * text[-1]]


def full_width(text: str, rng: random.Random) -> list[str]:
    """One word in full-width letters, as East Asian input methods produce them; then all words."""
    words = re.findall(r"[!-~]+", text)
    if not words:
        return []
    word = rng.choice(words)
    return [_replaced(text, word, word.translate(_FULL)), text.translate(_FULL)]


def homoglyphs(text: str, rng: random.Random) -> list[str]:
    """One Latin letter replaced by a Cyrillic look-alike; then all that have one."""
    places = [at for at, letter in enumerate(text) if ord(letter) in _TWINS]
    if not places:
        return []
    at = rng.choice(places)
    return [text[:at] + text[at].translate(_TWINS) + text[at + 1 :], text.translate(_TWINS)]


def _mistyped(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    head, letter, following, tail = word[:at], word[at], word[at + 1], word[at + 2 :]
    beside = _KEYS.get(letter.lower(), "") or letter
    kinds = [
        head + letter + letter + following + tail,
        head + following + tail,
        head + rng.choice(beside) + following + tail,
    ]
    if letter != following:
        kinds.append(head + following + letter + tail)
    return rng.choice(kinds)


def _replaced(text: str, word: str, other: str) -> str:
    """The text with the first occurrence of the whole word replaced."""
    return re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", lambda _: other, text, count=1)

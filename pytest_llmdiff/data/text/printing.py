"""Numbers as short text, and model output as text that is safe to print: it may hold escape
sequences and worse."""

from __future__ import annotations

import math
import unicodedata

from pytest_llmdiff.errors import visible

LONGEST = 400
MARK = "▸"
BEFORE = 60  # characters that are shown before the mark
JOINER = "\u200d"  # makes one sign of several
UNSPACED = {"THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"}


def number(value: float | None) -> str:
    """Short enough to read, with enough digits to be of use."""
    if value is None or math.isnan(value):
        return "NaN" if value is not None else "none"
    if math.isinf(value):
        return str(value)
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def numbers_beside(value: float, limit: float) -> tuple[str, str]:
    """Both numbers, with enough digits to show on which side of the limit the value is."""
    shown = number(value), number(limit)
    if value == limit or not (math.isfinite(value) and math.isfinite(limit)):
        return shown
    for digits in range(3, 18):
        a, b = map(float, shown)
        if (a > b) == (value > limit) and a != b:
            break
        shown = f"{value:.{digits}g}", f"{limit:.{digits}g}"
    return shown


def percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.0f} %"


def counted(count: int, noun: str) -> str:
    """`1 test`, `2 tests`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float) -> str:
    """Rounded up, so as not to promise too much: `50 s`, `3 min`, `2 h 5 min`."""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def printable(text: str) -> str:
    """One line without control, format or bidirectional-override characters.

    Line ends become `\\n`. The result can neither recolour nor mislead a terminal.
    """
    return "".join("\\n" if character == "\n" else visible(character) for character in text)


def columns(text: str) -> int:
    """The width of a text in a terminal, where a Chinese character takes two columns."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shortened(text: str, length: int = LONGEST) -> str:
    """At most `length` columns; `…` marks a cut."""
    if columns(text) <= length:
        return text
    kept, used = 0, 0
    for character in text:
        used += columns(character)
        if used >= length:
            break
        kept += 1
    return text[:kept].rstrip() + "…"


def _beginning(text: str, at: int) -> int:
    """The beginning of the word, where readers look for a difference that lies within it. Where
    words are not written apart, that of the character itself."""
    while 0 < at < len(text):
        if not (unicodedata.combining(text[at]) or JOINER in text[at - 1 : at + 1]):
            break
        at -= 1
    begin = at
    while begin and (text[begin - 1].isalnum() or text[begin - 1] in "'’_"):
        begin -= 1
    within = at < len(text) and at - begin <= 25
    return begin if within and not any(map(_unspaced, text[begin:at])) else at


def _unspaced(character: str) -> bool:
    if unicodedata.east_asian_width(character) in "WF":
        return True
    return unicodedata.name(character, "").partition(" ")[0] in UNSPACED


def place_of_mark(text: str, at: int) -> tuple[int, int]:
    """Where to begin to show a reply, and where to mark it, if it differs from `at` on."""
    at = _beginning(text, at)
    return max(0, at - BEFORE), at


def marked(text: str, at: int | None) -> str:
    """One printable line of a reply, with a mark at the character where it begins to differ.

    A long common beginning is cut from the left, so that the difference is always shown.
    """
    if at is None:
        return shortened(printable(text))
    start, at = place_of_mark(text, at)
    head = ("…" if start else "") + printable(text[start:at])
    return head + MARK + shortened(printable(text[at:]))

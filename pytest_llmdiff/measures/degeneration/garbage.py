"""Damaged text: replacement and control characters, and text in a wrong encoding."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.measures.degeneration.evidence import Beside, Evidence

REPLACEMENT = "\ufffd"
CONTROL_CHARACTERS = 3  # a single one may be a stray tab stop or escape
# Characters without width between the others; Thai and Khmer have some between words.
INVISIBLE = "\u200b\u2060\u2061\u2062\u2063\u2064\ufeff"
INVISIBLE_CHARACTERS, INVISIBLE_SHARE = 5, 0.2
# Encodings that UTF-8 is mistaken for, and the characters from which a run that reads as UTF-8 in
# one is no accident. In the wider ones, ordinary words may be valid UTF-8 ("Её" in Windows-1251).
MISTAKEN = (("cp1252", 2), ("latin-1", 2), ("cp1251", 6), ("gb18030", 6))
_FOREIGN_RUN = re.compile(r"[^\x00-\x7f]{2,}")
# What replacement characters become when GBK is read once more.
_TWICE = re.compile("(?:锟斤拷)|(?:烫烫烫)|(?:屯屯屯)")


def garbage(reply: Reply, beside: Beside) -> Iterator[Evidence]:
    if beside.asks_for("encoding"):
        return
    # A reply that is cut may end within a character.
    text = reply.text.rstrip(REPLACEMENT + " ") if _is_cut(reply) else reply.text
    if count := text.count(REPLACEMENT):
        yield _evidence(text, text.index(REPLACEMENT), f"{count} replacement characters (U+FFFD)")
        return
    invisible = sum(map(INVISIBLE.__contains__, text))
    if invisible >= max(INVISIBLE_CHARACTERS, INVISIBLE_SHARE * len(text)):
        start = next(at for at, character in enumerate(text) if character in INVISIBLE)
        yield _evidence(text, start, f"{invisible} invisible characters")
        return
    controls = [at for at, character in enumerate(text) if _is_control(character)]
    if len(controls) >= CONTROL_CHARACTERS:
        yield _evidence(text, controls[0], f"{len(controls)} control or private characters")
        return
    place = _misread(text)
    if place is not None and text[place : place + 2] not in beside.expected:
        yield _evidence(text, place, f"text in a wrong encoding: {text[place : place + 8]!r}")


def _is_cut(reply: Reply) -> bool:
    return reply.finish_reason == "length" and reply.text.rstrip(REPLACEMENT + " ") != ""


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Co", "Cs") and character not in "\t\n\r\f\v"


def _misread(text: str) -> int | None:
    """Where UTF-8 was read in another encoding, or None."""
    if (found := _TWICE.search(text)) is not None:
        return found.start()
    for run in _FOREIGN_RUN.finditer(text):
        for encoding, least in MISTAKEN:
            if len(run[0]) >= least and _reads_as_utf8(run[0], encoding):
                return run.start()
    return None


def _reads_as_utf8(run: str, encoding: str) -> bool:
    try:
        read = run.encode(encoding).decode("utf-8")
    except UnicodeError:
        return False
    return len(read) < len(run) and all(map(str.isprintable, read))


def _evidence(text: str, start: int, what: str) -> Evidence:
    return Evidence(
        kind="garbage", problem=f"the reply has {what}", start=start, quote=text[start : start + 80]
    )

"""Texts that others wrote as Markdown that GitHub shows literally."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from pytest_llmdiff.data.text.differences import first_difference
from pytest_llmdiff.data.text.printing import place_of_mark, printable
from pytest_llmdiff.reports.alignment import segments

# The beginnings of markup in Markdown and HTML, and of GitHub's mentions, references, links and
# formulas.
MARKUP = re.compile(r"[&<>|`*_\[\]()!#@:\\~{}$\"'=+^-]|www\.", re.IGNORECASE)
REPLY = 1000  # characters of a reply


def escaped(text: str) -> str:
    """A text on one line, escaped so that Markdown shows it literally."""
    return MARKUP.sub(
        lambda match: "".join(f"&#{ord(character)};" for character in match[0]), printable(text)
    )


def code(text: str) -> str:
    return f"<code>{escaped(text)}</code>" if text else ""


def reply_pair(sides: Sequence[str], texts: tuple[str, str]) -> Iterator[str]:
    """Two replies as a table of two columns, from shortly before they part, with the words that
    differ in bold. Nothing is marked in replies without a common word."""
    at = first_difference(*texts)
    start = 0 if at is None else max(0, min(place_of_mark(text, at)[0] for text in texts))
    parts = [text[start : start + REPLY] for text in texts]
    pieces = segments(*parts)
    related = any(piece[0] == "=" for piece in pieces)
    cells = []
    for sign, text, part in zip("-+", texts, parts, strict=True):
        own = [
            (piece[0] == sign and related, piece[1:]) for piece in pieces if piece[0] in ("=", sign)
        ]
        shown = "".join(
            _bold("".join(words for _, words in group)) if differs
            else _broken("".join(words for _, words in group))
            for differs, group in groupby(own, key=lambda each: each[0])
        )  # fmt: skip
        cut = "…" if start + REPLY < len(text) else ""
        cells.append(f"{'…' if start else ''}{shown}{cut}" if part else "(empty)")
    yield f"| {' | '.join(map(escaped, sides))} |"
    yield "|---|---|"
    yield f"| {' | '.join(cells)} |"


def _broken(text: str) -> str:
    """The text with its line ends."""
    return "<br>".join(map(escaped, text.split("\n")))


def _bold(text: str) -> str:
    return "".join(
        f"<b>{_broken(part)}</b>" if part.strip() else _broken(part)
        for part in re.split(r"(^\s+|\s+$)", text)
        if part
    )

"""Two replies on a wide terminal: side by side, the words that differ in their model's colour."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest

from pytest_llmdiff.data.text.differences import first_difference
from pytest_llmdiff.data.text.printing import (
    MARK,
    columns,
    marked,
    place_of_mark,
    printable_characters,
    shortened,
)
from pytest_llmdiff.reports.alignment import segments
from pytest_llmdiff.reports.terminal.styles import Line, Piece

STYLES = ("base", "tuned")
DEEP = 4  # lines of each reply
INDENT = 4  # of replies: two spaces and a bar, or four spaces
GAP = 3


def pair_lines(names: Sequence[str], texts: Sequence[str], width: int) -> Iterator[Line]:
    """Both replies within `width` columns."""
    if any(map(_leftward, texts)):
        yield from _below(names, texts, width)
        return
    half = (width - INDENT - GAP) // 2
    sides = []
    for name, style, cells in zip(names, STYLES, _cells(texts), strict=True):
        sides.append([(Piece(text=name, style=style),), *_pieces(cells, half, style)])
    for left, right in zip_longest(*sides, fillvalue=(Piece(text=""),)):
        space = " " * (half - sum(columns(piece.text) for piece in left))
        bar = Piece(text=f"{space} │ ", style="faint")
        # Before a reply too: CI runners obey a line that begins with "::".
        yield Line(pieces=(Piece(text="  │ ", style="faint"), *left, bar, *right))


def _leftward(text: str) -> bool:
    """Whether a terminal may write a part of the text from right to left. It then does so with the
    whole line, in which the replies would swap sides."""
    return any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text)


def _below(names: Sequence[str], texts: Sequence[str], width: int) -> Iterator[Line]:
    at = first_difference(*texts)
    for name, style, text in zip(names, STYLES, texts, strict=True):
        reply = shortened(marked(text, at), width - INDENT - 8) if text else "(empty)"
        title = Piece(text=f"{name:<7} ", style=style)
        yield Line(pieces=(Piece(text=" " * INDENT), title, Piece(text=reply)))


Cell = tuple[str, bool]  # a printable text, and whether it differs from the other reply


def _cells(texts: Sequence[str]) -> Iterator[list[Cell]]:
    """Each reply from shortly before the difference on, which has a mark: colours may be off."""
    at = first_difference(*texts)
    aligned = segments(*texts)
    related = any(piece[0] == "=" for piece in aligned)
    for sign, text in zip("-+", texts, strict=True):
        differs = [
            related and piece[0] == sign
            for piece in aligned
            if piece[0] in ("=", sign)
            for _ in piece[1:]
        ]
        start, place = (0, len(text) + 1) if at is None else place_of_mark(text, at)
        cells = [*zip(printable_characters(text), differs, strict=True)]
        mark = [] if at is None else [(MARK, related)]
        shown = [*cells[start:place], *mark, *cells[place:]]
        yield ([("…", False)] if start else []) + shown if text else [("(empty)", False)]


def _pieces(cells: Sequence[Cell], width: int, style: str) -> Iterator[tuple[Piece, ...]]:
    # A visible control character is several characters long.
    flags = [differs for text, differs in cells for _ in text]
    for begin, line in _wrapped("".join(text for text, _ in cells), width):
        held = zip(line, flags[begin : begin + len(line)], strict=True)
        yield tuple(
            Piece(text="".join(character for character, _ in group), style=style if differs else "")
            for differs, group in groupby(held, key=lambda pair: pair[1])
        )


def _wrapped(text: str, width: int) -> Iterator[tuple[int, str]]:
    """At most `DEEP` lines of at most `width` columns, broken at spaces if possible, each with its
    place in the text."""
    begin = 0
    for deep in range(DEEP):
        rest = text[begin:]
        end = used = 0
        for character in rest:
            used += columns(character)
            if used > width:
                break
            end += 1
        if deep == DEEP - 1:
            yield begin, shortened(rest, width)
            return
        space = rest.rfind(" ", 0, end)
        if end < len(rest) and space > end // 2:
            end = space + 1
        yield begin, rest[:end].rstrip()
        begin += end
        if begin >= len(text):
            return

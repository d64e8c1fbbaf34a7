"""Lines with styles, which pytest's own writer turns into colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# pytest writes no colours if the output is not a terminal, or NO_COLOR is set.
MARKUP: Mapping[str, Mapping[str, bool]] = {
    "": {},
    "head": {"bold": True},
    "good": {"green": True},
    "bad": {"red": True},
    "warn": {"yellow": True},
    "faint": {"light": True},
}


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a line; `style` is a key of `MARKUP`."""

    text: str
    style: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, text: str, style: str = "", rest: str = "") -> Line:
        """A text in a style, and the `rest` without one."""
        pieces = (Piece(text=text, style=style), Piece(text=rest))
        return cls(pieces=pieces if rest else pieces[:1])

    def __str__(self) -> str:
        return "".join(piece.text for piece in self.pieces)

    def write(self, reporter: Any) -> None:
        """Write the line to pytest's terminal reporter."""
        reporter.ensure_newline()
        for piece in self.pieces:
            reporter.write(piece.text, **MARKUP[piece.style])
        reporter.line("")

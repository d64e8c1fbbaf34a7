"""Lines with styles, which pytest's own writer turns into colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Green, red and yellow are verdicts, and of no side.
MARKUP: Mapping[str, Mapping[str, bool]] = {
    "": {},
    "head": {"bold": True},
    "good": {"green": True},
    "bad": {"red": True},
    "warn": {"yellow": True},
    "faint": {"light": True},
}
# The models' colours, which pytest has no names for: blue and orange of the 256, both of a contrast
# above 3.5 on black and on white.
SIDES: Mapping[str, str] = {"base": "38;5;68", "tuned": "38;5;166"}


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a line; `style` is a key of `MARKUP` or `SIDES`."""

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
            code = SIDES.get(piece.style)
            if code is None:
                reporter.write(piece.text, **MARKUP[piece.style])
            # False if the output is not a terminal, or NO_COLOR is set.
            elif reporter.hasmarkup:
                reporter.write(f"\x1b[1;{code}m{piece.text}\x1b[0m")
            else:
                reporter.write(piece.text)
        reporter.line("")

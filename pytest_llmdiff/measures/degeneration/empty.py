"""Replies without content: nothing, only invisible characters, or only punctuation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.measures.degeneration.evidence import Beside, Evidence

# Letters and symbols by their category that show nothing: fillers of Hangul, blank Braille.
BLANK = "\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5"
# Only these and spaces are no content; other signs may be an answer (+, €, 😀).
_PUNCTUATION = re.compile(
    r"[\s.…·•,;:!?¡¿\-–—_=~*#|/\\'\"`“”‘’«»()\[\]{}<>。，、；：！？～・「」『』（）【】《》]+"
)


def empty(reply: Reply, beside: Beside) -> Iterator[Evidence]:
    seen = "".join(filter(_is_visible, reply.text))
    if not seen:
        yield Evidence(kind="empty", problem=f"the reply is empty ({_why(reply)})", start=0)
    elif _PUNCTUATION.fullmatch(seen) and not _is_wanted(seen, beside):
        shown = seen if len(seen) <= 12 else f"{seen[:12]}…"
        yield Evidence(
            kind="punctuation",
            problem=f"the reply is nothing but punctuation: {shown!r}",
            start=0,
            quote=reply.text,
        )


def _is_visible(character: str) -> bool:
    return not character.isspace() and character not in BLANK and (
        unicodedata.category(character) not in ("Cc", "Cf", "Cn", "Mn", "Me")
    )  # fmt: skip


def _why(reply: Reply) -> str:
    if reply.reasoning:
        return "only reasoning, cut by the length limit"
    return "only invisible characters" if reply.text.strip() else "nothing"


def _is_wanted(seen: str, beside: Beside) -> bool:
    """Whether the prompt asks for signs, or has these itself in a row."""
    held = len(seen) > 1 and seen[:3] in beside.prompt
    return held or beside.asks_for("marks", "drawing", "repetition")

"""Prompts as texts: normalised, and compared for being the same or nearly the same."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from pytest_llmdiff.data.messages import Message

Likeness = Literal["same", "near-same"]

NEAR_SAME = 0.9  # share of characters that two prompts have in common, in order
LONGEST_COMPARED = 4000  # characters; the time for a comparison grows with their square


def asked(messages: Sequence[Message]) -> str:
    """The last user turn of a conversation, or the last turn if there is no user turn."""
    turns = [message["content"] for message in messages if message["role"] == "user"]
    return turns[-1] if turns else messages[-1]["content"]


def likeness(a: str, b: str) -> Likeness | None:
    """Whether two normalised prompts are the same or nearly the same; None if they differ."""
    if a == b:
        return "same" if a else None
    if max(len(a), len(b)) > LONGEST_COMPARED:
        return None
    matcher = difflib.SequenceMatcher(a=a, b=b, autojunk=False)
    bounds = (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)
    return "near-same" if all(bound() >= NEAR_SAME for bound in bounds) else None


class _Kept(dict[int, int | None]):
    """For `str.translate`: removes spaces, punctuation, control and format characters."""

    def __missing__(self, code: int) -> int | None:
        category = unicodedata.category(chr(code))
        kept = self[code] = None if category[0] in "ZP" or category in ("Cc", "Cf") else code
        return kept


_KEPT = _Kept()
# Between two digits a sign counts: 1.5 is not 15, and 3-1 is not 31.
_IN_NUMBER = re.compile(r"((?<=\d)[^\w\s](?=\d))")


def normalised(text: str) -> str:
    """A prompt without case, width, spaces and punctuation.

    A text of nothing else (such as "???") is only stripped.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    pieces = _IN_NUMBER.split(folded)
    kept = "".join(
        piece if place % 2 else piece.translate(_KEPT) for place, piece in enumerate(pieces)
    )
    return kept or folded.strip()

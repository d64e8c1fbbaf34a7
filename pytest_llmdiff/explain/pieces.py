"""The text of each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# Tokens that are decoded together, and how many of them stay for the next ones.
WINDOW, BEHIND = 64, 8


def pieces(engine: Any, ids: Sequence[int]) -> list[str]:
    """What each token adds to the text. A character of several tokens belongs to the last one; the
    others add nothing."""
    read, found = "", []
    # A token's text depends on the tokens before it, but only on the last few. Decoding all of them
    # for each token would take quadratic time. The cut is at the end of a character.
    start, whole = 0, [0]
    for end in range(1, len(ids) + 1):
        text = str(engine.tokenizer.decode(list(ids[start:end])))
        if text.endswith("\N{REPLACEMENT CHARACTER}") and end < len(ids):
            found.append("")
            continue
        found.append(
            text[len(read) :] if text.startswith(read) else engine.token_text(ids[end - 1])
        )
        read = text
        whole.append(end)
        if end - start >= WINDOW:
            start = whole[-BEHIND:][0]
            read = str(engine.tokenizer.decode(list(ids[start:end])))
    return found

"""Where words and messages stand in a text, and which tokens that is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llmdiff.data.messages import Message

# Scripts without spaces between words: kana, Han, and Thai's block.
_SINGLE = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_SPACED = re.compile(rf"[^\W{_SINGLE}]")
Span = tuple[int, int]


def user_text(messages: Sequence[Message]) -> str:
    """The last message of the user."""
    return next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")


def word_spans(text: str, words: Iterable[str]) -> Iterator[Span]:
    """Where words stand in a text, whatever their case. In scripts with spaces they stand there
    as words of their own: "he" is not in "the"."""
    for word in words:
        ends = [r"(?<!\w)" if _SPACED.match(word) else "", r"(?!\w)" if _spaced_end(word) else ""]
        for found in re.finditer(re.escape(word).join(ends), text, re.IGNORECASE):
            yield found.span()


def _spaced_end(word: str) -> bool:
    return _SPACED.match(word[-1:]) is not None


def user_span(pieces: Sequence[str], content: str) -> Span | None:
    """Where a message stands in the rendered prompt, as characters; None if it is not there as it
    was written (a template may strip it)."""
    text, wanted = "".join(pieces), content.strip()
    at = text.rfind(wanted) if wanted else -1
    return None if at < 0 else (at, at + len(wanted))


def tokens_in(pieces: Sequence[str], spans: Iterable[Span]) -> set[int]:
    """The tokens that have a part in any of the spans. One that begins a character and does not
    end it has no text: it goes with the character that follows."""
    wanted, place, found = list(spans), 0, set[int]()
    for number, piece in enumerate(pieces):
        end = place + max(1, len(piece))
        if any(place < last and first < end for first, last in wanted):
            found.add(number)
        place += len(piece)
    return found

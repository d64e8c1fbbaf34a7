"""Positions of words and messages in a text, and the tokens at these positions."""

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
    """The content of the last user message, or "" if there is none."""
    return next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")


def word_spans(text: str, words: Iterable[str]) -> Iterator[Span]:
    """The positions of the words in a text, ignoring case.

    In scripts with spaces only whole words match: "he" is not in "the".
    """
    for word in words:
        ends = [r"(?<!\w)" if _SPACED.match(word) else "", r"(?!\w)" if _spaced_end(word) else ""]
        for match in re.finditer(re.escape(word).join(ends), text, re.IGNORECASE):
            yield match.span()


def _spaced_end(word: str) -> bool:
    return _SPACED.match(word[-1:]) is not None


def user_span(pieces: Sequence[str], content: str) -> Span | None:
    """The position of a message in the rendered prompt, in characters.

    None if the prompt does not contain it verbatim, for example because the template changes it.
    """
    text, wanted = "".join(pieces), content.strip()
    at = text.rfind(wanted) if wanted else -1
    return None if at < 0 else (at, at + len(wanted))


def tokens_in(pieces: Sequence[str], spans: Iterable[Span]) -> set[int]:
    """The indices of the tokens that overlap any of the spans.

    A token that ends inside a character has no text of its own: it counts for the next character.
    """
    wanted, place, inside = list(spans), 0, set[int]()
    for number, piece in enumerate(pieces):
        end = place + max(1, len(piece))
        if any(place < last and first < end for first, last in wanted):
            inside.add(number)
        place += len(piece)
    return inside
